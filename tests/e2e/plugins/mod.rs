//! Plugins: installed, updated, signed, fetched from a registry, and refused.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use capstan_runtime::{digest, with_manifest};
use serde_json::{Value, json};

use crate::support::{Machine, Run, component, has, sh, skips_without};

mod registry;

/// A component with this manifest in the place of its own.
fn plugin(machine: &Machine, file: &str, manifest: Value) -> PathBuf {
    let mut whole =
        json!({ "actions": ["acme:greet"], "version": "1.0.0", "description": "Greets." });
    let fields = whole.as_object_mut().unwrap();
    fields.extend(manifest.as_object().unwrap().clone());
    let wasm = std::fs::read(component("typed-inputs")).unwrap();
    let wasm = with_manifest(&wasm, &whole.to_string()).unwrap();
    machine.file(file, wasm)
}

fn version(machine: &Machine, version: &str) -> PathBuf {
    plugin(
        machine,
        &format!("{version}.wasm"),
        json!({ "version": version }),
    )
}

fn capstan(machine: &Machine, arguments: &[&str]) -> Output {
    machine.capstan(["plugin"].iter().chain(arguments))
}

fn install(machine: &Machine, source: &Path, arguments: &[&str]) -> Output {
    let source = source.display().to_string();
    capstan(machine, &[&["install", &source], arguments].concat())
}

fn text(output: &Output) -> String {
    let both = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8(both).unwrap()
}

#[track_caller]
fn succeeds(output: &Output, words: &[&str]) {
    ends(output, 0, words);
}

/// That a command ended with this status, and said these things.
#[track_caller]
fn ends(output: &Output, code: i32, words: &[&str]) {
    let said = text(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word} is not in\n{said}");
    }
}

fn greet(machine: &Machine, arguments: &[&str]) -> Run {
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [{ "name": "greet", "action": "acme:greet", "inputs": { "names": ["Ada"] } }],
    });
    machine.run(&document.to_string(), arguments)
}

fn list(machine: &Machine) -> Value {
    let output = capstan(machine, &["list", "--output", "json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_is_approved_of_is_installed_and_runs_until_it_is_removed() {
    let machine = Machine::new();
    let cache = machine.path("cache");
    let command = |arguments: &[&str]| {
        let mut command = machine.command();
        command
            .arg("plugin")
            .args(arguments)
            .env("CAPSTAN_CACHE", &cache);
        command.output().unwrap()
    };
    let requests = json!({ "files": [
        { "path": "/srv/greetings", "access": ["read"], "reason": "to know\u{1b}[2J the words", "optional": true },
    ] });
    let file = plugin(&machine, "greet.wasm", json!({ "capabilities": requests }));
    let (path, sum) = (
        file.display().to_string(),
        digest(&std::fs::read(&file).unwrap()),
    );
    succeeds(&command(&["list"]), &["no plugins are installed"]);
    ends(
        &command(&["install", &path]),
        3,
        &[
            "acme:greet 1.0.0",
            &format!("sha256:{sum}"),
            "it is not signed",
            "files /srv/greetings read, optional: to know\u{fffd}[2J the words",
            "nobody is there to approve of it; --yes",
        ],
    );
    assert_eq!(list(&machine), json!([]));
    succeeds(
        &command(&["install", &path, "--yes"]),
        &["installed acme:greet 1.0.0"],
    );
    let compiled = || {
        let files = std::fs::read_dir(&cache).unwrap().flatten();
        let mut stamps: Vec<_> = files
            .map(|file| {
                (
                    file.file_name(),
                    file.metadata().unwrap().modified().unwrap(),
                )
            })
            .collect();
        stamps.sort();
        stamps
    };
    let first = compiled();
    assert!(!first.is_empty());
    succeeds(&command(&["install", &path]), &["is installed already"]);

    let listed = &list(&machine)[0];
    assert_eq!(listed["digest"], sum);
    assert_eq!(listed["source"], json!({ "file": file }));
    assert_eq!(listed["capabilities"]["files"], requests["files"]);
    succeeds(
        &command(&["list"]),
        &["acme:greet", &sum[..12], "greet.wasm"],
    );
    succeeds(
        &machine.capstan(["action", "list"]),
        &["acme:greet", "Greets."],
    );
    succeeds(
        &machine.capstan(["action", "inspect", "acme:greet"]),
        &[&sum],
    );
    let run = greet(&machine, &[]).success();
    assert_eq!(run.stdout(0), "acme:greet: hello Ada.\n");
    assert_eq!(run.step(0)["componentDigest"], sum);

    succeeds(
        &command(&["remove", "acme:greet"]),
        &["removed acme:greet 1.0.0"],
    );
    let components = machine.state().join("plugins/components");
    assert_eq!(std::fs::read_dir(&components).unwrap().count(), 0);
    let run = greet(&machine, &[]).expect(1, "Failed");
    let message = run.step(0)["message"].as_str().unwrap();
    assert!(message.contains("capstan plugin install"), "{message}");
    ends(
        &command(&["remove", "acme:greet"]),
        2,
        &["no installed plugin serves acme:greet"],
    );
    // What was compiled once is not compiled again.
    succeeds(&command(&["install", &path, "-y"]), &["installed"]);
    assert_eq!(compiled(), first);
}

#[test]
fn an_update_is_approved_of_again_when_it_asks_for_something_else() {
    let machine = Machine::new();
    let host =
        |url: &str| json!({ "hosts": [{ "url": url, "methods": ["GET"], "reason": "to ask" }] });
    let with = |file: &str, version: &str, capabilities: Value| {
        plugin(
            &machine,
            file,
            json!({ "version": version, "capabilities": capabilities }),
        )
    };
    let first = with("1.wasm", "1.0.0", host("https://one.example.com"));
    let same = with("2.wasm", "1.1.0", host("https://one.example.com"));
    let other = with("3.wasm", "1.2.0", host("https://two.example.com"));
    succeeds(&install(&machine, &first, &["--yes"]), &[]);
    succeeds(
        &install(&machine, &same, &[]),
        &[
            "asks for what was approved for 1.0.0",
            "updated acme:greet from 1.0.0 to 1.1.0",
        ],
    );
    ends(
        &install(&machine, &other, &[]),
        3,
        &[
            "something else than what was approved for 1.1.0",
            "+ hosts https://two.example.com GET: to ask",
            "- hosts https://one.example.com GET: to ask",
            "nobody is there to approve of it",
        ],
    );
    assert_eq!(list(&machine)[0]["version"], "1.1.0");
    succeeds(
        &install(&machine, &other, &["--yes"]),
        &["from 1.1.0 to 1.2.0"],
    );
    assert_eq!(list(&machine).as_array().unwrap().len(), 1);
    ends(
        &install(&machine, &same, &["--yes"]),
        3,
        &[
            "1.2.0 is installed",
            "the lower version 1.1.0",
            "--allow-downgrade",
        ],
    );
    succeeds(
        &install(&machine, &same, &["--yes", "--allow-downgrade"]),
        &["to 1.1.0"],
    );
    let forged = with("4.wasm", "1.1.0", json!({}));
    ends(
        &install(&machine, &forged, &["--yes"]),
        3,
        &["another component of the same version", "--replace"],
    );
    succeeds(
        &install(&machine, &forged, &["--yes", "--replace"]),
        &["updated"],
    );
}

#[test]
fn a_question_on_a_terminal_is_answered_there() {
    if skips_without(&["script"]) {
        return;
    }
    let machine = Machine::new();
    let file = version(&machine, "1.0.0");
    let answer = |answer: &str| {
        let mut command = machine.command();
        let line = format!(
            "{} plugin install {}",
            env!("CARGO_BIN_EXE_capstan"),
            file.display()
        );
        // `script` gives a terminal.
        let shell = Command::new("sh")
            .args([
                "-c",
                &format!("echo {answer} | script -qec '{line}' /dev/null"),
            ])
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .output();
        command.stdin(Stdio::null());
        shell.unwrap()
    };
    ends(
        &answer("n"),
        3,
        &["Install it? [y/N]", "it was not approved of"],
    );
    ends(&answer("y"), 0, &["installed acme:greet 1.0.0"]);
}

#[test]
fn what_is_no_plugin_or_takes_anothers_name_is_refused() {
    let machine = Machine::new();
    succeeds(
        &install(&machine, &version(&machine, "1.0.0"), &["--yes"]),
        &[],
    );
    for (manifest, code, words) in [
        (
            json!({ "actions": ["aws:runShellScript"] }),
            3,
            &["those of built-in actions"][..],
        ),
        (
            json!({ "actions": ["aws:mine"] }),
            3,
            &["those of built-in actions"],
        ),
        (
            json!({ "actions": ["acme:other", "acme:greet"] }),
            3,
            &["the name acme:greet is taken by the plugin acme:greet 1.0.0"],
        ),
        (
            json!({ "actions": ["acme: x"] }),
            3,
            &["is no name of an action"],
        ),
        (
            json!({ "version": "new" }),
            3,
            &["\"new\" is no semantic version"],
        ),
    ] {
        let file = plugin(&machine, "other.wasm", manifest);
        ends(&install(&machine, &file, &["--yes"]), code, words);
    }
    let manifest = json!({ "actions": ["acme:files"], "version": "1.0.0", "description": "d" });
    let wasm = std::fs::read(component("std-files")).unwrap();
    let wasm = with_manifest(&wasm, &manifest.to_string()).unwrap();
    let file = machine.file("modest.wasm", wasm);
    ends(
        &install(&machine, &file, &["--yes"]),
        3,
        &[
            "imports wasi:filesystem/preopens@0.2.6",
            "its manifest requests nothing of the kind",
        ],
    );
    let file = machine.file("text.wasm", "text");
    ends(
        &install(&machine, &file, &["--yes"]),
        2,
        &["text.wasm", "no WebAssembly component"],
    );
    ends(
        &install(&machine, Path::new("missing.wasm"), &[]),
        2,
        &["there is no file missing.wasm"],
    );
    assert_eq!(list(&machine).as_array().unwrap().len(), 1);
}

#[test]
fn the_folder_of_a_project_has_the_component_that_it_builds() {
    let machine = Machine::new();
    let wasm = std::fs::read(version(&machine, "1.0.0")).unwrap();
    for (name, file, text, output) in [
        (
            "python",
            "pyproject.toml",
            "[tool.capstan]\noutput = \"out/p.wasm\"\n",
            "out/p.wasm",
        ),
        (
            "javascript",
            "package.json",
            r#"{ "capstan": { "output": "j.wasm" } }"#,
            "j.wasm",
        ),
        (
            "rust",
            "Cargo.toml",
            "[package]\nname = \"rotate-logs\"\n",
            "rotate-logs.wasm",
        ),
        ("bare", "readme", "", "any.wasm"),
    ] {
        machine.file(&format!("{name}/{file}"), text);
        let folder = machine.path(name);
        let missing = install(&machine, &folder, &["--yes"]);
        ends(&missing, 2, &["capstan plugin build"]);
        machine.file(&format!("{name}/{output}"), &wasm);
        succeeds(&install(&machine, &folder, &["--yes"]), &["installed"]);
    }
    machine.file("bare/other.wasm", &wasm);
    ends(
        &install(&machine, &machine.path("bare"), &[]),
        2,
        &["any.wasm, other.wasm; name one"],
    );
}

#[test]
fn an_installed_file_that_was_tampered_with_is_not_run() {
    let machine = Machine::new();
    let file = version(&machine, "1.0.0");
    succeeds(&install(&machine, &file, &["--yes"]), &[]);
    let installed = machine.state().join("plugins/components");
    let installed = std::fs::read_dir(installed)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut wasm = std::fs::read(&installed).unwrap();
    let last = wasm.len() - 1;
    wasm[last] ^= 1;
    std::fs::write(&installed, wasm).unwrap();
    let run = greet(&machine, &[]).expect(3, "Failed");
    assert_eq!(run.step(0)["statusDetail"], "AccessDenied");
    let message = run.step(0)["message"].as_str().unwrap();
    assert!(
        message.contains("this is not what was installed"),
        "{message}"
    );
    // Others are not kept from running by it, and installing it again repairs it.
    machine.shell("true", &[]).success();
    succeeds(&install(&machine, &file, &[]), &[]);
    greet(&machine, &[]).success();
}

/// A pair of keys, and the line of the public one.
fn keys(machine: &Machine, name: &str) -> (String, String) {
    let file = machine.path(&format!("{name}.key")).display().to_string();
    let made = capstan(machine, &["keygen", &file, "--no-password"]);
    succeeds(&made, &["public key"]);
    let public = std::fs::read_to_string(machine.path(&format!("{name}.pub"))).unwrap();
    (file, public.lines().nth(1).unwrap().to_owned())
}

fn sign(machine: &Machine, file: &Path, key: &str) {
    let signed = capstan(
        machine,
        &["sign", &file.display().to_string(), "--key", key],
    );
    succeeds(&signed, &["capstan acme:greet 1.0.0 sha256:"]);
}

#[test]
fn a_publishers_names_take_its_signature_whenever_they_are_used() {
    let machine = Machine::new();
    let (key, public) = keys(&machine, "acme");
    let (other_key, other_public) = keys(&machine, "other");
    let policy = |name: &str, public: &str| {
        let text = format!(
            "version: 1\npublishers:\n  acme: {{ key: {public}, actions: ['acme:*'] }}\n  \
             neighbour: {{ key: {other_public} }}\nrules:\n  - id: theirs\n    match: {{ publisher: acme }}\n    \
             limits: {{ fuel: 900000000 }}\n"
        );
        machine.file(name, text).display().to_string()
    };
    let of_acme = policy("policy.yaml", &public);
    let with = |file: &Path| install(&machine, file, &["--yes", "--policy", &of_acme]);
    let file = version(&machine, "1.0.0");
    let path = file.display().to_string();
    let beside = PathBuf::from(format!("{path}.minisig"));
    ends(
        &with(&file),
        3,
        &[
            "demands a signature of acme for acme:greet",
            "it is not signed",
        ],
    );
    sign(&machine, &file, &other_key);
    ends(&with(&file), 3, &["it is signed by neighbour"]);
    let (unknown_key, unknown_public) = keys(&machine, "unknown");
    sign(&machine, &file, &unknown_key);
    ends(&with(&file), 3, &["which no publisher of the policy has"]);
    let verify = |key: &str| capstan(&machine, &["verify", &path, "--public-key", key]);
    succeeds(
        &verify(&unknown_public),
        &["signed with the key", "acme:greet 1.0.0"],
    );
    ends(&verify(&public), 3, &["and not with"]);
    sign(&machine, &file, &key);
    succeeds(
        &verify(&machine.path("acme.pub").display().to_string()),
        &["signed with"],
    );

    // The signature of another file, and one that is none.
    let signature = std::fs::read(&beside).unwrap();
    let forged = version(&machine, "1.0.1");
    let forged_beside = format!("{}.minisig", forged.display());
    std::fs::write(&forged_beside, &signature).unwrap();
    ends(
        &with(&forged),
        3,
        &["the signature of the publisher acme is not valid"],
    );
    std::fs::write(&forged_beside, "nothing").unwrap();
    ends(
        &with(&forged),
        3,
        &["1.0.1.wasm.minisig: the signature is malformed"],
    );

    // For one run, it takes the signature just the same.
    let unsigned = machine.file("unsigned.wasm", std::fs::read(&file).unwrap());
    let unsigned = unsigned.display().to_string();
    let run = greet(&machine, &["--policy", &of_acme, "--component", &unsigned]);
    let run = run.expect(3, "Failed");
    assert_eq!(run.step(0)["statusDetail"], "AccessDenied");
    let message = run.step(0)["message"].as_str().unwrap();
    assert!(message.contains("demands a signature of acme"), "{message}");
    greet(&machine, &["--policy", &of_acme, "--component", &path]).success();

    succeeds(
        &with(&file),
        &["publisher  acme (key", "installed acme:greet"],
    );
    assert_eq!(list(&machine)[0]["signature"]["publisher"], "acme");
    greet(&machine, &["--policy", &of_acme]).success();
    let document = machine.path("document.yaml").display().to_string();
    let plan = |policy: &str| machine.capstan(["plan", &document, "--policy", policy]);
    succeeds(
        &plan(&of_acme),
        &["publisher: acme", "rules: theirs", "fuel 900000000"],
    );
    // The policy may have changed since.
    let of_others = policy("others.yaml", &unknown_public);
    ends(
        &plan(&of_others),
        3,
        &["is refused", "demands a signature of acme"],
    );
    let run = greet(&machine, &["--policy", &of_others]).expect(3, "Failed");
    assert!(
        run.json
            .to_string()
            .contains("which no publisher of the policy has")
    );

    // A key for once, where no policy has any.
    let bare = Machine::new();
    let once = |key: &str| install(&bare, &file, &["--yes", "--public-key", key]);
    ends(&once(&unknown_public), 3, &["and not with"]);
    succeeds(&once(&public), &["the signature is valid"]);
    // Who leaves the signature out is asked about, though nothing else has changed.
    let plain = plugin(&machine, "plain.wasm", json!({ "version": "1.0.2" }));
    ends(
        &install(&bare, &plain, &[]),
        3,
        &["was signed with the key", "it is not signed"],
    );
}

#[test]
fn keys_are_those_of_minisign() {
    if skips_without(&["minisign"]) {
        return;
    }
    let machine = Machine::new();
    let file = version(&machine, "1.0.0");
    let (key, public) = keys(&machine, "ours");
    let folder = file.parent().unwrap();
    sign(&machine, &file, &key);
    let said = sh(folder, &format!("minisign -V -P {public} -m 1.0.0.wasm"));
    assert!(said.contains("capstan acme:greet 1.0.0 sha256:"), "{said}");
    sh(
        folder,
        "minisign -G -W -p theirs.pub -s theirs.key; minisign -S -s theirs.key -m 1.0.0.wasm",
    );
    let verified = capstan(
        &machine,
        &[
            "verify",
            &file.display().to_string(),
            "--public-key",
            &machine.path("theirs.pub").display().to_string(),
        ],
    );
    succeeds(&verified, &["signed with the key"]);
    sign(
        &machine,
        &file,
        &machine.path("theirs.key").display().to_string(),
    );
    sh(folder, "minisign -V -p theirs.pub -m 1.0.0.wasm");
}

#[test]
fn a_secret_key_is_closed_to_others_and_may_have_a_password() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::new();
    let file = version(&machine, "1.0.0");
    let path = file.display().to_string();
    let key = machine.path("locked.key").display().to_string();
    ends(
        &capstan(&machine, &["keygen", &key]),
        2,
        &["CAPSTAN_KEY_PASSWORD"],
    );
    let with = |password: &str, arguments: &[&str]| {
        let mut command = machine.command();
        command
            .arg("plugin")
            .args(arguments)
            .env("CAPSTAN_KEY_PASSWORD", password);
        command.output().unwrap()
    };
    succeeds(&with("secret", &["keygen", &key]), &["public key"]);
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    ends(&with("secret", &["keygen", &key]), 2, &["is there already"]);
    ends(
        &with("wrong", &["sign", &path, "--key", &key]),
        2,
        &["the password is wrong"],
    );
    succeeds(
        &with("secret", &["sign", &path, "--key", &key]),
        &["capstan acme:greet"],
    );
    if has("minisign") {
        sh(
            file.parent().unwrap(),
            "minisign -V -p locked.pub -m 1.0.0.wasm",
        );
    }
}

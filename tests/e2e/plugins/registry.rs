//! Plugins from a registry: Debian's docker-registry on loopback, and one that answers as it is told.

use std::path::PathBuf;
use std::process::Command;

use capstan_runtime::digest;
use serde_json::{Value, json};

use super::{capstan, ends, greet, keys, list, plugin, sign, succeeds, text, version};
use crate::support::{
    Daemon, HttpRequest, HttpResponse, HttpServer, Machine, free_port, has, sh, skips_without,
};

/// A registry that keeps its files in the test's folder.
struct Registry {
    _process: Daemon,
    port: u16,
    folder: PathBuf,
}

impl Registry {
    fn start(machine: &Machine, name: &str, auth: &str) -> Self {
        let folder = machine.path(name);
        let port = free_port();
        let config = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
             http: {{ addr: \"127.0.0.1:{port}\", secret: x }}\n{auth}",
            folder.display()
        );
        let config = machine.file(&format!("{name}.yaml"), config);
        let log = machine.path(&format!("{name}.log"));
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(config);
        let process = Daemon::start(&mut command, port, &log);
        Self {
            _process: process,
            port,
            folder,
        }
    }

    fn at(&self, rest: &str) -> String {
        format!("oci://127.0.0.1:{}/{rest}", self.port)
    }

    /// Where it keeps what has this digest.
    fn blob(&self, digest: &str) -> PathBuf {
        let blobs = self.folder.join("docker/registry/v2/blobs/sha256");
        blobs.join(&digest[..2]).join(digest).join("data")
    }
}

/// Changes a byte in the middle of a file.
fn tamper(path: &PathBuf) {
    let mut content = std::fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(path, content).unwrap();
}

#[test]
fn a_plugin_goes_through_a_registry_and_a_changed_byte_there_is_noticed() {
    if skips_without(&["docker-registry"]) {
        return;
    }
    let machine = Machine::new();
    let registry = Registry::start(&machine, "registry", "");
    let (key, public) = keys(&machine, "acme");
    let file = version(&machine, "1.0.0");
    let path = file.display().to_string();
    let sum = digest(&std::fs::read(&file).unwrap());
    sign(&machine, &file, &key);
    let pushed = capstan(&machine, &["push", &path, &registry.at("ops/greet")]);
    succeeds(
        &pushed,
        &[&format!("pushed {}", registry.at("ops/greet:1.0.0")), &sum],
    );
    let pinned = text(&pushed).lines().last().unwrap().to_owned();
    assert!(pinned.contains("@sha256:"), "{pinned}");

    // Another node, which demands the signature; it came along.
    let node = Machine::new();
    let policy =
        format!("version: 1\npublishers:\n  acme: {{ key: {public}, actions: ['acme:*'] }}\n");
    let policy = node.file("policy.yaml", policy).display().to_string();
    let install = |from: &str, more: &[&str]| {
        capstan(
            &node,
            &[&["install", from, "--policy", &policy][..], more].concat(),
        )
    };
    ends(
        &install(&pinned, &[]),
        3,
        &["nobody is there to approve of it"],
    );
    succeeds(
        &install(&pinned, &["--yes"]),
        &["acme (key", "installed acme:greet 1.0.0", &sum],
    );
    let manifest = pinned.split_once('@').unwrap().1;
    let source = json!({ "registry": { "reference": pinned, "manifest": manifest } });
    assert_eq!(list(&node)[0]["source"], source);
    greet(&node, &["--policy", &policy]).success();
    succeeds(
        &install(&registry.at("ops/greet:1.0.0"), &[]),
        &["is installed already"],
    );

    // What other clients make of it.
    let stored = registry.blob(manifest.strip_prefix("sha256:").unwrap());
    let stored: Value = serde_json::from_slice(&std::fs::read(stored).unwrap()).unwrap();
    assert_eq!(
        stored["config"]["mediaType"],
        "application/vnd.wasm.config.v0+json"
    );
    assert_eq!(stored["layers"][0]["mediaType"], "application/wasm");
    assert_eq!(
        stored["annotations"]["org.opencontainers.image.version"],
        "1.0.0"
    );
    let config = stored["config"]["digest"].as_str().unwrap();
    let config = std::fs::read(registry.blob(config.strip_prefix("sha256:").unwrap())).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(
        (&config["os"], &config["architecture"]),
        (&json!("wasip2"), &json!("wasm"))
    );
    assert_eq!(config["layerDigests"], json!([format!("sha256:{sum}")]));
    let exports = config["component"]["exports"].as_array().unwrap();
    assert!(
        exports
            .iter()
            .any(|one| one.as_str().unwrap().starts_with("capstan:action/"))
    );
    if has("skopeo") {
        let copy = format!(
            "skopeo copy -q --src-tls-verify=false --dest-tls-verify=false docker://127.0.0.1:{0}/ops/greet:1.0.0 \
             docker://127.0.0.1:{0}/mirror/greet:1.0.0",
            registry.port
        );
        sh(&node.path(""), &copy);
        let mirrored = registry.at(&format!("mirror/greet@{manifest}"));
        succeeds(&install(&mirrored, &[]), &["is installed already"]);
    }

    // One byte of the component, then one of the manifest.
    succeeds(&capstan(&node, &["remove", "acme:greet"]), &[]);
    tamper(&registry.blob(&sum));
    let refused = install(&pinned, &["--yes"]);
    ends(
        &refused,
        3,
        &[
            "the component that the registry sends has the digest",
            &sum,
            "tampered with",
        ],
    );
    let manifest_file = registry.blob(manifest.strip_prefix("sha256:").unwrap());
    let good = std::fs::read(&manifest_file).unwrap();
    tamper(&manifest_file);
    let refused = install(&pinned, &["--yes"]);
    // The registry or Capstan notices, whoever looks first.
    assert_ne!(refused.status.code(), Some(0), "{}", text(&refused));
    std::fs::write(&manifest_file, good).unwrap();
    assert_eq!(list(&node), json!([]));

    ends(
        &install(&registry.at("ops/greet:2.0.0"), &[]),
        1,
        &["it does not have a plugin ops/greet:2.0.0"],
    );
    ends(
        &install("oci://127.0.0.1:1/a", &[]),
        1,
        &["the registry 127.0.0.1:1: "],
    );
    ends(
        &install("oci://127.0.0.1:1/A", &[]),
        2,
        &["references are like"],
    );
}

#[test]
fn a_registry_is_told_who_one_is() {
    if skips_without(&["docker-registry"]) {
        return;
    }
    let machine = Machine::new();
    // The password is `secret`.
    let users = machine.file(
        "users",
        "ops:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n",
    );
    let auth = format!(
        "auth: {{ htpasswd: {{ realm: test, path: {} }} }}\n",
        users.display()
    );
    let registry = Registry::start(&machine, "registry", &auth);
    let file = plugin(&machine, "greet.wasm", json!({}));
    let path = file.display().to_string();
    let to = registry.at("greet");
    ends(
        &capstan(&machine, &["push", &path, &to]),
        1,
        &["it asks who you are", "--username"],
    );
    let with = |password: &str| {
        let mut command = machine.command();
        command.args(["plugin", "push", &path, &to, "--username", "ops"]);
        command
            .env("CAPSTAN_REGISTRY_PASSWORD", password)
            .output()
            .unwrap()
    };
    ends(&with("wrong"), 1, &["it refuses"]);
    succeeds(&with("secret"), &["pushed"]);
    let config = json!({ "auths": { format!("127.0.0.1:{}", registry.port): { "auth": "b3BzOnNlY3JldA==" } } });
    machine.file(".docker/config.json", config.to_string());
    let from = registry.at("greet:1.0.0");
    succeeds(
        &capstan(&machine, &["install", &from, "--yes"]),
        &["installed acme:greet"],
    );
}

/// A registry that gives out tokens, has one plugin, and keeps blobs on another server.
fn with_tokens(wasm: &[u8], size: usize, storage: String) -> HttpServer {
    let layer = json!({
        "mediaType": "application/wasm", "digest": format!("sha256:{}", digest(wasm)), "size": size,
    });
    let manifest = json!({
        "schemaVersion": 2,
        "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": "", "size": 0 },
        "layers": [layer],
    });
    HttpServer::start(move |request: &HttpRequest| {
        let host = request.header("host").unwrap();
        if request.path.starts_with("/token?") {
            let scope = request
                .path
                .contains("scope=repository%3Aops%2Fgreet%3Apull");
            return match (scope, request.header("authorization")) {
                (true, Some("Basic b3BzOnNlY3JldA==")) => HttpResponse::ok(r#"{ "token": "T" }"#),
                _ => HttpResponse::status(401),
            };
        }
        if request.header("authorization") != Some("Bearer T") {
            let challenge = format!(
                "Bearer realm=\"http://{host}/token\",service=\"test\",scope=\"repository:ops/greet:pull\""
            );
            return HttpResponse::status(401).header("WWW-Authenticate", challenge);
        }
        if request.path == "/v2/ops/greet/manifests/1" {
            return HttpResponse::ok(manifest.to_string());
        }
        HttpResponse::status(307).header("Location", storage.clone())
    })
}

#[test]
fn a_token_goes_to_the_registry_alone_and_no_more_is_read_than_was_promised() {
    let machine = Machine::new();
    let wasm = std::fs::read(version(&machine, "1.0.0")).unwrap();
    let content = wasm.clone();
    let storage = HttpServer::start(move |_| HttpResponse::ok(content.clone()));
    let install = |server: &HttpServer, password: &str| {
        let mut command = machine.command();
        let from = format!("oci://{}/ops/greet:1", server.address);
        command.args(["plugin", "install", &from, "--yes", "--username", "ops"]);
        command
            .env("CAPSTAN_REGISTRY_PASSWORD", password)
            .output()
            .unwrap()
    };
    let honest = with_tokens(&wasm, wasm.len(), storage.url("/blob"));
    ends(
        &install(&honest, "wrong"),
        1,
        &["it refuses a token to you"],
    );
    assert_eq!(storage.count(), 0);
    succeeds(&install(&honest, "secret"), &["installed acme:greet 1.0.0"]);
    for request in storage.requests.lock().unwrap().iter() {
        assert_eq!(request.header("authorization"), None);
    }
    let more = with_tokens(&wasm, wasm.len() - 1, storage.url("/blob"));
    let less = with_tokens(&wasm, 300 << 20, storage.url("/blob"));
    ends(&install(&more, "secret"), 3, &["sends more than the"]);
    ends(&install(&less, "secret"), 3, &["a plugin may have 256 MiB"]);
}

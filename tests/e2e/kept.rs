//! Components that were built for earlier hosts run on this one.

use std::io::Read as _;
use std::path::Path;

use serde_json::json;

use crate::support::Machine;

/// Every component that is kept: its version, its language and its bytes.
fn kept() -> Vec<(String, String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kept");
    let mut found = Vec::new();
    for version in std::fs::read_dir(folder).unwrap() {
        let version = version.unwrap();
        let name = version.file_name().to_string_lossy().into_owned();
        if !name.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        for entry in std::fs::read_dir(version.path()).unwrap() {
            let path = entry.unwrap().path();
            let language = path.file_name().unwrap().to_string_lossy().into_owned();
            let language = language.strip_suffix(".wasm.zst").unwrap().to_owned();
            let packed = std::fs::File::open(&path).unwrap();
            let mut wasm = Vec::new();
            ruzstd::decoding::StreamingDecoder::new(packed)
                .unwrap()
                .read_to_end(&mut wasm)
                .unwrap();
            found.push((name.clone(), language, wasm));
        }
    }
    found
}

#[test]
fn components_of_earlier_versions_keep_working() {
    let machine = Machine::new();
    let file = machine.file("read/me", "from a file\n");
    let put = [
        "parameter",
        "put",
        "/kept/word",
        "--value",
        "from a parameter",
    ];
    assert!(machine.capstan(put).status.success());
    let policy = json!({ "version": 1, "rules": [{ "grants": {
        "files": [{ "path": file, "access": ["read"] }],
        "programs": ["/bin/echo", "/usr/bin/echo"],
        "parameters": ["/kept/*"],
    } }] });
    let policy = machine.file("policy.yaml", policy.to_string());
    let kept = kept();
    assert!(kept.len() >= 3);
    for (version, language, wasm) in kept {
        let component = machine.file(&format!("{version}-{language}.wasm"), wasm);
        let inputs = json!({
            "file": file, "word": "said", "parameter": "/kept/word", "wait": true,
        });
        let document = json!({
            "schemaVersion": "2.2",
            "mainSteps": [{ "name": "kept", "action": format!("kept:{language}"), "inputs": inputs }],
        });
        let run = machine.run(
            &document.to_string(),
            &[
                "--policy",
                &policy.display().to_string(),
                "--component",
                &component.display().to_string(),
                "--signal",
                "go",
            ],
        );
        let run = run.success();
        assert!(
            run.stdout(0).contains("said 3"),
            "{version} {language}: {:#}",
            run.json
        );
        assert_eq!(
            run.step(0)["outputs"],
            json!({ "said": ["from a file\n", "said\n", "from a parameter", "go"] }),
            "{version} {language}"
        );
    }
}

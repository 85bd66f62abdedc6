//! Passwords on the way to a server, and nowhere else.

use std::process::Command;

use serde_json::json;

use super::{fetch, walk};
use crate::support::{HttpResponse, HttpServer, Machine, put_secret};

fn md5(text: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", "printf %s \"$1\" | md5sum | cut -c1-32", "sh", text])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn digest_authentication_answers_the_challenge() {
    let server = HttpServer::start(|request| {
        let Some(answer) = request.header("authorization") else {
            return HttpResponse::status(401).header(
                "www-authenticate",
                "Digest realm=\"r\", nonce=\"n1\", qop=\"auth\", algorithm=MD5",
            );
        };
        let field = |name: &str| {
            answer
                .trim_start_matches("Digest ")
                .split(',')
                .filter_map(|pair| pair.trim().split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.trim_matches('"').to_owned())
                .unwrap_or_default()
        };
        let expected = md5(&format!(
            "{}:n1:{}:{}:auth:{}",
            md5("me:r:pass word"),
            field("nc"),
            field("cnonce"),
            md5("GET:/file?x=1")
        ));
        if field("response") == expected && field("username") == "me" {
            HttpResponse::ok("for members\n")
        } else {
            HttpResponse::status(403)
        }
    });
    let machine = Machine::new();
    put_secret(&machine, "/web/password", "pass word");
    let info = json!({
        "url": server.url("/file?x=1"), "allowInsecureDownload": true, "authMethod": "Digest",
        "username": "me", "password": "{{ssm-secure:/web/password}}",
    });
    let grants = format!("hosts: [\"{}\"], secrets: [/web/password]", server.url(""));
    let run = fetch(&machine, "HTTP", &info, "cat /tmp/got", &grants, &[]).success();
    assert_eq!(run.stdout(1), "for members\n");

    // The name of the user may be a secret as well.
    put_secret(&machine, "/web/user", "me");
    let mut info = info;
    info["username"] = "{{ssm-secure:/web/user}}".into();
    let grants = format!("hosts: [\"{}\"], secrets: [\"/web/*\"]", server.url(""));
    let run = fetch(&machine, "HTTP", &info, "cat /tmp/got", &grants, &[]).success();
    assert_eq!(run.stdout(1), "for members\n");
}

#[test]
fn the_user_of_basic_authentication_may_be_a_secret() {
    let server = HttpServer::start(|request| {
        // me:pass
        if request.header("authorization") == Some("Basic bWU6cGFzcw==") {
            HttpResponse::ok("for members")
        } else {
            HttpResponse::status(401)
        }
    });
    let machine = Machine::new();
    put_secret(&machine, "/web/user", "me");
    put_secret(&machine, "/web/password", "pass");
    let info = json!({
        "url": server.url("/f"), "allowInsecureDownload": true, "authMethod": "Basic",
        "username": "{{ssm-secure:/web/user}}", "password": "{{ssm-secure:/web/password}}",
    });
    let grants = format!("hosts: [\"{}\"], secrets: [\"/web/*\"]", server.url(""));
    let run = fetch(&machine, "HTTP", &info, "cat /tmp/got", &grants, &[]).success();
    assert_eq!(run.stdout(1), "for members");
}

#[test]
fn a_secret_is_shown_and_kept_nowhere() {
    let server = HttpServer::start(|request| {
        let sent = request.header("authorization").unwrap_or_default();
        HttpResponse::ok(format!("sent {sent}\nplain pass word\n"))
    });
    let machine = Machine::new();
    put_secret(&machine, "/web/password", "pass word");
    // A word of the report's own must not break it.
    put_secret(&machine, "/web/word", "Success");
    let info = json!({
        "url": server.url("/word"), "allowInsecureDownload": true, "authMethod": "Basic",
        "username": "me", "password": "{{ssm-secure:/web/word}}",
    });
    let grants = format!("hosts: [\"{}\"], secrets: [/web/word]", server.url(""));
    fetch(&machine, "HTTP", &info, "true", &grants, &[]).success();
    let info = json!({
        "url": server.url("/echo"), "allowInsecureDownload": true, "authMethod": "Basic",
        "username": "me", "password": "{{ssm-secure:/web/password}}",
    });
    let grants = format!("hosts: [\"{}\"], secrets: [/web/password]", server.url(""));
    let run = fetch(&machine, "HTTP", &info, "cat /tmp/got", &grants, &[]).success();
    assert!(run.stdout(1).contains("plain ****\n"), "{:#}", run.json);
    // What the component may read of its own accord it may also send elsewhere; what is written down is clean.
    let id = run.json["runId"].as_str().unwrap();
    let kept = [
        run.json.to_string(),
        run.stderr.clone(),
        walk(&machine.state().join("runs")),
        std::fs::read_to_string(machine.state().join("receipts.jsonl")).unwrap(),
        walk(
            &machine
                .state()
                .join("document/orchestration")
                .join(id)
                .join("awsrunShellScript"),
        ),
    ];
    assert!(kept[4].contains("plain ****"), "{}", kept[4]);
    for text in &kept {
        for form in ["pass word", "cGFzcyB3b3Jk", "bWU6cGFzcyB3b3Jk"] {
            assert!(!text.contains(form), "{form} in {text}");
        }
    }
}

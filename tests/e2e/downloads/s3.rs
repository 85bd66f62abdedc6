//! From S3.

use serde_json::json;

use super::{fetch, walk};
use crate::support::{HttpResponse, HttpServer, Machine};

#[test]
fn s3_says_why_it_refuses() {
    let server = HttpServer::start(|request| {
        if request.path.starts_with("/b?") {
            return HttpResponse::status(403);
        }
        if request.path == "/b/versioned?versionId=v%2B1" {
            return HttpResponse::ok("the old one");
        }
        let (status, code) = match request.path.as_str() {
            "/b/secret" => (403, "AccessDenied"),
            _ => (404, "NoSuchKey"),
        };
        HttpResponse {
            status,
            ..HttpResponse::ok(format!(
                "<Error><Code>{code}</Code><Message>The reason.</Message></Error>"
            ))
        }
    });
    let machine = Machine::new();
    let endpoint = server.url("");
    let env = [("AWS_ENDPOINT_URL_S3", endpoint.as_str())];
    let get = |path: &str, signing: &str| {
        let info = json!({ "path": path });
        let grants = format!("hosts: [\"{endpoint}\"]{signing}");
        fetch(&machine, "S3", &info, "cat /tmp/got", &grants, &env)
    };
    for (path, signing, words) in [
        ("s3://b/none", "", vec!["404, NoSuchKey: The reason."]),
        (
            "s3://b/secret",
            "",
            vec!["403, AccessDenied: The reason.", "signing: [s3]"],
        ),
        (
            "s3://b/secret",
            ", signing: [s3]",
            vec!["403, AccessDenied", "no AWS credentials"],
        ),
    ] {
        let run = get(path, signing).expect(1, "Failed");
        for word in words {
            assert!(
                run.json.to_string().contains(word),
                "{word}\n{:#}",
                run.json
            );
        }
    }
    let run = get("https://b.s3.amazonaws.com/versioned?versionId=v%2B1", "").success();
    assert_eq!(run.stdout(1), "the old one");
}

/// A bucket `b` with a few objects, in pages of two.
fn bucket() -> HttpServer {
    const KEYS: &[&str] = &["app/bin/run", "app/conf", "app/notes & more", "app2"];
    HttpServer::start(|request| {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if path == "/b" {
            let prefix = query.split("prefix=").nth(1).unwrap_or_default();
            let prefix = prefix.replace("%2F", "/");
            let from = usize::from(query.contains("continuation-token=two%2F")) * 2;
            let all: Vec<&&str> = KEYS.iter().filter(|key| key.starts_with(&prefix)).collect();
            let page: String = all
                .iter()
                .skip(from)
                .take(2)
                .map(|key| {
                    format!(
                        "<Contents><Key>{}</Key></Contents>",
                        key.replace('&', "&amp;")
                    )
                })
                .collect();
            let next = if all.len() > from + 2 {
                "<NextContinuationToken>two/</NextContinuationToken>"
            } else {
                ""
            };
            return HttpResponse::ok(format!("<ListBucketResult>{page}{next}</ListBucketResult>"));
        }
        let key = path
            .trim_start_matches("/b/")
            .replace("%20", " ")
            .replace("%26", "&");
        if KEYS.contains(&key.as_str()) {
            HttpResponse::ok(format!("content of {key}\n"))
        } else {
            HttpResponse::status(404)
        }
    })
}

#[test]
fn objects_and_folders_come_from_s3_signed_by_the_host() {
    let server = bucket();
    let machine = Machine::new();
    machine.file(
        ".aws/credentials",
        "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = hidden-key\n",
    );
    let endpoint = server.url("");
    let env = [("AWS_ENDPOINT_URL_S3", endpoint.as_str())];
    let grants = format!("hosts: [\"{endpoint}\"], signing: [s3]");
    let get = |path: &str, script: &str, grants: &str| {
        fetch(
            &machine,
            "S3",
            &json!({ "path": path }),
            script,
            grants,
            &env,
        )
    };

    let folder = "https://b.s3.eu-west-1.amazonaws.com/app/";
    let run = get(folder, "cd /tmp/got && cat bin/run conf notes*", &grants).success();
    assert_eq!(
        run.stdout(1),
        "content of app/bin/run\ncontent of app/conf\ncontent of app/notes & more\n"
    );
    for request in server.requests.lock().unwrap().iter() {
        let signed = request.header("authorization").unwrap_or_default();
        assert!(
            signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
                && signed.contains("/eu-west-1/s3/aws4_request"),
            "{request:?}"
        );
    }
    let everything = walk(&machine.state());
    assert!(
        !everything.contains("hidden-key"),
        "the key was written down"
    );

    let object = "https://s3.eu-west-1.amazonaws.com/b/app2";
    let run = get(object, "cat /tmp/got", &grants).success();
    assert_eq!(run.stdout(1), "content of app2\n");
    let run = get("https://b.s3.amazonaws.com/none", "true", &grants).expect(1, "Failed");
    assert!(run.json.to_string().contains("404"), "{:#}", run.json);

    // Without leave to sign, requests go out unsigned.
    server.requests.lock().unwrap().clear();
    get(object, "true", &format!("hosts: [\"{endpoint}\"]")).success();
    for request in server.requests.lock().unwrap().iter() {
        assert_eq!(request.header("authorization"), None);
    }
}

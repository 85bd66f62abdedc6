//! Asks for what it was not granted and checks that each answer is a refusal it can go on from.

use capstan_sdk::{Context, Error, Failure, action, control, files, http, parameters, step};

fn refused<T>(what: &str, result: Result<T, Error>) -> Result<(), Failure> {
    match result {
        Err(Error::Denied(denial)) => {
            step::print(&format!("{what}: refused {}\n", denial.target));
            Ok(())
        }
        Err(error) => Err(Failure::failed(format!(
            "{what}: another error: {}",
            capstan_sdk::describe(&error)
        ))),
        Ok(_) => Err(Failure::failed(format!("{what}: it worked"))),
    }
}

#[action(manifest = "../manifest.json")]
fn call(context: &Context) -> Result<(), Failure> {
    refused("read", files::read("/etc/passwd", 0, 10))?;
    refused("list", files::list_directory("/"))?;
    refused("write", files::write("/etc/capstan-test", 0o600, b"x"))?;
    refused("dots", files::read("/tmp/../etc/passwd", 0, 10))?;
    refused("http", http::send(&http::get("http://127.0.0.1:1/")))?;
    refused(
        "metadata",
        http::send(&http::get("http://169.254.169.254/latest/meta-data/")),
    )?;
    refused("parameter", parameters::get("/app/secret"))?;
    refused("document", control::get_document("Other-Document"))?;
    // What may be written may be added to.
    let log = format!("{}/log", context.work_directory);
    files::append(&log, b"one ")?;
    files::append(&log, b"two")?;
    if files::read(&log, 0, 10)? != b"one two" {
        return Err(Failure::failed("what was added is not there"));
    }
    if std::env::vars().next().is_some() || std::env::args().len() > 1 {
        return Err(Failure::failed("there is an environment"));
    }
    Ok(())
}

//! Uses the standard library for files, in the step's own folder.

use std::fs;
use std::io::Write as _;

use capstan_sdk::{Context, Failure, action};

/// Writes and reads files as any program does.
#[action("test:std-files")]
#[files("${context.workDirectory}", access = ["read-write"], reason = "keeps notes there")]
fn write(context: &Context) -> Result<(), Failure> {
    let path = format!("{}/notes", context.work_directory);
    fs::write(&path, "one\n")?;
    let mut file = fs::OpenOptions::new().append(true).open(&path)?;
    writeln!(file, "two")?;
    drop(file);
    print!("{}", fs::read_to_string(&path)?);
    let outside = fs::read_to_string("/etc/passwd");
    println!("outside: {}", outside.is_err());
    fs::remove_file(&path)?;
    Ok(())
}

//! `capstan`: runs operations documents whose every action is a sandboxed component.

#[macro_use]
mod print;

mod arguments;
mod commands;
mod exit;
mod render;
mod shorthand;

use std::process::ExitCode;

use capstan_runtime::worker;
use clap::Parser as _;

mod built_in {
    include!(concat!(env!("OUT_DIR"), "/built_in.rs"));
}

fn main() -> ExitCode {
    // Workers confine themselves while they have one thread, so they come before everything else.
    match std::env::args_os()
        .nth(1)
        .as_deref()
        .and_then(std::ffi::OsStr::to_str)
    {
        Some(worker::WORKER_COMMAND) => return worker::worker_main(),
        Some(worker::COMPILER_COMMAND) => return worker::compile_main(),
        _ => {}
    }
    let arguments = arguments::Arguments::parse();
    match commands::run(arguments.command) {
        Ok(code) => code.into(),
        Err(error) => {
            render::error(&error);
            exit::of_error(&error).into()
        }
    }
}

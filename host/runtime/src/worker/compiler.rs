//! The compiler process: one component on standard input, its native code on standard output, and no access to
//! anything else.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use capstan_sandbox::{CompilerConfinement, confine_compiler};
use tokio::io::AsyncWriteExt as _;

use super::COMPILER_COMMAND;
use crate::cache::CompileCache;
use crate::error::RuntimeError;

const LIMITS: CompilerConfinement = CompilerConfinement {
    memory_bytes: 2 << 30,
    cpu_seconds: 120,
};
const TIMEOUT: Duration = Duration::from_secs(180);

/// The whole life of a compiler process. To be called at the very start of the program.
#[must_use]
pub fn compile_main() -> ExitCode {
    let run = || -> Result<(), String> {
        confine_compiler(LIMITS).map_err(|error| error.to_string())?;
        let mut wasm = Vec::new();
        std::io::stdin()
            .read_to_end(&mut wasm)
            .map_err(|error| error.to_string())?;
        let code = compile(&wasm)?;
        std::io::stdout()
            .write_all(&code)
            .map_err(|error| error.to_string())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = std::io::stderr().write_all(why.as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Compiles, and puts it into words when the engine's compiler panics, as it does at components that it takes for valid
/// and that need what is switched off here.
fn compile(wasm: &[u8]) -> Result<Vec<u8>, String> {
    std::panic::set_hook(Box::new(|_| ()));
    match std::panic::catch_unwind(|| crate::component::compile(wasm)) {
        Ok(compiled) => compiled.map_err(|error| error.to_string()),
        Err(panic) => {
            let why = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("it does not say why");
            Err(format!(
                "the engine's compiler gave up on it ({why}), most often since it is put together from others, each with a memory of its own, which is not supported"
            ))
        }
    }
}

/// Makes sure that the code of a component is in the cache.
///
/// # Errors
/// When the component does not compile, or not within the compiler's limits.
pub async fn ensure_compiled(
    cache: &CompileCache,
    program: &Path,
    digest: &str,
    wasm: &[u8],
) -> Result<(), RuntimeError> {
    if cache.has(digest) {
        return Ok(());
    }
    let failed = |why: String| {
        RuntimeError::Component(format!(
            "compiling the component {}: {why}",
            &digest[..12.min(digest.len())]
        ))
    };
    let mut child = tokio::process::Command::new(program)
        .arg(COMPILER_COMMAND)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A compiler that gave up early has said why on its standard error.
            let _ = stdin.write_all(wasm).await;
        }
    };
    let both = async { tokio::join!(feed, child.wait_with_output()).1 };
    let output = tokio::time::timeout(TIMEOUT, both)
        .await
        .map_err(|_| failed(format!("it takes longer than {} s", TIMEOUT.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(failed(if why.is_empty() {
            format!("the compiler ended with {}", output.status)
        } else {
            why
        }));
    }
    cache.store(digest, &output.stdout)
}

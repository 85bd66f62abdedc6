//! `capstan plugin keygen`, `sign` and `verify`.

use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use capstan_plugins::{SecretKeyFile, Signature, generate, read_file, signature_file};
use clap::Args;

use super::install::public_key;
use crate::exit::Exit;
use crate::render::shown;

/// Holds the password of a secret key where there is no terminal.
const PASSWORD: &str = "CAPSTAN_KEY_PASSWORD";

#[derive(Debug, Args)]
pub(crate) struct KeygenArguments {
    /// Where the secret key is written; the public key goes beside it, with the ending .pub.
    #[arg(default_value = "capstan.key", value_name = "FILE")]
    file: PathBuf,
    /// Leave the secret key unencrypted, for machines that sign without people.
    ///
    /// Else it is encrypted with a password, which is asked for or taken from $CAPSTAN_KEY_PASSWORD.
    #[arg(long)]
    no_password: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SignArguments {
    /// The component; the signature goes beside it, with .minisig added to its name.
    file: PathBuf,
    /// The secret key. Its password, if it has one, is asked for or taken from $CAPSTAN_KEY_PASSWORD.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The component.
    file: PathBuf,
    /// The publisher's public key: the line that begins with RW, or a .pub file.
    #[arg(long, value_name = "KEY")]
    public_key: String,
}

fn password(twice: bool) -> Result<String> {
    if let Ok(password) = std::env::var(PASSWORD) {
        return Ok(password);
    }
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask for the key's password; put it into ${PASSWORD}");
    }
    let password = rpassword::prompt_password("Password of the secret key: ")?;
    if twice && rpassword::prompt_password("The same once more: ")? != password {
        bail!("the two passwords are not the same");
    }
    Ok(password)
}

fn write_new(path: &Path, mode: u32, text: &str) -> Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| path.display().to_string())
}

pub(crate) fn keygen(arguments: &KeygenArguments) -> Result<Exit> {
    let secret = &arguments.file;
    let public = secret.with_extension("pub");
    if let Some(there) = [secret, &public].into_iter().find(|path| path.exists()) {
        bail!(
            "{} is there already, and a key that is lost cannot be had again; name another file",
            there.display()
        );
    }
    let password = match arguments.no_password {
        true => None,
        false => Some(password(true)?),
    };
    if password.as_deref() == Some("") {
        bail!("the password is empty; --no-password makes a key without one");
    }
    let keys = generate(password.as_deref())?;
    write_new(secret, 0o600, &keys.secret_file)?;
    write_new(&public, 0o644, &keys.public_file)?;
    outln!("secret key  {} (keep it to yourself)", secret.display());
    outln!("public key  {}", public.display());
    outln!("key id      {}", keys.id);
    outln!("Operators put this into their policy:");
    outln!("  publishers:");
    outln!(
        "    NAME: {{ key: {}, actions: [\"NAMESPACE:*\"] }}",
        keys.public_line
    );
    Ok(Exit::Success)
}

pub(crate) fn sign(arguments: &SignArguments) -> Result<Exit> {
    let path = &arguments.file;
    let wasm = std::fs::read(path).with_context(|| path.display().to_string())?;
    let info = capstan_runtime::inspect(&wasm).with_context(|| path.display().to_string())?;
    let text = std::fs::read_to_string(&arguments.key)
        .with_context(|| format!("the key {}", arguments.key.display()))?;
    let key = SecretKeyFile::new(text);
    let password = match key.is_encrypted()? {
        true => Some(password(false)?),
        false => None,
    };
    let text = capstan_plugins::sign(&wasm, &info, &key, password.as_deref())?;
    let signature = Signature::parse(&text)?;
    let target = signature_file(path);
    std::fs::write(&target, &text).with_context(|| target.display().to_string())?;
    outln!(
        "{}: key {}, {}",
        target.display(),
        signature.key_id(),
        shown(signature.comment())
    );
    Ok(Exit::Success)
}

pub(crate) fn verify(arguments: &VerifyArguments) -> Result<Exit> {
    let key = public_key(&arguments.public_key)?;
    let path = arguments.file.display();
    let read = read_file(&arguments.file)?;
    let Some(signature) = read.signature else {
        let beside = signature_file(&arguments.file);
        bail!("there is no signature {}", beside.display());
    };
    signature
        .verify(&read.wasm, &key)
        .with_context(|| path.to_string())?;
    outln!(
        "{path}: signed with the key {}, {}",
        key.id(),
        shown(signature.comment())
    );
    Ok(Exit::Success)
}

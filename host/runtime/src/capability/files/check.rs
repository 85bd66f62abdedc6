//! What the grant says of a path, as it was passed and as it turns out to be.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use capstan_policy::FileAccess;

use super::place::Place;
use crate::bindings::capstan::host::types::Error;
use crate::capability::io as io_error;
use crate::shared::StepShared;

/// Why a path cannot be used.
enum Trouble {
    /// The grant does not hold it: as it was passed, or where it leads.
    Refused(String),
    Other(Error),
}

/// Asks the grant for a path and for where its links lead; the answer has no links in it, and is where that lies on
/// this machine.
fn look(shared: &StepShared, path: &str, access: FileAccess) -> Result<PathBuf, Trouble> {
    if !shared.component.allows_file(path, access) {
        return Err(Trouble::Refused(path.to_owned()));
    }
    let given = shared.real(Path::new(path));
    // What does not exist yet is where its folder is.
    let real = fs::canonicalize(&given).or_else(|_| {
        let parent = given.parent().unwrap_or(Path::new("/"));
        fs::canonicalize(parent).map(|parent| {
            given
                .file_name()
                .map_or_else(|| parent.clone(), |name| parent.join(name))
        })
    });
    let real = real.map_err(|error| Trouble::Other(io_error(&error, path)))?;
    let Some(seen) = shared.seen(&real) else {
        return Err(Trouble::Refused(path.to_owned()));
    };
    match seen.to_str() {
        Some(text) if shared.component.allows_file(text, access) => Ok(real),
        Some(text) => Err(Trouble::Refused(text.to_owned())),
        None => Err(Trouble::Other(Error::Invalid(format!(
            "{path} leads to a name that is not UTF-8"
        )))),
    }
}

/// Writes a refusal down.
fn tell(shared: &StepShared, trouble: Trouble, access: FileAccess) -> Error {
    match trouble {
        Trouble::Refused(target) => {
            let word = serde_json::to_value(access)
                .ok()
                .and_then(|value| value.as_str().map(str::to_owned))
                .unwrap_or_default();
            shared.deny("files", &target, grant(&target, &format!("[{word}]")))
        }
        Trouble::Other(error) => error,
    }
}

/// The path without links, if the grant holds it; a refusal is written down.
pub(super) fn check(shared: &StepShared, path: &str, access: FileAccess) -> Result<PathBuf, Error> {
    look(shared, path, access).map_err(|trouble| tell(shared, trouble, access))
}

/// The same with either right. Only when both are missing is there a refusal: that of the first.
pub(super) fn check_either(
    shared: &StepShared,
    path: &str,
    first: FileAccess,
    second: FileAccess,
) -> Result<PathBuf, Error> {
    look(shared, path, first)
        .or_else(|trouble| look(shared, path, second).map_err(|_| tell(shared, trouble, first)))
}

/// The lines of a policy that would allow it.
fn grant(path: impl Display, access: &str) -> String {
    format!("grants: {{ files: [{{ path: {path}, access: {access} }}] }}")
}

/// A folder can only be made if the one above it is granted, which has to be there. It need not be all that is above:
/// whoever makes the folder beforehand has to grant no more than that.
pub(super) fn refuse_to_make(shared: &StepShared, folder: &Path) -> Error {
    let above = folder.parent().filter(|above| *above != Path::new("/"));
    let hint = above.map_or_else(
        || {
            let grant = grant(folder.display(), "read-write");
            format!("{grant}, once the folder is there")
        },
        |above| grant(above.display(), "read-write"),
    );
    shared.deny("files", &folder.to_string_lossy(), hint)
}

/// The place of a path whose last part is not followed if it is a link: for what acts on names.
pub(super) fn check_name(
    shared: &StepShared,
    path: &str,
    access: FileAccess,
) -> Result<Place, Error> {
    if !shared.component.allows_file(path, access) {
        // Says why, and writes it down.
        check(shared, path, access)?;
    }
    let given = shared.real(Path::new(path));
    let (Some(parent), Some(name)) = (given.parent(), given.file_name()) else {
        return Err(Error::Invalid(format!("{path} cannot be removed")));
    };
    let parent = fs::canonicalize(parent).map_err(|error| io_error(&error, path))?;
    let real = parent.join(name);
    let seen = shared.seen(&real);
    match seen.as_deref().and_then(Path::to_str) {
        Some(text) if shared.component.allows_file(text, access) => {}
        _ => {
            let target = seen.as_deref().unwrap_or(Path::new(path));
            return Err(shared.deny(
                "files",
                &target.to_string_lossy(),
                grant(target.display(), "read-write"),
            ));
        }
    }
    Place::of(&real).map_err(|error| io_error(&error, path))
}

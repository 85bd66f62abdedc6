//! Landlock: which files may be opened and how, which TCP ports may be reached.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use capstan_policy::{FileAccess, FileRule, Layer};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, Scope,
};

use crate::enforced::{Enforced, Enforcement};
use crate::error::SandboxError;

/// The newest interface that this code knows; older kernels enforce what they can.
const ABI_WANTED: ABI = ABI::V7;

/// What a ruleset lets through.
#[derive(Debug, Default)]
pub(crate) struct Rules<'a> {
    pub(crate) files: &'a [FileRule],
    /// Paths with these rights besides; missing ones are passed over.
    pub(crate) extra: Vec<(PathBuf, BitFlags<AccessFs>)>,
    /// TCP ports that may be connected to.
    pub(crate) connect: Vec<u16>,
    /// TCP ports may be bound: only a worker's proxy needs it.
    pub(crate) bind: bool,
    /// Any TCP port may be connected to: where the network namespace does the confining.
    pub(crate) connect_any: bool,
    /// The rules that this process is held to already; what they deny need not be denied again.
    pub(crate) outer: Option<&'a Outer>,
}

/// The exceptions that the rules in force for this process keep. Rulesets only ever add up to less, so what is
/// denied outside need not be taken apart again inside.
#[derive(Debug, Default)]
pub(crate) struct Outer {
    denied: BTreeSet<String>,
    /// What may be written to: what is there may be something else for the next step.
    writable: Vec<String>,
    /// The files and folders that stay what they are while this process lives, opened once for all steps.
    handles: Mutex<HashMap<PathBuf, Handle>>,
}

/// An opened path, and whether it is a folder.
#[derive(Debug, Clone)]
struct Handle(Arc<OwnedFd>, bool);

impl Handle {
    fn open(path: &Path) -> Option<Self> {
        let fd = rustix::fs::open(
            path,
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .ok()?;
        let found = rustix::fs::fstat(&fd).ok()?;
        let kind = rustix::fs::FileType::from_raw_mode(found.st_mode);
        Some(Self(Arc::new(fd), kind == rustix::fs::FileType::Directory))
    }
}

fn resolved(path: &Path) -> String {
    std::fs::canonicalize(path)
        .unwrap_or_else(|_| path.to_owned())
        .to_string_lossy()
        .into_owned()
}

impl Outer {
    pub(crate) fn of(rules: &Rules) -> Self {
        let changes = |rights: BitFlags<AccessFs>| rights.intersects(naming());
        let files = rules.files.iter().map(|rule| {
            let path = resolved(Path::new(&rule.path));
            (path, rule.except.as_slice(), changes(rights(rule)))
        });
        let extra = rules
            .extra
            .iter()
            .map(|(path, rights)| (resolved(path), [].as_slice(), changes(*rights)));
        let all: Vec<(String, &[String], bool)> = files.chain(extra).collect();
        let writable = all.iter().filter(|(.., changes)| *changes);
        let writable = writable.map(|(path, ..)| path.clone()).collect();
        let all: Vec<(String, &[String])> = all
            .into_iter()
            .map(|(path, except, _)| (path, except))
            .collect();
        Self {
            writable,
            ..Self::kept(&all)
        }
    }

    /// The handle of a path; the same one each time where it cannot have become something else in between.
    fn handle(&self, path: &Path) -> Option<Handle> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = handles.get(path) {
            return Some(handle.clone());
        }
        let changes = |text: &str| {
            self.writable.iter().any(|writable| {
                matches_prefix(writable, text) != PrefixMatch::None
                    || matches_prefix(text, writable) != PrefixMatch::None
            })
        };
        if changes(&path.to_string_lossy()) || changes(&resolved(path)) {
            return Handle::open(path);
        }
        let handle = Handle::open(path)?;
        handles.insert(path.to_owned(), handle.clone());
        Some(handle)
    }

    /// The exceptions of which nothing can be reached by any of the rules, each a path and its exceptions.
    fn kept(rules: &[(String, &[String])]) -> Self {
        let kept = |exception: &str| {
            rules
                .iter()
                .all(|(path, except)| match matches_prefix(exception, path) {
                    PrefixMatch::None => true,
                    PrefixMatch::Above => except.iter().any(|own| own == exception),
                    PrefixMatch::Whole => false,
                })
        };
        let all: BTreeSet<&String> = rules.iter().flat_map(|(_, except)| *except).collect();
        Self {
            denied: all
                .into_iter()
                .filter(|exception| kept(exception))
                .cloned()
                .collect(),
            ..Self::default()
        }
    }

    fn denies(&self, exception: &str) -> bool {
        self.denied.contains(exception)
    }
}

/// A ruleset, ready for `landlock_restrict_self`.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) fd: Option<OwnedFd>,
    pub(crate) enforced: Enforced,
}

/// A program that may be started.
pub(crate) fn executable() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::Execute
}

pub(crate) fn read_only() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// Rights by which a name comes to stand for something else.
fn naming() -> BitFlags<AccessFs> {
    make() | AccessFs::RemoveFile | AccessFs::RemoveDir
}

pub(crate) fn read_write() -> BitFlags<AccessFs> {
    AccessFs::from_all(ABI_WANTED) & !AccessFs::MakeChar & !AccessFs::MakeBlock
}

/// What it takes to replace a file by a new one beside it.
pub(crate) fn replace_files() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
}

/// The rights of a rule, for a folder or (`is_file`) a single file.
fn rights(rule: &FileRule) -> BitFlags<AccessFs> {
    let mut rights = BitFlags::<AccessFs>::empty();
    for access in &rule.access {
        rights |= match access {
            FileAccess::Read => AccessFs::ReadFile.into(),
            FileAccess::List => AccessFs::ReadDir.into(),
            FileAccess::Execute => AccessFs::Execute.into(),
            FileAccess::Write => AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev,
            FileAccess::Create => make(),
            FileAccess::Remove => AccessFs::RemoveFile | AccessFs::RemoveDir,
            FileAccess::Replace => {
                AccessFs::WriteFile
                    | AccessFs::Truncate
                    | make()
                    | AccessFs::RemoveFile
                    | AccessFs::RemoveDir
            }
            // A child cannot be held to appending, so it gets nothing.
            FileAccess::Append => BitFlags::empty(),
        };
    }
    rights
}

fn make() -> BitFlags<AccessFs> {
    AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::MakeFifo
        | AccessFs::MakeSock
        | AccessFs::Refer
}

/// The rights that make sense for something that is not a folder.
fn file_rights() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::WriteFile
        | AccessFs::Execute
        | AccessFs::Truncate
        | AccessFs::IoctlDev
}

/// Builds a ruleset that handles everything the kernel can and allows what is in `rules`.
pub(crate) fn build(rules: &Rules) -> Result<Prepared, SandboxError> {
    let wrap = |error: landlock::RulesetError| SandboxError::System {
        what: "building the Landlock ruleset".into(),
        error: std::io::Error::other(error),
    };
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI_WANTED))
        .map_err(wrap)?
        .scope(Scope::from_all(ABI_WANTED))
        .map_err(wrap)?;
    if !rules.connect_any {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp).map_err(wrap)?;
    }
    if !rules.bind {
        ruleset = ruleset.handle_access(AccessNet::BindTcp).map_err(wrap)?;
    }
    let mut created = ruleset.create().map_err(wrap)?;
    for rule in rules.files {
        let rights = rights(rule);
        if rights.is_empty() {
            continue;
        }
        let mut except = rule.except.clone();
        if let Some(outer) = rules.outer {
            except.retain(|pattern| !outer.denies(pattern));
        }
        let path = Path::new(&rule.path);
        created = allow_except(created, path, rights, &except, rules.outer).map_err(wrap)?;
    }
    for (path, rights) in &rules.extra {
        created = allow(created, path, *rights, rules.outer).map_err(wrap)?;
    }
    for port in &rules.connect {
        created = created
            .add_rule(NetPort::new(*port, AccessNet::ConnectTcp))
            .map_err(wrap)?;
    }
    let fd: Option<OwnedFd> = created.into();
    let abi = abi();
    Ok(Prepared {
        fd,
        enforced: enforcement(abi),
    })
}

/// The kernel's Landlock version; 0 is none.
pub(crate) fn abi() -> u32 {
    const LANDLOCK_CREATE_RULESET_VERSION: libc::c_ulong = 1;
    // SAFETY: with a null attribute and this flag the call only returns a number.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(version).unwrap_or(0)
}

/// What a version of Landlock gives, layer by layer.
pub(crate) fn enforcement(abi: u32) -> Enforced {
    let mut enforced = Enforced::default();
    let none = || Enforcement::Missing("this kernel has no Landlock, or it is switched off".into());
    enforced.set(
        Layer::LandlockFiles,
        match abi {
            0 => none(),
            1 | 2 => Enforcement::Partial(format!(
                "Landlock {abi} cannot forbid to truncate files; 3 (Linux 6.2) can"
            )),
            3 | 4 => Enforcement::Partial(format!(
                "Landlock {abi} cannot forbid ioctl on devices; 5 (Linux 6.10) can"
            )),
            _ => Enforcement::Full,
        },
    );
    enforced.set(
        Layer::LandlockTcp,
        match abi {
            0 => none(),
            1..=3 => Enforcement::Missing(format!(
                "Landlock {abi} knows no TCP ports; 4 (Linux 6.7) does"
            )),
            _ => Enforcement::Full,
        },
    );
    enforced.set(
        Layer::LandlockScopes,
        match abi {
            0 => none(),
            1..=5 => Enforcement::Missing(format!(
                "Landlock {abi} knows no scopes; 6 (Linux 6.12) does"
            )),
            _ => Enforcement::Full,
        },
    );
    enforced
}

fn allow(
    created: RulesetCreated,
    path: &Path,
    rights: BitFlags<AccessFs>,
    outer: Option<&Outer>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    let handle = match outer {
        Some(outer) => outer.handle(path),
        None => Handle::open(path),
    };
    let Some(Handle(fd, is_directory)) = handle else {
        return Ok(created);
    };
    let rights = if is_directory {
        rights
    } else {
        rights & file_rights()
    };
    if rights.is_empty() {
        return Ok(created);
    }
    created.add_rule(PathBeneath::new(&*fd, rights))
}

/// Allows a folder without the excepted paths. The kernel can only add rights below a folder, so a folder that
/// holds an exception is taken apart: itself gets the right to be listed (names only, also of what is excepted), and
/// each of its entries a rule of its own. What appears in it later stays out of reach until the next step.
fn allow_except(
    mut created: RulesetCreated,
    path: &Path,
    rights: BitFlags<AccessFs>,
    except: &[String],
    outer: Option<&Outer>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    let text = path.to_string_lossy();
    if except
        .iter()
        .any(|pattern| matches_prefix(pattern, &text) == PrefixMatch::Whole)
    {
        return Ok(created);
    }
    let below: Vec<String> = except
        .iter()
        .filter(|pattern| matches_prefix(pattern, &text) == PrefixMatch::Above)
        .cloned()
        .collect();
    if below.is_empty() {
        return allow(created, path, rights, outer);
    }
    created = allow(created, path, rights & AccessFs::ReadDir, outer)?;
    let Ok(entries) = std::fs::read_dir(path) else {
        return Ok(created);
    };
    for entry in entries.flatten() {
        // A link gets its rights where it leads to.
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            created = allow_except(created, &entry.path(), rights, &below, outer)?;
        }
    }
    Ok(created)
}

#[derive(Debug, PartialEq, Eq)]
enum PrefixMatch {
    /// The pattern names this path or a folder above it.
    Whole,
    /// The pattern names something below this path.
    Above,
    /// Neither.
    None,
}

/// Compares a pattern, whose components may hold `*`, with a path, component by component.
fn matches_prefix(pattern: &str, path: &str) -> PrefixMatch {
    let mut wanted = pattern.split('/').filter(|part| !part.is_empty());
    let mut found = path.split('/').filter(|part| !part.is_empty());
    loop {
        match (wanted.next(), found.next()) {
            (None, _) => return PrefixMatch::Whole,
            (Some(_), None) => return PrefixMatch::Above,
            (Some(pattern), Some(part)) if matches_component(pattern, part) => {}
            _ => return PrefixMatch::None,
        }
    }
}

/// `*` stands for any characters.
fn matches_component(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(first) = parts.next() else {
        return false;
    };
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{Outer, PrefixMatch, matches_prefix};

    #[test]
    fn an_exception_is_left_to_the_outer_rules_only_where_they_all_keep_it() {
        let own = |list: &[&str]| -> Vec<String> { list.iter().map(|&text| text.into()).collect() };
        let except = own(&["/etc/shadow*", "/etc/ssh/*_key"]);
        let kept = Outer::kept(&[("/usr".into(), &[]), ("/etc".into(), &except)]);
        assert!(kept.denies("/etc/shadow*"));
        assert!(kept.denies("/etc/ssh/*_key"));
        assert!(!kept.denies("/etc/gshadow"));
        for also in ["/etc/ssh", "/etc/ssh/host_key", "/"] {
            let widened = Outer::kept(&[("/etc".into(), &except), (also.into(), &[])]);
            assert!(!widened.denies("/etc/ssh/*_key"), "{also}");
        }
    }

    #[test]
    fn exceptions_match_by_component() {
        for (pattern, path, expected) in [
            ("/etc/shadow*", "/etc/shadow", PrefixMatch::Whole),
            ("/etc/shadow*", "/etc/shadow-", PrefixMatch::Whole),
            ("/etc/shadow*", "/etc/passwd", PrefixMatch::None),
            ("/etc/shadow*", "/etc", PrefixMatch::Above),
            ("/etc/ssh/ssh_host_*_key", "/etc/ssh", PrefixMatch::Above),
            (
                "/etc/ssh/ssh_host_*_key",
                "/etc/ssh/ssh_host_rsa_key",
                PrefixMatch::Whole,
            ),
            (
                "/etc/ssh/ssh_host_*_key",
                "/etc/ssh/ssh_host_rsa_key.pub",
                PrefixMatch::None,
            ),
            (
                "/etc/ssl/private",
                "/etc/ssl/private/a/b",
                PrefixMatch::Whole,
            ),
            ("/etc", "/", PrefixMatch::Above),
        ] {
            assert_eq!(matches_prefix(pattern, path), expected, "{pattern} {path}");
        }
    }
}

//! What a step may do: the effective grant, as the sandbox and the runtime enforce it.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::secret::SecretRule;

/// One right on files. What a folder is granted holds for everything below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileAccess {
    /// Read the contents of files.
    Read,
    /// List folders.
    List,
    /// Execute files. Implies nothing else: a script also needs `Read`.
    Execute,
    /// Change files that exist, in place.
    Write,
    /// Make files, folders and links.
    Create,
    /// Remove files and folders.
    Remove,
    /// Replace a single file by another of the same name (write a new one beside it and rename it), as
    /// `sed -i` and most editors do. For a folder it is the same as `Write`, `Create` and `Remove`.
    Replace,
    /// Add to the end of files. Components only: the kernel cannot confine a child to it.
    Append,
}

/// A set of rights.
pub type AccessSet = BTreeSet<FileAccess>;

/// Rights on one file or folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileRule {
    /// Absolute and normal: no `.`, no `..`, no doubled or trailing slash. `/` is everything.
    pub path: String,
    /// What may be done with it.
    pub access: AccessSet,
    /// Absolute paths below `path` that stay out of reach, with all below them. A component may hold `*`,
    /// which stands for any characters but `/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

/// One HTTP origin, or TCP endpoint, that may be reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostRule {
    /// `http`, `https`, or `tcp` for a bare connection (also through the proxy's CONNECT). `*` is any.
    pub scheme: String,
    /// A name (`example.com`), a name with a leading `*.` for all below it, an IP address, or `*` for any.
    /// Lower case; an IPv6 address without brackets.
    pub host: String,
    /// None is any port.
    pub port: Option<u16>,
    /// Upper case; empty is any method. Only for `http` and what the host itself sends over `https`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub methods: BTreeSet<String>,
    /// A path pattern: `*` stands for any characters but `/`, `**` for any. None is any path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether a *name* may resolve to a loopback, private, link-local or metadata address. An address or
    /// `localhost` written as `host` needs no leave beyond that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
}

/// As a policy writes it.
impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]", self.scheme, self.host)?;
        } else {
            write!(f, "{}://{}", self.scheme, self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.path.as_deref().unwrap_or_default())
    }
}

/// As whom the children run.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunAs {
    /// A user name or number. None is the user that the host runs as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// How much of the confinement applies at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confinement {
    /// Every layer that the machine has.
    #[default]
    Confined,
    /// None: children run as plain processes of the host's user. Only the profile `trusted-host` gives it.
    Unconfined,
}

/// A layer of the confinement of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Landlock rules on files.
    LandlockFiles,
    /// Landlock rules on TCP ports.
    LandlockTcp,
    /// Landlock scopes: no signals and no abstract sockets to processes outside.
    LandlockScopes,
    /// The filter on system calls.
    Seccomp,
    /// A mount namespace: private `/tmp`, everything not granted for writing mounted read-only.
    MountNamespace,
    /// A process namespace: others can be neither seen nor signalled, and nothing outlives the step.
    PidNamespace,
    /// A network namespace that holds nothing but the proxy.
    NetworkNamespace,
    /// A control group for memory and the number of processes.
    Cgroup,
    /// Resource limits by process.
    Rlimits,
    /// `no_new_privs`: set-user-ID files give nothing.
    NoNewPrivs,
    /// No mode, owner, time or attribute of a file outside is changed: by the mount namespace or, where there is
    /// none, by refusing the calls that change them, for the step's own files too.
    FileMetadata,
    /// No file gets the set-user-ID or set-group-ID bit.
    SetuidFiles,
}

/// What a step may do. Everything not in it is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Grant {
    /// See [`Confinement`].
    pub confinement: Confinement,
    /// Files and folders.
    pub files: Vec<FileRule>,
    /// Programs that the component itself may start: absolute paths, `*` within a component of the path, or
    /// `/` for any. Children may execute what `files` gives them `Execute` on.
    pub programs: BTreeSet<String>,
    /// Hosts, for the component and, through the proxy, for its children.
    pub hosts: Vec<HostRule>,
    /// Unix-domain sockets that children may connect to, by path.
    pub sockets: BTreeSet<String>,
    /// Parameter Store names; a trailing `*` stands for any rest.
    pub parameters: BTreeSet<String>,
    /// Secrets and secure parameters that may be used, and where.
    pub secrets: Vec<SecretRule>,
    /// Variables of the host's environment that children get; the same patterns.
    pub environment: BTreeSet<String>,
    /// Names of documents that may be run or read from within the step; the same patterns.
    pub documents: BTreeSet<String>,
    /// Whether AWS requests may be signed with the node's credentials, by service name (`s3`); the same patterns.
    pub signing: BTreeSet<String>,
    /// See [`RunAs`].
    pub run_as: RunAs,
    /// Whether children of root may use files whose mode closes them to root as to any user: where a rule grants files
    /// beyond the profile's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub files_of_others: bool,
    /// Layers that may be missing on the machine without the step being refused.
    pub may_lack: BTreeSet<Layer>,
}

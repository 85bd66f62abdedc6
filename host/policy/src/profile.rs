//! The profiles that ship.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::bind::{parse_access, parse_host};
use crate::decide::StepDirectories;
use crate::grant::{Confinement, FileRule, Grant, Layer};
use crate::secret::SecretRule;

/// What every step gets, before any rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Profile {
    /// System folders for reading, private folders for writing, no network. The default.
    #[default]
    Confined,
    /// The same, and HTTP and HTTPS to public addresses.
    Networked,
    /// No confinement at all: a deliberate opt-out.
    TrustedHost,
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "confined" => Ok(Self::Confined),
            "networked" => Ok(Self::Networked),
            "trusted-host" => Ok(Self::TrustedHost),
            other => Err(format!(
                "`{other}` is no profile; there are confined, networked and trusted-host"
            )),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Confined => "confined",
            Self::Networked => "networked",
            Self::TrustedHost => "trusted-host",
        })
    }
}

/// Folders with programs and libraries.
const PROGRAMS: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/nix/store",
];

/// What in `/etc` is nobody's business: password hashes, keys, credentials.
const SECRETS_IN_ETC: &[&str] = &[
    "/etc/shadow*",
    "/etc/gshadow*",
    "/etc/passwd-",
    "/etc/group-",
    "/etc/.pwd.lock",
    "/etc/security/opasswd",
    "/etc/sudoers*",
    "/etc/doas.conf",
    "/etc/ssh/ssh_host_*_key",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/etc/pki/CA/private",
    "/etc/krb5.keytab",
    "/etc/letsencrypt",
    "/etc/wireguard",
    "/etc/openvpn",
    "/etc/ipsec.secrets",
    "/etc/ipsec.d/private",
    "/etc/swanctl/private",
    "/etc/ppp/*-secrets",
    "/etc/NetworkManager/system-connections",
    "/etc/wpa_supplicant",
    "/etc/docker",
    "/etc/kubernetes",
    "/etc/rancher",
    "/etc/amazon",
    "/etc/cloud",
    "/etc/vault*",
    "/etc/consul*",
    "/etc/chef",
    "/etc/puppetlabs",
    "/etc/salt",
    "/etc/capstan",
    "/etc/mysql/debian.cnf",
    "/etc/grafana",
    "/etc/credstore*",
    "/etc/sssd",
    "/etc/samba/private",
    "/etc/bind/*.key",
    "/etc/exim4/passwd.client",
    "/etc/postfix/sasl_passwd*",
    "/etc/netplan",
    "/etc/machine-key*",
];

/// Devices that give nothing away.
const DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

/// What the kernel tells of the machine, not of its processes.
const MACHINE_FACTS: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/version",
    "/proc/filesystems",
    "/proc/sys",
    "/proc/diskstats",
    "/proc/partitions",
    "/proc/swaps",
    "/proc/vmstat",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup/cpu.max",
    "/sys/class/net",
    "/sys/block",
    "/sys/kernel/mm",
];

/// Variables of the host that say where one is, not what one may.
const ENVIRONMENT: &[&str] = &["LANG", "LC_*", "TZ"];

impl Grant {
    /// All that can be granted.
    pub(crate) fn everything() -> Self {
        let all = || BTreeSet::from(["*".to_owned()]);
        let words = ["read-write", "execute", "replace", "append"];
        let mut hosts = parse_host("*").unwrap_or_default();
        hosts.iter_mut().for_each(|rule| rule.private = true);
        Self {
            environment: all(),
            documents: all(),
            parameters: all(),
            secrets: vec![SecretRule::anywhere("*")],
            signing: all(),
            programs: BTreeSet::from(["/".to_owned()]),
            files: vec![FileRule {
                path: "/".into(),
                access: parse_access(words).unwrap_or_default(),
                except: Vec::new(),
            }],
            hosts,
            ..Self::default()
        }
    }
}

impl Profile {
    /// Layers that a step does without where the machine lacks them, unless the policy says otherwise.
    #[must_use]
    pub fn may_lack(self) -> BTreeSet<Layer> {
        self.base(&StepDirectories::default()).may_lack
    }

    /// The grant that every step starts from.
    pub(crate) fn base(self, directories: &StepDirectories) -> Grant {
        let access = |words: &[&str]| parse_access(words.iter().copied()).unwrap_or_default();
        let rule = |path: &str, words: &[&str]| FileRule {
            path: path.into(),
            access: access(words),
            except: Vec::new(),
        };
        let mut files: Vec<FileRule> = PROGRAMS
            .iter()
            .map(|path| rule(path, &["read-only", "execute"]))
            .collect();
        let mut etc = rule("/etc", &["read-only", "execute"]);
        etc.except = SECRETS_IN_ETC
            .iter()
            .map(|path| (*path).to_owned())
            .collect();
        files.push(etc);
        files.extend(DEVICES.iter().map(|path| rule(path, &["read", "write"])));
        files.extend(MACHINE_FACTS.iter().map(|path| rule(path, &["read-only"])));
        for folder in [
            &directories.work,
            &directories.downloads,
            &directories.temporary,
        ] {
            if !folder.is_empty() {
                files.push(rule(folder, &["read-write", "execute"]));
            }
        }
        let set = |list: &[&str]| {
            list.iter()
                .map(|text| (*text).to_owned())
                .collect::<BTreeSet<_>>()
        };
        let mut grant = Grant {
            files,
            programs: set(PROGRAMS),
            environment: set(ENVIRONMENT),
            documents: set(&["AWS-*"]),
            // A machine without them is still confined by Landlock, the filter and the limits by process; what is
            // weaker then is in the receipt.
            may_lack: [
                Layer::Cgroup,
                Layer::MountNamespace,
                Layer::PidNamespace,
                Layer::NetworkNamespace,
                Layer::LandlockTcp,
                Layer::LandlockScopes,
            ]
            .into(),
            ..Grant::default()
        };
        match self {
            Self::Confined => {}
            Self::Networked => {
                grant.hosts = ["http://*", "https://*"]
                    .iter()
                    .flat_map(|host| parse_host(host).unwrap_or_default())
                    .collect();
                grant.hosts.iter_mut().for_each(|rule| rule.port = None);
            }
            Self::TrustedHost => {
                let mut may_lack = grant.may_lack;
                may_lack.extend([Layer::FileMetadata, Layer::SetuidFiles]);
                grant = Grant {
                    confinement: Confinement::Unconfined,
                    may_lack,
                    ..Grant::everything()
                };
            }
        }
        grant
    }
}

//! What this machine has.

use std::ffi::OsString;
use std::path::PathBuf;

use capstan_policy::Layer;
use serde::Serialize;

use crate::cgroup::{self, Cgroup};
use crate::enforced::Enforcement;
use crate::landlock;
use crate::worker::{WorkerCommand, spawn_worker};

/// One layer on this machine, for this user.
#[derive(Debug, Clone, Serialize)]
pub struct LayerSupport {
    /// Which.
    pub layer: Layer,
    /// How far it can be put in force.
    pub enforcement: Enforcement,
}

/// All layers on this machine, for this user.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Support {
    /// The kernel's Landlock version; 0 is none.
    pub landlock_abi: u32,
    /// `uname -r`.
    pub kernel: String,
    /// Every layer.
    pub layers: Vec<LayerSupport>,
}

/// Looks, without lasting effect.
#[must_use]
pub fn probe() -> Support {
    let landlock_abi = landlock::abi();
    let mut layers: Vec<LayerSupport> = landlock::enforcement(landlock_abi)
        .0
        .into_iter()
        .map(|(layer, enforcement)| LayerSupport { layer, enforcement })
        .collect();
    let seccomp = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    let seccomp = match seccomp {
        Ok(actions) if actions.contains("errno") => Enforcement::Full,
        _ => Enforcement::Missing("this kernel was built without seccomp filters".into()),
    };
    // What the filter alone is enough for, with namespaces or without.
    layers.extend(
        [Layer::Seccomp, Layer::FileMetadata, Layer::SetuidFiles].map(|layer| LayerSupport {
            layer,
            enforcement: seccomp.clone(),
        }),
    );
    let namespaces = WorkerCommand {
        program: PathBuf::from("/bin/true"),
        args: Vec::<OsString>::new(),
        env: Vec::new(),
        inherit: Vec::new(),
        namespaces: true,
    };
    match spawn_worker(&namespaces) {
        Ok(worker) => {
            let _ = worker.wait();
            layers.extend(
                worker
                    .namespaces
                    .0
                    .into_iter()
                    .map(|(layer, enforcement)| LayerSupport { layer, enforcement }),
            );
        }
        Err(error) => layers.extend(
            [
                Layer::MountNamespace,
                Layer::PidNamespace,
                Layer::NetworkNamespace,
            ]
            .map(|layer| LayerSupport {
                layer,
                enforcement: Enforcement::Missing(error.to_string()),
            }),
        ),
    }
    let cgroup = match Cgroup::create(&cgroup::name(u64::MAX)) {
        Ok(group) if group.has_memory() && group.has_processes() => Enforcement::Full,
        Ok(group) if group.has_memory() => {
            Enforcement::Partial("there is no pids controller".into())
        }
        Ok(_) => Enforcement::Partial("there is no memory controller".into()),
        Err(why) => Enforcement::Missing(why),
    };
    cgroup::sweep();
    layers.push(LayerSupport {
        layer: Layer::Cgroup,
        enforcement: cgroup,
    });
    layers.push(LayerSupport {
        layer: Layer::Rlimits,
        enforcement: Enforcement::Full,
    });
    layers.push(LayerSupport {
        layer: Layer::NoNewPrivs,
        enforcement: Enforcement::Full,
    });
    let kernel = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    Support {
        landlock_abi,
        kernel,
        layers,
    }
}

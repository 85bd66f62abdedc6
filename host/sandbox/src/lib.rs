//! Confinement of processes on Linux, from a grant.
//!
//! A *supervisor* starts one *worker* process for each running document with [`spawn_worker`]. The worker enters
//! its confinement with [`enter_worker`] before it does anything else, and from then on starts the programs of
//! each step through a [`Sandbox`], confined once more to what that step was granted. Every layer is reported
//! with what was really put in force ([`Enforced`]); what the machine has at all is told by [`probe`].
//!
//! The layers, and what each is for:
//!
//! - Landlock: which files may be opened and how, which TCP ports, no signals and abstract sockets to others;
//! - a mount namespace, because Landlock does not cover changes of mode, owner and times: whatever was not
//!   granted for writing is mounted read-only, `/tmp` is private and `/run` is hidden;
//! - a process namespace: other processes can be neither seen nor signalled, and nothing outlives a step; without
//!   one, the process that was started as the worker stays as its guardian, which ends what the worker leaves;
//! - a network namespace with nothing in it but the step's proxy;
//! - a filter on system calls, which closes what the others leave open (UDP, Unix sockets, keyrings, …);
//! - control groups and resource limits.

mod cgroup;
mod child;
mod clone;
mod disk;
mod enforced;
mod error;
mod landlock;
mod mount;
mod network;
mod overlay;
mod ownership;
mod probe;
mod process;
mod resident;
mod rlimits;
mod seccomp;
mod user;
mod worker;

pub use child::{
    ChildCommand, ChildEnd, ChildProcess, Sandbox, Stdio, StepLoad, StepSandbox, StepUsage,
};
pub use disk::{DiskFolders, DiskUsage, Measured};
pub use enforced::{Enforced, Enforcement};
pub use error::SandboxError;
pub use ownership::{Distrust, check_own};
pub use probe::{LayerSupport, Support, probe};
pub use process::own_program;
pub use resident::release_code;
pub use user::{User, find_user};
pub use worker::{
    CompilerConfinement, WorkerCommand, WorkerProcess, WorkerSpec, cleanup_worker,
    confine_compiler, enter_worker, spawn_worker,
};

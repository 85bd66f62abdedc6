//! The end of a program, and the limits that the kernel does not keep.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use capstan_sandbox::{ChildEnd, ChildProcess};
use tokio::task::JoinHandle;

use super::Child;
use crate::bindings::capstan::host::process::{ExitStatus, Usage};
use crate::capability::owned_async;
use crate::shared::StepShared;
use crate::step::{ChildRecord, StopReason};
use crate::tariff;

/// How often the use of processors, which the kernel does not limit by itself, is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);
/// After a kill, how long to wait for the output to end.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// Waits for the program and for the end of its output, and keeps the limits that the kernel does not.
pub(super) async fn wait(child: &mut Child, process: &Arc<ChildProcess>) -> (ExitStatus, Usage) {
    let shared = Arc::clone(&child.shared);
    let mut cancel = shared.cancel.clone();
    let deadline = child
        .timeout
        .map(|timeout| tokio::time::Instant::from_std(child.started + timeout));
    let mut reason: Option<ExitStatus> = None;
    let mut end: Option<ChildEnd> = None;
    let mut charged = 0;
    {
        let finished = finish(process, &mut child.readers);
        tokio::pin!(finished);
        let mut ticks =
            tokio::time::interval_at(tokio::time::Instant::now() + WATCH_INTERVAL, WATCH_INTERVAL);
        // Whatever escaped the kill must not hold the step by its end of a pipe.
        let mut give_up: Option<tokio::time::Instant> = None;
        while end.is_none() {
            tokio::select! {
                biased;
                done = &mut finished => end = Some(done),
                () = sleep_until(deadline), if reason.is_none() => {
                    reason = Some(ExitStatus::TimedOut);
                    give_up = Some(tokio::time::Instant::now() + KILL_GRACE);
                    process.kill();
                    shared.sandbox.kill_step();
                }
                _ = cancel.wait_for(|cancelled| *cancelled), if reason.is_none() => {
                    reason = Some(ExitStatus::Cancelled);
                    give_up = Some(tokio::time::Instant::now() + KILL_GRACE);
                    process.kill();
                    shared.sandbox.kill_step();
                }
                () = sleep_until(give_up), if give_up.is_some() => break,
                _ = ticks.tick() => watch(&shared, process, &mut charged),
            }
        }
    }
    let end = end.unwrap_or(ChildEnd {
        code: None,
        signal: Some(9),
        cpu_millis: 0,
        peak_memory_bytes: 0,
    });
    shared.remove_child(process);
    shared
        .counters
        .child_cpu_millis
        .fetch_add(end.cpu_millis, Ordering::Relaxed);
    shared
        .counters
        .child_peak_memory
        .fetch_max(end.peak_memory_bytes, Ordering::Relaxed);
    shared.charge(end.cpu_millis.saturating_sub(charged) * tariff::CHILD_CPU_MILLISECOND);
    if shared.counters.child_cpu_millis.load(Ordering::Relaxed) > shared.limits.child_cpu_millis {
        shared.stop(
            StopReason::ChildCpuLimitExceeded,
            format!(
                "the programs of the step used more than {} ms of CPU time",
                shared.limits.child_cpu_millis
            ),
        );
    }
    let wall_millis = u64::try_from(child.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status = reason.unwrap_or(match (end.code, end.signal) {
        (Some(code), _) => ExitStatus::Code(code),
        (_, signal) => ExitStatus::Signal(signal.unwrap_or(9)),
    });
    let usage = Usage {
        wall_millis,
        cpu_millis: end.cpu_millis,
        peak_memory_bytes: end.peak_memory_bytes,
    };
    record(&shared, &child.program, &status, &usage);
    (status, usage)
}

/// Writes down that a program has ended.
pub(super) fn record(shared: &StepShared, program: &str, status: &ExitStatus, usage: &Usage) {
    shared.record().children.push(ChildRecord {
        program: program.to_owned(),
        ended: match status {
            ExitStatus::Code(code) => format!("exit {code}"),
            ExitStatus::Signal(signal) => format!("signal {signal}"),
            ExitStatus::TimedOut => "timed out".into(),
            ExitStatus::Cancelled => "cancelled".into(),
            ExitStatus::LimitExceeded(what) | ExitStatus::Other(what) => what.clone(),
        },
        wall_millis: usage.wall_millis,
        cpu_millis: usage.cpu_millis,
    });
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The program's end and that of its output, which a child of the program may keep open longer.
async fn finish(process: &ChildProcess, readers: &mut Vec<JoinHandle<()>>) -> ChildEnd {
    let end = match process.pidfd().try_clone_to_owned().and_then(owned_async) {
        Ok(pidfd) => loop {
            if let Some(end) = process.try_wait() {
                break end;
            }
            let Ok(mut ready) = pidfd.readable().await else {
                continue;
            };
            ready.clear_ready();
        },
        Err(_) => loop {
            if let Some(end) = process.try_wait() {
                break end;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        },
    };
    for reader in readers.drain(..) {
        let _ = reader.await;
    }
    end
}

fn watch(shared: &StepShared, process: &ChildProcess, charged: &mut u64) {
    shared.sandbox.reap_orphans();
    if let Some(sandbox) = shared.step_sandbox.get() {
        let load = sandbox.load();
        if load.processes > shared.limits.processes {
            shared.stop(
                StopReason::ProcessLimitExceeded,
                format!(
                    "the step had {} processes at once, and its limit is {}",
                    load.processes, shared.limits.processes
                ),
            );
            shared.sandbox.kill_step();
        } else if load.memory_bytes > shared.limits.child_memory_bytes {
            shared.stop(
                StopReason::ChildMemoryLimitExceeded,
                format!(
                    "the programs of the step used more than {} bytes of memory",
                    shared.limits.child_memory_bytes
                ),
            );
            shared.sandbox.kill_step();
        }
    }
    let used = shared.sandbox.step_cpu_millis().max(process.cpu_millis());
    if used > *charged {
        shared.charge((used - *charged) * tariff::CHILD_CPU_MILLISECOND);
        *charged = used;
    }
}

//! The limit of the disk, which the kernel does not keep: looked at while a step runs, and at its end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use capstan_sandbox::{DiskFolders, DiskUsage, Measured, Sandbox};
use tokio::task::JoinHandle;

use crate::shared::StepShared;
use crate::step::{StepContext, StopReason};
use crate::world::{self, World};

/// The first look, and the time between two where little is written.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(200);
/// Where much is written.
const SHORTEST: Duration = Duration::from_millis(20);
/// So few files are looked at without leaving the thread, in well under a millisecond.
const FEW: u64 = 512;

/// Looks at the disk while programs run; ends with this value.
#[derive(Debug)]
pub(crate) struct DiskWatch(JoinHandle<()>);

impl Drop for DiskWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl DiskWatch {
    /// The watch belongs to the step and must not keep it alive, so it holds it weakly.
    pub(crate) fn start(shared: &Arc<StepShared>) -> Self {
        let step = Arc::downgrade(shared);
        Self(tokio::spawn(async move {
            let (mut pause, mut last) = (FIRST, None);
            loop {
                tokio::time::sleep(pause).await;
                let Some(shared) = step.upgrade() else {
                    return;
                };
                let began = Instant::now();
                let measured = measure(&shared, true).await;
                if let Some(why) = excess(&shared, measured.as_ref()) {
                    return shared.stop(StopReason::DiskLimitExceeded, why);
                }
                let now = (began, measured.map_or(0, |measured| measured.total.bytes));
                pause = next_pause(last, now, began.elapsed(), shared.limits.disk_bytes);
                last = Some(now);
            }
        }))
    }
}

/// A quarter of the time until the limit is reached, if it goes on like this; and never so short that looking
/// takes up more than a third of the time.
fn next_pause(
    last: Option<(Instant, u64)>,
    (at, bytes): (Instant, u64),
    took: Duration,
    limit: u64,
) -> Duration {
    let growth = last.map_or(0, |(_, before)| bytes.saturating_sub(before));
    let pause = match last {
        Some((before, _)) if growth > 0 => {
            let left = limit.saturating_sub(bytes) as f64 / growth as f64;
            // Anything longer than the longest is that.
            let left = (left / 4.0).min(1000.0);
            at.duration_since(before).mul_f64(left)
        }
        _ => LONGEST,
    };
    pause.clamp(SHORTEST, LONGEST).max(took * 2)
}

/// What is in the folders of a step; none when there are more files than it may have.
async fn measure(shared: &StepShared, processes: bool) -> Option<Measured> {
    let mut folders = folders(&shared.sandbox, shared.world.as_ref(), &shared.context);
    let own = shared.real(Path::new(&shared.context.work_directory));
    folders.own.push(own.into_owned());
    folders.processes = processes;
    let most = most(shared);
    walk(folders, most).await
}

/// No more files are looked at.
fn most(shared: &StepShared) -> u64 {
    let own = shared.limits.disk_files();
    shared.disk_before.files.saturating_add(own)
}

async fn walk(folders: DiskFolders, most: u64) -> Option<Measured> {
    // How many files processes have open is not known beforehand.
    if !folders.processes
        && let Some(measured) = folders.measure(FEW.min(most))
    {
        return Some(measured);
    }
    tokio::task::spawn_blocking(move || folders.measure(most))
        .await
        .unwrap_or(None)
}

/// The folders that the steps of a run share.
fn folders(
    sandbox: &Sandbox,
    world: Option<&Arc<dyn World>>,
    context: &StepContext,
) -> DiskFolders {
    let downloads = Path::new(&context.downloads_directory);
    let mut shared: Vec<PathBuf> = vec![world::real(world, downloads).into_owned()];
    shared.extend(sandbox.private_folders());
    DiskFolders {
        shared,
        ..DiskFolders::default()
    }
}

fn excess(shared: &StepShared, measured: Option<&Measured>) -> Option<String> {
    match measured {
        Some(measured) => measured.excess(&shared.disk_before, &shared.limits),
        None => Some(format!(
            "there are more than {} files in the step's private folders",
            shared.limits.disk_files()
        )),
    }
}

/// What the folders that steps share hold before the first of them.
pub(crate) async fn before_all(
    sandbox: &Sandbox,
    world: Option<&Arc<dyn World>>,
    context: &StepContext,
) -> DiskUsage {
    walk(folders(sandbox, world, context), u64::MAX)
        .await
        .unwrap_or_default()
        .shared
}

/// What a step whose programs have ended leaves in the folders that it shares, and why its own and those are more
/// than it may use; none when they are not.
pub(crate) async fn at_end(shared: &StepShared) -> (DiskUsage, Option<String>) {
    // Neither programs nor the component have written anything.
    if shared.disk_watch.get().is_none() && !shared.wrote.load(Ordering::Relaxed) {
        return (shared.disk_before.clone(), None);
    }
    let measured = measure(shared, false).await;
    let why = excess(shared, measured.as_ref());
    let left = measured.map_or_else(
        || {
            let mut left = shared.disk_before.clone();
            left.files = most(shared);
            left
        },
        |measured| measured.shared,
    );
    (left, why)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{LONGEST, SHORTEST, next_pause};

    #[test]
    fn the_faster_it_grows_the_sooner_it_is_looked_at() {
        let began = Instant::now();
        let later = began + Duration::from_millis(100);
        let millis = Duration::from_millis;
        for (before, now, took, expected) in [
            (0, 0, millis(0), LONGEST),
            (500, 400, millis(0), LONGEST),
            (0, 1, millis(0), LONGEST),
            // 400 are left, which takes 100 ms more.
            (200, 600, millis(0), millis(25)),
            (0, 900, millis(0), SHORTEST),
            (0, 2000, millis(0), SHORTEST),
            (0, 900, millis(300), millis(600)),
        ] {
            let pause = next_pause(Some((began, before)), (later, now), took, 1000);
            assert_eq!(pause, expected, "{before} {now}");
        }
        assert_eq!(next_pause(None, (later, 900), millis(0), 1000), LONGEST);
    }
}

//! Time and chance in a scripted world: the same at every run, and nobody waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{HostWallClock, WasiCtxBuilder};

use crate::runtime::StepState;

/// A clock that stands still. Whoever waits for a time moves it there.
#[derive(Debug)]
pub struct WorldClock {
    /// Nanoseconds since 1970.
    now: AtomicU64,
    /// The times that are waited for at this moment.
    waited_for: Mutex<Vec<u64>>,
}

const MILLISECOND: u64 = 1_000_000;
/// What a guest's monotonic clock begins with, so that it can count back from it.
const MONOTONIC_START: u64 = 24 * 3_600 * 1_000 * MILLISECOND;
/// How often others may go on before the clock moves: a wait for an answer with a time-out ends with the answer.
const TURNS: usize = 64;

impl WorldClock {
    /// A clock that shows this time, in milliseconds since 1970.
    #[must_use]
    pub fn new(unix_millis: u64) -> Self {
        Self {
            now: AtomicU64::new(unix_millis.saturating_mul(MILLISECOND)),
            waited_for: Mutex::default(),
        }
    }

    /// The time in milliseconds since 1970.
    #[must_use]
    pub fn unix_millis(&self) -> u64 {
        self.nanos() / MILLISECOND
    }

    /// Moves the clock to a time; never back.
    pub fn move_to(&self, unix_millis: u64) {
        self.move_to_nanos(unix_millis.saturating_mul(MILLISECOND));
    }

    /// Moves the clock on.
    pub fn pass(&self, millis: u64) {
        self.move_to(self.unix_millis().saturating_add(millis));
    }

    /// Nanoseconds since 1970.
    pub(crate) fn nanos(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn move_to_nanos(&self, nanos: u64) {
        self.now.fetch_max(nanos, Ordering::Relaxed);
    }

    fn waited_for(&self) -> MutexGuard<'_, Vec<u64>> {
        self.waited_for
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A guest's wall clock.
struct Wall(Arc<WorldClock>);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.nanos())
    }
}

/// Gives a guest this world's time, and random numbers that are the same at every run.
pub(crate) fn set_up(wasi: &mut WasiCtxBuilder, clock: &Arc<WorldClock>) {
    let numbers = |name: &str| {
        let bytes = (0..128_u32)
            .flat_map(|part| {
                Sha256::new()
                    .chain_update(name)
                    .chain_update(part.to_le_bytes())
                    .finalize()
                    .to_vec()
            })
            .collect();
        wasmtime_wasi::Deterministic::new(bytes)
    };
    wasi.wall_clock(Wall(Arc::clone(clock)))
        .secure_random(numbers("secure"))
        .insecure_random(numbers("insecure"))
        .insecure_random_seed(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
}

/// `wasi:clocks/monotonic-clock`, whose waits move the clock instead of taking time.
struct Monotonic<'a> {
    clock: Option<Arc<WorldClock>>,
    start: u64,
    table: &'a mut ResourceTable,
}

struct OfState;

impl HasData for OfState {
    type Data<'a> = Monotonic<'a>;
}

/// Puts the clock of the world in the place of the machine's.
pub(crate) fn link_clock(linker: &mut Linker<StepState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<StepState, OfState>(linker, |state| {
        let clock = state
            .shared
            .world
            .as_ref()
            .map(|world| Arc::clone(world.clock()));
        Monotonic {
            clock,
            start: state.shared.began_nanos,
            table: &mut state.table,
        }
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

impl Monotonic<'_> {
    fn wait(&mut self, unix_nanos: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let wait = self.table.push(Wait {
            clock: self.clock.clone(),
            until: unix_nanos,
        })?;
        subscribe(self.table, wait)
    }

    fn nanos(&self) -> u64 {
        self.clock.as_ref().map_or(0, |clock| clock.nanos())
    }
}

impl monotonic_clock::Host for Monotonic<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.nanos().saturating_sub(self.start) + MONOTONIC_START)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let since_start = when.saturating_sub(MONOTONIC_START);
        self.wait(self.start.saturating_add(since_start))
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.wait(self.nanos().saturating_add(duration))
    }
}

struct Wait {
    clock: Option<Arc<WorldClock>>,
    until: u64,
}

/// A time that is waited for; no more when it is dropped.
struct WaitedFor<'a>(&'a WorldClock, u64);

impl Drop for WaitedFor<'_> {
    fn drop(&mut self) {
        let mut all = self.0.waited_for();
        if let Some(at) = all.iter().position(|one| *one == self.1) {
            all.swap_remove(at);
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Wait {
    async fn ready(&mut self) {
        let Some(clock) = &self.clock else {
            return;
        };
        clock.waited_for().push(self.until);
        let _waiting = WaitedFor(clock, self.until);
        // Of several times that are waited for, the earliest comes first.
        loop {
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
                if clock.nanos() >= self.until {
                    return;
                }
            }
            if clock.waited_for().iter().all(|other| *other >= self.until) {
                return clock.move_to_nanos(self.until);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wasmtime_wasi::p2::Pollable as _;

    use super::{Wait, WorldClock};

    #[test]
    fn the_earliest_of_several_times_comes_first_and_takes_no_time() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let clock = Arc::new(WorldClock::new(1_000));
        let wait = |until| Wait {
            clock: Some(Arc::clone(&clock)),
            until: until * super::MILLISECOND,
        };
        let (mut late, mut early) = (wait(90_000_000), wait(5_000));
        let first = async {
            tokio::select! {
                biased;
                () = late.ready() => "late",
                () = early.ready() => "early",
            }
        };
        assert_eq!(
            runtime.map(|runtime| runtime.block_on(first)).ok(),
            Some("early")
        );
        assert_eq!(clock.unix_millis(), 5_000);
        assert!(clock.waited_for().is_empty());
        clock.move_to(4_000);
        assert_eq!(clock.unix_millis(), 5_000);
    }
}

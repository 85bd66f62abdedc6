//! How long the server has been away, as all who connect to it know together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long transactions wait for the server to come back. What comes when it has been away for longer is answered at
/// once, so that no queue of those who wait in vain builds up.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is tried then.
const BETWEEN: Duration = Duration::from_secs(1);

/// Shared by all clones.
#[derive(Debug, Clone, Default)]
pub(super) struct Outage(Arc<Mutex<Option<State>>>);

#[derive(Debug)]
struct State {
    since: Instant,
    tried: Instant,
    /// What came of the last attempt.
    why: String,
}

impl Outage {
    /// The server answered.
    pub(super) fn is_over(&self) {
        *self.state() = None;
    }

    /// It could not be reached.
    pub(super) fn failed(&self, why: &str) {
        let tried = Instant::now();
        let mut state = self.state();
        let since = state.as_ref().map_or(tried, |state| state.since);
        *state = Some(State {
            since,
            tried,
            why: why.to_owned(),
        });
    }

    /// Whether it lasts for longer than anybody waits.
    pub(super) fn is_long(&self) -> bool {
        self.state().as_ref().is_some_and(State::is_long)
    }

    /// Why there is no point in trying now.
    pub(super) fn known(&self) -> Option<String> {
        let state = self.state();
        let state = state.as_ref()?;
        (state.is_long() && state.tried.elapsed() < BETWEEN).then(|| state.why.clone())
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_long(&self) -> bool {
        self.since.elapsed() > PATIENCE
    }
}

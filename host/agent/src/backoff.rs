//! Waiting before the next try: longer each time, and never all nodes at once.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use capstan_clock::Clock;

/// Chance, from a seed: a simulation that begins alike goes alike.
#[derive(Debug)]
pub(crate) struct Chance(Mutex<u64>);

impl Chance {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(Mutex::new(seed.unwrap_or_else(|| {
            RandomState::new().hash_one(std::process::id())
        })))
    }

    /// The next number (SplitMix64).
    fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Some time between `least` and `most`.
    pub(crate) fn between(&self, least: Duration, most: Duration) -> Duration {
        let range = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(u64::MAX);
        least + Duration::from_millis(self.next() % range.saturating_add(1))
    }

    /// An id for a request.
    pub(crate) fn uuid(&self) -> String {
        let bytes = (u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes();
        uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string()
    }
}

/// The longest wait in an outage.
const LONGEST: Duration = Duration::from_secs(300);
/// The first.
const SHORTEST: Duration = Duration::from_secs(1);

/// The waits of one thing that is tried again and again.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It went well.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait now: between the half and the whole of a time that doubles with each failure.
    pub(crate) fn next(&mut self, chance: &Chance) -> Duration {
        let most = SHORTEST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        chance.between(most / 2, most)
    }
}

/// Returns after a while.
pub(crate) async fn pause(clock: &dyn Clock, duration: Duration) {
    let until = clock.now().checked_add(duration);
    clock
        .sleep_until(until.unwrap_or(jiff::Timestamp::MAX))
        .await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, Chance};

    #[test]
    fn waits_grow_to_five_minutes_and_differ() {
        let chance = Chance::new(Some(1));
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..20).map(|_| backoff.next(&chance)).collect();
        for (index, wait) in waits.iter().enumerate() {
            let most = Duration::from_secs(300.min(1 << index.min(10)));
            assert!(*wait >= most / 2 && *wait <= most, "{index}: {wait:?}");
        }
        assert_ne!(waits[18], waits[19]);
        backoff.reset();
        assert!(backoff.next(&chance) <= Duration::from_secs(1));
    }

    #[test]
    fn chance_begins_where_its_seed_says() {
        assert_eq!(Chance::new(Some(7)).uuid(), Chance::new(Some(7)).uuid());
        assert_ne!(Chance::new(Some(7)).uuid(), Chance::new(Some(8)).uuid());
    }
}

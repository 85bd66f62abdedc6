//! Chance that begins where its seed says, by name: what one part of a simulation draws does not move the others.

use std::ops::RangeInclusive;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// A source of chance.
#[derive(Debug, Clone)]
pub struct Chance {
    key: [u8; 32],
    drawn: u64,
}

impl Chance {
    /// The source of this name in the simulation of this seed.
    pub fn new(seed: u64, name: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update(name);
        Self {
            key: hash.finalize().into(),
            drawn: 0,
        }
    }

    pub fn number(&mut self) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(self.drawn.to_le_bytes());
        self.drawn += 1;
        let digest: [u8; 32] = hash.finalize().into();
        digest[..8]
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    pub fn of(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (least, most) = range.into_inner();
        least + self.number() % (most - least + 1)
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.number() % 100 < percent
    }

    /// A time of so many milliseconds.
    pub fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.of(range))
    }

    /// A time of so many seconds, in milliseconds.
    pub fn seconds(&mut self, range: RangeInclusive<u64>) -> Duration {
        let (least, most) = range.into_inner();
        self.millis(least * 1000..=most * 1000)
    }

    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.number()).unwrap_or(0) % of.len()]
    }
}

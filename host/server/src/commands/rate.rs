//! Rate control: how many invocations of a command may run at once, and when no more are started. Pure.
//!
//! Percentages are of the number of targets and are rounded down: `MaxConcurrency` to no less than one, `MaxErrors` to
//! no less than none. AWS documents that 10 % of 50 targets stop at the sixth error, which is this; where its texts do
//! not decide (between rounding up and down), the more careful one was chosen.

use std::str::FromStr;

/// A number of targets, or a share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// So many.
    Count(u64),
    /// So many of a hundred.
    Percent(u64),
}

impl FromStr for Limit {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.strip_suffix('%') {
            Some(percent) => percent
                .parse()
                .ok()
                .filter(|percent| *percent <= 100)
                .map(Self::Percent),
            None => text.parse().ok().map(Self::Count),
        }
        .ok_or(())
    }
}

impl Limit {
    /// Of this many targets.
    pub(crate) fn of(self, targets: u64) -> u64 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => (u128::from(targets) * u128::from(percent) / 100) as u64,
        }
    }
}

/// The limits of one command, whose targets are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Control {
    /// How many targets there are.
    pub(crate) targets: u64,
    /// How many invocations may be open at once.
    pub(crate) concurrency: u64,
    /// How many errors are borne; the next one stops.
    pub(crate) max_errors: u64,
}

/// How far a command is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Targets that had their turn.
    pub(crate) started: u64,
    /// Of these, those that are over.
    pub(crate) ended: u64,
    /// Those that failed or ran out of time on the node.
    pub(crate) errors: u64,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// This many more may start; none is "wait".
    Start(u64),
    /// There were too many errors: those that did not start will not.
    Stop,
}

impl Control {
    pub(crate) fn new(targets: u64, concurrency: Limit, max_errors: Limit) -> Self {
        Self {
            targets,
            concurrency: concurrency.of(targets).max(1),
            max_errors: max_errors.of(targets),
        }
    }

    /// Whether there were more errors than are borne.
    pub(crate) fn is_exceeded(&self, errors: u64) -> bool {
        errors > self.max_errors
    }

    /// What may start now. The first target goes alone; each one that ends makes room for one more besides its own,
    /// so that the number doubles with each round, up to the limit.
    pub(crate) fn next(&self, progress: &Progress) -> Next {
        if self.is_exceeded(progress.errors) && progress.started < self.targets {
            return Next::Stop;
        }
        let window = self.concurrency.min(progress.ended.saturating_add(1));
        let open = progress.started.saturating_sub(progress.ended);
        let left = self.targets.saturating_sub(progress.started);
        Next::Start(left.min(window.saturating_sub(open)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    use super::{Control, Limit, Next, Progress};

    #[test]
    fn limits_are_numbers_or_shares_rounded_down() {
        for (text, targets, expected) in [
            ("50", 3, 50),
            ("50%", 1, 0),
            ("50%", 5, 2),
            ("10%", 50, 5),
            ("10%", 9, 0),
            ("100%", 7, 7),
            ("0", 7, 0),
            ("0%", 7, 0),
        ] {
            assert_eq!(
                text.parse::<Limit>().unwrap().of(targets),
                expected,
                "{text} of {targets}"
            );
        }
        for text in ["101%", "-1", "%", "", "1.5"] {
            assert_eq!(text.parse::<Limit>(), Err(()), "{text}");
        }
    }

    #[test]
    fn half_of_one_target_is_one() {
        let control = Control::new(1, Limit::Percent(50), Limit::Percent(10));
        assert_eq!((control.concurrency, control.max_errors), (1, 0));
    }

    #[test]
    fn the_number_doubles_with_each_round() {
        let control = Control::new(100, Limit::Count(10), Limit::Count(0));
        let (mut progress, mut rounds) = (Progress::default(), Vec::new());
        while let Next::Start(count @ 1..) = control.next(&progress) {
            rounds.push(count);
            progress.started += count;
            progress.ended = progress.started;
        }
        assert_eq!(rounds[..6], [1, 2, 4, 8, 10, 10]);
        assert_eq!(progress.started, 100);
    }

    #[test]
    fn the_first_error_too_many_stops() {
        let control = Control::new(50, Limit::Count(1), Limit::Percent(10));
        let mut progress = Progress::default();
        while let Next::Start(1) = control.next(&progress) {
            progress.started += 1;
            progress.ended += 1;
            progress.errors += 1;
        }
        assert_eq!(control.next(&progress), Next::Stop);
        assert_eq!(progress.errors, 6);
    }

    fn limit() -> impl Strategy<Value = Limit> {
        (any::<bool>(), 0..=100_u64).prop_map(|(share, number)| {
            if share {
                Limit::Percent(number)
            } else {
                Limit::Count(number)
            }
        })
    }

    proptest! {
        /// Whatever ends in whatever order: never more are open than the limit, everything starts unless errors stop
        /// it, nothing starts after a stop, and with one at a time exactly one error too many is seen.
        #[test]
        fn limits_are_kept(
            targets in 0..300_u64,
            concurrency in limit(),
            max_errors in limit(),
            failures in proptest::collection::vec(any::<bool>(), 300),
            ends in proptest::collection::vec(1..8_u64, 600),
        ) {
            let control = Control::new(targets, concurrency, max_errors);
            let mut progress = Progress::default();
            let mut stopped = false;
            for burst in ends {
                match control.next(&progress) {
                    Next::Start(count) => {
                        progress.started += count;
                        prop_assert!(progress.started <= targets);
                        prop_assert!(progress.started - progress.ended <= control.concurrency);
                        prop_assert!(progress.started > progress.ended || progress.started == targets, "nothing runs, and nothing may start");
                    }
                    Next::Stop => { stopped = true; break; }
                }
                for _ in 0..burst.min(progress.started - progress.ended) {
                    progress.errors += u64::from(failures[progress.ended as usize]);
                    progress.ended += 1;
                }
            }
            if stopped {
                prop_assert!(control.is_exceeded(progress.errors));
                if control.concurrency == 1 {
                    prop_assert_eq!(progress.errors, control.max_errors + 1);
                }
            } else if progress.ended == targets {
                prop_assert!(progress.started == targets);
            }
        }
    }
}

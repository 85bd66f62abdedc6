//! What commands and invocations are called in each of their states. Pure.

use std::fmt;

/// The state of an invocation: AWS's `StatusDetails`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum State {
    Pending,
    Delayed,
    InProgress,
    Cancelling,
    Success,
    Failed,
    ExecutionTimedOut,
    DeliveryTimedOut,
    Cancelled,
    Terminated,
    Undeliverable,
    InvalidPlatform,
    AccessDenied,
}

impl State {
    pub(crate) const ALL: [Self; 13] = [
        Self::Pending,
        Self::Delayed,
        Self::InProgress,
        Self::Cancelling,
        Self::Success,
        Self::Failed,
        Self::ExecutionTimedOut,
        Self::DeliveryTimedOut,
        Self::Cancelled,
        Self::Terminated,
        Self::Undeliverable,
        Self::InvalidPlatform,
        Self::AccessDenied,
    ];

    /// `StatusDetails` on the wire and in the store.
    pub(crate) fn details(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Delayed => "Delayed",
            Self::InProgress => "InProgress",
            Self::Cancelling => "Cancelling",
            Self::Success => "Success",
            Self::Failed => "Failed",
            Self::ExecutionTimedOut => "ExecutionTimedOut",
            Self::DeliveryTimedOut => "DeliveryTimedOut",
            Self::Cancelled => "Cancelled",
            Self::Terminated => "Terminated",
            Self::Undeliverable => "Undeliverable",
            Self::InvalidPlatform => "InvalidPlatform",
            Self::AccessDenied => "AccessDenied",
        }
    }

    /// Of `StatusDetails`.
    pub(crate) fn of_details(details: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|state| state.details() == details)
    }

    /// `Status` on the wire.
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::ExecutionTimedOut | Self::DeliveryTimedOut => "TimedOut",
            Self::Terminated | Self::Undeliverable | Self::InvalidPlatform | Self::AccessDenied => {
                "Failed"
            }
            other => other.details(),
        }
    }

    /// Whether it is the last.
    pub(crate) fn is_terminal(self) -> bool {
        !matches!(
            self,
            Self::Pending | Self::Delayed | Self::InProgress | Self::Cancelling
        )
    }

    /// Whether `MaxErrors` counts it.
    pub(crate) fn is_error(self) -> bool {
        matches!(self, Self::Failed | Self::ExecutionTimedOut)
    }

    /// The state that a node's word for a document or step means.
    pub(crate) fn of_node(word: &str) -> Self {
        match word {
            "Success" | "Skipped" => Self::Success,
            "Failed" => Self::Failed,
            "TimedOut" => Self::ExecutionTimedOut,
            "Cancelled" => Self::Cancelled,
            "NotStarted" | "Pending" => Self::Pending,
            // `SuccessAndReboot` and the like: it goes on.
            _ => Self::InProgress,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.details())
    }
}

/// How many invocations of a command ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) success: u64,
    pub(crate) failed: u64,
    pub(crate) execution_timed_out: u64,
    pub(crate) delivery_timed_out: u64,
    pub(crate) cancelled: u64,
    pub(crate) terminated: u64,
    pub(crate) access_denied: u64,
    /// Undeliverable, or of another platform.
    pub(crate) unreached: u64,
}

impl Tally {
    /// Counts `count` invocations of a state.
    pub(crate) fn add(&mut self, state: State, count: u64) {
        match state {
            State::Success => self.success += count,
            State::Failed => self.failed += count,
            State::ExecutionTimedOut => self.execution_timed_out += count,
            State::DeliveryTimedOut => self.delivery_timed_out += count,
            State::Cancelled => self.cancelled += count,
            State::Terminated => self.terminated += count,
            State::AccessDenied => self.access_denied += count,
            State::Undeliverable | State::InvalidPlatform => self.unreached += count,
            State::Pending | State::Delayed | State::InProgress | State::Cancelling => {}
        }
    }

    fn total(&self) -> u64 {
        self.success
            + self.failed
            + self.execution_timed_out
            + self.delivery_timed_out
            + self.cancelled
            + self.terminated
            + self.access_denied
            + self.unreached
    }

    /// `Status` and `StatusDetails` of a command that is over.
    ///
    /// The rules, in this order: no target is a success of its own name; cancelled by its user; more failures and
    /// time-outs than `max_errors` give it the name of the most frequent of them; some of them make it incomplete;
    /// nodes that were not reached do not spoil the success of others, but are none by themselves.
    pub(crate) fn outcome(&self, cancelled: bool, max_errors: u64) -> (&'static str, &'static str) {
        if self.total() == 0 {
            return if cancelled {
                ("Cancelled", "Cancelled")
            } else {
                ("Success", "NoInstancesInTag")
            };
        }
        if cancelled && self.cancelled > 0 {
            return ("Cancelled", "Cancelled");
        }
        let bad = self.failed + self.execution_timed_out + self.delivery_timed_out;
        if bad > max_errors || self.terminated > 0 {
            // The first of equals.
            return if self.failed >= self.execution_timed_out
                && self.failed >= self.delivery_timed_out
            {
                ("Failed", "Failed")
            } else if self.execution_timed_out >= self.delivery_timed_out {
                ("TimedOut", "ExecutionTimedOut")
            } else {
                ("TimedOut", "DeliveryTimedOut")
            };
        }
        if bad > 0 {
            return ("Failed", "Incomplete");
        }
        if self.success > 0 {
            return if self.cancelled > 0 {
                ("Failed", "Incomplete")
            } else {
                ("Success", "Success")
            };
        }
        if self.cancelled > 0 {
            return ("Cancelled", "Cancelled");
        }
        if self.access_denied == self.total() {
            return ("Failed", "AccessDenied");
        }
        ("Failed", "Failed")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{State, Tally};

    #[test]
    fn names_go_both_ways() {
        for state in State::ALL {
            assert_eq!(State::of_details(state.details()), Some(state));
        }
        assert_eq!(State::Terminated.status(), "Failed");
        assert_eq!(State::ExecutionTimedOut.status(), "TimedOut");
        assert_eq!(State::Delayed.status(), "Delayed");
    }

    #[test]
    fn a_command_is_what_its_invocations_were() {
        use State::{
            AccessDenied, Cancelled, DeliveryTimedOut, ExecutionTimedOut, Failed, InvalidPlatform,
            Success, Terminated, Undeliverable,
        };
        for (states, max_errors, cancelled, expected) in [
            (&[][..], 0, false, "Success/NoInstancesInTag"),
            (&[(Success, 3)], 0, false, "Success/Success"),
            (&[(Success, 9), (Failed, 1)], 0, false, "Failed/Failed"),
            (&[(Success, 9), (Failed, 1)], 1, false, "Failed/Incomplete"),
            (
                &[(Success, 8), (Failed, 1), (ExecutionTimedOut, 2)],
                0,
                false,
                "TimedOut/ExecutionTimedOut",
            ),
            (
                &[(DeliveryTimedOut, 1)],
                0,
                false,
                "TimedOut/DeliveryTimedOut",
            ),
            (
                &[(Success, 4), (DeliveryTimedOut, 1)],
                1,
                false,
                "Failed/Incomplete",
            ),
            (&[(Failed, 2), (Terminated, 8)], 1, false, "Failed/Failed"),
            (
                &[(Success, 1), (Undeliverable, 3), (InvalidPlatform, 1)],
                0,
                false,
                "Success/Success",
            ),
            (&[(Undeliverable, 3)], 0, false, "Failed/Failed"),
            (&[(AccessDenied, 3)], 0, false, "Failed/AccessDenied"),
            (
                &[(Success, 1), (Cancelled, 2)],
                0,
                true,
                "Cancelled/Cancelled",
            ),
            (&[(Success, 3)], 0, true, "Success/Success"),
            (
                &[(Success, 1), (Cancelled, 2)],
                0,
                false,
                "Failed/Incomplete",
            ),
        ] {
            let mut tally = Tally::default();
            for (state, count) in states {
                tally.add(*state, *count);
            }
            let (status, details) = tally.outcome(cancelled, max_errors);
            assert_eq!(
                format!("{status}/{details}"),
                expected,
                "{states:?} {max_errors} {cancelled}"
            );
        }
    }
}

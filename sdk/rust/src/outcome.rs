//! How an action ends well, or goes on waiting.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::{Failure, Status, Value, Wake};

/// How a call of an action ends well, in full. Most actions return their outputs instead, or nothing.
#[derive(Debug)]
pub enum Outcome {
    /// The step is finished.
    Done {
        /// How.
        status: Status,
        /// SSM's response code.
        exit_code: i32,
        /// A JSON object for later steps, if there is something to tell.
        outputs: Option<Value>,
    },
    /// The step waits; the instance goes away.
    Suspended {
        /// What `resume` is given: JSON.
        state: Vec<u8>,
        /// What for.
        wake: Wake,
        /// In a few words, for people.
        reason: String,
    },
}

impl Outcome {
    /// Finished, code 0.
    #[must_use]
    pub fn success() -> Self {
        Self::done(Status::Success, 0)
    }

    /// Finished with this status and code.
    #[must_use]
    pub fn done(status: Status, exit_code: i32) -> Self {
        Self::Done {
            status,
            exit_code,
            outputs: None,
        }
    }

    /// Goes away until the wait is over. The function that the attribute names with `resume` gets the state.
    ///
    /// # Errors
    /// When the state cannot be written as JSON.
    pub fn wait(
        state: &impl Serialize,
        wake: Wake,
        reason: impl Into<String>,
    ) -> Result<Self, Failure> {
        let state = serde_json::to_vec(state)
            .map_err(|error| Failure::failed(format!("the state of the step: {error}")))?;
        Ok(Self::Suspended {
            state,
            wake,
            reason: reason.into(),
        })
    }
}

/// What a function of an action that waits returns: the step is done, or waits with a state of its own.
///
/// ```
/// use std::time::Duration;
/// use capstan_sdk::{Context, Event, Failure, Step};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum State {
///     Asked { times: u32 },
/// }
///
/// fn resume(_: &Context, state: State, _: Event) -> Result<Step<State>, Failure> {
///     let State::Asked { times } = state;
///     if times == 10 {
///         return Err(Failure::timed_out("it is not healthy after ten times"));
///     }
///     Ok(Step::sleep(Duration::from_secs(30), State::Asked { times: times + 1 }, "not healthy yet"))
/// }
/// ```
#[derive(Debug)]
pub enum Step<State, Outputs = ()> {
    /// The step is finished, with these outputs.
    Done(Outputs),
    /// The step waits; nothing of it stays in memory.
    Wait {
        /// What `resume` is given.
        state: State,
        /// What ends the wait.
        wake: Wake,
        /// What it waits for, in a few words for people.
        reason: String,
    },
}

impl<State, Outputs> Step<State, Outputs> {
    /// Waits for what is said, in the words of the contract.
    pub fn wait(wake: Wake, state: State, reason: impl Into<String>) -> Self {
        Self::Wait {
            state,
            wake,
            reason: reason.into(),
        }
    }

    /// Waits this long.
    pub fn sleep(time: Duration, state: State, reason: impl Into<String>) -> Self {
        Self::sleep_until(SystemTime::now() + time, state, reason)
    }

    /// Waits until then.
    pub fn sleep_until(time: SystemTime, state: State, reason: impl Into<String>) -> Self {
        Self::wait(Wake::At(millis(time)), state, reason)
    }

    /// Waits for one of these signals.
    pub fn wait_for<'a>(
        signals: impl IntoIterator<Item = &'a str>,
        state: State,
        reason: impl Into<String>,
    ) -> Self {
        Self::wait(Wake::Signal(names(signals)), state, reason)
    }

    /// Waits for one of these signals, but no longer than until then.
    pub fn wait_for_until<'a>(
        signals: impl IntoIterator<Item = &'a str>,
        time: SystemTime,
        state: State,
        reason: impl Into<String>,
    ) -> Self {
        let wake = Wake::Either((millis(time), names(signals)));
        Self::wait(wake, state, reason)
    }

    /// Asks for a restart of the machine, and goes on after it.
    pub fn reboot(state: State, reason: impl Into<String>) -> Self {
        Self::wait(Wake::Reboot, state, reason)
    }
}

fn names<'a>(signals: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    signals.into_iter().map(str::to_owned).collect()
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What a function of an action may return in its `Ok`: outputs (anything that serde writes as an object, or nothing),
/// a [`Step`], or an [`Outcome`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that an action returns",
    label = "not an action's outputs",
    note = "return `Result<T, Failure>`, where `T` is `()`, a struct with `#[derive(Serialize)]`, a `Step` or an `Outcome`"
)]
pub trait IntoOutcome {
    /// As the contract has it.
    ///
    /// # Errors
    /// When it is no JSON object.
    fn into_outcome(self) -> Result<Outcome, Failure>;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Result<Outcome, Failure> {
        Ok(self)
    }
}

impl<State: Serialize, Outputs: IntoOutcome> IntoOutcome for Step<State, Outputs> {
    fn into_outcome(self) -> Result<Outcome, Failure> {
        match self {
            Self::Done(outputs) => outputs.into_outcome(),
            Self::Wait {
                state,
                wake,
                reason,
            } => Outcome::wait(&state, wake, reason),
        }
    }
}

impl<T: Serialize> IntoOutcome for T {
    fn into_outcome(self) -> Result<Outcome, Failure> {
        let outputs = match serde_json::to_value(self) {
            Ok(Value::Null) => None,
            Ok(outputs @ Value::Object(_)) => Some(outputs),
            Ok(_) => {
                return Err(Failure::failed(
                    "the outputs of an action are a struct or a map, and nothing else",
                ));
            }
            Err(error) => return Err(Failure::failed(format!("the outputs: {error}"))),
        };
        Ok(Outcome::Done {
            status: Status::Success,
            exit_code: 0,
            outputs,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{IntoOutcome, Outcome, Step};
    use crate::{Failure, Value, Wake, json};

    #[test]
    fn outputs_are_an_object_or_nothing() {
        let outputs = |outcome: Result<Outcome, Failure>| -> Option<Value> {
            match outcome {
                Ok(Outcome::Done { outputs, .. }) => outputs,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(outputs(().into_outcome()), None);
        assert_eq!(
            outputs(json!({ "a": 1 }).into_outcome()),
            Some(json!({ "a": 1 }))
        );
        assert!(vec![1].into_outcome().is_err());
        assert_eq!(outputs(Step::<u8, ()>::Done(()).into_outcome()), None);
    }

    #[test]
    fn a_wait_keeps_its_state_as_json() {
        let time = UNIX_EPOCH + Duration::from_millis(7);
        let step: Step<_> = Step::wait_for_until(["go"], time, json!({ "a": 1 }), "word");
        match step.into_outcome().unwrap() {
            Outcome::Suspended {
                state,
                wake,
                reason,
            } => {
                assert_eq!(state, b"{\"a\":1}");
                assert!(matches!(wake, Wake::Either((7, names)) if names == ["go"]));
                assert_eq!(reason, "word");
            }
            other @ Outcome::Done { .. } => panic!("{other:?}"),
        }
    }
}

//! The work of a transaction, without the types of its answer.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

use crate::{StoreError, Transaction};

/// What is to be done with the transaction once its work ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Commit,
    RollBack,
}

/// Work for a transaction. It may run several times; its last answer counts.
pub(crate) trait Job: Send {
    /// Runs it; a panic is caught.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Outcome;
    /// Tells the caller: what the work answered if it was committed, or failed by itself; else why it was not.
    fn answer(self: Box<Self>, fate: Result<(), StoreError>);
}

/// Work and the answer that it last gave.
pub(crate) struct Work<F, T, E> {
    work: F,
    answer: Option<Result<T, E>>,
}

impl<F, T, E> Work<F, T, E>
where
    F: Fn(&mut Transaction<'_>) -> Result<T, E>,
    E: From<StoreError>,
{
    pub(crate) fn new(work: F) -> Work<F, T, E> {
        Work { work, answer: None }
    }

    pub(crate) fn run(&mut self, transaction: &mut Transaction<'_>) -> Outcome {
        let answer = catch_unwind(AssertUnwindSafe(|| (self.work)(transaction)))
            .unwrap_or_else(|panic| Err(StoreError::Panicked(message(&*panic)).into()));
        let committed = answer.is_ok() && transaction.failure().is_none();
        self.answer = Some(answer);
        if committed {
            Outcome::Commit
        } else {
            Outcome::RollBack
        }
    }

    pub(crate) fn finish(self, fate: Result<(), StoreError>) -> Result<T, E> {
        match (self.answer, fate) {
            (Some(Err(error)), _) => Err(error),
            (Some(answer), Ok(())) => answer,
            (_, Err(error)) => Err(error.into()),
            (None, Ok(())) => Err(StoreError::Closed.into()),
        }
    }
}

/// Work whose answer goes to another thread.
pub(crate) struct Sent<F, T, E> {
    work: Work<F, T, E>,
    to: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Sent<F, T, E>
where
    F: Fn(&mut Transaction<'_>) -> Result<T, E>,
    E: From<StoreError>,
{
    pub(crate) fn new(work: F) -> (Sent<F, T, E>, oneshot::Receiver<Result<T, E>>) {
        let (to, from) = oneshot::channel();
        (
            Sent {
                work: Work::new(work),
                to,
            },
            from,
        )
    }
}

impl<F, T, E> Job for Sent<F, T, E>
where
    F: Fn(&mut Transaction<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Outcome {
        self.work.run(transaction)
    }

    fn answer(self: Box<Self>, fate: Result<(), StoreError>) {
        // Nobody listens when the caller's future was dropped; the work is done all the same.
        let _ = self.to.send(self.work.finish(fate));
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".into())
}

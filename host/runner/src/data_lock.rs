//! One run at a time works with what an action keeps between runs: two that install packages would each undo what
//! the other does.

use std::fs::File;
use std::sync::Arc;

use capstan_runtime::LogLevel;
use rustix::fs::{FlockOperation, flock};

use crate::error::RunnerError;
use crate::session::Session;
use crate::state::{make_private, open_private};

/// Holds the lock of an action's data until it is dropped, or the process dies.
pub(crate) struct DataLock {
    session: Arc<Session>,
    action: String,
    _file: File,
}

impl Drop for DataLock {
    fn drop(&mut self) {
        self.session.held_locks().remove(&self.action);
    }
}

/// Waits for the lock. None when this very run has it: a step within a step does not wait for the outer one.
pub(crate) async fn lock(
    session: &Arc<Session>,
    action: &str,
    index: usize,
) -> Result<Option<DataLock>, RunnerError> {
    if !session.held_locks().insert(action.to_owned()) {
        return Ok(None);
    }
    let locked = take(session, action, index).await;
    match locked {
        Ok(file) => Ok(Some(DataLock {
            session: Arc::clone(session),
            action: action.to_owned(),
            _file: file,
        })),
        Err(error) => {
            session.held_locks().remove(action);
            Err(error)
        }
    }
}

async fn take(session: &Session, action: &str, index: usize) -> Result<File, RunnerError> {
    let path = session.runner.state.data_lock(action);
    let failed =
        |error: std::io::Error| RunnerError::io(format!("the lock {}", path.display()))(error);
    if let Some(folder) = path.parent() {
        make_private(folder)?;
    }
    let file = open_private(&path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => return Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {}
        Err(error) => return Err(failed(error.into())),
    }
    let why = format!("waits for another run that works with {action}");
    session.observer.log(index, LogLevel::Info, &why);
    let wait = move || flock(&file, FlockOperation::LockExclusive).map(|()| file);
    match tokio::task::spawn_blocking(wait).await {
        Ok(locked) => locked.map_err(|error| failed(error.into())),
        Err(error) => Err(failed(std::io::Error::other(error))),
    }
}

//! The thread that hears the notices of all servers on the database.

use std::time::{Duration, Instant};

use postgres::fallible_iterator::FallibleIterator;
use tokio::sync::broadcast;

use super::CHANNEL;
use super::connect::Connector;
use super::session::Session;
use crate::queue::Queue;
use crate::{Notice, StoreError};

/// How soon it is noticed that the store was closed.
const LOOK: Duration = Duration::from_millis(250);
/// How soon it is noticed that the connection broke silently.
const PROBE: Duration = Duration::from_secs(30);
const FIRST_REST: Duration = Duration::from_millis(20);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// A connection that listens.
pub(super) fn listen(connector: &Connector) -> Result<Session, StoreError> {
    let mut session = connector.connect()?;
    session.batch(&format!("LISTEN {CHANNEL}"))?;
    Ok(session)
}

/// Hands on what comes until the store is closed.
pub(super) fn run(
    mut session: Session,
    connector: &Connector,
    closed: &Queue<()>,
    notices: &broadcast::Sender<Notice>,
) {
    let mut rest = FIRST_REST;
    while !closed.is_closed() {
        if let Err(error) = hear(&mut session, closed, notices) {
            tracing::warn!(%error, "the connection for notices broke");
        }
        while !closed.is_closed() {
            match listen(connector) {
                Ok(again) => {
                    session = again;
                    rest = FIRST_REST;
                    // Nobody knows what was said meanwhile.
                    let _ = notices.send(Notice {
                        channel: String::new(),
                        payload: String::new(),
                    });
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot listen for notices; trying again");
                    closed.rest(rest);
                    rest = (rest * 2).min(LONGEST_REST);
                }
            }
        }
    }
}

/// Ends with an error once the connection broke, and without one once the store is closed.
fn hear(
    session: &mut Session,
    closed: &Queue<()>,
    notices: &broadcast::Sender<Notice>,
) -> Result<(), StoreError> {
    let mut probed = Instant::now();
    while !closed.is_closed() {
        wait(session, notices)?;
        if session.is_closed() {
            return Err(StoreError::Unavailable("the server closed it".into()));
        }
        if probed.elapsed() > PROBE {
            session.batch("SELECT 1")?;
            probed = Instant::now();
        }
    }
    Ok(())
}

/// Hands on what comes, until nothing came for a while.
fn wait(session: &mut Session, notices: &broadcast::Sender<Notice>) -> Result<(), StoreError> {
    let mut notifications = session.client().notifications();
    let mut heard = notifications.timeout_iter(LOOK);
    while let Some(notification) = heard
        .next()
        .map_err(|error| super::session::error(&error, "LISTEN"))?
    {
        if let Some((channel, payload)) = notification.payload().split_once('\n') {
            // It is no error that nobody listens here.
            let _ = notices.send(Notice {
                channel: channel.to_owned(),
                payload: payload.to_owned(),
            });
        }
    }
    Ok(())
}

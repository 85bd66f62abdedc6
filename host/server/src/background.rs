//! What the server does by itself: targets are found, commands go on, time runs out, polls are woken.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;

use crate::commands::{dispatch, due, targets};
use crate::delivery;
use crate::error::ApiError;
use crate::parameters;
use crate::server::Server;

/// How often is looked for what is due.
const TICK: Duration = Duration::from_secs(1);
/// Commands that are looked at in one go.
const MOST: i64 = 20;

/// How often is looked for what is old.
const PURGE: Duration = Duration::from_secs(3600);

/// When what was done last, in milliseconds since 1970.
#[derive(Debug, Default)]
struct Last {
    tick: Option<i64>,
    purge: Option<i64>,
}

/// Works until the server stops.
pub(crate) async fn run(server: Arc<Server>) {
    let notices = tokio::spawn(notices(server.clone()));
    let mut last = Last::default();
    while !server.is_stopping() {
        if let Err(error) = work(&server, &mut last).await {
            // What failed stays due.
            tracing::error!(%error, "the work of the server failed; it is tried again");
        }
        let _ = tokio::time::timeout(TICK, server.woken()).await;
    }
    notices.abort();
}

async fn work(server: &Arc<Server>, last: &mut Last) -> Result<(), ApiError> {
    let now = server.clock.now().as_millisecond();
    let commands = server
        .store
        .read(|tx| targets::unresolved(tx, MOST))
        .await?;
    for id in commands {
        loop {
            let command = id.clone();
            if server
                .store
                .write(move |tx| targets::resolve(tx, &command, targets::CHUNK, now))
                .await?
            {
                break;
            }
        }
    }
    let commands = server.store.read(|tx| due::stalled(tx, MOST)).await?;
    for id in commands {
        loop {
            let command = id.clone();
            let more = server
                .store
                .write(move |tx| {
                    if dispatch::lock(tx, &command)? {
                        dispatch::advance(tx, &command, now)
                    } else {
                        Ok(false)
                    }
                })
                .await?;
            if !more {
                break;
            }
        }
    }
    if is_time(&mut last.tick, now, TICK) {
        if server.store.read(move |tx| due::is_due(tx, now)).await? {
            server
                .store
                .write(move |tx| due::expire(tx, MOST, now))
                .await?;
            server
                .store
                .write(move |tx| delivery::forget(tx, now))
                .await?;
        }
        if server
            .store
            .read(move |tx| parameters::due(tx, now))
            .await?
        {
            while server
                .store
                .write(move |tx| parameters::expire(tx, now))
                .await?
            {}
        }
    }
    if is_time(&mut last.purge, now, PURGE) {
        while server.store.write(move |tx| due::purge(tx, now)).await? {}
    }
    Ok(())
}

/// Whether this much time went by since the last time; then it is the last time.
fn is_time(last: &mut Option<i64>, now: i64, every: Duration) -> bool {
    let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
    let is_time = last.is_none_or(|last| now >= last.saturating_add(every));
    if is_time {
        *last = Some(now);
    }
    is_time
}

/// Wakes the polls of nodes that have messages, from whichever server they come.
async fn notices(server: Arc<Server>) {
    let mut notices = server.store.subscribe();
    loop {
        match notices.recv().await {
            Ok(notice) if notice.channel == delivery::CHANNEL => server.polls.wake(&notice.payload),
            // The empty channel says that some may be missing.
            Ok(notice) if notice.channel.is_empty() => server.polls.wake_all(),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => server.polls.wake_all(),
            Err(RecvError::Closed) => return,
        }
    }
}

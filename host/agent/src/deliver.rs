//! Delivering final replies: each until it got through, also after restarts of the agent and long outages.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::Notify;

use crate::api::Api;
use crate::backoff::{Backoff, pause};
use crate::error::AgentError;
use crate::records::Records;

/// Wakes the delivery: there is another reply.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    more: Notify,
    none: Notify,
}

/// How a round ended.
enum Round {
    /// Nothing is left.
    Done,
    /// The control plane cannot be reached.
    Outage,
    /// Some of them are refused.
    Refused,
}

impl Deliveries {
    pub(crate) fn wake(&self) {
        self.more.notify_one();
    }

    /// Returns when there is nothing left to deliver.
    pub(crate) async fn done(&self, records: &Records) {
        loop {
            let none = self.none.notified();
            tokio::pin!(none);
            none.as_mut().enable();
            if records.undelivered().is_ok_and(|left| left.is_empty()) {
                return;
            }
            none.await;
        }
    }

    /// Delivers until it is dropped. Replies older than `keep` are given up.
    pub(crate) async fn run(&self, api: &Api, records: &Records, keep: Duration) {
        let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
        let mut backoff = Backoff::default();
        loop {
            match self.round(api, records, keep).await {
                Ok(Round::Done) => {
                    backoff.reset();
                    self.none.notify_waiters();
                    self.more.notified().await;
                }
                Ok(Round::Outage) => pause(&*api.clock, backoff.next(&api.chance)).await,
                Ok(Round::Refused) => {
                    tokio::select! {
                        biased;
                        () = pause(&*api.clock, backoff.next(&api.chance)) => {}
                        () = self.more.notified() => {}
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "replies cannot be delivered");
                    pause(&*api.clock, backoff.next(&api.chance)).await;
                }
            }
        }
    }

    async fn round(
        &self,
        api: &Api,
        records: &Records,
        keep: SignedDuration,
    ) -> Result<Round, AgentError> {
        let mut refused = false;
        for command in records.undelivered()? {
            let reply = match records.reply(&command) {
                Ok(Some(reply)) => reply,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(command, %error, "a reply is lost");
                    records.delivered(&command)?;
                    continue;
                }
            };
            if api.clock.now().duration_since(reply.made) > keep {
                tracing::warn!(
                    command,
                    "a reply could not be delivered for too long and is given up"
                );
                records.delivered(&command)?;
                continue;
            }
            match api.reply(&reply.message_id, &reply.payload).await {
                Ok(()) => {
                    records.delivered(&command)?;
                    tracing::info!(
                        command,
                        status = reply.payload["documentStatus"].as_str(),
                        "the command is over"
                    );
                    // The message is withdrawn with the end of the command in any case.
                    if let Err(error) = api.delete(&reply.message_id).await {
                        tracing::debug!(command, %error, "a message could not be deleted");
                    }
                }
                Err(AgentError::Client(error)) if !error.is_transient() => {
                    tracing::warn!(command, %error, "a reply is refused");
                    refused = true;
                }
                Err(error) => {
                    tracing::debug!(command, %error, "a reply did not get through");
                    return Ok(Round::Outage);
                }
            }
        }
        Ok(if refused { Round::Refused } else { Round::Done })
    }
}

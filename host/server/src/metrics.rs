//! What Prometheus reads at `/metrics`.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Requests {
    operation: String,
    code: String,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOperation {
    operation: String,
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStatus {
    status: String,
}

/// The server's counters.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Requests, Counter>,
    durations: Family<OfOperation, Histogram>,
    invocations: Family<OfStatus, Counter>,
    /// Nodes that wait for a message at this moment.
    pub(crate) polling: Gauge,
    /// Connections that are open.
    pub(crate) connections: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("capstan");
        let requests = Family::<Requests, Counter>::default();
        registry.register(
            "requests",
            "Requests by operation and code (200 or the error's)",
            requests.clone(),
        );
        // From 100 us to about 3 s.
        let durations = Family::<OfOperation, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.0001, 2.0, 16))
        });
        registry.register(
            "request_duration_seconds",
            "How long requests took",
            durations.clone(),
        );
        let invocations = Family::<OfStatus, Counter>::default();
        registry.register(
            "invocations_finished",
            "Command invocations by the status that they ended with",
            invocations.clone(),
        );
        let polling = Gauge::default();
        registry.register(
            "nodes_polling",
            "Nodes that wait for messages now",
            polling.clone(),
        );
        let connections = Gauge::default();
        registry.register("connections", "Open connections", connections.clone());
        Self {
            registry,
            requests,
            durations,
            invocations,
            polling,
            connections,
        }
    }

    pub(crate) fn request(&self, operation: &str, code: &str, duration: Option<Duration>) {
        self.requests
            .get_or_create(&Requests {
                operation: operation.to_owned(),
                code: code.to_owned(),
            })
            .inc();
        if let Some(duration) = duration {
            self.durations
                .get_or_create(&OfOperation {
                    operation: operation.to_owned(),
                })
                .observe(duration.as_secs_f64());
        }
    }

    pub(crate) fn invocation(&self, status: &str) {
        self.invocations
            .get_or_create(&OfStatus {
                status: status.to_owned(),
            })
            .inc();
    }

    /// In the text format of OpenMetrics.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics cannot be written");
        }
        text
    }
}

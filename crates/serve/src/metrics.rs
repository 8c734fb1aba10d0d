//! Metrics for Prometheus.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

/// The type of the document.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Names and values of labels.
type Labels = Vec<(String, String)>;

/// What is counted.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Histogram,
    records: Counter,
    bad_records: Counter,
    batches: Counter,
    batch_texts: Histogram,
    dropped: Counter,
    queue: Gauge,
    models: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("trainyard");
        let all = &mut registry;
        // 0.1 ms to 52 s.
        let seconds = Histogram::new(exponential_buckets(1e-4, 2.0, 20));
        let texts = Histogram::new(exponential_buckets(1.0, 2.0, 12));
        let dropped = "Requests that were not scored because their clients had gone";
        Self {
            requests: add(all, "requests", "Requests, by route and status"),
            seconds: add_to(
                all,
                "request_seconds",
                "Seconds from request to answer",
                seconds,
            ),
            records: add(all, "records", "Records that were answered"),
            bad_records: add(all, "bad_records", "Records that were answered by an error"),
            batches: add(all, "batches", "Batches that the model scored"),
            batch_texts: add_to(all, "batch_texts", "Texts of a batch", texts),
            dropped: add(all, "dropped_requests", dropped),
            queue: add(all, "queue_requests", "Requests that wait for a thread"),
            models: add(all, "models", "Models in memory"),
            registry,
        }
    }

    /// Counts a request.
    pub(crate) fn request(&self, route: &str, status: u16, took: Duration) {
        let labels = vec![
            ("route".to_owned(), route.to_owned()),
            ("status".to_owned(), status.to_string()),
        ];
        self.requests.get_or_create(&labels).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts records, and those of them that are bad.
    pub(crate) fn records(&self, all: usize, bad: usize) {
        self.records.inc_by(all as u64);
        self.bad_records.inc_by(bad as u64);
    }

    /// Counts a batch.
    pub(crate) fn batch(&self, texts: usize) {
        self.batches.inc();
        self.batch_texts.observe(texts as f64);
    }

    /// Counts requests whose clients had gone.
    pub(crate) fn dropped(&self, requests: usize) {
        self.dropped.inc_by(requests as u64);
    }

    /// Sets the number of requests in the queue.
    pub(crate) fn set_queue(&self, requests: usize) {
        self.queue.set(gauge(requests));
    }

    /// Sets the number of models in memory.
    pub(crate) fn set_models(&self, models: usize) {
        self.models.set(gauge(models));
    }

    /// Returns the document.
    pub(crate) fn document(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Registers a metric; the result counts into it.
fn add_to<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    add_to(registry, name, help, M::default())
}

fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_has_all_metrics() {
        let metrics = Metrics::new();
        metrics.request("/ping", 200, Duration::from_millis(3));
        metrics.records(5, 1);
        metrics.batch(4);
        metrics.dropped(2);
        metrics.set_queue(7);
        metrics.set_models(1);
        let text = metrics.document();
        for line in [
            "trainyard_requests_total{route=\"/ping\",status=\"200\"} 1",
            "trainyard_request_seconds_count 1",
            "trainyard_records_total 5",
            "trainyard_bad_records_total 1",
            "trainyard_batches_total 1",
            "trainyard_batch_texts_count 1",
            "trainyard_dropped_requests_total 2",
            "trainyard_queue_requests 7",
            "trainyard_models 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
        }
    }
}

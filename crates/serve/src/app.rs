//! What all requests share.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::body::kibibytes;
use crate::classifier::Load;
use crate::config::{Config, MAX_BATCH_BYTES, MAX_BODY_BYTES};
use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::models::Models;
use crate::traces::Traces;

/// Bodies of the largest size that may be in memory at the same time.
const MAX_LARGE_BODIES: usize = 16;
/// Maximum bytes of scores and answers in memory: of a request, and of all at the same time.
pub(crate) const MAX_RESPONSE_BYTES: usize = 256 << 20;

/// The state of the server.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) engine: Arc<Engine>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) traces: Option<Traces>,
    pub(crate) models: Arc<Models>,
    /// KiB that bodies may take.
    pub(crate) memory: Arc<Semaphore>,
    /// KiB that scores and answers may take, until they are sent.
    pub(crate) answers: Arc<Semaphore>,
    /// Streamed requests at the same time.
    pub(crate) streams: Arc<Semaphore>,
    /// Explanations at the same time: they run outside of the worker pool.
    pub(crate) explanations: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(config: Config, load: Load, traces: Option<Traces>) -> Arc<Self> {
        let metrics = Arc::new(Metrics::new());
        let is_multi = config.model_dir.is_none();
        let models = Models::new(load, is_multi, config.model_bytes, Arc::clone(&metrics));
        let engine = Engine::new(config.threads, config.max_queue, Arc::clone(&metrics));
        let streams = config.batch.map_or(1, |batch| batch.max_concurrent);
        Arc::new(Self {
            engine,
            metrics,
            traces,
            models: Arc::new(models),
            memory: Arc::new(Semaphore::new(kibibytes(body_memory(&config)) as usize)),
            answers: Arc::new(Semaphore::new(kibibytes(MAX_RESPONSE_BYTES) as usize)),
            streams: Arc::new(Semaphore::new(streams)),
            explanations: Arc::new(Semaphore::new(1)),
            config,
        })
    }

    /// Returns the deadline of a request that arrives now.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.config.timeout
    }

    /// Maximum bytes of a body that is read as a whole.
    pub(crate) fn max_body(&self) -> usize {
        max_body(&self.config)
    }
}

fn max_body(config: &Config) -> usize {
    match config.batch {
        Some(batch) => batch.max_payload.unwrap_or(MAX_BATCH_BYTES),
        None => MAX_BODY_BYTES,
    }
}

/// Returns the bytes that bodies may take at the same time.
pub(crate) fn body_memory(config: &Config) -> usize {
    // SageMaker sends at most 100 MB at the same time in a batch transform job.
    match config.batch {
        Some(_) => max_body(config).max(MAX_BATCH_BYTES) + (1 << 20),
        None => max_body(config) * MAX_LARGE_BODIES,
    }
}

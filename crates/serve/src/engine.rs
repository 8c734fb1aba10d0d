//! The worker pool: threads that score the texts of all requests in batches.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use diagnostics::{Error, shortened};
use evaluation::metrics::Scores;
use serde_json::{Value, json};

use crate::classifier::{Classifier, Scorer};
use crate::log;
use crate::metrics::Metrics;
use crate::queue::{MIN_BATCH_BYTES, Part, Queue, Reply, Request, cost};

/// Duration of a batch: a text waits for one batch at least, if all threads are busy.
const BATCH_SECONDS: f64 = 0.05;
/// Bytes of a batch before the speed of the model is known.
const FIRST_BATCH_BYTES: usize = 16 * 1024;
/// Duration up to which a request is scored by the thread that has read it, if no other waits: less
/// than that is lost when a request changes threads twice.
const SHORT_SECONDS: f64 = 0.001;
/// Weight of the newest batch in the mean speed.
const SPEED_WEIGHT: f64 = 0.2;

/// The reason why a request has no scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// As many requests wait as may.
    QueueFull {
        /// Seconds after which there is probably room.
        retry_after: u64,
    },
    /// The deadline has passed, or will pass before there are scores.
    TooLate,
    /// The server stops.
    Stopping,
    /// The model returned an error or panicked.
    Broken(String),
}

/// A model that answers requests.
pub(crate) struct Served {
    pub(crate) classifier: Arc<dyn Classifier>,
    /// The labels as JSON.
    pub(crate) labels: Vec<String>,
    /// Working memory that no thread uses at the moment.
    scorers: Mutex<Vec<Scorer>>,
    /// Bytes per second of a thread, as the bits of an f64; 0 if unknown.
    speed: AtomicU64,
    /// Seconds of a batch of at most [`MIN_BATCH_BYTES`], as the bits of an f64; 0 if unknown. Each
    /// batch may take some time of its own: on a GPU, more than its texts.
    small_seconds: AtomicU64,
}

impl Served {
    pub(crate) fn new(classifier: Arc<dyn Classifier>) -> Arc<Self> {
        let classes = &classifier.info().classes;
        let labels = classes
            .iter()
            .map(|label| serde_json::json!(label).to_string());
        Arc::new(Self {
            labels: labels.collect(),
            classifier,
            scorers: Mutex::default(),
            speed: AtomicU64::new(0),
            small_seconds: AtomicU64::new(0),
        })
    }

    fn speed(&self) -> f64 {
        f64::from_bits(self.speed.load(Ordering::Relaxed))
    }

    /// Adds a batch to the means. Of two threads at the same time, one may be lost.
    pub(crate) fn measure(&self, bytes: usize, took: Duration) {
        let seconds = took.as_secs_f64().max(1e-6);
        add_to_mean(&self.speed, bytes as f64 / seconds);
        if bytes <= MIN_BATCH_BYTES {
            add_to_mean(&self.small_seconds, seconds);
        }
    }

    /// True if these bytes are scored within [`SHORT_SECONDS`]; false if that is unknown.
    fn is_short(&self, bytes: usize) -> bool {
        let small = f64::from_bits(self.small_seconds.load(Ordering::Relaxed));
        let seconds = self.seconds(bytes, 1).max(small);
        small > 0.0 && seconds <= SHORT_SECONDS
    }

    /// Maximum bytes of a batch: as many as take [`BATCH_SECONDS`].
    pub(crate) fn batch_bytes(&self) -> usize {
        let most = self.classifier.info().max_batch_bytes.max(MIN_BATCH_BYTES);
        let bytes = match self.speed() {
            0.0 => FIRST_BATCH_BYTES,
            speed => (speed * BATCH_SECONDS) as usize,
        };
        bytes.clamp(MIN_BATCH_BYTES, most)
    }

    /// Seconds that these bytes take on all threads; 0 if unknown.
    fn seconds(&self, bytes: usize, threads: usize) -> f64 {
        match self.speed() {
            0.0 => 0.0,
            speed => bytes as f64 / speed / threads as f64,
        }
    }

    fn scorers(&self) -> MutexGuard<'_, Vec<Scorer>> {
        self.scorers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Scores texts. A panic is an error; the working memory is then not used again.
    fn score(&self, texts: &[&str]) -> Result<Scores, String> {
        let idle = self.scorers().pop();
        let scored = catch_unwind(AssertUnwindSafe(|| {
            let mut scorer = idle.unwrap_or_else(|| Arc::clone(&self.classifier).scorer());
            scorer(texts).map(|scores| (scores, scorer))
        }));
        match scored {
            Ok(Ok((scores, scorer))) if scores.rows() == texts.len() => {
                self.scorers().push(scorer);
                Ok(scores)
            }
            Ok(Ok(_)) => Err("it returned another number of rows".to_owned()),
            Ok(Err(error)) => Err(error.into_parts().0),
            Err(_) => Err("it panicked".to_owned()),
        }
    }
}

/// Adds a value to a mean, which is the bits of an f64; 0 if there is none.
fn add_to_mean(mean: &AtomicU64, new: f64) {
    let next = match f64::from_bits(mean.load(Ordering::Relaxed)) {
        0.0 => new,
        old => old + SPEED_WEIGHT * (new - old),
    };
    mean.store(next.to_bits(), Ordering::Relaxed);
}

/// Members of the event of a model that failed.
fn failure_members(message: &str, texts: usize) -> Value {
    const MAX_CHARS: usize = 200;
    json!({ "message": shortened(message, MAX_CHARS), "texts": texts })
}

/// Reports that a model failed.
fn log_failure(message: &str, texts: usize) {
    log::event("model_failed", failure_members(message, texts));
}

struct State {
    queue: Queue,
    /// Number of threads without work.
    idle: usize,
    /// Number of batches and short requests that are being scored, at most `threads`.
    running: usize,
    is_closed: bool,
}

/// The queue and the threads that work on it.
pub(crate) struct Engine {
    state: Mutex<State>,
    ready: Condvar,
    threads: usize,
    max_queue: usize,
    metrics: Arc<Metrics>,
}

impl Engine {
    pub(crate) fn new(threads: usize, max_queue: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                queue: Queue::default(),
                idle: 0,
                running: 0,
                is_closed: false,
            }),
            ready: Condvar::new(),
            threads,
            max_queue,
            metrics,
        })
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// The system has too few threads.
    pub(crate) fn start(self: &Arc<Self>) -> Result<Vec<JoinHandle<()>>, Error> {
        let start = |number: usize| {
            let engine = Arc::clone(self);
            std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || engine.work())
                .map_err(|error| {
                    Error::new(format!("cannot start threads: {error}"))
                        .help("pass fewer --threads, or raise the limit that `ulimit -u` shows")
                })
        };
        (0..self.threads).map(start).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of threads.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Scores the texts of a short request on this thread; `None` if it must wait for its turn.
    ///
    /// # Errors
    /// The model failed.
    pub(crate) fn score_short(
        &self,
        model: &Served,
        texts: &[String],
    ) -> Option<Result<Scores, Failure>> {
        let bytes: usize = texts.iter().map(|text| cost(text)).sum();
        if !model.is_short(bytes) {
            return None;
        }
        {
            let mut state = self.state();
            let is_busy = state.running >= self.threads || state.queue.len() > 0;
            if state.is_closed || is_busy {
                return None;
            }
            state.running += 1;
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let scored = self.score_measured(model, &texts, bytes);
        self.end_short();
        if let Err(message) = &scored {
            log_failure(message, texts.len());
        }
        Some(scored.map_err(Failure::Broken))
    }

    /// Scores texts of this cost; measures and counts the batch.
    fn score_measured(
        &self,
        model: &Served,
        texts: &[&str],
        bytes: usize,
    ) -> Result<Scores, String> {
        let started = Instant::now();
        let scores = model.score(texts)?;
        model.measure(bytes, started.elapsed());
        self.metrics.batch(texts.len());
        Ok(scores)
    }

    /// Gives the place of a short request to a thread that waits for one.
    fn end_short(&self) {
        let mut state = self.state();
        state.running -= 1;
        let is_waiting = state.queue.len() > 0 && state.idle > 0;
        drop(state);
        if is_waiting {
            self.ready.notify_one();
        }
    }

    /// Puts a request into the queue. Without a deadline it is part of a streamed request, which
    /// limits the number of its parts itself.
    ///
    /// # Errors
    /// There is no room, too little time, or the server stops.
    pub(crate) fn submit(
        &self,
        model: &Arc<Served>,
        texts: Vec<String>,
        deadline: Option<Instant>,
    ) -> Result<Reply, Failure> {
        let (request, reply) = Request::new(Arc::clone(model), texts, deadline);
        let mut state = self.state();
        if state.is_closed {
            return Err(Failure::Stopping);
        }
        if let Some(deadline) = deadline {
            if state.queue.len() >= self.max_queue {
                let waiting = model.seconds(state.queue.bytes(), self.threads);
                let retry_after = waiting.ceil().clamp(1.0, 60.0) as u64;
                return Err(Failure::QueueFull { retry_after });
            }
            let own = request.cost_of_all();
            let before = state.queue.bytes_before(own, model.batch_bytes());
            let needed = model.seconds(before + own, self.threads);
            // If no other waits, the estimate must be wrong by half: the speed is measured again
            // only by requests that are admitted.
            let share = if state.queue.len() == 0 { 0.5 } else { 1.0 };
            let left = deadline.saturating_duration_since(Instant::now());
            if needed * share > left.as_secs_f64() {
                return Err(Failure::TooLate);
            }
        }
        state.queue.push(request);
        self.metrics.set_queue(state.queue.len());
        let is_idle = state.idle > 0;
        drop(state);
        if is_idle {
            self.ready.notify_one();
        }
        Ok(reply)
    }

    /// Ends the threads after their batches. Requests in the queue are refused.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state
            .queue
            .drain()
            .for_each(|request| request.fail(Failure::Stopping));
        drop(state);
        self.ready.notify_all();
    }

    fn work(&self) {
        while let Some(batch) = self.next() {
            self.score(&batch);
            self.state().running -= 1;
        }
    }

    /// Waits for a batch; `None` at the end.
    fn next(&self) -> Option<Vec<Part>> {
        let mut state = self.state();
        loop {
            let batch = match state.running < self.threads {
                true => state.queue.take(Instant::now(), self.threads),
                false => Vec::new(),
            };
            self.metrics.dropped(state.queue.take_dropped());
            self.metrics.set_queue(state.queue.len());
            if !batch.is_empty() {
                state.running += 1;
                let is_more = state.queue.len() > 0 && state.idle > 0;
                drop(state);
                if is_more {
                    self.ready.notify_one();
                }
                return Some(batch);
            }
            if state.is_closed {
                return None;
            }
            state.idle += 1;
            state = self
                .ready
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// Scores a batch. If that fails, scores each request by itself: none harms another.
    fn score(&self, batch: &[Part]) {
        let Some(first) = batch.first() else {
            return;
        };
        let model = &first.request.model;
        let texts: Vec<&str> = batch.iter().flat_map(Part::texts).collect();
        let bytes = batch.iter().map(Part::cost).sum();
        match self.score_measured(model, &texts, bytes) {
            Ok(scores) => {
                let mut row = 0;
                for part in batch {
                    part.finish(&scores, row);
                    row += part.len();
                }
            }
            Err(message) if batch.len() == 1 => {
                log_failure(&message, texts.len());
                first.request.fail(Failure::Broken(message));
            }
            Err(_) => batch.chunks(1).for_each(|alone| self.score(alone)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{failing_model, length_model, lengths};

    fn engine(threads: usize, max_queue: usize) -> Arc<Engine> {
        Engine::new(threads, max_queue, Arc::new(Metrics::new()))
    }

    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_secs(60))
    }

    fn texts(number: usize) -> Vec<String> {
        (0..number)
            .map(|at| "y".repeat(1 + at * 37 % 501))
            .collect()
    }

    #[test]
    fn every_request_has_its_own_scores() {
        let (engine, model) = (engine(2, 100), length_model());
        let threads = engine.start().unwrap();
        let sizes = [1, 3, 700, 2, 90, 1];
        let replies = sizes.map(|size| engine.submit(&model, texts(size), soon()).unwrap());
        for (size, reply) in sizes.into_iter().zip(replies) {
            let scores = reply.blocking_recv().unwrap().unwrap();
            let texts = texts(size);
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            assert_eq!(scores.decision, lengths(&texts).decision);
        }
        engine.close();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        let failure = engine.submit(&model, texts(1), soon()).err();
        assert_eq!(failure, Some(Failure::Stopping));
    }

    #[test]
    fn full_queue_is_refused() {
        // Without threads.
        let (engine, model) = (engine(1, 2), length_model());
        let replies = [1, 2].map(|_| engine.submit(&model, texts(1), soon()).unwrap());
        let failure = engine.submit(&model, texts(1), soon()).err();
        assert_eq!(failure, Some(Failure::QueueFull { retry_after: 1 }));
        drop(replies);
    }

    /// Without threads: only short requests are answered, and only if no other waits.
    #[test]
    fn short_requests_are_scored_at_once() {
        let (engine, model) = (engine(1, 10), length_model());
        let texts = texts(3);
        let is_scored = |model: &Served| engine.score_short(model, &texts).is_some();
        assert!(!is_scored(&model), "unknown speed");
        model.measure(1_000_000, Duration::from_secs(1));
        assert!(!is_scored(&model), "unknown time of a small batch");
        model.measure(100, Duration::from_micros(100));
        let scores = engine.score_short(&model, &texts).unwrap().unwrap();
        let all: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(scores.decision, lengths(&all).decision);
        let model = length_model();
        model.measure(100, Duration::from_micros(100));
        assert!(engine.score_short(&model, &["x".repeat(10_000)]).is_none());
        let _waiting = engine.submit(&model, texts.clone(), soon()).unwrap();
        assert!(engine.score_short(&model, &texts).is_none());
    }

    /// A GPU that scores 100 MB per second takes 5 ms for a small batch.
    #[test]
    fn small_request_is_not_short_if_each_batch_takes_long() {
        let (engine, model) = (engine(1, 10), length_model());
        model.measure(2_000_000, Duration::from_millis(20));
        model.measure(60, Duration::from_millis(5));
        model.measure(2_000_000, Duration::from_millis(20));
        let text = ["a text".to_owned()];
        assert!(engine.score_short(&model, &text).is_none());
    }

    #[test]
    fn no_more_texts_are_scored_at_a_time_than_there_are_threads() {
        let (engine, model, quick) = (engine(2, 10), length_model(), length_model());
        quick.measure(100, Duration::from_micros(100));
        let text = ["a text".to_owned()];
        engine.state().running = 2;
        assert!(engine.score_short(&quick, &text).is_none());
        let threads = engine.start().unwrap();
        let mut reply = engine.submit(&model, texts(1), soon()).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert!(reply.try_recv().is_err(), "a thread waits for its turn too");
        engine.end_short();
        assert!(reply.blocking_recv().unwrap().is_ok());
        engine.end_short();
        assert!(engine.score_short(&quick, &text).is_some());
        engine.close();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(engine.state().running, 0);
    }

    #[test]
    fn dropped_requests_are_counted() {
        let metrics = Arc::new(Metrics::new());
        let (engine, model) = (Engine::new(1, 10, Arc::clone(&metrics)), length_model());
        drop(engine.submit(&model, texts(1), soon()).unwrap());
        let reply = engine.submit(&model, texts(1), soon()).unwrap();
        let threads = engine.start().unwrap();
        assert!(reply.blocking_recv().unwrap().is_ok());
        let document = metrics.document();
        assert!(document.contains("\ntrainyard_dropped_requests_total 1\n"));
        engine.close();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn failure_in_the_log_is_short_and_one_line() {
        let members = failure_members(&format!("no\ndevice{}", "x".repeat(1000)), 7);
        let message = members["message"].as_str().unwrap();
        assert!(message.starts_with("no\\ndevicex"), "{message}");
        assert!(message.chars().count() < 210);
        assert_eq!(members["texts"], 7);
    }

    /// The speed is known: 1000 bytes per second.
    #[test]
    fn deadline_that_cannot_be_met_is_refused_before_the_work() {
        let (engine, model) = (engine(1, 10), length_model());
        model.measure(1000, Duration::from_secs(1));
        let long = || vec!["x".repeat(50_000)];
        let reply = engine.submit(&model, long(), soon());
        assert!(reply.is_ok(), "the first one may be slower or faster");
        let failure = engine.submit(&model, long(), soon()).err();
        assert_eq!(failure, Some(Failure::TooLate));
        let small = engine.submit(&model, texts(1), soon());
        assert!(small.is_ok(), "it waits for one batch of the long one");
        let very_long = vec!["x".repeat(200_000)];
        let idle = super::Engine::new(1, 10, Arc::new(Metrics::new()));
        let failure = idle.submit(&model, very_long, soon()).err();
        assert_eq!(failure, Some(Failure::TooLate), "although no other waits");
    }

    /// One of the texts makes the model panic, another one makes it fail.
    #[test]
    fn failing_request_does_not_harm_others() {
        let (engine, model) = (engine(1, 10), failing_model());
        let wanted = ["good", "panic", "fine", "error"];
        let replies = wanted.map(|text| {
            engine
                .submit(&model, vec![text.to_owned()], soon())
                .unwrap()
        });
        let threads = engine.start().unwrap();
        let answers = replies.map(|reply| reply.blocking_recv().unwrap());
        let broken = |message: &str| Failure::Broken(message.to_owned());
        assert_eq!(answers[0].as_ref().unwrap().decision, [-4.0, 4.0]);
        assert_eq!(answers[1].as_ref().unwrap_err(), &broken("it panicked"));
        assert_eq!(answers[2].as_ref().unwrap().decision, [-4.0, 4.0]);
        assert_eq!(answers[3].as_ref().unwrap_err(), &broken("no device"));
        engine.close();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}

//! Requests that wait for a thread, and the batches that are formed of them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use evaluation::metrics::Scores;
use tokio::sync::oneshot;

use crate::engine::{Failure, Served};

/// Cost of a text besides its bytes.
const TEXT_BYTES: usize = 16;
/// Least bytes of a batch, if there are as many: less is not worth another thread.
pub(crate) const MIN_BATCH_BYTES: usize = 4096;

/// Returns the cost of a text.
pub(crate) fn cost(text: &str) -> usize {
    text.len() + TEXT_BYTES
}

/// The texts of a request, and its answer as far as it is known.
pub(crate) struct Request {
    pub(crate) model: Arc<Served>,
    texts: Vec<String>,
    /// Rows, the shortest first: texts of similar length are scored together.
    order: Vec<u32>,
    /// Moment from which nobody waits for the answer; `None` for a part of a streamed request.
    deadline: Option<Instant>,
    answer: Mutex<Answer>,
}

struct Answer {
    scores: Scores,
    /// Number of rows without scores.
    missing: usize,
    /// `None` after the answer was sent.
    reply: Option<oneshot::Sender<Result<Scores, Failure>>>,
}

/// Whether the client of a request waits for its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Interest {
    Waits,
    /// It has gone before the deadline.
    Dropped,
    /// The deadline has passed, or the request has been answered.
    Late,
}

/// The receiver of an answer.
pub(crate) type Reply = oneshot::Receiver<Result<Scores, Failure>>;

impl Request {
    pub(crate) fn new(
        model: Arc<Served>,
        texts: Vec<String>,
        deadline: Option<Instant>,
    ) -> (Arc<Self>, Reply) {
        let mut order: Vec<u32> = (0..).take(texts.len()).collect();
        order.sort_by_key(|row| texts[*row as usize].len());
        let (sender, reply) = oneshot::channel();
        let answer = Mutex::new(Answer {
            scores: Scores::default(),
            missing: texts.len(),
            reply: Some(sender),
        });
        let request = Self {
            model,
            texts,
            order,
            deadline,
            answer,
        };
        (Arc::new(request), reply)
    }

    fn answer(&self) -> MutexGuard<'_, Answer> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self, at: usize) -> &str {
        &self.texts[self.order[at] as usize]
    }

    fn cost(&self, at: usize) -> usize {
        cost(self.text(at))
    }

    /// Cost of all texts.
    pub(crate) fn cost_of_all(&self) -> usize {
        self.texts.iter().map(|text| cost(text)).sum()
    }

    /// Returns whether the client waits. A request after its deadline is answered.
    fn interest(&self, now: Instant) -> Interest {
        let mut answer = self.answer();
        let is_late = self.deadline.is_some_and(|deadline| deadline <= now);
        match &answer.reply {
            Some(reply) if is_late && !reply.is_closed() => {
                answer.send(Err(Failure::TooLate));
                Interest::Late
            }
            Some(reply) if !reply.is_closed() => Interest::Waits,
            Some(_) if !is_late => Interest::Dropped,
            _ => Interest::Late,
        }
    }

    /// Ends the request with an error.
    pub(crate) fn fail(&self, failure: Failure) {
        self.answer().send(Err(failure));
    }
}

impl Answer {
    fn send(&mut self, answer: Result<Scores, Failure>) {
        if let Some(reply) = self.reply.take() {
            // The client may have gone.
            let _ = reply.send(answer);
        }
    }
}

/// Some texts of a request.
pub(crate) struct Part {
    pub(crate) request: Arc<Request>,
    /// In the order of their lengths.
    rows: Range<usize>,
}

impl Part {
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.rows.clone().map(|at| self.request.text(at))
    }

    pub(crate) fn cost(&self) -> usize {
        self.rows.clone().map(|at| self.request.cost(at)).sum()
    }

    /// Number of texts.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds the scores of the texts, which begin at the row `first` of `scores`. Sends the answer
    /// if they were the last.
    pub(crate) fn finish(&self, scores: &Scores, first: usize) {
        let mut answer = self.request.answer();
        let (width, rows) = (scores.classes, self.request.texts.len());
        let all = &mut answer.scores;
        if all.classes == 0 {
            all.classes = width;
            all.decision = vec![0.0; rows * width];
            let is_calibrated = scores.probability.is_some();
            all.probability = is_calibrated.then(|| vec![0.0; rows * width]);
        }
        for (from, at) in (first..).zip(self.rows.clone()) {
            let (from, to) = (from * width, self.request.order[at] as usize * width);
            all.decision[to..to + width].copy_from_slice(&scores.decision[from..from + width]);
            if let (Some(all), Some(some)) = (&mut all.probability, &scores.probability) {
                all[to..to + width].copy_from_slice(&some[from..from + width]);
            }
        }
        answer.missing -= self.rows.len();
        if answer.missing == 0 {
            let scores = std::mem::take(&mut answer.scores);
            answer.send(Ok(scores));
        }
    }
}

struct Waiting {
    request: Arc<Request>,
    /// Number of texts that were taken.
    next: usize,
    /// Cost of the others.
    left: usize,
}

/// Requests in the order in which they get a turn.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Waiting>,
    /// Number of requests that were removed because their clients had gone.
    dropped: usize,
}

impl Queue {
    /// Number of requests.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Cost of the texts that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.waiting.iter().map(|waiting| waiting.left).sum()
    }

    /// Number of requests that were removed because their clients had gone, since the last call.
    pub(crate) fn take_dropped(&mut self) -> usize {
        std::mem::take(&mut self.dropped)
    }

    /// Returns the cost of the texts that are scored before a new request of this cost has its
    /// answer: each request gets a turn per batch of the new one.
    pub(crate) fn bytes_before(&self, cost: usize, batch: usize) -> usize {
        let turns = cost.div_ceil(batch.max(1)).max(1).saturating_mul(batch);
        let waiting = self.waiting.iter();
        waiting.map(|waiting| waiting.left.min(turns)).sum()
    }

    pub(crate) fn push(&mut self, request: Arc<Request>) {
        self.waiting.push_back(Waiting {
            left: request.cost_of_all(),
            next: 0,
            request,
        });
    }

    /// Removes and returns all requests.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Arc<Request>> {
        std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|waiting| waiting.request)
    }

    /// Takes the texts that a thread scores next: those of the first request, and of other requests
    /// for the same model as long as the batch, with all texts as long as its longest, is small
    /// enough. A request that is not finished by this goes to the end of the queue: a large one
    /// delays the others by one batch.
    pub(crate) fn take(&mut self, now: Instant, threads: usize) -> Vec<Part> {
        self.remove_unwanted(now);
        let Some(first) = self.waiting.front() else {
            return Vec::new();
        };
        let first = Arc::clone(&first.request);
        let model = Arc::clone(&first.model);
        let share = self.bytes().div_ceil(threads.max(1)).max(MIN_BATCH_BYTES);
        let limit = model.batch_bytes().min(share);
        let mut parts = Vec::new();
        let (mut rows, mut longest, mut index) = (0usize, 0usize, 0usize);
        while rows * longest < limit && index < self.waiting.len() {
            let waiting = &mut self.waiting[index];
            let start = waiting.next;
            if Arc::ptr_eq(&waiting.request.model, &model) {
                while waiting.next < waiting.request.order.len() {
                    let cost = waiting.request.cost(waiting.next);
                    let padded = (rows + 1) * longest.max(cost);
                    if rows > 0 && padded > limit {
                        break;
                    }
                    (rows, longest) = (rows + 1, longest.max(cost));
                    waiting.next += 1;
                    waiting.left -= cost;
                }
            }
            let taken = start..waiting.next;
            let is_finished = taken.end == waiting.request.order.len();
            if !taken.is_empty() {
                parts.push(Part {
                    request: Arc::clone(&waiting.request),
                    rows: taken,
                });
            }
            if is_finished {
                self.waiting.remove(index);
            } else {
                index += 1;
            }
        }
        let is_first = |waiting: &Waiting| Arc::ptr_eq(&waiting.request, &first);
        if self.waiting.front().is_some_and(is_first) {
            self.waiting.rotate_left(1);
        }
        parts
    }

    /// Removes requests whose clients have gone or whose deadline has passed.
    fn remove_unwanted(&mut self, now: Instant) {
        let dropped = &mut self.dropped;
        self.waiting.retain(|waiting| {
            let interest = waiting.request.interest(now);
            *dropped += usize::from(interest == Interest::Dropped);
            interest == Interest::Waits
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{length_model, lengths};

    fn request(model: &Arc<Served>, lengths: &[usize]) -> (Arc<Request>, Reply) {
        let texts = lengths.iter().map(|length| "x".repeat(*length)).collect();
        Request::new(Arc::clone(model), texts, None)
    }

    fn taken(parts: &[Part]) -> Vec<Vec<usize>> {
        let of_part = |part: &Part| part.texts().map(str::len).collect();
        parts.iter().map(of_part).collect()
    }

    /// A batch is limited by the number of its texts times its longest.
    #[test]
    fn batches_have_texts_of_similar_length() {
        let model = length_model();
        let mut queue = Queue::default();
        let mut replies = Vec::new();
        for lengths in [&[10][..], &[3000], &[5000, 20, 30]] {
            let (request, reply) = request(&model, lengths);
            queue.push(request);
            replies.push(reply);
        }
        let now = Instant::now();
        assert_eq!(
            taken(&queue.take(now, 100)),
            [vec![10], vec![20, 30]],
            "not the long ones: each would be padded to them"
        );
        assert_eq!(taken(&queue.take(now, 100)), [vec![3000]]);
        assert_eq!(taken(&queue.take(now, 100)), [vec![5000]]);
        assert!(queue.take(now, 100).is_empty() && queue.bytes() == 0);
    }

    #[test]
    fn large_request_delays_small_one_by_one_batch() {
        let model = length_model();
        let mut queue = Queue::default();
        let (large, _large) = request(&model, &[1000; 100]);
        let (small, _small) = request(&model, &[50]);
        queue.push(large);
        let now = Instant::now();
        let first = queue.take(now, 1000);
        assert!(taken(&first)[0].len() < 10);
        queue.push(small);
        // The second batch of the large request, then the small request before the third.
        queue.take(now, 1000);
        assert_eq!(taken(&queue.take(now, 1000))[0], [50]);
    }

    #[test]
    fn answers_are_in_the_order_of_the_texts() {
        let model = length_model();
        let mut queue = Queue::default();
        let (request, mut reply) = request(&model, &[3000, 1, 2000, 2]);
        queue.push(request);
        loop {
            let parts = queue.take(Instant::now(), 1000);
            if parts.is_empty() {
                break;
            }
            for part in &parts {
                let texts: Vec<&str> = part.texts().collect();
                part.finish(&lengths(&texts), 0);
            }
        }
        let scores = reply.try_recv().unwrap().unwrap();
        assert_eq!(
            scores.decision,
            [-3000.0, 3000.0, -1.0, 1.0, -2000.0, 2000.0, -2.0, 2.0]
        );
    }

    #[test]
    fn dropped_and_late_requests_are_not_scored() {
        let model = length_model();
        let mut queue = Queue::default();
        let (dropped, reply) = request(&model, &[5]);
        drop(reply);
        queue.push(dropped);
        let now = Instant::now();
        let (late, mut reply) = Request::new(Arc::clone(&model), vec!["x".to_owned()], Some(now));
        queue.push(late);
        assert!(queue.take(now + Duration::from_millis(1), 1).is_empty());
        assert_eq!(queue.bytes(), 0);
        assert_eq!(queue.take_dropped(), 1, "the late one is not counted");
        let failure = reply.try_recv().unwrap().unwrap_err();
        assert_eq!(failure, Failure::TooLate);
    }
}

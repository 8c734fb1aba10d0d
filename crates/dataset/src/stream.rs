//! Runs the blocks of a channel through the threads, and hands the results on in the order of the files.

use super::block::Block;
use super::block_reader::BlockReader;
use super::codes;
use super::columns;
use super::decode::{Batch, BlockCounts, Decoder, Seen};
use super::findings::Findings;
use super::{BadData, Labels, ReadError, ReadOptions, RowCounts, Source, StreamError};
use diagnostics::Diagnostic;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What is left when all rows went through.
#[derive(Debug)]
pub struct Streamed<S> {
    /// Where each row went.
    pub counts: RowCounts,
    /// Warnings.
    pub findings: Findings,
    /// The states of the threads.
    pub states: Vec<S>,
}

/// Reads all rows in blocks. `map` works on each block, on several threads; `sink` gets its results one after another in
/// the order of the files. Memory stays bounded. Rows with errors are left out, and make an error in the end; by then
/// `sink` has had all others.
///
/// `stop` is looked at before each block.
///
/// # Errors
/// When the data has errors that the options do not allow, when `stop` was set, or when `sink` fails.
pub fn stream<S: Send, O: Send, E: Send>(
    sources: &[Source],
    options: &ReadOptions,
    labels: Labels,
    stop: &AtomicBool,
    state: impl Fn() -> S + Sync,
    map: impl Fn(&mut S, &Batch<'_>) -> O + Sync,
    sink: impl FnMut(O) -> Result<(), E> + Send,
) -> Result<Streamed<S>, StreamError<E>> {
    let ended = run(
        ReadTask {
            sources,
            options,
            labels,
            stop,
            limit: 1,
        },
        state,
        map,
        sink,
        |_| {},
    )?;
    if ended.findings.has_errors() {
        let bad = BadData {
            findings: ended.findings,
            counts: ended.counts,
        };
        return Err(ReadError::Data(Box::new(bad)).into());
    }
    Ok(ended)
}

/// What is to be read, and how.
#[derive(Clone, Copy)]
pub(super) struct ReadTask<'a> {
    pub(super) sources: &'a [Source],
    pub(super) options: &'a ReadOptions,
    pub(super) labels: Labels,
    pub(super) stop: &'a AtomicBool,
    /// How many findings of each kind are kept whole.
    pub(super) limit: usize,
}

/// As [`stream`], but errors in the data are left to the caller; `notice` sees each finding that is kept, in order.
pub(super) fn run<S: Send, O: Send, E: Send>(
    task: ReadTask<'_>,
    state: impl Fn() -> S + Sync,
    map: impl Fn(&mut S, &Batch<'_>) -> O + Sync,
    sink: impl FnMut(O) -> Result<(), E> + Send,
    mut notice: impl FnMut(&Diagnostic) + Send,
) -> Result<Streamed<S>, StreamError<E>> {
    /// Offsets in a block have 32 bits; a block may be twice as large as the largest record.
    const MAX_RECORD_BYTES: usize = 1 << 30;
    let options = &ReadOptions {
        max_record_bytes: task.options.max_record_bytes.min(MAX_RECORD_BYTES),
        ..task.options.clone()
    };
    if task.labels != Labels::Ignored && options.text_column == options.label_column {
        let findings = columns::same(&options.text_column, task.limit);
        findings.iter().for_each(|finding| notice(&finding));
        return Ok(Streamed {
            counts: RowCounts::default(),
            findings,
            states: vec![state()],
        });
    }
    let threads = options.threads.get().min(MAX_THREADS);
    let feed = Mutex::new(BlockReader::new(task.sources, options, task.labels));
    let merged = Merged {
        counts: RowCounts::default(),
        findings: Findings::new(task.limit),
        seen: BTreeMap::new(),
    };
    let order = Order {
        inner: Mutex::new(Inner {
            next: 0,
            waiting: BTreeMap::new(),
            sink,
            notice,
            merged,
            failed: None,
        }),
        turn: Condvar::new(),
        halt: AtomicBool::new(false),
        // So far may a thread run ahead before it has to wait.
        ahead: 4 * threads as u64,
    };
    let work = || {
        let _guard = HaltOnPanic(&order);
        let mut state = state();
        let mut decoder = Decoder::default();
        let mut block = Block {
            findings: Findings::new(task.limit),
            ..Block::default()
        };
        while !order.halt.load(Ordering::Relaxed) && !task.stop.load(Ordering::Relaxed) {
            let Some(number) = lock(&feed).next(&mut block) else {
                break;
            };
            let (batch, counts) = decoder.decode(&mut block, task.sources, options, task.labels);
            let output = map(&mut state, &batch);
            if !order.hand_in(number, counts, output) {
                break;
            }
        }
        // A thread that waits for this one's block must not wait for ever when this one was stopped.
        if task.stop.load(Ordering::Relaxed) {
            order.wake(true);
        }
        state
    };
    let states = std::thread::scope(|scope| {
        // Where the system gives no more threads, those that there are do the work: the calling one at least.
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).map_while(spawn).collect();
        let mut states = vec![work()];
        for other in others {
            match other.join() {
                Ok(state) => states.push(state),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        states
    });
    let inner = order
        .inner
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = inner.failed {
        return Err(StreamError::Sink(error));
    }
    if task.stop.load(Ordering::Relaxed) {
        return Err(ReadError::Stopped.into());
    }
    let files = feed
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .files;
    let mut merged = inner.merged;
    merged.counts.files = files;
    merged.finish(task);
    Ok(Streamed {
        counts: merged.counts,
        findings: merged.findings,
        states,
    })
}

/// One thread alone takes the files apart: far fewer than these keep up with it, and each holds a block.
const MAX_THREADS: usize = 256;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere ends all threads anyway, and is passed on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Order<O, E, F, N> {
    inner: Mutex<Inner<O, E, F, N>>,
    turn: Condvar,
    halt: AtomicBool,
    ahead: u64,
}

struct Inner<O, E, F, N> {
    /// The block whose turn it is.
    next: u64,
    /// Results that came before their turn.
    waiting: BTreeMap<u64, (BlockCounts, O)>,
    sink: F,
    notice: N,
    merged: Merged,
    failed: Option<E>,
}

impl<O, E, F: FnMut(O) -> Result<(), E>, N: FnMut(&Diagnostic)> Order<O, E, F, N> {
    /// Hands on what is in turn; false when all is over.
    fn hand_in(&self, number: u64, counts: BlockCounts, output: O) -> bool {
        let mut inner = lock(&self.inner);
        while number > inner.next + self.ahead && !self.halt.load(Ordering::Relaxed) {
            inner = self
                .turn
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
        // Set under the lock: a thread that stood waiting for it must not call a sink that has failed.
        if self.halt.load(Ordering::Relaxed) {
            return false;
        }
        inner.waiting.insert(number, (counts, output));
        let mut moved = false;
        while let Some((counts, output)) = {
            let next = inner.next;
            inner.waiting.remove(&next)
        } {
            inner.next += 1;
            moved = true;
            let Inner {
                merged,
                notice,
                sink,
                failed,
                ..
            } = &mut *inner;
            merged.add(counts).iter().for_each(notice);
            if let Err(error) = sink(output) {
                *failed = Some(error);
                self.halt.store(true, Ordering::Relaxed);
                drop(inner);
                self.wake(false);
                return false;
            }
        }
        drop(inner);
        if moved {
            self.wake(false);
        }
        !self.halt.load(Ordering::Relaxed)
    }
}

impl<O, E, F, N> Order<O, E, F, N> {
    fn wake(&self, halt: bool) {
        if halt {
            // Under the lock, so that no thread goes to sleep between its look at the flag and this.
            let _inner = lock(&self.inner);
            self.halt.store(true, Ordering::Relaxed);
        }
        self.turn.notify_all();
    }
}

/// Ends the other threads when one panics.
struct HaltOnPanic<'a, O, E, F, N>(&'a Order<O, E, F, N>);

impl<O, E, F, N> Drop for HaltOnPanic<'_, O, E, F, N> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.wake(true);
        }
    }
}

/// The reasons for which rows are dropped, as they stand in the counts.
const NO_TEXT: &str = "missing text";
const NO_LABEL: &str = "missing label";
const MALFORMED: &str = "malformed";

struct Merged {
    counts: RowCounts,
    findings: Findings,
    seen: BTreeMap<u32, Seen>,
}

impl Merged {
    fn add(&mut self, counts: BlockCounts) -> Vec<Diagnostic> {
        self.counts.read += counts.read;
        self.counts.used += counts.used;
        let dropped = [
            (NO_TEXT, counts.no_text),
            (NO_LABEL, counts.no_label),
            (MALFORMED, counts.malformed),
        ];
        for (reason, rows) in dropped.into_iter().filter(|(_, rows)| *rows > 0) {
            *self.counts.dropped.entry(reason).or_default() += rows;
        }
        if let Some(seen) = counts.seen {
            let all = self.seen.entry(seen.source).or_default();
            all.text |= seen.text;
            all.label |= seen.label;
            all.keys.extend(seen.keys);
        }
        self.findings.merge(counts.findings)
    }

    /// What can be said only when all is read.
    fn finish(&mut self, task: ReadTask<'_>) {
        for (source, seen) in &self.seen {
            let mut absent = Vec::new();
            if !seen.text {
                absent.push(("--text-column", task.options.text_column.as_str()));
            }
            if !seen.label && task.labels == Labels::Required {
                absent.push(("--label-column", task.options.label_column.as_str()));
            }
            let place = task.sources.get(*source as usize).map(Source::place);
            columns::missing(
                &absent,
                &seen.keys,
                place,
                "the first object has",
                &mut self.findings,
            );
        }
        if self.counts.used == 0 && !self.findings.has_errors() {
            let read = self.counts.read;
            let message = match read {
                0 => format!("there are no rows in any of `{}` files", task.sources.len()),
                _ => format!("no row is left: all `{read}` were dropped"),
            };
            let place = task.sources.first().map(Source::place);
            let help =
                "give data that has rows with text, and labels where they are needed".to_owned();
            self.findings.error(&codes::NO_ROWS, message, place, help);
        }
    }
}

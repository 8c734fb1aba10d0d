//! Processes the blocks of a channel on several threads, and delivers results in file order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use diagnostics::{Diagnostic, Severity, quoted_for_shell, sanitize};

use crate::block::Block;
use crate::block_reader::BlockReader;
use crate::codes;
use crate::columns;
use crate::decode::{Batch, BlockCounts, Decoder, JsonKeys};
use crate::findings::{Finding, Findings};
use crate::{BadData, Labels, ReadError, ReadOptions, RowCounts, Source, StreamError};

/// Result of reading all rows.
#[derive(Debug)]
pub struct Streamed<S> {
    /// Row counts.
    pub counts: RowCounts,
    /// Warnings.
    pub findings: Findings,
    /// Final states of the threads.
    pub states: Vec<S>,
}

/// Reads all rows in blocks. `map` processes each block, on several threads; `sink` gets the
/// results one by one in file order. Memory is bounded, except that results of a JSON lines file are
/// kept until an object has the text column. Rows with errors are skipped and make the call fail at
/// the end, after `sink` got all other rows.
///
/// `stop` is checked before each block.
///
/// # Errors
/// If the data has errors that the options do not allow, if `stop` was set, or if `sink` fails.
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

/// Sources and options of a run.
#[derive(Clone, Copy)]
pub(super) struct ReadTask<'a> {
    pub(super) sources: &'a [Source],
    pub(super) options: &'a ReadOptions,
    pub(super) labels: Labels,
    pub(super) stop: &'a AtomicBool,
    /// Number of findings of each kind to store.
    pub(super) limit: usize,
}

/// Returns the column that is both a text and a label column, if there is one.
fn text_as_label(options: &ReadOptions) -> Option<&String> {
    let more = options.multi_label.iter();
    let more = more.flat_map(|multi| &multi.other_columns);
    let mut labels = std::iter::once(&options.label_column).chain(more);
    let is_text = |label: &&String| {
        options.text_column == **label || options.other_text_columns.contains(label)
    };
    labels.find(is_text)
}

/// Like [`stream`], but errors in the data are left to the caller. Calls `notice` with each stored
/// finding, in order.
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
        multi_label: match task.labels {
            Labels::Ignored => None,
            Labels::Required | Labels::Optional => task.options.multi_label.clone(),
        },
        ..task.options.clone()
    };
    let shared = text_as_label(options).filter(|_| task.labels != Labels::Ignored);
    if let Some(name) = shared {
        let findings = columns::same_column(name, task.limit);
        findings.iter().for_each(|finding| notice(&finding));
        return Ok(Streamed {
            counts: RowCounts::default(),
            findings,
            states: vec![state()],
        });
    }
    let threads = options.threads.get().min(MAX_THREADS);
    let reader = Mutex::new(BlockReader::new(task.sources, options, task.labels));
    let order = Order::new(sink, notice, task.limit, threads);
    let work = || {
        let _guard = HaltOnPanic(&order);
        let mut state = state();
        let mut decoder = Decoder::default();
        let mut block = Block {
            findings: Findings::new(task.limit),
            ..Block::default()
        };
        while !order.halt.load(Ordering::Relaxed) && !task.stop.load(Ordering::Relaxed) {
            let Some(number) = lock(&reader).next(&mut block) else {
                break;
            };
            let (batch, counts) = decoder.decode(&mut block, task.sources, options, task.labels);
            let output = map(&mut state, &batch);
            if !order.deliver(number, counts, output) {
                break;
            }
        }
        // Wake threads that wait for a block of this one.
        if task.stop.load(Ordering::Relaxed) {
            order.wake(true);
        }
        state
    };
    let states = run_threads(threads, work);
    let mut inner = order
        .inner
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = inner.failed {
        return Err(StreamError::Sink(error));
    }
    if task.stop.load(Ordering::Relaxed) {
        return Err(ReadError::Stopped.into());
    }
    let files = reader
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .files;
    let mut merged = inner.merged;
    merged.counts.files = files;
    merged.finish(task).iter().for_each(&mut inner.notice);
    Ok(Streamed {
        counts: merged.counts,
        findings: merged.findings,
        states,
    })
}

/// Runs `work` on up to `threads` threads, including the calling one; propagates panics.
fn run_threads<S: Send>(threads: usize, work: impl Fn() -> S + Copy + Send) -> Vec<S> {
    std::thread::scope(|scope| {
        // If no more threads can be started, use the existing ones: at least the calling one.
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
    })
}

/// Only one thread at a time splits the files, so far fewer threads suffice; each holds a block.
const MAX_THREADS: usize = 256;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in another thread ends all threads and is propagated.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Delivers results in order.
struct Order<O, E, F, N> {
    inner: Mutex<Inner<O, E, F, N>>,
    turn: Condvar,
    halt: AtomicBool,
    /// Maximum number of blocks that a thread may be ahead.
    ahead: u64,
}

struct Inner<O, E, F, N> {
    /// Number of the next block to deliver.
    next: u64,
    /// Results that are not yet due.
    waiting: BTreeMap<u64, (BlockCounts, O)>,
    sink: F,
    notice: N,
    merged: Merged,
    /// Results of a file in which no object has had the text column so far, and its number: if none
    /// ever has it, they are results of texts that do not exist.
    held: Vec<(Option<u32>, O)>,
    failed: Option<E>,
}

impl<O, E, F: FnMut(O) -> Result<(), E>, N: FnMut(&Diagnostic)> Order<O, E, F, N> {
    fn new(sink: F, notice: N, limit: usize, threads: usize) -> Self {
        let merged = Merged {
            counts: RowCounts::default(),
            findings: Findings::new(limit),
            seen: BTreeMap::new(),
            held: Findings::new(limit),
            source: None,
        };
        Self {
            inner: Mutex::new(Inner {
                next: 0,
                waiting: BTreeMap::new(),
                sink,
                notice,
                merged,
                held: Vec::new(),
                failed: None,
            }),
            turn: Condvar::new(),
            halt: AtomicBool::new(false),
            ahead: 4 * threads as u64,
        }
    }

    /// Delivers all results that are due. Returns false if processing has ended.
    fn deliver(&self, number: u64, counts: BlockCounts, output: O) -> bool {
        let mut inner = lock(&self.inner);
        while number > inner.next + self.ahead && !self.halt.load(Ordering::Relaxed) {
            inner = self
                .turn
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
        // `halt` is set under the lock: a thread that waited for it must not call a failed sink.
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
                held,
                failed,
                ..
            } = &mut *inner;
            let source = counts.seen.as_ref().map(|seen| seen.source);
            merged.add(counts).iter().for_each(notice);
            held.push((source, output));
            if source.is_some_and(|source| merged.lacks_text(source)) {
                continue;
            }
            let all = std::mem::take(held).into_iter();
            let (due, later): (Vec<_>, Vec<_>) = all.partition(|(of, _)| *of == source);
            *held = later;
            if let Err(error) = due.into_iter().try_for_each(|(_, output)| sink(output)) {
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
            // Under the lock, so that no thread starts waiting between its check and this.
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

/// Reasons for dropped rows, as in [`RowCounts::dropped`].
const MISSING_TEXT: &str = "missing text";
const MISSING_LABEL: &str = "missing label";
const MALFORMED: &str = "malformed";
const HEADER: &str = "repeated header";

struct Merged {
    counts: RowCounts,
    findings: Findings,
    seen: BTreeMap<u32, JsonKeys>,
    /// Findings about missing values of a column that no object of `source` has had so far: if none
    /// ever has it, only the missing column is reported.
    held: Findings,
    /// The last file of JSON lines.
    source: Option<u32>,
}

impl Merged {
    /// True if no object of a file has had the text column so far.
    fn lacks_text(&self, source: u32) -> bool {
        self.seen.get(&source).is_some_and(|seen| !seen.text)
    }

    fn add(&mut self, mut counts: BlockCounts) -> Vec<Diagnostic> {
        self.counts.read += counts.read;
        self.counts.used += counts.used;
        let dropped = [
            (MISSING_TEXT, counts.no_text),
            (MISSING_LABEL, counts.no_label),
            (MALFORMED, counts.malformed),
            (HEADER, counts.header),
        ];
        for (reason, rows) in dropped.into_iter().filter(|(_, rows)| *rows > 0) {
            *self.counts.dropped.entry(reason).or_default() += rows;
        }
        if let Some(seen) = counts.seen {
            let all = self.seen.entry(seen.source).or_default();
            all.text |= seen.text;
            all.label |= seen.label;
            all.class_names += seen.class_names;
            all.other_labels += seen.other_labels;
            all.first_other = all.first_other.take().or(seen.first_other);
            all.kept.resize(seen.kept.len(), false);
            for (all, seen) in all.kept.iter_mut().zip(seen.kept) {
                *all |= seen;
            }
            all.keys.extend(seen.keys);
            if self.source.replace(seen.source) != Some(seen.source) {
                self.held = Findings::new(self.held.limit());
            }
            for (is_seen, code) in [(all.text, &codes::NO_TEXT), (all.label, &codes::NO_LABEL)] {
                let mut found = self.held.take(code);
                found.merge(counts.findings.take(code));
                match is_seen {
                    true => counts.findings.merge(found),
                    false => self.held.merge(found),
                };
            }
        }
        self.findings.merge(counts.findings)
    }

    /// Adds findings that need all rows; returns those that are stored.
    fn finish(&mut self, task: ReadTask<'_>) -> Vec<Diagnostic> {
        let mut findings = Findings::new(task.limit);
        for (source, seen) in &self.seen {
            let mut absent = Vec::new();
            if !seen.text {
                absent.push(("--text-column", task.options.text_column.as_str()));
            }
            if !seen.label && task.labels == Labels::Required {
                absent.push(("--label-column", task.options.label_column.as_str()));
            }
            let kept = columns::kept_columns(task.options).zip(&seen.kept);
            let unseen = kept.filter(|(_, seen)| !**seen);
            absent.extend(unseen.map(|(column, _)| column));
            let place = task.sources.get(*source as usize).map(Source::place);
            columns::report_missing(
                &absent,
                &seen.keys,
                task.options,
                place,
                &columns::NamedIn::FirstObject,
                &mut findings,
            );
            report_class_names(*source, seen, task, &mut findings);
        }
        if self.counts.used == 0 {
            self.findings.drop_no_rows();
        }
        if self.counts.used == 0 && !self.findings.has_errors() && !findings.has_errors() {
            let read = self.counts.read;
            let message = match read {
                0 => format!("none of the `{}` files has rows", task.sources.len()),
                _ => format!("no rows are left: all `{read}` were dropped"),
            };
            let place = task.sources.first().map(Source::place);
            let help = "pass data with texts, and with labels where required".to_owned();
            findings.error(&codes::NO_ROWS, message, place, help);
        }
        self.findings.merge(findings)
    }
}

/// Reports that labels are the class names of an augmented manifest; an error if only some are.
fn report_class_names(source: u32, seen: &JsonKeys, task: ReadTask<'_>, findings: &mut Findings) {
    if seen.class_names == 0 {
        return;
    }
    let label = &task.options.label_column;
    let is_map = task.options.multi_label.is_some();
    let key = match is_map {
        true => columns::class_map_key(label),
        false => columns::class_name_key(label),
    };
    let mut place = task.sources.get(source as usize).map(Source::place);
    let (severity, message, help) = match seen.other_labels {
        0 => (
            Severity::Warning,
            format!("the labels are the class names in `{}`", sanitize(&key)),
            match is_map {
                true => "if the numbers are meant, rename the file to end in .jsonl".to_owned(),
                false => format!("pass --label-column {} to confirm", quoted_for_shell(&key)),
            },
        ),
        others => {
            place.clone_from(&seen.first_other);
            let rows = match others {
                1 => "`1` row with a label has".to_owned(),
                _ => format!("`{others}` rows with a label have"),
            };
            (
                Severity::Error,
                format!("{rows} no class name in `{}`", sanitize(&key)),
                "write the class names of these rows, or remove those of the others".to_owned(),
            )
        }
    };
    findings.add(&codes::CLASS_NAMES, severity, || Finding {
        message,
        place,
        help,
    });
}

//! Reports all problems of a data set.

use std::sync::atomic::AtomicBool;

use serde::Serialize;

use diagnostics::Diagnostic;

use crate::audit;
use crate::read::{Encode, Rows, read_all};
use crate::stream::ReadTask;
use crate::{Findings, Labels, ReadError, ReadOptions, RowCounts, Source};

/// Result of [`check`].
#[derive(Clone, Debug, Serialize)]
pub struct CheckSummary {
    /// Row counts; rows with errors count as dropped.
    pub rows: RowCounts,
    /// Row counts of the test data, if any.
    pub test_rows: Option<RowCounts>,
    /// Labels and their numbers of rows, most frequent first.
    pub labels: Vec<(String, u64)>,
    /// All findings, counted.
    #[serde(skip)]
    pub findings: Findings,
}

/// Discards the texts.
struct Discard;

impl Encode for Discard {
    fn encode(&mut self, _: &str) {}
}

/// Reads all rows and reports problems; does not stop at errors. Calls `each` with at most `limit`
/// findings of each kind and data set, as they occur; the summary counts all. Reports texts of
/// `test` that are also in `sources`.
///
/// # Errors
/// If `stop` was set. Bad data is not an error here.
pub fn check(
    sources: &[Source],
    test: &[Source],
    options: &ReadOptions,
    limit: usize,
    stop: &AtomicBool,
    each: &mut (dyn FnMut(&Diagnostic) + Send),
) -> Result<CheckSummary, ReadError> {
    // Rows that `train` can drop are reported too.
    let options = &ReadOptions {
        drop_missing: false,
        drop_malformed: false,
        ..options.clone()
    };
    let mut all = Findings::new(limit);
    let rows = check_channel(sources, options, limit, stop, each, &mut all)?;
    if let Some(error) = audit::one_label(&rows.label_names, rows.counts.used, sources) {
        let mut findings = Findings::new(limit);
        findings.error(
            &super::codes::ONE_CLASS,
            error.message,
            error.place,
            error.help,
        );
        all.merge(findings).iter().for_each(&mut *each);
    }
    let mut counts: Vec<(String, u64)> = rows
        .label_names
        .iter()
        .map(|name| (name.clone(), 0))
        .collect();
    for label in &rows.labels {
        counts[*label as usize].1 += 1;
    }
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut test_counts = None;
    if !test.is_empty() {
        let test_rows = check_channel(test, options, limit, stop, each, &mut all)?;
        let mut findings = Findings::new(limit);
        audit::leaked(
            (&rows.texts(), sources),
            (&test_rows.texts(), test),
            &mut findings,
        );
        all.merge(findings).iter().for_each(&mut *each);
        test_counts = Some(test_rows.counts);
    }
    Ok(CheckSummary {
        rows: rows.counts,
        test_rows: test_counts,
        labels: counts,
        findings: all,
    })
}

fn check_channel(
    sources: &[Source],
    options: &ReadOptions,
    limit: usize,
    stop: &AtomicBool,
    each: &mut (dyn FnMut(&Diagnostic) + Send),
    all: &mut Findings,
) -> Result<Rows<Discard>, ReadError> {
    let task = ReadTask {
        sources,
        options,
        labels: Labels::Required,
        stop,
        limit,
    };
    let mut rows = read_all(task, || Discard, &mut *each)?;
    let mut findings = Findings::new(limit);
    audit::labels(&rows.label_names, &mut findings);
    audit::duplicates(&rows.texts(), sources, &mut findings);
    // Findings about rows were reported while reading.
    all.merge(std::mem::take(&mut rows.findings));
    all.merge(findings).iter().for_each(&mut *each);
    Ok(rows)
}

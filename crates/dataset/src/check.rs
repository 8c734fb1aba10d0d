//! Reports all problems of a data set.

use std::sync::atomic::AtomicBool;

use serde::Serialize;

use diagnostics::Diagnostic;

use crate::read::{Encode, Rows, read_all, unusable_labels};
use crate::stream::ReadTask;
use crate::{Findings, Labels, ReadError, ReadOptions, RowCounts, Source, audit, codes};

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

/// Reads all rows and reports problems; does not stop at errors. Rows that the options drop are
/// warnings. Calls `each` with at most `limit`
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
    let options = &ReadOptions {
        near_duplicates: !test.is_empty(),
        ..options.clone()
    };
    let mut all = Findings::new(limit);
    let rows = check_channel(sources, options, limit, stop, each, &mut all)?;
    if let Some(error) = unusable_labels(&rows, sources, options) {
        let mut findings = Findings::new(limit);
        let code = match rows.label_names.len() {
            1 => &codes::ONE_CLASS,
            _ => &codes::OWN_LABELS,
        };
        findings.error(code, error.message, error.place, error.help);
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
            "test",
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
    audit::missing_labels(&rows.texts(), sources, &mut findings);
    audit::duplicates(&rows.texts(), sources, &mut findings);
    // Findings about rows were reported while reading.
    all.merge(std::mem::take(&mut rows.findings));
    all.merge(findings).iter().for_each(&mut *each);
    Ok(rows)
}

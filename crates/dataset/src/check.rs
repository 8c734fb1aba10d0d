//! Reports all problems of a data set.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use diagnostics::{Diagnostic, Severity};

use crate::audit::{self, Occurrence};
use crate::codes::Code;
use crate::corpus::unknown_label;
use crate::findings::Finding;
use crate::label_sets;
use crate::near::{self, NearTexts};
use crate::read::{Encode, Merge, merged};
use crate::stream::ReadTask;
use crate::{Findings, Labels, ReadError, ReadOptions, RowCounts, RowPlace, Source, codes};

/// Result of [`check`].
#[derive(Clone, Debug, Serialize)]
pub struct CheckSummary {
    /// Row counts; rows with errors count as dropped.
    pub rows: RowCounts,
    /// Row counts of the test data, if any.
    pub test_rows: Option<RowCounts>,
    /// Labels and their numbers of rows, most frequent first.
    pub labels: Vec<(String, u64)>,
    /// Rows without labels, if rows may have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_without_labels: Option<u64>,
    /// All findings, counted.
    #[serde(skip)]
    pub findings: Findings,
}

/// Discards the texts.
struct Discard;

impl Encode for Discard {
    fn encode(&mut self, _: &str) {}
}

/// Rows of a channel. Memory grows with the number of different texts, not with that of rows.
struct Checked {
    counts: RowCounts,
    /// Names of the labels by number.
    names: Vec<String>,
    /// Classes and their numbers of rows.
    labels: Vec<(String, u64)>,
    /// Rows without labels, if rows may have several.
    without_labels: Option<u64>,
    /// First row of each text: its label and place, by the text's hash.
    first: HashMap<u64, (u32, RowPlace)>,
    /// Place of the first row of each hash of letters; empty unless requested.
    near: HashMap<u64, RowPlace>,
}

impl Checked {
    /// Returns the error that the data has a single class, or about one per row, if so.
    fn unusable_labels(
        &self,
        sources: &[Source],
        options: &ReadOptions,
    ) -> Option<(&'static Code, Diagnostic)> {
        let names: Vec<String> = self.labels.iter().map(|(name, _)| name.clone()).collect();
        if options.multi_label.is_some() {
            let error = audit::few_labels(&names, sources)?;
            return Some((&codes::ONE_CLASS, error));
        }
        let (rows, texts) = (self.counts.used, || self.first.len());
        if let Some(error) = audit::one_label(&names, rows, sources) {
            return Some((&codes::ONE_CLASS, error));
        }
        let error = audit::own_labels(&names, rows as usize, texts, sources, options)?;
        Some((&codes::OWN_LABELS, error))
    }

    /// Reports the rows of `merge`, of the test data, whose text is equal or almost equal to one of
    /// this channel. Calls `other` with the indices of the other rows.
    fn leaked(
        &self,
        sources: &[Source],
        (merge, test): (&Merge, &[Source]),
        findings: &mut Findings,
        mut other: impl FnMut(usize),
    ) {
        for (row, (hash, here)) in merge.hashes.iter().zip(&merge.places).enumerate() {
            let equal = self.first.get(hash).map(|(_, there)| there);
            let near = || self.near.get(merge.near_hashes.get(row)?);
            if let Some(there) = equal.or_else(near) {
                let (there, here) = ((*there, sources), (*here, test));
                audit::leaked_row(equal.is_some(), there, here, "test", findings);
            } else {
                other(row);
            }
        }
    }

    /// Returns the findings about the labels of the training data as a whole.
    fn label_findings(&self, sources: &[Source], options: &ReadOptions, limit: usize) -> Findings {
        let mut findings = Findings::new(limit);
        if let Some((code, error)) = self.unusable_labels(sources, options) {
            findings.error(code, error.message, error.place, error.help);
        } else {
            let labels = self.labels.iter().map(|(name, rows)| (name, *rows));
            audit::single_rows(labels, &mut findings);
        }
        findings
    }
}

/// Reads all rows and reports problems; does not stop at errors. Rows that the options drop are
/// warnings. Calls `each` with at most `limit` findings of each kind and data set, as they occur;
/// the summary counts all. Reports texts of `test` that are also in `sources`, or almost equal;
/// with [`ReadOptions::sketches`] also texts that share most of their words.
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
        sketches: options.sketches && near::can_reread(sources) && near::can_reread(test),
        ..options.clone()
    };
    let mut all = Findings::new(limit);
    let mut texts = NearTexts::default();
    let mut add = |merge: &Merge| texts.add(merge.sketched());
    let mut checked = check_channel(sources, options, limit, stop, each, &mut all, &mut add)?;
    // Only training rows have weights.
    let options = &ReadOptions {
        weight_column: None,
        ..options.clone()
    };
    let mut findings = checked.label_findings(sources, options, limit);
    let pairs = near::verified(texts.take_pairs(), (sources, None), options, stop)?;
    let label = |number: u32| checked.names[number as usize].as_str();
    audit::near_duplicates(&pairs, label, sources, &mut findings);
    all.merge(findings).iter().for_each(&mut *each);
    let labels = &mut checked.labels;
    labels.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut test_rows = None;
    if !test.is_empty() {
        let mut findings = Findings::new(limit);
        let mut pairs = Vec::new();
        let mut leaked = |merge: &Merge| {
            let other = |row: usize| pairs.extend(texts.pairs_of(merge.sketched(), row));
            checked.leaked(sources, (merge, test), &mut findings, other);
        };
        let rows = check_channel(test, options, limit, stop, each, &mut all, &mut leaked)?;
        let pairs = near::verified(pairs, (sources, Some(test)), options, stop)?;
        audit::near_leaks(&pairs, (sources, test), "test", &mut findings);
        unknown_labels(&checked.labels, &rows.labels, options, &mut findings);
        all.merge(findings).iter().for_each(&mut *each);
        test_rows = Some(rows.counts);
    }
    Ok(CheckSummary {
        rows: checked.counts,
        test_rows,
        labels: checked.labels,
        rows_without_labels: checked.without_labels,
        findings: all,
    })
}

/// Reports the labels of the test data that the training data does not have.
fn unknown_labels(
    train: &[(String, u64)],
    test: &[(String, u64)],
    options: &ReadOptions,
    findings: &mut Findings,
) {
    let classes: Vec<String> = train.iter().map(|(name, _)| name.clone()).collect();
    let known: HashSet<&String> = classes.iter().collect();
    // Without any label, the training data has errors of its own.
    let unknown = |(label, _): &&(String, u64)| !known.is_empty() && !known.contains(label);
    for (label, rows) in test.iter().filter(unknown) {
        findings.add(&codes::UNKNOWN_LABEL, Severity::Error, || {
            let error = unknown_label("test", (label, *rows), &classes, options);
            Finding {
                message: error.message,
                place: None,
                help: error.help,
            }
        });
    }
}

/// Reports the problems of a channel; calls `visit` with the rows of each block.
fn check_channel(
    sources: &[Source],
    options: &ReadOptions,
    limit: usize,
    stop: &AtomicBool,
    each: &mut (dyn FnMut(&Diagnostic) + Send),
    all: &mut Findings,
    visit: &mut (dyn FnMut(&Merge) + Send),
) -> Result<Checked, ReadError> {
    let task = ReadTask {
        sources,
        options,
        labels: Labels::Required,
        stop,
        limit,
    };
    let mut findings = Findings::new(limit);
    let (mut first, mut near) = (HashMap::new(), HashMap::new());
    let mut label_rows: Vec<u64> = Vec::new();
    // Of each label, the word for a missing value.
    let mut missing: Vec<Option<String>> = Vec::new();
    let taken = |merge: &mut Merge| {
        label_rows.resize(merge.names.len(), 0);
        let new = merge.names[missing.len()..].iter();
        missing.extend(new.map(|name| label_sets::missing_value(name, options)));
        for ((hash, label), place) in merge.hashes.iter().zip(&merge.labels).zip(&merge.places) {
            label_rows[*label as usize] += 1;
            if let Some(label) = &missing[*label as usize] {
                audit::missing_label(label, options, *place, sources, &mut findings);
            }
            let (other, there) = *first.entry(*hash).or_insert((*label, *place));
            if there != *place {
                let row = |label: u32, place| Occurrence {
                    label: &merge.names[label as usize],
                    place,
                };
                let (row, first) = (row(*label, *place), row(other, there));
                audit::repeated(&row, &first, sources, &mut findings);
            }
        }
        for (hash, place) in merge.near_hashes.iter().zip(&merge.places) {
            near.entry(*hash).or_insert(*place);
        }
        visit(merge);
        merge.clear_rows();
    };
    let (merge, streamed) = merged(task, || Discard, &mut *each, taken)?;
    let counts: Vec<(String, u64)> = merge.names.iter().cloned().zip(label_rows).collect();
    let is_empty = |name: &str| label_sets::labels_of(name).is_empty();
    let empty = || counts.iter().filter(|(name, _)| is_empty(name));
    let without_labels = options.multi_label.as_ref();
    let without_labels: Option<u64> = without_labels.map(|_| empty().map(|(_, rows)| rows).sum());
    let labels = label_sets::by_class(counts, options);
    let classes = label_sets::class_names(&merge.names, options);
    audit::labels(&classes, &mut findings);
    audit::several_labels(&classes, options, &mut findings);
    // Findings about rows were reported while reading.
    all.merge(streamed.findings);
    all.merge(findings).iter().for_each(&mut *each);
    Ok(Checked {
        counts: streamed.counts,
        names: merge.names,
        labels,
        without_labels,
        first,
        near,
    })
}

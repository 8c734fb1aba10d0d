//! Findings about a data set as a whole.

use std::collections::{BTreeMap, HashMap};

use diagnostics::{Diagnostic, Severity, sanitize};

use crate::codes;
use crate::findings::{Finding, Findings};
use crate::{RowPlace, Source};

/// Columns of the rows that are needed to find equal texts; one entry per row.
pub(super) struct Texts<'a> {
    pub(super) hashes: &'a [u64],
    pub(super) labels: &'a [u32],
    pub(super) names: &'a [String],
    pub(super) places: &'a [RowPlace],
}

impl Texts<'_> {
    /// Returns (text hash, row number), sorted.
    fn sorted(&self) -> Vec<(u64, u32)> {
        let mut sorted: Vec<(u64, u32)> = self.hashes.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        sorted
    }
}

/// Finds texts that occur more than once; each is compared with its first occurrence.
pub(super) fn duplicates(texts: &Texts<'_>, sources: &[Source], findings: &mut Findings) {
    let mut pairs = Vec::new();
    for group in texts.sorted().chunk_by(|a, b| a.0 == b.0) {
        let first = group[0].1;
        pairs.extend(group[1..].iter().map(|(_, row)| (*row, first)));
    }
    // File order, so that the first finding of each kind is the first in the file.
    pairs.sort_unstable();
    for (row, first) in pairs
        .into_iter()
        .map(|(row, first)| (row as usize, first as usize))
    {
        let of = |row: usize| Occurrence {
            label: &texts.names[texts.labels[row] as usize],
            place: texts.places[row],
        };
        repeated(&of(row), &of(first), sources, findings);
    }
}

/// A row with a text that occurs more than once.
pub(super) struct Occurrence<'a> {
    pub(super) label: &'a str,
    pub(super) place: RowPlace,
}

/// Reports a row with the text of an earlier row, `first`.
pub(super) fn repeated(
    row: &Occurrence<'_>,
    first: &Occurrence<'_>,
    sources: &[Source],
    findings: &mut Findings,
) {
    let same = row.label == first.label;
    let code = match same {
        true => &codes::DUPLICATE,
        false => &codes::CONFLICT,
    };
    findings.add(code, Severity::Warning, || {
        let place = Some(row.place.place(sources));
        let there = first.place.place(sources);
        if same {
            let message = format!("the same text with the same label is at `{there}`");
            return Finding {
                message,
                place,
                help: "remove {them}, unless these are independent observations".to_owned(),
            };
        }
        let message = format!(
            "the text has the label `{}` here but `{}` at `{there}`",
            sanitize(row.label),
            sanitize(first.label)
        );
        Finding {
            message,
            place,
            help: "decide which label is right".to_owned(),
        }
    });
}

/// Finds labels that differ only in case or whitespace.
pub(super) fn labels(names: &[String], findings: &mut Findings) {
    let mut alike: BTreeMap<String, &str> = BTreeMap::new();
    for name in names {
        let plain = name
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .to_lowercase();
        let first = *alike.entry(plain).or_insert(name);
        if first != name {
            findings.add(&codes::SIMILAR_LABELS, Severity::Warning, || Finding {
                message: format!(
                    "the labels `{}` and `{}` differ only in case or whitespace and are treated as different",
                    sanitize(first),
                    sanitize(name)
                ),
                place: None,
                help: "use one spelling if they mean the same label".to_owned(),
            });
        }
    }
}

/// Returns an error if all rows have the same label.
pub(super) fn one_label(names: &[String], rows: u64, sources: &[Source]) -> Option<Diagnostic> {
    let [name] = names else { return None };
    let rows = if rows == 1 {
        "the only row has".to_owned()
    } else {
        format!("all `{rows}` rows have")
    };
    Some(Diagnostic {
        severity: Severity::Error,
        code: codes::ONE_CLASS.id,
        message: format!(
            "{rows} the label `{}`, expected at least two labels",
            sanitize(name)
        ),
        place: sources.first().map(Source::place),
        help: "add rows with other labels, or pass another column with --label-column".to_owned(),
    })
}

/// Finds test rows whose text is also in the training data.
pub(super) fn leaked(
    (train, train_sources): (&Texts<'_>, &[Source]),
    (test, test_sources): (&Texts<'_>, &[Source]),
    findings: &mut Findings,
) {
    let mut first: HashMap<u64, usize> = HashMap::with_capacity(train.hashes.len());
    for (row, hash) in train.hashes.iter().enumerate() {
        first.entry(*hash).or_insert(row);
    }
    for (row, hash) in test.hashes.iter().enumerate() {
        let Some(there) = first.get(hash) else {
            continue;
        };
        let (there, here) = (train.places[*there], test.places[row]);
        leaked_row((there, train_sources), (here, test_sources), findings);
    }
}

/// Reports a test row, `here`, whose text is also in the training data.
pub(super) fn leaked_row(
    (there, train_sources): (RowPlace, &[Source]),
    (here, test_sources): (RowPlace, &[Source]),
    findings: &mut Findings,
) {
    findings.add(&codes::LEAK, Severity::Warning, || Finding {
        message: format!(
            "the text is also in the training data at `{}`",
            there.place(train_sources)
        ),
        place: Some(here.place(test_sources)),
        help: "remove {them} from one of the two data sets; otherwise the score is too high"
            .to_owned(),
    });
}

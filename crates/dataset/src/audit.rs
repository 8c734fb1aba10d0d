//! Findings about a data set as a whole.

use super::codes;
use super::findings::{Finding, Findings};
use super::{RowPlace, Source};
use diagnostics::{Diagnostic, Severity, sanitize};
use std::collections::{BTreeMap, HashMap};

/// What is needed of the rows to find the same text again.
pub(super) struct Texts<'a> {
    pub(super) hashes: &'a [u64],
    pub(super) labels: &'a [u32],
    pub(super) names: &'a [String],
    pub(super) places: &'a [RowPlace],
}

impl Texts<'_> {
    /// Row numbers, sorted by text, then by row.
    fn sorted(&self) -> Vec<(u64, u32)> {
        let mut sorted: Vec<(u64, u32)> = self.hashes.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        sorted
    }
}

/// Texts that stand more than once, compared with where they stand first.
pub(super) fn duplicates(texts: &Texts<'_>, sources: &[Source], findings: &mut Findings) {
    let mut pairs = Vec::new();
    for group in texts.sorted().chunk_by(|a, b| a.0 == b.0) {
        let first = group[0].1;
        pairs.extend(group[1..].iter().map(|(_, row)| (*row, first)));
    }
    // The order of the file, so that the first of each kind is the first that a reader meets.
    pairs.sort_unstable();
    for (row, first) in pairs
        .into_iter()
        .map(|(row, first)| (row as usize, first as usize))
    {
        let (label, other) = (texts.labels[row], texts.labels[first]);
        let code = if label == other {
            &codes::DUPLICATE
        } else {
            &codes::CONFLICT
        };
        findings.add(code, Severity::Warning, || {
            let place = Some(texts.places[row].place(sources));
            let there = texts.places[first].place(sources);
            if label == other {
                let message = format!("the text and its label stand at `{there}` too");
                return Finding {
                    message,
                    place,
                    help: "remove {them}, unless each is a case of its own".to_owned(),
                };
            }
            let (label, other) = (&texts.names[label as usize], &texts.names[other as usize]);
            let message = format!(
                "the text has the label `{}` here, and `{}` at `{there}`",
                sanitize(label),
                sanitize(other)
            );
            Finding {
                message,
                place,
                help: "decide which label is right".to_owned(),
            }
        });
    }
}

/// Labels that are likely the same one, written in two ways.
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
            findings.add(&codes::LIKE_LABELS, Severity::Warning, || Finding {
                message: format!(
                    "the labels `{}` and `{}` differ only in case or blanks, and count as two",
                    sanitize(first),
                    sanitize(name)
                ),
                place: None,
                help: "use one spelling, if one label is meant".to_owned(),
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
            "{rows} the label `{}`, two labels at least were expected",
            sanitize(name)
        ),
        place: sources.first().map(Source::place),
        help: "add rows with other labels, or name another column with --label-column".to_owned(),
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
        findings.add(&codes::LEAK, Severity::Warning, || Finding {
            message: format!(
                "the text stands in the training data too, at `{}`",
                train.places[*there].place(train_sources)
            ),
            place: Some(test.places[row].place(test_sources)),
            help: "remove {them} from one of the two: the score is too good otherwise".to_owned(),
        });
    }
}

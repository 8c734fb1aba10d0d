//! Findings about a data set as a whole.

use std::collections::{BTreeMap, HashMap, HashSet};

use diagnostics::{Diagnostic, Severity, quoted_for_shell, sanitize, short_label};

use crate::codes;
use crate::columns::listed;
use crate::findings::{Finding, Findings};
use crate::near::{Pair, SHINGLE_WORDS};
use crate::{ReadOptions, RowPlace, Source};

/// Columns of the rows that are needed to find equal texts; one entry per row.
pub(super) struct Texts<'a> {
    pub(super) hashes: &'a [u64],
    /// Hashes of the letters; empty unless requested.
    pub(super) near_hashes: &'a [u64],
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
            short_label(row.label),
            short_label(first.label)
        );
        Finding {
            message,
            place,
            help: "decide which label is right".to_owned(),
        }
    });
}

/// Pairs of similar labels in a message.
const MAX_PAIRS: usize = 5;

/// Finds labels that differ only in case, whitespace or number format.
pub(super) fn labels(names: &[String], findings: &mut Findings) {
    let mut alike: BTreeMap<String, &str> = BTreeMap::new();
    let mut pairs = Vec::new();
    for name in names {
        let first = *alike.entry(plain_label(name)).or_insert(name);
        if first != name {
            pairs.push(format!(
                "{} and {}",
                listed([first]),
                listed([name.as_str()])
            ));
        }
    }
    // If only the first finding is kept, it names several pairs.
    if findings.limit() > 1 {
        for pair in &pairs {
            findings.add(&codes::SIMILAR_LABELS, Severity::Warning, || similar(pair));
        }
        return;
    }
    let count = pairs.len() as u64;
    findings.add_many(&codes::SIMILAR_LABELS, Severity::Warning, count, || {
        let more = pairs.len().saturating_sub(MAX_PAIRS);
        pairs.truncate(MAX_PAIRS);
        if more > 0 {
            pairs.push(diagnostics::counted(more as u64, "more pair"));
        }
        similar(&pairs.join(", "))
    });
}

/// Returns the finding about pairs of similar labels.
fn similar(pairs: &str) -> Finding {
    Finding {
        message: format!(
            "labels that differ only in case, whitespace or number format are treated as \
             different: {pairs}"
        ),
        place: None,
        help: "use one spelling if they mean the same label".to_owned(),
    }
}

/// Finds labels that look like several: lists as text, or labels that are joined.
pub(super) fn several_labels(names: &[String], options: &ReadOptions, findings: &mut Findings) {
    let between = |name: &str, [open, close]: [char; 2]| {
        let inner = name.trim().strip_prefix(open);
        let inner = inner.and_then(|inner| inner.strip_suffix(close));
        inner.is_some_and(|inner| inner.starts_with(['\'', '"']))
    };
    let known: HashSet<&str> = names.iter().map(String::as_str).collect();
    let separator = |name: &str| separator_in(name, |part| known.contains(part));
    let is_several = |name: &&String| match &options.multi_label {
        None => between(name, ['[', ']']),
        Some(multi) if !multi.is_list() => false,
        Some(_) => {
            between(name, ['(', ')']) || between(name, ['{', '}']) || separator(name).is_some()
        }
    };
    let found: Vec<&String> = names.iter().filter(is_several).collect();
    let count = found.len() as u64;
    findings.add_many(&codes::SEVERAL_LABELS, Severity::Warning, count, || {
        let separator = found.iter().find_map(|name| separator(name));
        let help = match (&options.multi_label, separator) {
            (None, _) => "pass --multi-label if rows may have several labels".to_owned(),
            (_, Some(separator)) => {
                format!("pass --label-separator '{separator}' if they are joined with it")
            }
            (_, None) => "write lists, such as ['a', 'b'], if they are several labels".to_owned(),
        };
        Finding {
            message: format!(
                "labels that look like several are one label each: {}",
                diagnostics::listed(found, MAX_PAIRS)
            ),
            place: None,
            help,
        }
    });
}

/// True for characters that are not seen: control characters, joiners, marks of direction, fillers,
/// selectors of emoji, tags. Most are `Default_Ignorable_Code_Point` of Unicode 17.
fn is_invisible(char: char) -> bool {
    char.is_control() && !char.is_whitespace()
        || matches!(
            char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
                | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// True if nothing of a text is seen.
pub(super) fn is_blank(text: &str) -> bool {
    let is_unseen = |char: char| char.is_whitespace() || is_invisible(char);
    text.chars().all(is_unseen)
}

/// Returns the ASCII character of a fullwidth one, others unchanged.
fn halfwidth(char: char) -> char {
    match char {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(char) - 0xfee0).unwrap_or(char),
        _ => char,
    }
}

/// Returns what spellings of one label have in common: lower case, single blanks, visible
/// characters, and numbers without exponent, sign of zero, leading zeros and zeros at the end of a
/// fraction.
fn plain_label(name: &str) -> String {
    let seen = name.chars().filter(|char| !is_invisible(*char));
    let seen: String = seen.map(halfwidth).collect();
    let words: Vec<&str> = seen.split_whitespace().collect();
    let mut plain = words.join(" ").to_lowercase();
    let is_number = |byte: u8| byte.is_ascii_digit() || b".e+-".contains(&byte);
    if plain.contains('e') && plain.bytes().all(is_number) {
        let number = plain
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite());
        plain = number.map_or(plain, |number| number.to_string());
    }
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if digits.is_empty() || digits == "." || !is_number(whole) || !is_number(fraction) {
        return plain;
    }
    match (
        whole.trim_start_matches('0'),
        fraction.trim_end_matches('0'),
    ) {
        ("", "") => "0".to_owned(),
        (whole, "") => format!("{sign}{whole}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    }
}

/// Returns the label in `names` that differs from `label` only in case, whitespace or number
/// format.
pub fn similar_label<'a>(label: &str, names: &'a [String]) -> Option<&'a str> {
    let plain = plain_label(label);
    let mut names = names.iter().map(String::as_str);
    names.find(|name| plain_label(name) == plain)
}

/// Characters that often stand between the labels in a field.
const SEPARATORS: [char; 3] = ['|', ';', ','];

/// Returns the character at which `label` is several known labels, if there is one.
pub fn separator_in(label: &str, is_known: impl Fn(&str) -> bool) -> Option<char> {
    let is_joined = |separator: &char| {
        let mut parts = label.split(*separator).map(str::trim);
        label.contains(*separator) && parts.all(&is_known)
    };
    SEPARATORS.into_iter().find(is_joined)
}

/// The words that `pandas.read_csv` reads as a missing value (pandas 3.1, `na_values`).
const MISSING_VALUES: [&str; 18] = [
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// True for a word for a missing value.
pub(super) fn is_missing_value(label: &str) -> bool {
    MISSING_VALUES.contains(&label.trim())
}

/// Reports a label that is a word for a missing value, which is a class like any other.
pub(super) fn missing_label(
    label: &str,
    options: &ReadOptions,
    place: RowPlace,
    sources: &[Source],
    findings: &mut Findings,
) {
    findings.add(&codes::MISSING_LABEL, Severity::Warning, || Finding {
        message: format!(
            "the label `{}` is a word for a missing value, but is used as a class",
            sanitize(label)
        ),
        place: Some(place.place(sources)),
        help: match options.multi_label {
            None => "if the label is missing, leave the field empty and pass --drop-missing",
            Some(_) => "if the row has no label, leave the field empty",
        }
        .to_owned(),
    });
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
            short_label(name)
        ),
        place: sources.first().map(Source::place),
        help: "add rows with other labels, or pass another column with --label-column".to_owned(),
    })
}

/// Returns an error if rows with several labels have less than two different ones.
pub(super) fn few_labels(names: &[String], sources: &[Source]) -> Option<Diagnostic> {
    let found = match names {
        [] => "found rows without labels only".to_owned(),
        [name] => format!("found only `{}`", short_label(name)),
        _ => return None,
    };
    Some(Diagnostic {
        severity: Severity::Error,
        code: codes::ONE_CLASS.id,
        message: format!("expected at least two labels, {found}"),
        place: sources.first().map(Source::place),
        help: "add rows with other labels, or pass another column with --label-column".to_owned(),
    })
}

/// Minimum rows for [`codes::OWN_LABELS`], as in scikit-learn's `type_of_target`.
const MIN_ROWS: usize = 21;

/// Returns an error if there are more labels than half of the rows: the label column is an id, a
/// text or a measured number, not a class. scikit-learn 1.9 warns at the same share. `texts`: the
/// number of different texts.
pub(super) fn own_labels(
    names: &[String],
    rows: usize,
    texts: impl FnOnce() -> usize,
    sources: &[Source],
    options: &ReadOptions,
) -> Option<Diagnostic> {
    let labels = names.len();
    if rows < MIN_ROWS || labels <= rows / 2 {
        return None;
    }
    let [text, label] = [&options.text_column, &options.label_column];
    let may_swap = options.other_text_columns.is_empty();
    let help = if may_swap && (2..=rows / 2).contains(&texts()) {
        let [text, label] = [text, label].map(|name| quoted_for_shell(name));
        format!("text and label look swapped: pass --text-column {label} --label-column {text}")
    } else if names.iter().all(|name| name.contains(['|', ';', '\t'])) {
        "check the delimiter, and pass --delimiter if it is in the labels; otherwise, pass the \
         column with the classes as --label-column"
            .to_owned()
    } else if names.iter().all(|name| name.parse::<f64>().is_ok()) {
        "pass the column with the classes as --label-column; numbers that were measured have to be \
         grouped into classes first"
            .to_owned()
    } else {
        "pass the column with the classes as --label-column, or add rows of each label".to_owned()
    };
    Some(Diagnostic {
        severity: Severity::Error,
        code: codes::OWN_LABELS.id,
        message: format!(
            "expected several rows per label, found `{labels}` labels in `{rows}` rows of the \
             column `{}`",
            sanitize(label)
        ),
        place: sources.first().map(Source::place),
        help,
    })
}

/// Finds labels with one row, given with their numbers of rows. Not reported for fewer than
/// [`MIN_ROWS`] rows.
pub(super) fn single_rows<'a>(
    labels: impl Iterator<Item = (&'a String, u64)> + Clone,
    findings: &mut Findings,
) {
    let rows: u64 = labels.clone().map(|(_, rows)| rows).sum();
    let single = labels.filter(|(_, rows)| *rows == 1).map(|(name, _)| name);
    let count = match rows < MIN_ROWS as u64 {
        true => 0,
        false => single.clone().count() as u64,
    };
    findings.add_many(&codes::SINGLE_ROW, Severity::Warning, count, || Finding {
        message: format!(
            "labels with a single row, which cannot be both trained on and tested on: {}",
            diagnostics::listed(single, MAX_PAIRS)
        ),
        place: None,
        // Several labels are one message.
        help: match count {
            1 => "add rows with it, or join labels",
            _ => "add rows with them, or join labels",
        }
        .to_owned(),
    });
}

/// Reports rows whose text shares most of its words with that of an earlier row. `label` returns
/// the name of a label.
pub(super) fn near_duplicates<'a>(
    pairs: &[Pair],
    label: impl Fn(u32) -> &'a str,
    sources: &[Source],
    findings: &mut Findings,
) {
    for pair in pairs {
        findings.add(&codes::NEAR_DUPLICATE, Severity::Warning, || {
            let (here, there) = (label(pair.row.label), label(pair.earlier.label));
            let which = match here == there {
                true => "the same label".to_owned(),
                false => format!(
                    "the label `{}`, here it is `{}`",
                    sanitize(there),
                    sanitize(here)
                ),
            };
            let place = pair.earlier.place.place(sources);
            Finding {
                message: format!("{} at `{place}`, which has {which}", shares("", pair)),
                place: Some(pair.row.place.place(sources)),
                help: "remove {them}, unless these are independent observations".to_owned(),
            }
        });
    }
}

/// Reports rows of `split` whose text shares most of its words with that of a training row.
pub(super) fn near_leaks(
    pairs: &[Pair],
    (train, others): (&[Source], &[Source]),
    split: &str,
    findings: &mut Findings,
) {
    for pair in pairs {
        findings.add(&codes::NEAR_LEAK, Severity::Warning, || {
            let place = pair.earlier.place.place(train);
            let shares = shares(&format!("{split} "), pair);
            Finding {
                message: format!("{shares} of the training data at `{place}`"),
                place: Some(pair.row.place.place(others)),
                help: "remove {them} from one of the two data sets; unless these are independent \
                       observations"
                    .to_owned(),
            }
        });
    }
}

fn shares(split: &str, pair: &Pair) -> String {
    let percent = (100.0 * pair.similarity).floor();
    format!(
        "the {split}text shares {percent} % of the sequences of {SHINGLE_WORDS} words with the text"
    )
}

/// Finds rows of the `split` "test" or "validation" whose text is also in the training data, and
/// those whose letters are, if both have `near_hashes`. Calls `other` with the indices of the
/// others.
pub(super) fn leaked(
    (train, train_sources): (&Texts<'_>, &[Source]),
    (test, test_sources): (&Texts<'_>, &[Source]),
    split: &str,
    findings: &mut Findings,
    mut other: impl FnMut(usize),
) {
    let (first, near) = (first_rows(train.hashes), first_rows(train.near_hashes));
    for (row, hash) in test.hashes.iter().enumerate() {
        let near = || near.get(test.near_hashes.get(row)?);
        let Some((is_equal, &there)) = first
            .get(hash)
            .map(|there| (true, there))
            .or_else(|| Some((false, near()?)))
        else {
            other(row);
            continue;
        };
        leaked_row(
            is_equal,
            (train.places[there], train_sources),
            (test.places[row], test_sources),
            split,
            findings,
        );
    }
}

/// Reports a row of `split`, `here`, whose text is equal or almost equal to a training text.
pub(super) fn leaked_row(
    is_equal: bool,
    (there, train_sources): (RowPlace, &[Source]),
    (here, test_sources): (RowPlace, &[Source]),
    split: &str,
    findings: &mut Findings,
) {
    let (code, what, unless) = match is_equal {
        true => (
            &codes::LEAK,
            "is also in the training data",
            "; otherwise the score is too high",
        ),
        false => (
            &codes::NEAR_LEAK,
            "differs only in case, digits, punctuation or whitespace from the training text",
            ", unless these are independent observations",
        ),
    };
    findings.add(code, Severity::Warning, || Finding {
        message: format!(
            "the {split} text {what} at `{}`",
            there.place(train_sources)
        ),
        place: Some(here.place(test_sources)),
        help: format!("remove {{them}} from one of the two data sets{unless}"),
    });
}

/// Returns the first row of each hash.
fn first_rows(hashes: &[u64]) -> HashMap<u64, usize> {
    let mut first = HashMap::with_capacity(hashes.len());
    for (row, hash) in hashes.iter().enumerate() {
        first.entry(*hash).or_insert(row);
    }
    first
}

//! Files with a text, and fastText's labels, in each line.

use std::ops::Range;

use memchr::{memchr, memmem};

use super::records::line;
use crate::block::{KeptField, RecordBody};
use crate::columns::{self, Columns};
use crate::delimited::{Field, RecordSpan, Shape, Step};
use crate::findings::Findings;
use crate::input::FileError;
use crate::source::{LABEL_PREFIX, Source};
use crate::{Labels, ReadOptions};

/// Position of the label.
const LABEL: usize = 1;

/// Reads lines.
pub(super) struct Lines {
    /// True for fastText's format: labels precede the text.
    labelled: bool,
    /// True if a line with several labels is an error: one of them is read.
    one_label: bool,
    /// True if all labels of a line are read.
    all_labels: bool,
    /// Positions in [text, label].
    columns: Columns,
    /// Number of further text columns, which lines do not have.
    other_texts: usize,
}

impl Lines {
    /// `None` if columns are missing; the findings have the reason. A line is the whole text, also
    /// if there are several text columns.
    pub(super) fn new(
        labelled: bool,
        source: &Source,
        options: &ReadOptions,
        labels: Labels,
        findings: &mut Findings,
    ) -> Option<Self> {
        let mut names = vec![options.text_column.clone()];
        if labelled && options.label_column != options.text_column {
            names.push(options.label_column.clone());
        }
        let place = source.place();
        if options.text_pair {
            pair_expected(options).add(source, findings);
            return None;
        }
        let one_text = ReadOptions {
            other_text_columns: Vec::new(),
            ..options.clone()
        };
        let columns = columns::resolve(
            &names,
            &one_text,
            labels,
            &place,
            &columns::NamedIn::File,
            findings,
        );
        columns.map(|columns| Self {
            labelled,
            all_labels: options.multi_label.is_some(),
            one_label: labels != Labels::Ignored || columns.kept.contains(&LABEL),
            columns,
            other_texts: options.other_text_columns.len(),
        })
    }

    /// Finds the next line. Blank lines are texts, unless lines have labels.
    pub(super) fn step(&self, bytes: &[u8], from: usize, complete: bool) -> Step {
        if self.labelled {
            return line(bytes, from, complete);
        }
        let (end, next) = match memchr(b'\n', &bytes[from..]) {
            Some(n) => (from + n, from + n + 1),
            None if from == bytes.len() => return Step::End { next: from },
            None if complete => (bytes.len(), bytes.len()),
            None => return Step::More { start: from },
        };
        Step::Record(RecordSpan {
            start: from,
            end,
            next,
            lines_before: 0,
            lines: 1,
            malformed: None,
        })
    }

    /// Returns the content of a line; adds its kept values.
    pub(super) fn body(
        &self,
        found: &RecordSpan,
        bytes: &[u8],
        kept: &mut Vec<Option<KeptField>>,
    ) -> RecordBody {
        let line = &bytes[found.start..found.end];
        let (text, label) = match self.labelled {
            true => {
                let (text, label, before, within) = self.split(line);
                let is_wrong = match self.all_labels {
                    true => within > 0,
                    false => before + within > 1,
                };
                if is_wrong && self.one_label {
                    let count = before + within;
                    return RecordBody::Labels { count };
                }
                (text, label)
            }
            false => (0..line.strip_suffix(b"\r").unwrap_or(line).len(), None),
        };
        let field = |range: Range<usize>| Field {
            start: (found.start + range.start) as u32,
            end: (found.start + range.end) as u32,
            at: (found.start + range.start) as u32,
            shape: Shape::Plain,
        };
        let fields = [Some(field(text)), label.map(field)];
        kept.extend(std::iter::repeat_n(None, self.other_texts));
        let values = self.columns.kept.iter().map(|at| fields[*at]);
        kept.extend(values.map(|field| field.map(|field| KeptField { field, json: false })));
        let [text, label] = fields;
        RecordBody::Line { text, label }
    }

    /// Returns the ranges of text and first label in a line of fastText's format, and the numbers
    /// of labels before and within the text. If all labels are read, the second range is that of
    /// the labels before the text, with their prefixes.
    fn split(&self, line: &[u8]) -> (Range<usize>, Option<Range<usize>>, u32, u32) {
        let skip_blanks = |from: usize| {
            let blanks = line[from..]
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace());
            from + blanks.count()
        };
        let end = line.trim_ascii_end().len();
        let (mut at, mut label, mut count) = (skip_blanks(0), None, 0);
        let first = at;
        while line[at..].starts_with(LABEL_PREFIX) {
            let start = at + LABEL_PREFIX.len();
            let word = line[start..].iter().position(u8::is_ascii_whitespace);
            at = word.map_or(line.len(), |length| start + length);
            label = match self.all_labels {
                true => Some(first..at),
                false => label.or(Some(start..at)),
            };
            at = skip_blanks(at);
            count += 1;
        }
        let text = at.min(end)..end;
        // fastText takes each word with the prefix as a label.
        let mut within = 0;
        if self.one_label {
            let bytes = &line[text.clone()];
            let is_word = |at: &usize| bytes[..*at].last().is_none_or(u8::is_ascii_whitespace);
            let words = memmem::find_iter(bytes, LABEL_PREFIX).filter(is_word);
            within = words.count() as u32;
        }
        (text, label, count, within)
    }
}

/// Returns the error that lines have one text each, not the pair of the text columns.
fn pair_expected(options: &ReadOptions) -> FileError {
    let names = std::iter::once(&options.text_column).chain(&options.other_text_columns);
    let names = columns::listed(names.map(String::as_str));
    FileError::unsupported(
        &format!("a line has one text, expected the pair of the columns {names}"),
        "pass a file with both columns, such as CSV or JSON lines",
    )
}

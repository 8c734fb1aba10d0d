//! Decodes the records of a block into rows of text and label. Runs in parallel.

use std::borrow::Cow;
use std::ops::Range;
use std::slice::ChunksExact;

use diagnostics::Place;
use encoding_rs::Encoding;
use memchr::memchr;

use crate::audit;
use crate::block::{Block, KeptField, Record, RecordBody};
use crate::columns;
use crate::delimited::{Field, Shape};
use crate::findings::{Finding, Findings};
use crate::json::{self, Cell};
use crate::label_sets::{self, MultiLabel, WrongLabels};
use crate::source::LABEL_PREFIX;
use crate::{Labels, Quoting, ReadOptions, RowPlace, Source};

mod messages;
use messages::{Reporter, ends_escaping};

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
    /// True if the span is in `scratch`, not in the block.
    scratch: bool,
}

#[derive(Clone, Copy, Debug)]
struct RowSpan {
    place: RowPlace,
    text: Span,
    label: Option<Span>,
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Place in the files.
    pub place: RowPlace,
    /// Text; blank only with [`ReadOptions::keep_blank`]. With [`ReadOptions::text_pair`] both
    /// texts: see [`split_pair`].
    pub text: &'a str,
    /// Label; never blank, always present if labels are required. With [`MultiLabel`] all labels:
    /// see [`labels_of`](crate::labels_of).
    pub label: Option<&'a str>,
}

/// A value of a kept column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept<'a> {
    /// `null`, or an absent key.
    Missing,
    /// Content of a field or string.
    Text(&'a str),
    /// JSON of another type, such as a number.
    Json(&'a str),
}

/// A kept value; true for JSON other than a string. `None` if it is missing.
type KeptSpan = Option<(Span, bool)>;

/// Rows of a block, in file order.
pub struct Batch<'a> {
    block: &'a str,
    scratch: &'a str,
    rows: &'a [RowSpan],
    /// Values of the kept columns of each row, one row after the other.
    kept: &'a [KeptSpan],
}

impl<'a> Batch<'a> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True if there are no rows: all rows of a block may have been dropped.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row<'a>> + use<'a> {
        let text = self.text();
        self.rows.iter().map(move |row| Row {
            place: row.place,
            text: text(row.text),
            label: row.label.map(text),
        })
    }

    /// Returns the values of the kept columns of a row: the weight, if there is a
    /// [`ReadOptions::weight_column`], then those of [`ReadOptions::keep_columns`].
    pub fn kept(&self, row: usize) -> impl Iterator<Item = Kept<'a>> + use<'a> {
        let (text, columns) = (self.text(), self.kept.len() / self.rows.len().max(1));
        let of_row = &self.kept[row * columns..(row + 1) * columns];
        of_row.iter().map(move |value| match *value {
            None => Kept::Missing,
            Some((span, true)) => Kept::Json(text(span)),
            Some((span, false)) => Kept::Text(text(span)),
        })
    }

    /// Returns the function that looks up a span.
    fn text(&self) -> impl Fn(Span) -> &'a str + Copy + use<'a> {
        let (block, scratch) = (self.block, self.scratch);
        move |span: Span| {
            let from = if span.scratch { scratch } else { block };
            &from[span.start..span.end]
        }
    }
}

/// Row counts and findings of a block.
#[derive(Default)]
pub(super) struct BlockCounts {
    pub(super) findings: Findings,
    pub(super) read: u64,
    pub(super) used: u64,
    pub(super) no_text: u64,
    pub(super) no_label: u64,
    pub(super) malformed: u64,
    pub(super) header: u64,
    /// For JSON lines, which have no header: keys of the objects.
    pub(super) seen: Option<JsonKeys>,
}

/// Keys of the objects in a JSON lines file.
#[derive(Clone, Debug, Default)]
pub(super) struct JsonKeys {
    pub(super) source: u32,
    pub(super) text: bool,
    pub(super) label: bool,
    /// True for each of [`columns::kept_columns`] that an object has.
    pub(super) kept: Vec<bool>,
    /// Labels of an augmented manifest that are class names.
    pub(super) class_names: u64,
    /// Its other labels, and the place of the first one.
    pub(super) other_labels: u64,
    pub(super) first_other: Option<Place>,
    /// Keys of the first object.
    pub(super) keys: Vec<String>,
}

/// Buffers of one thread.
#[derive(Default)]
pub(super) struct Decoder {
    scratch: String,
    rows: Vec<RowSpan>,
    kept: Vec<KeptSpan>,
}

/// Missing value in exports of MySQL and Hive.
const MYSQL_NULL: &str = "\\N";

/// Reason why a record is not used.
enum Refused {
    Malformed,
    Header,
    NoText,
    NoLabel,
}

impl Decoder {
    /// Decodes a block; reports the records that cannot be used.
    pub(super) fn decode<'a>(
        &'a mut self,
        block: &'a mut Block,
        sources: &[Source],
        options: &ReadOptions,
        labels: Labels,
    ) -> (Batch<'a>, BlockCounts) {
        self.scratch.clear();
        self.rows.clear();
        self.kept.clear();
        let kept_values = columns::kept_values(options);
        let columns = columns::kept_columns(options).count();
        let limit = block.findings.limit();
        let mut counts = BlockCounts {
            findings: std::mem::replace(&mut block.findings, Findings::new(limit)),
            ..BlockCounts::default()
        };
        let block = &*block;
        // Validating the whole block is much faster than validating each record.
        let valid = std::str::from_utf8(&block.bytes[..block.used]).ok();
        let mut work = BlockDecoder {
            block,
            valid,
            options,
            labels,
            kept: block.kept.chunks_exact(columns.max(1)),
            is_manifest: labels != Labels::Ignored
                && sources
                    .get(block.source as usize)
                    .is_some_and(Source::is_manifest),
            encoding: block
                .transcoded
                .and_then(|name| Encoding::for_label(name.as_bytes()))
                .filter(|encoding| encoding.is_single_byte()),
            reporter: Reporter {
                block,
                sources,
                options,
            },
            decoder: self,
        };
        for record in &block.records {
            counts.read += 1;
            let decoded = work.record(record, &mut counts);
            let weighted = |row| work.weight(record, &mut counts.findings).map(|()| row);
            match decoded.and_then(weighted) {
                Ok((text, label)) => {
                    let place = RowPlace {
                        source: block.source,
                        record: record.number,
                        line: record.line,
                    };
                    work.decoder.rows.push(RowSpan { place, text, label });
                    counts.used += 1;
                    continue;
                }
                Err(Refused::Malformed) => counts.malformed += 1,
                Err(Refused::Header) => counts.header += 1,
                Err(Refused::NoText) => counts.no_text += 1,
                Err(Refused::NoLabel) => counts.no_label += 1,
            }
            let used = work.decoder.rows.len();
            work.decoder.kept.truncate(used * kept_values);
        }
        let batch = Batch {
            block: valid.unwrap_or_default(),
            scratch: &self.scratch,
            rows: &self.rows,
            kept: &self.kept,
        };
        (batch, counts)
    }
}

struct BlockDecoder<'a, 'd> {
    block: &'a Block,
    /// Text of the block, if all of it is valid UTF-8.
    valid: Option<&'a str>,
    options: &'a ReadOptions,
    labels: Labels,
    /// Kept values of the records that follow.
    kept: ChunksExact<'a, Option<KeptField>>,
    /// True for an augmented manifest that is read with its labels.
    is_manifest: bool,
    /// Encoding of the file if it has one byte per character.
    encoding: Option<&'static Encoding>,
    reporter: Reporter<'a>,
    decoder: &'d mut Decoder,
}

impl<'a> BlockDecoder<'a, '_> {
    fn record(
        &mut self,
        record: &Record,
        counts: &mut BlockCounts,
    ) -> Result<(Span, Option<Span>), Refused> {
        let reporter = self.reporter;
        let findings = &mut counts.findings;
        match record.body {
            RecordBody::Unclosed { quote } => reporter.unclosed(record, quote, findings),
            RecordBody::TooLarge { at } => reporter.too_large(record, at, findings),
            RecordBody::Count { fields, at } => reporter.field_count(record, fields, at, findings),
            RecordBody::Labels { count } => reporter.several_labels(record, count, findings),
            RecordBody::Json { .. } => return self.json(record, counts),
            RecordBody::Line { text, label } => return self.line(record, text, label, findings),
            RecordBody::Header(kind) => {
                reporter.header(record, kind, findings);
                return Err(Refused::Header);
            }
            RecordBody::Fields {
                text,
                label,
                stray,
                rows,
            } => {
                let kept = self.kept.next().unwrap_or_default();
                let [texts, others, kept] = self.split_kept(kept);
                self.valid(record, findings)?;
                if let Some(at) = stray {
                    reporter.stray(record, at, findings);
                }
                if rows {
                    reporter.quoted_rows(record, findings);
                }
                let more = texts.iter().flatten().map(|text| text.field);
                let mut fields = [text, label].into_iter().flatten().chain(more);
                if let Some(field) = fields.find(|field| self.has_blank_quote(record, field)) {
                    reporter.blank_quote(record, field.at, findings);
                }
                let mut fields = [text, label].into_iter().flatten();
                if let Some(field) = fields.find(|field| self.has_escaped_end(record, field)) {
                    reporter.escaped_end(record, field.end, findings);
                }
                let text_span = self.value(text, record, findings)?;
                let text_span = self.join(text_span, texts, record, findings)?;
                let label_span = self.value(label, record, findings)?;
                let label_span = self.label_set(label_span, others, record, findings)?;
                self.keep(kept, record, findings)?;
                let text_at = text.map_or(record.start, |field| field.at);
                let label_at = label.map_or(record.start, |field| field.at);
                return self.present(
                    record,
                    (text_span, text_at),
                    (label_span, label_at),
                    findings,
                );
            }
        }
        Err(Refused::Malformed)
    }

    /// Decodes a line without columns.
    fn line(
        &mut self,
        record: &Record,
        text: Option<Field>,
        label: Option<Field>,
        findings: &mut Findings,
    ) -> Result<(Span, Option<Span>), Refused> {
        let kept = self.kept.next().unwrap_or_default();
        let [texts, _, kept] = self.split_kept(kept);
        self.valid(record, findings)?;
        let mut part = |field: Option<Field>| -> Result<(Option<Span>, u32), Refused> {
            let span = field.map(|field| self.content(field, record, findings));
            Ok((
                span.transpose()?,
                field.map_or(record.start, |field| field.at),
            ))
        };
        let ((text, text_at), mut label) = (part(text)?, part(label)?);
        if self.options.multi_label.is_some() {
            let words = label.0.map_or("", |span| self.get(span)).split_whitespace();
            let labels = words.filter_map(|word| word.get(LABEL_PREFIX.len()..));
            let name = label_sets::name(labels);
            label.0 = Some(self.store(&name));
        }
        let text = (self.join(text, texts, record, findings)?, text_at);
        self.keep(kept, record, findings)?;
        self.present(record, text, label, findings)
    }

    /// Returns the further texts of a record, its further labels, and its kept values.
    fn split_kept<'k>(&self, values: &'k [Option<KeptField>]) -> [&'k [Option<KeptField>]; 3] {
        let texts = self.options.other_text_columns.len();
        let labels = self.options.multi_label.as_ref();
        let labels = labels.map_or(0, |multi| multi.other_columns.len());
        let (texts, others) = values.split_at_checked(texts).unwrap_or_default();
        let (labels, kept) = others.split_at_checked(labels).unwrap_or_default();
        [texts, labels, kept]
    }

    /// Returns the first value, followed by the others.
    fn values(
        &mut self,
        first: Option<Span>,
        others: &[Option<KeptField>],
        record: &Record,
        findings: &mut Findings,
    ) -> Result<Vec<Option<Span>>, Refused> {
        let mut spans = vec![first];
        for other in others {
            let field = other.map(|other| other.field);
            spans.push(self.value(field, record, findings)?);
        }
        Ok(spans)
    }

    /// Returns the label; of rows with several labels their name.
    fn label_set(
        &mut self,
        first: Option<Span>,
        others: &[Option<KeptField>],
        record: &Record,
        findings: &mut Findings,
    ) -> Result<Option<Span>, Refused> {
        let options = self.options;
        let Some(multi) = &options.multi_label else {
            return Ok(first);
        };
        let spans = self.values(first, others, record, findings)?;
        let values = spans.into_iter().map(|span| Some(self.get(span?)));
        let values: Vec<Option<&str>> = values.collect();
        let set = multi.set(&options.label_column, &values, false);
        self.store_set(set, record, findings).map(Some)
    }

    /// Appends the name of a set to the scratch buffer.
    fn store_set(
        &mut self,
        set: Result<String, WrongLabels>,
        record: &Record,
        findings: &mut Findings,
    ) -> Result<Span, Refused> {
        set.map(|name| self.store(&name)).map_err(|wrong| {
            let WrongLabels {
                column,
                expected,
                found,
            } = wrong;
            self.reporter
                .wrong_type(record, &column, &found, expected, findings);
            Refused::Malformed
        })
    }

    /// Returns the first text, followed by the others that are not blank; or the pair.
    fn join(
        &mut self,
        first: Option<Span>,
        others: &[Option<KeptField>],
        record: &Record,
        findings: &mut Findings,
    ) -> Result<Option<Span>, Refused> {
        if others.is_empty() {
            return Ok(first);
        }
        let spans = self.values(first, others, record, findings)?;
        let texts = spans.into_iter().map(|span| Some(self.get(span?)));
        let joined = join_texts(texts, self.options.text_pair);
        Ok(Some(self.store(&joined)))
    }

    /// Appends a text to the scratch buffer.
    fn store(&mut self, text: &str) -> Span {
        let start = self.decoder.scratch.len();
        self.decoder.scratch.push_str(text);
        Span {
            start,
            end: self.decoder.scratch.len(),
            scratch: true,
        }
    }

    /// Decodes the kept values of a record.
    fn keep(
        &mut self,
        kept: &[Option<KeptField>],
        record: &Record,
        findings: &mut Findings,
    ) -> Result<(), Refused> {
        for value in kept {
            let span = match *value {
                Some(KeptField { field, json }) => {
                    Some((self.content(field, record, findings)?, json))
                }
                None => None,
            };
            self.decoder.kept.push(span);
        }
        Ok(())
    }

    /// Refuses a record without a valid weight.
    fn weight(&self, record: &Record, findings: &mut Findings) -> Result<(), Refused> {
        if self.options.weight_column.is_none() {
            return Ok(());
        }
        // The first kept value of this record, which is the next row.
        let at = self.decoder.rows.len() * columns::kept_values(self.options);
        let span = self.decoder.kept.get(at).copied().flatten();
        let found = span.map_or("", |(span, _)| self.get(span));
        if weight(found).is_some() {
            return Ok(());
        }
        self.reporter.no_weight(record, found, findings);
        Err(Refused::Malformed)
    }

    /// Returns text and label, unless a required one is missing.
    fn present(
        &self,
        record: &Record,
        (text, text_at): (Option<Span>, u32),
        (label, label_at): (Option<Span>, u32),
        findings: &mut Findings,
    ) -> Result<(Span, Option<Span>), Refused> {
        let blank = Span {
            start: 0,
            end: 0,
            scratch: true,
        };
        let text = text.unwrap_or(blank);
        if self.is_blank(text) {
            self.reporter.no_text(record, text_at, findings);
            if !self.options.keep_blank || self.options.drop_missing {
                return Err(Refused::NoText);
            }
        }
        let label = label.filter(|span| !self.is_blank(*span));
        if label.is_none() && self.labels == Labels::Required {
            self.reporter.no_label(record, label_at, findings);
            return Err(Refused::NoLabel);
        }
        Ok((text, label))
    }

    fn get(&self, span: Span) -> &str {
        let from = if span.scratch {
            self.decoder.scratch.as_str()
        } else {
            self.valid.unwrap_or_default()
        };
        &from[span.start..span.end]
    }

    /// True if nothing of a value is seen.
    fn is_blank(&self, span: Span) -> bool {
        audit::is_blank(self.get(span))
    }

    /// Returns the text of a record; refuses invalid UTF-8, and reports UTF-8 that is read in
    /// another encoding.
    fn valid(&self, record: &Record, findings: &mut Findings) -> Result<&'a str, Refused> {
        let range = record.start as usize..record.end as usize;
        let text = match self.valid {
            Some(valid) => &valid[range],
            None => self.text(range, record, findings)?,
        };
        let is_utf8 = |encoding: &'static Encoding| {
            !text.is_ascii() && std::str::from_utf8(&encoding.encode(text).0).is_ok()
        };
        if self.encoding.is_some_and(is_utf8) {
            self.reporter.other_encoding(record, findings);
        }
        Ok(text)
    }

    fn text(
        &self,
        range: Range<usize>,
        record: &Record,
        findings: &mut Findings,
    ) -> Result<&'a str, Refused> {
        let start = range.start;
        std::str::from_utf8(&self.block.bytes[range]).map_err(|error| {
            let at = start + error.valid_up_to();
            self.reporter.not_utf8(record, at as u32, findings);
            Refused::Malformed
        })
    }

    /// True if a backslash, as an escape, precedes the end of a field without quotes.
    fn has_escaped_end(&self, record: &Record, field: &Field) -> bool {
        // Formats that have no lines, such as parquet, have no delimiters either.
        let is_plain = field.shape == Shape::Plain && field.at == field.start;
        let content = || &self.block.bytes[field.at as usize..field.end as usize];
        let may_escape = record.line > 0 && self.options.escape.is_none();
        may_escape && is_plain && ends_escaping(content())
    }

    /// True if a field looks quoted, but is not, because a blank precedes the quote.
    fn has_blank_quote(&self, record: &Record, field: &Field) -> bool {
        let bytes = match field.shape {
            Shape::Unescaped => &self.block.unescaped,
            Shape::Plain | Shape::Doubled => &self.block.bytes,
        };
        let content = &bytes[field.start as usize..field.end as usize];
        if !matches!(content.first(), Some(b' ' | b'\t')) {
            return false;
        }
        let is_quoted = self.block.bytes.get(field.at as usize) == Some(&b'"');
        // Formats that have no lines, such as parquet, have no quotes either.
        let may_quote = record.line > 0 && self.options.quoting != Some(Quoting::None);
        let quoted = content.trim_ascii();
        let looks_quoted = quoted.len() > 1 && quoted.starts_with(b"\"") && quoted.ends_with(b"\"");
        may_quote && looks_quoted && !is_quoted
    }

    /// Returns the content of a field, `None` for MySQL's null.
    fn value(
        &mut self,
        field: Option<Field>,
        record: &Record,
        findings: &mut Findings,
    ) -> Result<Option<Span>, Refused> {
        let Some(field) = field else { return Ok(None) };
        let span = self.content(field, record, findings)?;
        // Formats that have no lines, such as parquet, have a null of their own.
        let null = record.line > 0 && self.get(span) == MYSQL_NULL;
        Ok((!null).then_some(span))
    }

    /// Returns the content of a field.
    fn content(
        &mut self,
        field: Field,
        record: &Record,
        findings: &mut Findings,
    ) -> Result<Span, Refused> {
        let (start, end) = (field.start as usize, field.end as usize);
        let from = self.decoder.scratch.len();
        match (field.shape, self.valid) {
            (Shape::Plain, Some(_)) => {
                return Ok(Span {
                    start,
                    end,
                    scratch: false,
                });
            }
            (Shape::Doubled, Some(valid)) => {
                undouble(&valid[start..end], &mut self.decoder.scratch)
            }
            (Shape::Plain, None) => {
                let text = self.text(start..end, record, findings)?;
                self.decoder.scratch.push_str(text);
            }
            (Shape::Doubled, None) => {
                let text = self.text(start..end, record, findings)?;
                undouble(text, &mut self.decoder.scratch);
            }
            (Shape::Unescaped, _) => {
                // The record is valid UTF-8 and unquoting removes only ASCII bytes, so the
                // conversion is lossless.
                let text = String::from_utf8_lossy(&self.block.unescaped[start..end]);
                self.decoder.scratch.push_str(&text);
            }
        }
        Ok(Span {
            start: from,
            end: self.decoder.scratch.len(),
            scratch: true,
        })
    }

    fn json(
        &mut self,
        record: &Record,
        counts: &mut BlockCounts,
    ) -> Result<(Span, Option<Span>), Refused> {
        const LABEL: &str = "a string, a number or true/false";
        let (reporter, options) = (self.reporter, self.options);
        let line = self.valid(record, &mut counts.findings)?;
        let mut keys = Vec::new();
        let wanted = (record.number == 1).then_some(&mut keys);
        let object = match self.object(line, wanted) {
            Ok(object) => object,
            Err(error) => {
                reporter.not_json(record, &error, &mut counts.findings);
                return Err(Refused::Malformed);
            }
        };
        let seen = counts.seen.get_or_insert_with(|| JsonKeys {
            source: self.block.source,
            ..JsonKeys::default()
        });
        seen.add(&object, || reporter.place(record, record.start));
        seen.keys.append(&mut keys);
        let names = std::iter::once(&options.text_column).chain(&options.other_text_columns);
        let texts = object.texts.iter().zip(names);
        let texts = texts.map(|(cell, name)| (cell, name, "a string"));
        let label = (self.labels != Labels::Ignored).then_some(&object.label);
        let label = label.map(|cell| (cell, &options.label_column, LABEL));
        for (cell, column, expected) in texts.chain(label) {
            let wrong = match cell {
                Cell::Wrong(kind) => Some((column.as_str(), *kind, expected)),
                // Dropped as missing, it would be lost.
                Cell::Absent => {
                    json::not_an_object(line, column).map(|(part, kind)| (part, kind, "an object"))
                }
                Cell::Null | Cell::Value(_) => None,
            };
            if let Some((column, kind, expected)) = wrong {
                reporter.wrong_type(record, column, kind, expected, &mut counts.findings);
                return Err(Refused::Malformed);
            }
        }
        let text = match object.texts.as_slice() {
            [text] => text.value().map(|text| self.store(text)),
            texts => {
                let texts = texts.iter().map(Cell::value);
                Some(self.store(&join_texts(texts, options.text_pair)))
            }
        };
        let label = match &options.multi_label {
            None => object.label.value().map(|label| self.store(label)),
            Some(multi) => {
                let set = object.set(multi, &options.label_column);
                Some(self.store_set(set, record, &mut counts.findings)?)
            }
        };
        for (cell, is_json) in &object.kept {
            let value = cell.value().map(|value| (self.store(value), *is_json));
            self.decoder.kept.push(value);
        }
        self.present(
            record,
            (text, record.start),
            (label, record.start),
            &mut counts.findings,
        )
    }

    /// Returns the wanted values of a JSON object; appends its keys to `keys`.
    fn object(
        &self,
        json: &str,
        keys: Option<&mut Vec<String>>,
    ) -> Result<JsonRow, serde_json::Error> {
        let options = self.options;
        let has_label = self.labels != Labels::Ignored;
        let multi = options.multi_label.as_ref();
        let key = match multi {
            None => columns::class_name_key,
            Some(_) => columns::class_map_key,
        };
        let class_name = self.is_manifest.then(|| key(&options.label_column));
        let texts = 1 + options.other_text_columns.len();
        let mut names = vec![options.text_column.as_str()];
        names.extend(columns::kept_columns(options).map(|(_, name)| name));
        names.extend(has_label.then_some(options.label_column.as_str()));
        names.extend(class_name.as_deref());
        let values = json::parse(json, &names, keys)?;
        let (texts, others) = values.split_at(texts);
        let (flags, others) = others.split_at(multi.map_or(0, |multi| multi.other_columns.len()));
        let (kept, labels) = others.split_at(columns::kept_values(options));
        let number = labels.first().copied().flatten();
        let name = labels.get(1).copied().flatten();
        let texts = texts.iter().map(|value| json::text(*value));
        let kept = kept.iter().map(|value| json::kept(*value));
        let flags = flags.iter().map(|value| json::cell(*value));
        // With several labels, the names are in an object by number.
        let label = if multi.is_some() {
            number
        } else {
            name.or(number)
        };
        let is_list = multi.is_some() && label.is_some_and(|value| value.get().starts_with('['));
        let mut label = match is_list {
            true => json::kept(label)?.0,
            false => json::cell(label)?,
        };
        let is_class_name = match (self.is_manifest, multi) {
            (false, _) => None,
            (true, None) => Some(name.is_some()),
            (true, Some(_)) => json::rename(&mut label, name),
        };
        Ok(JsonRow {
            texts: texts.collect::<Result<_, _>>()?,
            label,
            is_list,
            flags: flags.collect::<Result<_, _>>()?,
            kept: kept.collect::<Result<_, _>>()?,
            is_class_name,
        })
    }
}

/// Values of a JSON object.
struct JsonRow {
    texts: Vec<Cell>,
    label: Cell,
    /// True if the label is an array, of rows with several labels.
    is_list: bool,
    /// Values of the further label columns.
    flags: Vec<Cell>,
    /// True for JSON other than a string.
    kept: Vec<(Cell, bool)>,
    /// For an augmented manifest: true if the labels are the class names in the metadata.
    is_class_name: Option<bool>,
}

impl JsonRow {
    /// Returns the name of the row's labels.
    fn set(&self, multi: &MultiLabel, column: &str) -> Result<String, WrongLabels> {
        let cells = std::iter::once(&self.label).chain(&self.flags);
        let values: Vec<Option<&str>> = cells.map(Cell::value).collect();
        multi.set(column, &values, self.is_list)
    }
}

impl JsonKeys {
    /// Notes the keys that an object has.
    fn add(&mut self, object: &JsonRow, place: impl FnOnce() -> Place) {
        let is_there = |cell: &Cell| *cell != Cell::Absent;
        let kept = object.kept.iter().map(|(cell, _)| cell);
        let (text, others) = object.texts.split_at(1);
        self.text |= text.iter().any(is_there);
        self.label |= is_there(&object.label);
        let cells = others.iter().chain(&object.flags).chain(kept);
        self.kept.resize(cells.clone().count(), false);
        for (seen, cell) in self.kept.iter_mut().zip(cells) {
            *seen |= is_there(cell);
        }
        match object
            .is_class_name
            .filter(|_| object.label.value().is_some())
        {
            Some(true) => self.class_names += 1,
            Some(false) => {
                self.other_labels += 1;
                self.first_other.get_or_insert_with(place);
            }
            None => {}
        }
    }
}

/// Returns the weight of a row: a number of 0 or more, which solvers can have in single precision.
pub(super) fn weight(text: &str) -> Option<f64> {
    let weight = text.trim().parse::<f64>().ok()?;
    ((weight as f32).is_finite() && weight >= 0.0).then_some(weight)
}

/// Joins texts that are not blank with blanks; the texts of a pair with [`join_pair`].
pub fn join_texts<'a>(mut texts: impl Iterator<Item = Option<&'a str>>, is_pair: bool) -> String {
    if is_pair {
        let mut text = || texts.next().flatten().unwrap_or_default();
        return join_pair(text(), text());
    }
    let is_text = |text: &&str| !text.chars().all(char::is_whitespace);
    texts
        .flatten()
        .filter(is_text)
        .collect::<Vec<_>>()
        .join(" ")
}

/// ASCII's unit separator, between the texts of a pair.
const SEPARATOR: char = '\u{1f}';
/// ASCII's record separator, which begins the codes of both characters in the first text. All are
/// invisible, so that a pair of blank texts is blank.
const ESCAPE: char = '\u{1e}';
const ESCAPED_SEPARATOR: &str = "\u{1e}\u{1d}";
const ESCAPED_ESCAPE: &str = "\u{1e}\u{1c}";

/// Returns the pair of two texts as one text, which [`split_pair`] takes apart. Other pairs give
/// other texts.
pub fn join_pair(first: &str, second: &str) -> String {
    let first = match first.contains([SEPARATOR, ESCAPE]) {
        false => Cow::Borrowed(first),
        true => {
            let first = first.replace(ESCAPE, ESCAPED_ESCAPE);
            Cow::Owned(first.replace(SEPARATOR, ESCAPED_SEPARATOR))
        }
    };
    format!("{first}{SEPARATOR}{second}")
}

/// Returns the two texts that [`join_pair`] joined; `None` for a text that is not a pair.
pub fn split_pair(pair: &str) -> Option<(Cow<'_, str>, &str)> {
    let (first, second) = pair.split_once(SEPARATOR)?;
    let first = match first.contains(ESCAPE) {
        false => Cow::Borrowed(first),
        true => {
            let first = first.replace(ESCAPED_SEPARATOR, "\u{1f}");
            Cow::Owned(first.replace(ESCAPED_ESCAPE, "\u{1e}"))
        }
    };
    Some((first, second))
}

/// Appends `text`, with doubled quotes replaced by single ones.
fn undouble(text: &str, to: &mut String) {
    let mut rest = text;
    while let Some(quote) = memchr(b'"', rest.as_bytes()) {
        to.push_str(&rest[..=quote]);
        rest = rest.get(quote + 2..).unwrap_or_default();
    }
    to.push_str(rest);
}

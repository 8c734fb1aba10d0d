//! Records of requests: one per line or per CSV row, also of a body that arrives in pieces.
//!
//! The readers of `dataset` are for files: they guess delimiter, encoding and header, and a row that
//! is not closed ends the file. Here each record has an answer, also a broken one.

use memchr::{memchr, memchr2};

use crate::classifier::ModelInfo;
use crate::json;

/// The text of a record, or the reason why it has none.
pub(crate) type Record = Result<String, String>;

/// Maximum records of a request that is read as a whole.
const MAX_RECORDS: usize = 100_000;
/// Maximum scores of such a request: each takes eight bytes.
const MAX_SCORES: usize = 1 << 24;
/// Maximum bytes of a line or CSV row.
const MAX_RECORD_BYTES: usize = 6 << 20;
/// Number of quotes that are not closed, after which quoted fields end with their line: each of
/// them is looked for to the end of the body.
const MAX_UNCLOSED: usize = 32;

/// Returns the maximum number of records of a request that is read as a whole.
pub(crate) fn max_records(info: &ModelInfo) -> usize {
    let scores = MAX_SCORES / info.classes.len().max(1);
    MAX_RECORDS.min(scores.max(1))
}

/// A format with one record after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineFormat {
    /// A JSON value per line.
    JsonLines,
    /// Comma-separated values, with or without a header.
    Csv,
    /// A text per line.
    Plain,
    /// One text.
    Whole,
}

/// Columns of the texts in CSV rows.
enum Columns {
    /// The first row is not read yet.
    Unknown,
    /// By their places.
    At(Vec<usize>),
    /// There is no header: all fields are texts.
    All,
}

/// Reads the records of a body.
pub(crate) struct RecordReader<'a> {
    info: &'a ModelInfo,
    format: LineFormat,
    columns: Columns,
    /// Number of fields of the header; without one, of the first row that has all columns.
    width: Option<usize>,
    buffer: Vec<u8>,
    /// Start of the next record.
    start: usize,
    /// End of the part of the next line that was searched.
    searched: usize,
    is_first: bool,
    /// True inside of a record that is too long.
    is_skipping: bool,
    unclosed: usize,
}

impl<'a> RecordReader<'a> {
    pub(crate) fn new(info: &'a ModelInfo, format: LineFormat) -> Self {
        let numbers = info.text_columns.iter().map(|name| name.parse());
        let numbers: Result<Vec<usize>, _> = numbers.collect();
        let columns = match numbers {
            Ok(numbers) if info.no_header => Columns::At(numbers),
            _ => Columns::Unknown,
        };
        Self {
            info,
            format,
            columns,
            width: None,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            is_first: true,
            is_skipping: false,
            unclosed: 0,
        }
    }

    /// Adds a piece of the body.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that are not read yet.
    fn rest(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.searched = self.start;
    }

    /// Returns the next record; `None` if more bytes are needed. `is_end`: there are no more.
    pub(crate) fn next(&mut self, is_end: bool) -> Option<Record> {
        const BOM: &[u8] = b"\xef\xbb\xbf";
        if self.is_first && (is_end || self.rest().len() >= BOM.len()) {
            self.is_first = false;
            if self.rest().starts_with(BOM) {
                self.consume(BOM.len());
            }
        }
        if self.is_first || !self.skip() || self.rest().is_empty() {
            return None;
        }
        let from = self.start;
        let record = match self.format {
            LineFormat::Csv => self.row(is_end),
            LineFormat::Whole if !is_end => None,
            LineFormat::Whole => {
                let record = text(self.rest()).map(str::to_owned);
                self.consume(self.rest().len());
                Some(record)
            }
            LineFormat::JsonLines | LineFormat::Plain => self.line(is_end),
        };
        let is_long = match record {
            None => self.rest().len() > MAX_RECORD_BYTES,
            Some(_) => self.start - from > MAX_RECORD_BYTES,
        };
        if !is_long {
            return record;
        }
        if record.is_none() {
            self.is_skipping = true;
            self.skip();
        }
        let most = MAX_RECORD_BYTES >> 20;
        Some(Err(format!("expected at most {most} MB in a record")))
    }

    /// Skips the rest of a record that is too long; false if its end is not there yet.
    fn skip(&mut self) -> bool {
        if self.is_skipping {
            let end = memchr(b'\n', self.rest()).filter(|_| self.format != LineFormat::Whole);
            self.is_skipping = end.is_none();
            self.consume(end.map_or(self.rest().len(), |end| end + 1));
        }
        !self.is_skipping
    }

    fn line(&mut self, is_end: bool) -> Option<Record> {
        let found = memchr(b'\n', &self.buffer[self.searched..]);
        let (end, next) = match found {
            Some(at) => (self.searched + at, self.searched + at + 1),
            None if is_end => (self.buffer.len(), self.buffer.len()),
            None => {
                self.searched = self.buffer.len();
                return None;
            }
        };
        let line = &self.buffer[self.start..end];
        let line = text(line.strip_suffix(b"\r").unwrap_or(line));
        let record = line.and_then(|line| match self.format {
            LineFormat::JsonLines if line.trim().is_empty() => Err(EMPTY.to_owned()),
            LineFormat::JsonLines => json::record(self.info, line),
            _ if self.info.text_pair => {
                Err("expected two texts: send a model of pairs CSV or JSON".to_owned())
            }
            _ => Ok(line.to_owned()),
        });
        self.consume(next - self.start);
        Some(record)
    }

    fn row(&mut self, is_end: bool) -> Option<Record> {
        loop {
            let rest = self.rest();
            let line = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let by_line = self.unclosed >= MAX_UNCLOSED && rest[..line].ends_with(b"\n");
            let (part, is_whole) = match by_line {
                true => (&rest[..line], true),
                false => (rest, is_end),
            };
            let (fields, end) = match fields(part, is_whole) {
                Parsed::Row(fields, end) => (fields, end),
                Parsed::Unclosed if is_whole || rest.len() > MAX_RECORD_BYTES => {
                    self.unclosed += 1;
                    self.consume(line);
                    return Some(Err("the quote of a field is not closed".to_owned()));
                }
                Parsed::Unclosed | Parsed::Incomplete => return None,
            };
            // `""` is an empty text.
            let is_empty =
                matches!(&*fields, [only] if only.is_empty()) && part.first() != Some(&b'"');
            self.consume(end);
            if matches!(self.columns, Columns::Unknown) {
                self.columns = match header(self.info, &fields) {
                    Some(columns) => Columns::At(columns),
                    None => Columns::All,
                };
                if matches!(self.columns, Columns::At(_)) {
                    self.width = Some(fields.len());
                    if self.rest().is_empty() {
                        return None;
                    }
                    continue;
                }
            }
            return Some(match is_empty {
                true => Err(EMPTY.to_owned()),
                false => self.texts(&fields),
            });
        }
    }

    /// Joins the texts of a CSV row.
    fn texts(&mut self, fields: &[Vec<u8>]) -> Record {
        let texts: Vec<&str> = match &self.columns {
            Columns::At(columns) => {
                let (found, expected) = (fields.len(), self.width);
                if let Some(expected) = expected.filter(|expected| *expected != found) {
                    return Err(format!(
                        "expected {expected} fields as in the first row, found {found}: quote \
                         texts with commas"
                    ));
                }
                let field = |column: &usize| match fields.get(*column) {
                    Some(field) => text(field),
                    None => Err(format!("expected more than {} fields", fields.len())),
                };
                let texts: Vec<&str> = columns.iter().map(field).collect::<Result<_, _>>()?;
                self.width = Some(found);
                texts
            }
            Columns::Unknown | Columns::All => {
                let (found, expected) = (fields.len(), self.info.texts());
                if found != expected {
                    return Err(format!(
                        "expected {expected} fields, found {found}: quote texts with commas, or \
                         send a header with the names of the columns"
                    ));
                }
                let texts = fields.iter().map(|field| text(field));
                texts.collect::<Result<_, _>>()?
            }
        };
        Ok(self.info.join(&texts))
    }
}

const EMPTY: &str = "expected a record, found an empty line";

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        format!("expected UTF-8, found another byte after {at} bytes of the text")
    })
}

/// Returns the columns of the texts if the row is a header: if it has the names of the training
/// data, or those of Hugging Face.
fn header(info: &ModelInfo, row: &[Vec<u8>]) -> Option<Vec<usize>> {
    let of = |names: &[&str]| -> Option<Vec<usize>> {
        let at = |name: &&str| row.iter().position(|field| field == name.as_bytes());
        names.iter().map(at).collect()
    };
    let own: Vec<&str> = info.text_columns.iter().map(String::as_str).collect();
    let own = of(&own).filter(|columns| !columns.is_empty());
    let mut others = info.other_columns().iter();
    own.or_else(|| others.find_map(|names| of(names)))
}

/// A CSV row at the start of some bytes.
enum Parsed {
    /// Fields, and the number of bytes of the row with its line break.
    Row(Vec<Vec<u8>>, usize),
    /// It does not end here.
    Incomplete,
    /// It does not end here, and a quote is open.
    Unclosed,
}

/// Splits the first row of CSV (RFC 4180). A quote in the middle of a field is part of it.
fn fields(bytes: &[u8], is_end: bool) -> Parsed {
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let mut field = Vec::new();
        if bytes.get(at) == Some(&b'"') {
            at += 1;
            loop {
                let Some(quote) = memchr(b'"', &bytes[at..]) else {
                    return Parsed::Unclosed;
                };
                field.extend_from_slice(&bytes[at..at + quote]);
                at += quote + 1;
                match bytes.get(at) {
                    Some(b'"') => {
                        field.push(b'"');
                        at += 1;
                    }
                    None if !is_end => return Parsed::Incomplete,
                    _ => break,
                }
            }
        }
        let length = match memchr2(b',', b'\n', &bytes[at..]) {
            Some(length) => length,
            None if is_end => bytes.len() - at,
            None => return Parsed::Incomplete,
        };
        let rest = &bytes[at..at + length];
        at += length;
        let separator = bytes.get(at).copied();
        field.extend_from_slice(match separator {
            Some(b',') => rest,
            _ => rest.strip_suffix(b"\r").unwrap_or(rest),
        });
        fields.push(field);
        match separator {
            Some(b',') => at += 1,
            Some(_) => return Parsed::Row(fields, at + 1),
            None => return Parsed::Row(fields, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::info;

    /// Reads a body in pieces of this size.
    fn read(info: &ModelInfo, format: LineFormat, body: &[u8], piece: usize) -> Vec<Record> {
        let mut reader = RecordReader::new(info, format);
        let mut records = Vec::new();
        for bytes in body.chunks(piece) {
            reader.push(bytes);
            records.extend(std::iter::from_fn(|| reader.next(false)));
        }
        records.extend(std::iter::from_fn(|| reader.next(true)));
        records
    }

    fn ok(texts: &[&str]) -> Vec<Record> {
        texts.iter().map(|text| Ok((*text).to_owned())).collect()
    }

    fn good(records: &[Record]) -> Vec<bool> {
        records.iter().map(Result::is_ok).collect()
    }

    #[test]
    fn lines_are_records_whatever_the_pieces() {
        let (info, all) = (info(), [1, 2, 3, 7, 1000]);
        for piece in all {
            let plain = read(
                &info,
                LineFormat::Plain,
                "\u{feff}a\r\n\nä b".as_bytes(),
                piece,
            );
            assert_eq!(plain, ok(&["a", "", "ä b"]));
            let whole = read(&info, LineFormat::Whole, b"a\nb\n", piece);
            assert_eq!(whole, ok(&["a\nb\n"]));
            let body = b"{\"text\": \"a\"}\n\"b\"\n\n{\n\xff\n[\"c\"]\n";
            let lines = read(&info, LineFormat::JsonLines, body, piece);
            assert_eq!(good(&lines), [true, true, false, false, false, true]);
        }
    }

    #[test]
    fn csv_has_a_header_or_not() {
        let info = info();
        for piece in [1, 2, 5, 1000] {
            let rows = |body: &str| read(&info, LineFormat::Csv, body.as_bytes(), piece);
            assert_eq!(
                rows("a\n\"b,\n\"\"c\"\"\"\r\nd"),
                ok(&["a", "b,\n\"c\"", "d"])
            );
            assert_eq!(rows("id,text\n1,a\n2,\"b,c\"\n"), ok(&["a", "b,c"]));
            assert!(rows("text\n").is_empty());
            assert_eq!(rows("5\" nails\n"), ok(&["5\" nails"]));
            assert_eq!(good(&rows("a\nb,c\n\nd\n")), [true, false, false, true]);
        }
        let numbers = ModelInfo {
            text_columns: vec!["1".to_owned()],
            no_header: true,
            ..info
        };
        let rows = read(&numbers, LineFormat::Csv, b"x,a,y\nx\n", 3);
        assert_eq!(good(&rows), [true, false]);
    }

    /// A row with another number of fields than the header is not cut.
    #[test]
    fn csv_rows_have_the_fields_of_the_header() {
        let info = info();
        let rows = |body: &[u8]| read(&info, LineFormat::Csv, body, 3);
        let found = rows(b"text\na film, which is awful\n\"a film, good\"\n");
        let error = found[0].as_ref().unwrap_err();
        assert!(
            error.starts_with("expected 1 fields as in the first row, found 2"),
            "{error}"
        );
        assert_eq!(found[1..], ok(&["a film, good"]));
        let found = rows(b"id,text\n1,a,b\n2\n3,c\n");
        assert_eq!(good(&found), [false, false, true]);
        let numbers = ModelInfo {
            text_columns: vec!["1".to_owned()],
            no_header: true,
            ..info.clone()
        };
        let found = read(&numbers, LineFormat::Csv, b"x\nx,a\nx,a,b\n", 3);
        assert_eq!(good(&found), [false, true, false]);
    }

    /// As in `predict`.
    #[test]
    fn quoted_field_may_be_empty() {
        let rows = |body: &[u8]| read(&info(), LineFormat::Csv, body, 1);
        assert_eq!(rows(b"text\n\"\"\na\n"), ok(&["", "a"]));
        assert_eq!(rows(b"a\r\n\"\""), ok(&["a", ""]));
        assert_eq!(good(&rows(b"a\r\n\r\n\n")), [true, false, false]);
    }

    /// A quote that is not closed costs its own line only.
    #[test]
    fn open_quote_costs_one_line() {
        let rows = read(&info(), LineFormat::Csv, b"a\n\"b\nc\nd\n", 4);
        assert_eq!(good(&rows), [true, false, true, true]);
        assert_eq!(rows[3], Ok("d".to_owned()));
    }

    #[test]
    fn long_record_is_skipped() {
        let long = vec![b'x'; MAX_RECORD_BYTES + 10];
        let body = [b"a\n", long.as_slice(), b"\nb\n"].concat();
        for format in [LineFormat::Plain, LineFormat::Csv] {
            let records = read(&info(), format, &body, 1 << 20);
            assert_eq!(good(&records), [true, false, true], "{format:?}");
        }
    }

    proptest! {
        /// The same records whatever the pieces, and no panic.
        #[test]
        fn pieces_do_not_change_records(
            body in prop::collection::vec(
                prop::sample::select(b"\"\",\n\r{}[]a:\xff \xef\xbb\xbf".to_vec()), 0..60),
            piece in 1usize..9,
        ) {
            let info = info();
            for format in [LineFormat::Csv, LineFormat::JsonLines, LineFormat::Plain] {
                let whole = read(&info, format, &body, usize::MAX);
                prop_assert_eq!(read(&info, format, &body, piece), whole);
            }
        }

        /// Quoted texts come back as they are.
        #[test]
        fn quoted_texts_are_read(texts in prop::collection::vec("[^\u{feff}]{0,9}", 1..5)) {
            prop_assume!(texts[0] != "text" && texts[0] != "inputs");
            let rows: Vec<String> = texts
                .iter()
                .map(|text| format!("\"{}\"\n", text.replace('"', "\"\"")))
                .collect();
            let read = read(&info(), LineFormat::Csv, rows.concat().as_bytes(), 2);
            let expected: Vec<Record> = texts.into_iter().map(Ok).collect();
            prop_assert_eq!(read, expected);
        }
    }
}

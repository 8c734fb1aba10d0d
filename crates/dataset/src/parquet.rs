//! Reads the text and label columns of parquet files in batches, and has what the reader of Arrow
//! files shares with it.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::panic::AssertUnwindSafe;
use std::path::Path;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use crate::block::{Block, KeptField, Record, RecordBody};
use crate::codes;
use crate::columns::{self, Columns};
use crate::delimited::{Field, Shape};
use crate::findings::Findings;
use crate::input::{FileError, HEAD_BYTES, Input, refuse_unsupported};
use crate::source::{Source, unreadable};
use crate::{FileCounts, Labels, ReadOptions};

mod arrow;
mod values;

pub(super) use arrow::Arrow;
use values::Kind;

/// Rows per block. A row group may have millions.
const BATCH_ROWS: usize = 1024;

/// A file format with columns.
struct ColumnFormat {
    name: &'static str,
    /// Bytes with which files begin.
    starts: &'static [&'static [u8]],
    /// The first of them, for messages.
    magic: &'static str,
}

const PARQUET: ColumnFormat = ColumnFormat {
    name: "parquet",
    starts: &[b"PAR1"],
    magic: "PAR1",
};

/// Counts of a file that is being read.
#[derive(Default)]
struct Progress {
    rows: u32,
    bytes: u64,
    sha256: Option<String>,
    /// True if the labels are names in the schema.
    named_labels: bool,
}

/// Values of some rows, whose texts are in the bytes of the block.
struct Rows {
    texts: Vec<Option<Field>>,
    labels: Vec<Option<Field>>,
    /// Values of each kept column.
    kept: Vec<Vec<Option<KeptField>>>,
}

/// An open file.
pub(super) struct Parquet {
    reader: SerializedFileReader<File>,
    /// Indices of leaf columns in the schema.
    columns: Columns,
    next_group: usize,
    group: Option<Group>,
    progress: Progress,
}

/// A row group that is being read.
struct Group {
    left: usize,
    text: Column,
    label: Option<Column>,
    kept: Vec<Column>,
}

struct Column {
    reader: ColumnReader,
    levels: Levels,
    kind: Kind,
}

/// Meaning of a column's levels.
#[derive(Clone, Copy)]
struct Levels {
    /// Definition level of a present value; 0 if the column is required.
    present: i16,
    /// True if each row has a list.
    is_list: bool,
}

impl Parquet {
    /// Opens a file. `None` if columns are missing; the findings have the reason.
    pub(super) fn open(
        source: &Source,
        options: &ReadOptions,
        labels: Labels,
        findings: &mut Findings,
    ) -> Result<Option<Self>, FileError> {
        catch_panic(&PARQUET, || {
            Self::open_file(source, options, labels, findings)
        })
    }

    fn open_file(
        source: &Source,
        options: &ReadOptions,
        labels: Labels,
        findings: &mut Findings,
    ) -> Result<Option<Self>, FileError> {
        let (file, mut progress) = open_source(source, &PARQUET)?;
        let reader = SerializedFileReader::new(file).map_err(damaged)?;
        let metadata = reader.metadata();
        let schema = metadata.file_metadata().schema_descr();
        refuse_lists(options, labels, |wanted| {
            schema.columns().iter().any(|column| {
                let root = column.path().parts().first();
                column.max_rep_level() > 0
                    && !is_labels(column, options)
                    && (root.is_some_and(|root| root == wanted) || name(column) == wanted)
            })
        })?;
        let names = schema
            .columns()
            .iter()
            .map(|column| match is_labels(column, options) {
                true => options.label_column.clone(),
                false => name(column),
            });
        let names: Vec<String> = names.collect();
        let place = source.place();
        let columns = columns::resolve(
            &names,
            options,
            labels,
            &place,
            &columns::NamedIn::File,
            findings,
        );
        let Some(columns) = columns else {
            return Ok(None);
        };
        let durations = arrow::durations(metadata.file_metadata());
        check_types(&columns, |at| {
            let column = schema.column(at);
            let path = name(&column);
            // A list has its items at a longer path.
            let is_inside = |name: &str| {
                let rest = path.strip_prefix(name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            if let Some((_, found)) = durations.iter().find(|(name, _)| is_inside(name)) {
                return (path, found.clone(), None);
            }
            let kind = Kind::of(&column, metadata.file_metadata());
            (path, column.physical_type().to_string(), kind)
        })?;
        check_counts(metadata, &columns)?;
        let label = columns.label.map(|at| schema.column(at));
        let kind = label.and_then(|label| Kind::of(&label, metadata.file_metadata()));
        progress.named_labels = matches!(kind, Some(Kind::Names(_)));
        progress.sha256 = hash(source, options)?;
        Ok(Some(Self {
            reader,
            columns,
            next_group: 0,
            group: None,
            progress,
        }))
    }

    /// Reads the next block. Returns the counts of the file if it was the last block.
    pub(super) fn fill(&mut self, source: &Source, block: &mut Block) -> Option<FileCounts> {
        let read = catch_panic(&PARQUET, || self.rows(block));
        self.progress.file_counts(read, source, block)
    }

    /// Reads the next rows into `block`. Returns false at the end of the file.
    fn rows(&mut self, block: &mut Block) -> Result<bool, FileError> {
        begin(block);
        let Some(group) = &mut self.group else {
            return self.open_group();
        };
        let wanted = group.left.min(BATCH_ROWS);
        if wanted == 0 {
            self.group = None;
            return Ok(true);
        }
        let texts = group.text.values(wanted, &mut block.bytes)?;
        let labels = match &mut group.label {
            Some(label) => label.values(wanted, &mut block.bytes)?,
            None => vec![None; wanted],
        };
        let kept = group.kept.iter_mut().map(|column| {
            let values = column.values(wanted, &mut block.bytes)?;
            Ok::<_, FileError>(column.kind.kept(values, &block.bytes))
        });
        let kept = kept.collect::<Result<_, _>>()?;
        group.left -= wanted;
        let rows = Rows {
            texts,
            labels,
            kept,
        };
        self.progress.push(wanted, rows, block)?;
        Ok(true)
    }

    fn open_group(&mut self) -> Result<bool, FileError> {
        if self.next_group == self.reader.num_row_groups() {
            return Ok(false);
        }
        let group = self
            .reader
            .get_row_group(self.next_group)
            .map_err(damaged)?;
        self.next_group += 1;
        // `check_counts` refused negative numbers.
        let left = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
        let file = self.reader.metadata().file_metadata();
        let column = |at: usize| -> Result<Column, FileError> {
            let column = file.schema_descr().column(at);
            Ok(Column {
                reader: group.get_column_reader(at).map_err(damaged)?,
                levels: Levels {
                    present: column.max_def_level(),
                    is_list: column.max_rep_level() > 0,
                },
                kind: Kind::of(&column, file).unwrap_or(Kind::Text),
            })
        };
        let text = column(self.columns.text)?;
        let label = self.columns.label.map(column).transpose()?;
        let kept = self.columns.kept.iter().map(|at| column(*at));
        let kept = kept.collect::<Result<_, _>>()?;
        self.group = Some(Group {
            left,
            text,
            label,
            kept,
        });
        Ok(true)
    }
}

/// Empties a block.
fn begin(block: &mut Block) {
    block.bytes.clear();
    block.offset = 0;
    block.transcoded = None;
}

impl Progress {
    /// Returns the counts of the file if it has no further block, or could not be `read`.
    fn file_counts(
        &mut self,
        read: Result<bool, FileError>,
        source: &Source,
        block: &mut Block,
    ) -> Option<FileCounts> {
        let complete = match read {
            Ok(true) => return None,
            Ok(false) => true,
            Err(error) => {
                error.add(source, &mut block.findings);
                false
            }
        };
        Some(FileCounts {
            path: source.display.clone(),
            bytes: self.bytes,
            rows_read: u64::from(self.rows),
            sha256: self.sha256.take().filter(|_| complete),
            named_labels: self.named_labels,
        })
    }

    /// Adds `wanted` rows to the block.
    fn push(&mut self, wanted: usize, rows: Rows, block: &mut Block) -> Result<(), FileError> {
        let is_short = rows.texts.len() != wanted || rows.labels.len() != wanted;
        if is_short || rows.kept.iter().any(|values| values.len() != wanted) {
            return Err(file_error(
                "columns have different numbers of rows".to_owned(),
                "write the file again",
            ));
        }
        block.used = block.bytes.len();
        if u32::try_from(block.used).is_err() {
            return Err(file_error(
                format!("`{wanted}` rows have more than 4 GiB of text"),
                "split the texts",
            ));
        }
        for (row, (text, label)) in rows.texts.into_iter().zip(rows.labels).enumerate() {
            let Some(number) = self.rows.checked_add(1) else {
                let (message, help) = (
                    format!("the file has more than `{}` rows", u32::MAX),
                    "split the file".to_owned(),
                );
                return Err(FileError {
                    code: &codes::TOO_MANY,
                    message,
                    help,
                });
            };
            self.rows = number;
            block
                .kept
                .extend(rows.kept.iter().map(|values| values[row]));
            // Text and label are not adjacent: messages about bytes refer to the text.
            let (start, end) = text.map_or((0, 0), |text| (text.start, text.end));
            let body = RecordBody::Fields {
                text,
                label,
                stray: None,
                rows: false,
            };
            block.records.push(Record {
                line: 0,
                number,
                start,
                end,
                body,
            });
        }
        Ok(())
    }
}

impl Column {
    /// Appends the next `wanted` values, as text, to `bytes`.
    fn values(
        &mut self,
        wanted: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<Vec<Option<Field>>, FileError> {
        let (level, kind) = (self.levels, &self.kind);
        match &mut self.reader {
            ColumnReader::ByteArrayColumnReader(reader) => {
                take(reader, level, wanted, bytes, |value, to| {
                    kind.bytes(value.data(), to)
                })
            }
            ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                take(reader, level, wanted, bytes, |value, to| {
                    kind.bytes(value.data(), to)
                })
            }
            ColumnReader::Int32ColumnReader(reader) => {
                take(reader, level, wanted, bytes, |value, to| {
                    kind.int32(*value, to)
                })
            }
            ColumnReader::Int64ColumnReader(reader) => {
                take(reader, level, wanted, bytes, |value, to| {
                    kind.int64(*value, to)
                })
            }
            ColumnReader::Int96ColumnReader(reader) => {
                take(reader, level, wanted, bytes, |value, to| {
                    kind.int96(value, to)
                })
            }
            ColumnReader::FloatColumnReader(reader) => {
                take(reader, level, wanted, bytes, |v, to| {
                    Kind::float(&format!("{v:?}"), &format!("{v:e}"), to)
                })
            }
            ColumnReader::DoubleColumnReader(reader) => {
                take(reader, level, wanted, bytes, |v, to| {
                    Kind::float(&format!("{v:?}"), &format!("{v:e}"), to)
                })
            }
            ColumnReader::BoolColumnReader(reader) => {
                take(reader, level, wanted, bytes, |value, to| {
                    to.extend(value.to_string().bytes());
                    Ok(true)
                })
            }
        }
    }
}

fn take<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    level: Levels,
    wanted: usize,
    bytes: &mut Vec<u8>,
    write: impl Fn(&T::T, &mut Vec<u8>) -> Result<bool, FileError>,
) -> Result<Vec<Option<Field>>, FileError> {
    let (mut values, mut levels, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    let mut records = 0;
    while records < wanted {
        let (read, ..) = reader
            .read_records(
                wanted - records,
                Some(&mut levels),
                level.is_list.then_some(&mut repeated),
                &mut values,
            )
            .map_err(damaged)?;
        if read == 0 {
            break;
        }
        records += read;
    }
    if level.is_list {
        let items = levels.iter().map(|of| *of == level.present).zip(&repeated);
        return lists(items, values.iter(), bytes, write);
    }
    let mut values = values.iter();
    let mut next = || -> Result<Option<Field>, FileError> {
        let (Some(value), start) = (values.next(), bytes.len()) else {
            return Ok(None);
        };
        let present = write(value, bytes)?;
        Ok(present.then(|| plain(start, bytes)))
    };
    // Required columns have no levels.
    (0..records)
        .map(|at| {
            if level.present > 0 && levels.get(at) != Some(&level.present) {
                Ok(None)
            } else {
                next()
            }
        })
        .collect()
}

/// Appends lists to `bytes`, as JSON. `items`: of each item, true if it has a value, and 0 if it
/// begins a row.
fn lists<'a, V: 'a>(
    items: impl Iterator<Item = (bool, &'a i16)>,
    mut values: impl Iterator<Item = &'a V>,
    bytes: &mut Vec<u8>,
    write: impl Fn(&V, &mut Vec<u8>) -> Result<bool, FileError>,
) -> Result<Vec<Option<Field>>, FileError> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (is_present, repeated) in items {
        if *repeated == 0 {
            rows.push(Vec::new());
        }
        let value = is_present.then(|| values.next()).flatten();
        let (Some(value), Some(row)) = (value, rows.last_mut()) else {
            continue;
        };
        let mut item = Vec::new();
        if write(value, &mut item)? {
            row.push(list_item(item)?);
        }
    }
    let field = |row: Vec<String>| Some(list(&row, bytes));
    Ok(rows.into_iter().map(field).collect())
}

/// Returns an item of a list.
fn list_item(bytes: Vec<u8>) -> Result<String, FileError> {
    String::from_utf8(bytes).map_err(|_| {
        let message = "a list has bytes that are not UTF-8".to_owned();
        let help = "write the file again, with the column as a list of strings";
        file_error(message, help)
    })
}

/// Appends a list to `bytes`, as JSON.
fn list(items: &[String], bytes: &mut Vec<u8>) -> Field {
    let start = bytes.len();
    bytes.extend_from_slice(serde_json::json!(items).to_string().as_bytes());
    plain(start, bytes)
}

/// Returns the field at the end of `bytes`.
fn plain(start: usize, bytes: &[u8]) -> Field {
    let start = start as u32;
    Field {
        start,
        end: bytes.len() as u32,
        at: start,
        shape: Shape::Plain,
    }
}

/// True if the column has the items of the lists of labels.
fn is_labels(column: &ColumnDescriptor, options: &ReadOptions) -> bool {
    let root = column.path().parts().first();
    let multi = options.multi_label.as_ref();
    column.max_rep_level() == 1
        && multi.is_some_and(|multi| multi.other_columns.is_empty())
        && root.is_some_and(|root| *root == options.label_column)
}

/// Returns the column path joined by dots, so that a nested column does not match a plain name.
fn name(column: &ColumnDescriptor) -> String {
    column.path().parts().join(".")
}

/// Opens a file; refuses files of other formats.
fn open_source(source: &Source, format: &ColumnFormat) -> Result<(File, Progress), FileError> {
    let Some(path) = &source.path else {
        let message = format!("cannot read {} from standard input", format.name);
        return Err(file_error(message, "pass a file instead"));
    };
    let io = |error: std::io::Error| io_error(path, &error);
    let mut file = File::open(path).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let mut begin = file.by_ref().take(HEAD_BYTES as u64);
    begin.read_to_end(&mut head).map_err(io)?;
    file.rewind().map_err(io)?;
    refuse_others(&head, format)?;
    let progress = Progress {
        bytes,
        ..Progress::default()
    };
    Ok((file, progress))
}

fn io_error(path: &Path, error: &std::io::Error) -> FileError {
    FileError::from(*unreadable(path, error))
}

/// Refuses files of other formats, such as a pointer of Git LFS.
fn refuse_others(head: &[u8], format: &ColumnFormat) -> Result<(), FileError> {
    let (name, magic) = (format.name, format.magic);
    if format.starts.iter().any(|start| head.starts_with(start)) {
        return Ok(());
    }
    refuse_unsupported(head)?;
    if head.starts_with(b"\x1f\x8b") || head.starts_with(b"\x28\xb5\x2f\xfd") {
        let message = format!("the {name} file is compressed as a whole");
        let help = "decompress it with gunzip or unzstd; the format compresses its columns itself";
        return Err(file_error(message, help));
    }
    let message = format!("the file is not {name}: it does not begin with `{magic}`");
    Err(file_error(
        message,
        "rename it to end in its own format, such as .csv, or write it again",
    ))
}

/// Refuses wanted columns with several values in a row.
fn refuse_lists(
    options: &ReadOptions,
    labels: Labels,
    is_list: impl Fn(&str) -> bool,
) -> Result<(), FileError> {
    let label = (labels != Labels::Ignored).then_some(options.label_column.as_str());
    let named = [Some(options.text_column.as_str()), label]
        .into_iter()
        .flatten();
    for wanted in named.chain(columns::kept_columns(options).map(|(_, name)| name)) {
        if is_list(wanted) {
            let wanted = diagnostics::sanitize(wanted);
            return Err(file_error(
                format!("expected one value per row in the column `{wanted}`, found a list"),
                "write a row for each value, as pandas' `explode` does, or pass another column",
            ));
        }
    }
    Ok(())
}

/// Refuses columns of other types. `column` returns the name, the type and the kind of a column.
fn check_types(
    columns: &Columns,
    column: impl Fn(usize) -> (String, String, Option<Kind>),
) -> Result<(), FileError> {
    const VALUE: &str = "a string, a number, a date or true/false";
    let text = |at: &usize| (*at, "a string", "--text-column");
    let texts = std::iter::once(&columns.text).chain(columns.other_texts());
    let label = columns.label.map(|at| (at, VALUE, "--label-column"));
    let kept = columns.kept.iter().zip(&columns.flags).skip(columns.texts);
    let kept = kept.map(|(at, flag)| (*at, VALUE, *flag));
    for (at, expected, option) in texts.map(text).chain(label).chain(kept) {
        let (name, found, kind) = column(at);
        match kind {
            Some(Kind::Text) => {}
            Some(_) if expected == VALUE => {}
            _ => {
                let message = format!(
                    "expected the column `{}` to be {expected}, found `{}`",
                    diagnostics::sanitize(&name),
                    diagnostics::sanitize(&found)
                );
                let help = format!("pass another {option}, or write the file with that type");
                return Err(file_error(message, &help));
            }
        }
    }
    Ok(())
}

/// Checks that the numbers of rows of file, row groups and columns agree.
fn check_counts(metadata: &ParquetMetaData, columns: &Columns) -> Result<(), FileError> {
    let mut rows = Some(0i64);
    let mut agree = true;
    for group in metadata.row_groups() {
        rows = rows.and_then(|rows| rows.checked_add(group.num_rows()));
        agree &= group.num_rows() >= 0;
        let used = [Some(columns.text), columns.label].into_iter().flatten();
        let used = used.chain(columns.kept.iter().copied());
        for column in used.map(|at| group.columns().get(at)) {
            agree &= column.is_some_and(|column| {
                let is_list = column.column_descr().max_rep_level() > 0;
                is_list || column.num_values() == group.num_rows()
            });
        }
    }
    if agree && rows == Some(metadata.file_metadata().num_rows()) {
        return Ok(());
    }
    let message = "the parquet file is damaged: its numbers of rows disagree".to_owned();
    Err(file_error(message, "download or write the file again"))
}

/// Hashes the file, if wanted, in a separate pass: parquet is not read from start to end.
fn hash(source: &Source, options: &ReadOptions) -> Result<Option<String>, FileError> {
    let Some(path) = source.path.as_ref().filter(|_| options.hash) else {
        return Ok(None);
    };
    let file = File::open(path).map_err(|error| io_error(path, &error))?;
    let mut input = Input::raw(Box::new(file));
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match input.fill(&mut buffer) {
            (_, Some(error)) => return Err(error),
            (n, None) if n < buffer.len() => return Ok(input.sha256()),
            _ => {}
        }
    }
}

/// Converts panics to errors: the crates panic on some damaged files. The reader is not used after
/// a panic.
fn catch_panic<T>(
    format: &ColumnFormat,
    work: impl FnOnce() -> Result<T, FileError>,
) -> Result<T, FileError> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let message = format!(
            "the {} file cannot be read: it is inconsistent",
            format.name
        );
        Err(file_error(message, "download or write the file again"))
    })
}

fn damaged(error: ParquetError) -> FileError {
    if let ParquetError::NYI(what) = &error {
        let help = "write the file again, compressed with zstd, snappy or gzip";
        return file_error(format!("the parquet file cannot be read: {what}"), help);
    }
    file_error(
        format!("the parquet file cannot be read: {error}"),
        "download or write the file again",
    )
}

fn file_error(message: String, help: &str) -> FileError {
    FileError {
        code: &codes::PARQUET,
        message,
        help: help.to_owned(),
    }
}

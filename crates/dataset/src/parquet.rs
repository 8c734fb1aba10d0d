//! Reads the text and label columns of parquet files in batches.

use std::fs::File;
use std::panic::AssertUnwindSafe;

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{BoolType, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use crate::block::{Block, Record, RecordBody};
use crate::codes;
use crate::columns::{self, Columns};
use crate::delimited::{Field, Shape};
use crate::findings::Findings;
use crate::input::{FileError, Input};
use crate::source::{Source, unreadable};
use crate::{FileCounts, Labels, ReadOptions};

/// Rows per block. A row group may have millions.
const BATCH_ROWS: usize = 1024;

/// An open file.
pub(super) struct Parquet {
    reader: SerializedFileReader<File>,
    /// Indices of leaf columns in the schema.
    columns: Columns,
    next_group: usize,
    group: Option<Group>,
    rows: u32,
    bytes: u64,
    sha256: Option<String>,
}

/// A row group that is being read.
struct Group {
    left: usize,
    text: Column,
    label: Option<Column>,
}

struct Column {
    reader: ColumnReader,
    /// Definition level of a present value; 0 if the column is required.
    level: i16,
}

impl Parquet {
    /// Opens a file. `None` if columns are missing; the findings have the reason.
    pub(super) fn open(
        source: &Source,
        options: &ReadOptions,
        labels: Labels,
        findings: &mut Findings,
    ) -> Result<Option<Self>, FileError> {
        catch_panic(|| Self::open_file(source, options, labels, findings))
    }

    fn open_file(
        source: &Source,
        options: &ReadOptions,
        labels: Labels,
        findings: &mut Findings,
    ) -> Result<Option<Self>, FileError> {
        let Some(path) = &source.path else {
            let message = "cannot read parquet from standard input".to_owned();
            return Err(error(message, "pass a file instead"));
        };
        let io = |error: std::io::Error| FileError::from(*unreadable(path, &error));
        let file = File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let reader = SerializedFileReader::new(file).map_err(damaged)?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let names: Vec<String> = schema.columns().iter().map(|column| name(column)).collect();
        let Some(columns) = columns::resolve(&names, options, labels, &source.place(), findings)
        else {
            return Ok(None);
        };
        check_types(schema, &columns)?;
        let sha256 = if options.hash {
            Some(hash(File::open(path).map_err(io)?)?)
        } else {
            None
        };
        Ok(Some(Self {
            reader,
            columns,
            next_group: 0,
            group: None,
            rows: 0,
            bytes,
            sha256,
        }))
    }

    /// Reads the next block. Returns the counts of the file if it was the last block.
    pub(super) fn fill(&mut self, source: &Source, block: &mut Block) -> Option<FileCounts> {
        block.bytes.clear();
        block.offset = 0;
        block.transcoded = None;
        match catch_panic(|| self.rows(block)) {
            Ok(true) => None,
            Ok(false) => Some(self.file_counts(source, true)),
            Err(error) => {
                error.add(source, &mut block.findings);
                Some(self.file_counts(source, false))
            }
        }
    }

    fn file_counts(&mut self, source: &Source, whole: bool) -> FileCounts {
        let sha256 = self.sha256.take().filter(|_| whole);
        FileCounts {
            path: source.display.clone(),
            bytes: self.bytes,
            rows_read: u64::from(self.rows),
            sha256,
        }
    }

    /// Reads the next rows into `block`. Returns false at the end of the file.
    fn rows(&mut self, block: &mut Block) -> Result<bool, FileError> {
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
        if texts.len() != wanted || labels.len() != wanted {
            return Err(error(
                "columns have different numbers of rows".to_owned(),
                "write the file again",
            ));
        }
        group.left -= wanted;
        block.used = block.bytes.len();
        if u32::try_from(block.used).is_err() {
            return Err(error(
                format!("`{wanted}` rows have more than 4 GiB of text"),
                "split the texts",
            ));
        }
        for (text, label) in texts.into_iter().zip(labels) {
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
            // Text and label are not adjacent: messages about bytes refer to the text.
            let (start, end) = text.map_or((0, 0), |text| (text.start, text.end));
            let body = RecordBody::Fields {
                text,
                label,
                stray: None,
            };
            block.records.push(Record {
                line: 0,
                number,
                start,
                end,
                body,
            });
        }
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
        let left = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
        let column = |at: usize| -> Result<Column, FileError> {
            let level = group.metadata().column(at).column_descr().max_def_level();
            Ok(Column {
                reader: group.get_column_reader(at).map_err(damaged)?,
                level,
            })
        };
        let text = column(self.columns.text)?;
        let label = self.columns.label.map(column).transpose()?;
        self.group = Some(Group { left, text, label });
        Ok(true)
    }
}

impl Column {
    /// Appends the next `wanted` values, as text, to `bytes`.
    fn values(
        &mut self,
        wanted: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<Vec<Option<Field>>, FileError> {
        let level = self.level;
        match &mut self.reader {
            ColumnReader::ByteArrayColumnReader(reader) => {
                take::<ByteArrayType>(reader, level, wanted, bytes, |value, to| {
                    to.extend_from_slice(value.data())
                })
            }
            ColumnReader::Int32ColumnReader(reader) => {
                take::<Int32Type>(reader, level, wanted, bytes, |value, to| {
                    to.extend(value.to_string().bytes())
                })
            }
            ColumnReader::Int64ColumnReader(reader) => {
                take::<Int64Type>(reader, level, wanted, bytes, |value, to| {
                    to.extend(value.to_string().bytes())
                })
            }
            ColumnReader::BoolColumnReader(reader) => {
                take::<BoolType>(reader, level, wanted, bytes, |value, to| {
                    to.extend(value.to_string().bytes())
                })
            }
            _ => Err(error(
                "the column's type changes within the file".to_owned(),
                "write the file again",
            )),
        }
    }
}

fn take<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    level: i16,
    wanted: usize,
    bytes: &mut Vec<u8>,
    write: impl Fn(&T::T, &mut Vec<u8>),
) -> Result<Vec<Option<Field>>, FileError> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let mut records = 0;
    while records < wanted {
        let (read, ..) = reader
            .read_records(wanted - records, Some(&mut levels), None, &mut values)
            .map_err(damaged)?;
        if read == 0 {
            break;
        }
        records += read;
    }
    let mut values = values.iter();
    let mut next = || {
        let start = bytes.len();
        write(values.next()?, bytes);
        let (start, end) = (start as u32, bytes.len() as u32);
        Some(Field {
            start,
            end,
            at: start,
            shape: Shape::Plain,
        })
    };
    // Required columns have no levels.
    Ok((0..records)
        .map(|at| {
            if level > 0 && levels.get(at) != Some(&level) {
                None
            } else {
                next()
            }
        })
        .collect())
}

/// Returns the column path joined by dots, so that a nested column does not match a plain name.
fn name(column: &ColumnDescriptor) -> String {
    column.path().parts().join(".")
}

fn check_types(schema: &SchemaDescriptor, columns: &Columns) -> Result<(), FileError> {
    let label = columns
        .label
        .map(|at| (at, "a string, an integer or true/false"));
    for (at, expected) in [Some((columns.text, "a string")), label]
        .into_iter()
        .flatten()
    {
        let column = schema.column(at);
        let (found, repeated) = (column.physical_type(), column.max_rep_level() > 0);
        let usable = match found {
            Type::BYTE_ARRAY => true,
            Type::INT32 | Type::INT64 | Type::BOOLEAN => at != columns.text,
            _ => false,
        };
        if !usable || repeated {
            let list = if repeated { "a list of " } else { "" };
            let message = format!(
                "expected the column `{}` to be {expected}, found {list}`{found}`",
                name(&column)
            );
            let help = "pass another column, or write the file with that type";
            return Err(error(message, help));
        }
    }
    Ok(())
}

/// Hashes the file in a separate pass: parquet is not read from start to end.
fn hash(file: File) -> Result<String, FileError> {
    let mut input = Input::raw(Box::new(file));
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match input.fill(&mut buffer) {
            (_, Some(error)) => return Err(error),
            (n, None) if n < buffer.len() => return Ok(input.sha256().unwrap_or_default()),
            _ => {}
        }
    }
}

/// Converts panics to errors: the parquet crate panics on some damaged files. The reader is not
/// used after a panic.
fn catch_panic<T>(work: impl FnOnce() -> Result<T, FileError>) -> Result<T, FileError> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let message = "the parquet file cannot be read: it is inconsistent".to_owned();
        Err(error(message, "download or write the file again"))
    })
}

fn damaged(cause: ParquetError) -> FileError {
    error(
        format!("the parquet file cannot be read: {cause}"),
        "download or write the file again",
    )
}

fn error(message: String, help: &str) -> FileError {
    FileError {
        code: &codes::PARQUET,
        message,
        help: help.to_owned(),
    }
}

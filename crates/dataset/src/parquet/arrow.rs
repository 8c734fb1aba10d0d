//! Reads the text and label columns of Arrow files (Feather) and streams in batches.
//!
//! A file has the messages of a stream, and a footer that lists them. Both are read from start to
//! end, so that a footer with fewer messages drops no rows.

use std::collections::HashMap;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufReader, Read};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_ipc::convert::{try_fb_to_schema, try_schema_from_ipc_buffer};
use arrow_ipc::reader::{read_dictionary, read_record_batch};
use arrow_ipc::{Message, root_as_message};
use arrow_schema::{ArrowError, DataType, Field as Column, Fields, Schema, TimeUnit};
use parquet::file::metadata::FileMetaData;

use super::values::{self, Kind};
use super::{BATCH_ROWS, ColumnFormat, Progress, Rows};
use super::{begin, catch_panic, check_types, file_error, hash, open_source, refuse_lists};
use super::{list, list_item, plain};
use crate::block::Block;
use crate::columns;
use crate::delimited::Field;
use crate::findings::Findings;
use crate::input::FileError;
use crate::source::Source;
use crate::{FileCounts, Labels, ReadOptions};

const MAGIC: &[u8] = b"ARROW1";

/// Precedes the length of a message.
const CONTINUATION: [u8; 4] = [0xff; 4];

const ARROW: ColumnFormat = ColumnFormat {
    name: "Arrow",
    starts: &[MAGIC, &CONTINUATION],
    magic: "ARROW1",
};

/// An open file or stream.
pub(crate) struct Arrow {
    messages: Messages,
    schema: Arc<Schema>,
    /// Top-level columns that are read, in order.
    projection: Vec<usize>,
    text: Values,
    label: Option<Values>,
    kept: Vec<Values>,
    /// Values of columns with repeated values, by number.
    dictionaries: HashMap<i64, ArrayRef>,
    /// Rows that are next.
    batch: Option<RecordBatch>,
    progress: Progress,
}

impl Arrow {
    /// Opens a file. `None` if columns are missing; the findings have the reason.
    pub(crate) fn open(
        source: &Source,
        options: &ReadOptions,
        labels: Labels,
        findings: &mut Findings,
    ) -> Result<Option<Self>, FileError> {
        catch_panic(&ARROW, || {
            Self::open_file(source, options, labels, findings)
        })
    }

    fn open_file(
        source: &Source,
        options: &ReadOptions,
        labels: Labels,
        findings: &mut Findings,
    ) -> Result<Option<Self>, FileError> {
        let (file, mut progress) = open_source(source, &ARROW)?;
        let mut messages = Messages::new(file, progress.bytes)?;
        let schema = messages.schema()?;
        let mut leaves = Vec::new();
        add_leaves(&schema.fields, "", &[], &mut leaves);
        refuse_lists(options, labels, |wanted| {
            let mut lists = leaves.iter().filter(|leaf| item(&leaf.column).is_some());
            lists.any(|leaf| leaf.name == wanted && !leaf.is_labels(options))
        })?;
        let names: Vec<String> = leaves.iter().map(|leaf| leaf.name.clone()).collect();
        let (place, named_in) = (source.place(), columns::NamedIn::File);
        let columns = columns::resolve(&names, options, labels, &place, &named_in, findings);
        let Some(columns) = columns else {
            return Ok(None);
        };
        let metadata = schema.metadata.get(values::HUGGING_FACE);
        let metadata = metadata.map(String::as_str);
        check_types(&columns, |at| {
            let leaf = &leaves[at];
            let found = leaf.column.data_type().to_string();
            (leaf.name.clone(), found, leaf.kind(metadata))
        })?;
        let used = [Some(columns.text), columns.label].into_iter().flatten();
        let used = used.chain(columns.kept.iter().copied());
        let mut projection: Vec<usize> = used.map(|at| leaves[at].path[0]).collect();
        projection.sort_unstable();
        projection.dedup();
        let values = |at: usize| leaves[at].values(&projection, metadata);
        let label = columns.label.map(values);
        let kind = label.as_ref().map(|label| &label.kind);
        progress.named_labels = matches!(kind, Some(Kind::Names(_)));
        progress.sha256 = hash(source, options)?;
        Ok(Some(Self {
            text: values(columns.text),
            label,
            kept: columns.kept.iter().copied().map(values).collect(),
            messages,
            schema,
            projection,
            dictionaries: HashMap::new(),
            batch: None,
            progress,
        }))
    }

    /// Reads the next block. Returns the counts of the file if it was the last block.
    pub(crate) fn fill(&mut self, source: &Source, block: &mut Block) -> Option<FileCounts> {
        let mut read = catch_panic(&ARROW, || self.rows(block));
        if let Err(error) = &mut read {
            let rows = diagnostics::counted(u64::from(self.progress.rows), "row");
            error.message = format!("{}, after {rows}", error.message);
        }
        self.progress.file_counts(read, source, block)
    }

    /// Reads the next rows into `block`. Returns false at the end of the file.
    fn rows(&mut self, block: &mut Block) -> Result<bool, FileError> {
        begin(block);
        let Some(batch) = self.batch.take() else {
            return self.next_batch();
        };
        let wanted = batch.num_rows().min(BATCH_ROWS);
        let rows = batch.slice(0, wanted);
        if batch.num_rows() > wanted {
            self.batch = Some(batch.slice(wanted, batch.num_rows() - wanted));
        }
        let texts = self.text.append(&rows, &mut block.bytes)?;
        let labels = match &self.label {
            Some(label) => label.append(&rows, &mut block.bytes)?,
            None => vec![None; wanted],
        };
        let kept = self.kept.iter().map(|column| {
            let values = column.append(&rows, &mut block.bytes)?;
            Ok::<_, FileError>(column.kind.kept(values, &block.bytes))
        });
        let rows = Rows {
            texts,
            labels,
            kept: kept.collect::<Result<_, _>>()?,
        };
        self.progress.push(wanted, rows, block)?;
        Ok(true)
    }

    /// Reads the next message. Returns false at the end of the file.
    fn next_batch(&mut self) -> Result<bool, FileError> {
        let Some((metadata, body)) = self.messages.next()? else {
            return Ok(false);
        };
        let message = message(&metadata)?;
        if let Some(batch) = message.header_as_record_batch() {
            check_body(batch, &body)?;
            let (schema, projection) = (Arc::clone(&self.schema), Some(self.projection.as_slice()));
            let (dictionaries, version) = (&self.dictionaries, &message.version());
            let read = read_record_batch(
                &body.into(),
                batch,
                schema,
                dictionaries,
                projection,
                version,
            );
            self.batch = Some(read.map_err(damaged)?);
        } else if let Some(batch) = message.header_as_dictionary_batch() {
            if let Some(values) = batch.data() {
                check_body(values, &body)?;
            }
            let dictionaries = &mut self.dictionaries;
            let version = &message.version();
            read_dictionary(&body.into(), batch, &self.schema, dictionaries, version)
                .map_err(damaged)?;
        } else {
            return Err(inconsistent("a message is neither rows nor a dictionary"));
        }
        Ok(true)
    }
}

/// Metadata and body of an encapsulated message.
type Encapsulated = (Vec<u8>, Vec<u8>);

/// The messages of a file or stream, one after the other.
struct Messages {
    file: BufReader<File>,
    /// Number of bytes that have not been read.
    left: u64,
    /// True for a file, which has a footer.
    has_footer: bool,
}

impl Messages {
    fn new(file: File, bytes: u64) -> Result<Self, FileError> {
        let mut messages = Self {
            file: BufReader::new(file),
            left: bytes,
            has_footer: false,
        };
        let start = messages.peek()?;
        messages.has_footer = start.starts_with(MAGIC);
        if messages.has_footer {
            messages.bytes(8)?;
            // Some writers fill up to 64 bytes.
            while messages.peek()?.starts_with(&[0; 8]) {
                messages.bytes(8)?;
            }
        }
        Ok(messages)
    }

    /// Returns the next bytes without reading them: at least 8, except near the end.
    fn peek(&mut self) -> Result<&[u8], FileError> {
        use std::io::BufRead as _;
        self.file.fill_buf().map_err(|error| unreadable(&error))
    }

    /// Reads the first message.
    fn schema(&mut self) -> Result<Arc<Schema>, FileError> {
        let first = self.next()?;
        let first = first.filter(|(_, body)| body.is_empty());
        let (metadata, _) = first.ok_or_else(|| inconsistent("it has no schema"))?;
        let message = message(&metadata)?;
        let schema = message.header_as_schema();
        let schema = schema.ok_or_else(|| inconsistent("it does not begin with a schema"))?;
        if !schema.endianness().equals_to_target_endianness() {
            return Err(inconsistent("its numbers are big-endian"));
        }
        try_fb_to_schema(schema).map(Arc::new).map_err(damaged)
    }

    /// Returns metadata and body of the next message; `None` at the end.
    fn next(&mut self) -> Result<Option<Encapsulated>, FileError> {
        let mut length = self.array()?;
        // Arrow before 0.15 writes the length only.
        if length == CONTINUATION {
            length = self.array()?;
        }
        let length = u32::from_le_bytes(length);
        if length == 0 {
            return self.end().map(|()| None);
        }
        let metadata = self.bytes(u64::from(length))?;
        let body = u64::try_from(message(&metadata)?.bodyLength())
            .map_err(|_| inconsistent("a message has a negative length"))?;
        let body = self.bytes(body)?;
        Ok(Some((metadata, body)))
    }

    /// Checks that the file ends after its messages, so that no changed length drops rows.
    fn end(&mut self) -> Result<(), FileError> {
        let footer = self.bytes(self.left)?;
        let is_end = match footer.split_last_chunk::<10>() {
            None => footer.is_empty() && !self.has_footer,
            Some((footer, [a, b, c, d, magic @ ..])) => {
                let length = u32::from_le_bytes([*a, *b, *c, *d]);
                self.has_footer && magic == MAGIC && footer.len() == length as usize
            }
        };
        match is_end {
            true => Ok(()),
            false => Err(inconsistent("its rows end before the file does")),
        }
    }

    fn array(&mut self) -> Result<[u8; 4], FileError> {
        let bytes = self.bytes(4)?;
        Ok(<[u8; 4]>::try_from(bytes.as_slice()).unwrap_or_default())
    }

    fn bytes(&mut self, wanted: u64) -> Result<Vec<u8>, FileError> {
        if wanted > self.left {
            let message = "the Arrow file is damaged: it ends too early".to_owned();
            return Err(file_error(message, HELP));
        }
        let mut bytes = memory(wanted)?;
        let mut next = Read::by_ref(&mut self.file).take(wanted);
        let read = next.read_to_end(&mut bytes);
        let read = read.map_err(|error| unreadable(&error))?;
        if read as u64 != wanted {
            return Err(inconsistent("it changes while it is read"));
        }
        self.left -= wanted;
        Ok(bytes)
    }
}

const HELP: &str = "download or write the file again";

fn message(metadata: &[u8]) -> Result<Message<'_>, FileError> {
    root_as_message(metadata).map_err(|_| inconsistent("a message has no valid header"))
}

fn inconsistent(what: &str) -> FileError {
    file_error(format!("the Arrow file cannot be read: {what}"), HELP)
}

fn unreadable(error: &std::io::Error) -> FileError {
    let message = format!("the Arrow file cannot be read: {error}");
    file_error(message, "check the disk and the file")
}

fn damaged(error: ArrowError) -> FileError {
    let help = match error {
        ArrowError::NotYetImplemented(_) => "write the file again, compressed with zstd or lz4",
        _ => HELP,
    };
    file_error(format!("the Arrow file cannot be read: {error}"), help)
}

/// Returns an empty vector with room for `bytes`.
fn memory(bytes: u64) -> Result<Vec<u8>, FileError> {
    let mut room = Vec::new();
    let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
    room.try_reserve_exact(wanted).map_err(|_| {
        let message = format!("a batch of the Arrow file needs `{bytes}` bytes of memory");
        let help = "if the file is not damaged, write it again with fewer rows in a batch";
        file_error(message, help)
    })?;
    Ok(room)
}

/// Refuses a batch whose columns are not all of its body, so that no changed length skips a
/// message, and one that does not fit into memory once decompressed: the decoder trusts the
/// lengths, and a failed allocation ends the program.
fn check_body(batch: arrow_ipc::RecordBatch<'_>, body: &[u8]) -> Result<(), FileError> {
    /// Bytes up to the alignment of the next message.
    const MAX_PADDING: usize = 63;
    let (mut end, mut decompressed) = (0, 0u64);
    for buffer in batch.buffers().into_iter().flatten() {
        let start = usize::try_from(buffer.offset()).unwrap_or(usize::MAX);
        let length = usize::try_from(buffer.length()).unwrap_or(usize::MAX);
        let bytes = body.get(start..start.saturating_add(length));
        let bytes = bytes.ok_or_else(|| inconsistent("a column is outside of its batch"))?;
        end = end.max(start + length);
        if batch.compression().is_some() {
            // -1 for a buffer that is not compressed.
            let length = bytes
                .first_chunk::<8>()
                .map_or(0, |bytes| i64::from_le_bytes(*bytes));
            let length = u64::try_from(length).unwrap_or_default();
            decompressed = decompressed.saturating_add(length);
        }
    }
    if body.len() > end + MAX_PADDING {
        return Err(inconsistent("a batch has more bytes than its columns"));
    }
    // Without the black box, the compiler may leave out the allocation.
    memory(decompressed).map(|room| drop(black_box(room)))
}

/// A column of a schema that is not a struct.
struct Leaf {
    /// Path, joined by dots.
    name: String,
    /// Positions of the column and of its parents, which are structs.
    path: Vec<usize>,
    column: Arc<Column>,
}

/// Appends the columns inside of `columns`, whose parent has this path. Verified messages have a
/// limited depth.
fn add_leaves(columns: &Fields, parent: &str, path: &[usize], to: &mut Vec<Leaf>) {
    for (at, column) in columns.iter().enumerate() {
        let name = format!("{parent}{}", column.name());
        let path = [path, &[at]].concat();
        match column.data_type() {
            DataType::Struct(inner) => add_leaves(inner, &format!("{name}."), &path, to),
            _ => to.push(Leaf {
                name,
                path,
                column: Arc::clone(column),
            }),
        }
    }
}

/// Returns name and type of the columns of a parquet file that Arrow wrote as durations: parquet
/// has no such type, and stores numbers.
pub(super) fn durations(metadata: &FileMetaData) -> Vec<(String, String)> {
    const SCHEMA: &str = "ARROW:schema";
    let mut pairs = metadata.key_value_metadata().into_iter().flatten();
    let schema = pairs.find(|pair| pair.key == SCHEMA);
    let schema = schema.and_then(|pair| base64(pair.value.as_ref()?));
    let schema = schema.and_then(|bytes| try_schema_from_ipc_buffer(&bytes).ok());
    let mut leaves = Vec::new();
    if let Some(schema) = schema {
        add_leaves(&schema.fields, "", &[], &mut leaves);
    }
    let duration = |leaf: Leaf| {
        let data_type = item(&leaf.column).unwrap_or(&leaf.column).data_type();
        let is_duration = matches!(data_type, DataType::Duration(_));
        is_duration.then(|| (leaf.name.clone(), data_type.to_string()))
    };
    leaves.into_iter().filter_map(duration).collect()
}

/// Decodes base64; `None` for other characters.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

/// Returns the items of a list.
fn item(column: &Column) -> Option<&Arc<Column>> {
    match column.data_type() {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => Some(item),
        _ => None,
    }
}

impl Leaf {
    /// True if the column has the lists of labels.
    fn is_labels(&self, options: &ReadOptions) -> bool {
        let multi = options.multi_label.as_ref();
        multi.is_some_and(|multi| multi.other_columns.is_empty())
            && self.name == options.label_column
    }

    /// Returns the type of the values, or of the items of a list; `None` if it is not supported.
    fn kind(&self, metadata: Option<&str>) -> Option<Kind> {
        let column = item(&self.column).unwrap_or(&self.column);
        let data_type = match column.data_type() {
            DataType::Dictionary(_, values) => values.as_ref(),
            other => other,
        };
        Some(match data_type {
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView => Kind::Text,
            DataType::Boolean => Kind::Boolean,
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                let names = |metadata| values::class_names(metadata, &self.name);
                metadata.and_then(names).map_or(Kind::Signed, Kind::Names)
            }
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                Kind::Unsigned
            }
            // Every value is missing.
            DataType::Null => Kind::Signed,
            DataType::Float16 => Kind::Half,
            DataType::Float32 | DataType::Float64 => Kind::Float,
            DataType::Decimal32(_, scale)
            | DataType::Decimal64(_, scale)
            | DataType::Decimal128(_, scale)
            | DataType::Decimal256(_, scale) => Kind::Decimal(usize::try_from(*scale).ok()?),
            DataType::Date32 | DataType::Date64 => Kind::Date,
            DataType::Time32(unit) | DataType::Time64(unit) => Kind::Time(per_second(*unit)),
            DataType::Timestamp(unit, zone) => Kind::Timestamp(per_second(*unit), zone.is_some()),
            DataType::FixedSizeBinary(16) if column.extension_type_name() == Some("arrow.uuid") => {
                Kind::Uuid
            }
            _ => return None,
        })
    }

    /// Returns the reader of the values; `projection` has the top-level columns that are read.
    fn values(&self, projection: &[usize], metadata: Option<&str>) -> Values {
        let (root, inside) = self.path.split_at(1);
        Values {
            root: projection.partition_point(|at| *at < root[0]),
            inside: inside.to_vec(),
            is_list: item(&self.column).is_some(),
            // `check_types` refused others.
            kind: self.kind(metadata).unwrap_or(Kind::Text),
        }
    }
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Reads the values of a column.
struct Values {
    /// Position of its top-level column among those that are read.
    root: usize,
    /// Positions inside of structs.
    inside: Vec<usize>,
    is_list: bool,
    kind: Kind,
}

impl Values {
    /// Appends the values, as text, to `bytes`.
    fn append(
        &self,
        rows: &RecordBatch,
        bytes: &mut Vec<u8>,
    ) -> Result<Vec<Option<Field>>, FileError> {
        let mut array = Arc::clone(rows.column(self.root));
        let mut is_there = vec![true; array.len()];
        for at in &self.inside {
            for (row, is_there) in is_there.iter_mut().enumerate() {
                *is_there &= array.is_valid(row);
            }
            let inner = Arc::clone(array.as_struct().column(*at));
            array = inner;
        }
        if !self.is_list {
            let values = texts(&self.kind, &array, bytes)?;
            let values = values.into_iter().zip(is_there);
            return Ok(values
                .map(|(value, is_there)| value.filter(|_| is_there))
                .collect());
        }
        let rows = is_there.into_iter().enumerate();
        let lists = rows.map(|(row, is_there)| {
            let items = match is_there && array.is_valid(row) {
                true => items(&self.kind, &array, row)?,
                false => Vec::new(),
            };
            Ok::<_, FileError>(Some(list(&items, bytes)))
        });
        lists.collect()
    }
}

/// Returns the items of a list.
fn items(kind: &Kind, lists: &ArrayRef, row: usize) -> Result<Vec<String>, FileError> {
    let items = match lists.data_type() {
        DataType::List(_) => lists.as_list::<i32>().value(row),
        DataType::LargeList(_) => lists.as_list::<i64>().value(row),
        DataType::ListView(_) => lists.as_list_view::<i32>().value(row),
        DataType::LargeListView(_) => lists.as_list_view::<i64>().value(row),
        _ => lists.as_fixed_size_list().value(row),
    };
    let mut bytes = Vec::new();
    let fields = texts(kind, &items, &mut bytes)?;
    let text = |field: Field| list_item(bytes[field.start as usize..field.end as usize].to_vec());
    fields.into_iter().flatten().map(text).collect()
}

/// Appends the values of an array, as text, to `bytes`.
fn texts(
    kind: &Kind,
    array: &ArrayRef,
    bytes: &mut Vec<u8>,
) -> Result<Vec<Option<Field>>, FileError> {
    let nulls = array.logical_nulls();
    let is_there = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    let mut values = array;
    // Of each row, the position of its value. No row has one in an empty dictionary.
    let mut positions: Vec<usize> = (0..array.len()).collect();
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        values = dictionary.values();
        if !values.is_empty() {
            positions = dictionary.normalized_keys();
        }
    }
    let (data, data_type) = (values.to_data(), values.data_type());
    let width = data_type.primitive_width().unwrap_or_default();
    let mut append = |at: usize| -> Result<Option<Field>, FileError> {
        let start = bytes.len();
        let is_value = match data_type {
            DataType::Utf8 => kind.bytes(values.as_string::<i32>().value(at).as_bytes(), bytes),
            DataType::LargeUtf8 => {
                kind.bytes(values.as_string::<i64>().value(at).as_bytes(), bytes)
            }
            DataType::Utf8View => kind.bytes(values.as_string_view().value(at).as_bytes(), bytes),
            DataType::Binary => kind.bytes(values.as_binary::<i32>().value(at), bytes),
            DataType::LargeBinary => kind.bytes(values.as_binary::<i64>().value(at), bytes),
            DataType::BinaryView => kind.bytes(values.as_binary_view().value(at), bytes),
            DataType::FixedSizeBinary(_) => {
                kind.bytes(values.as_fixed_size_binary().value(at), bytes)
            }
            DataType::Boolean => {
                bytes.extend(values.as_boolean().value(at).to_string().bytes());
                Ok(true)
            }
            _ => {
                let start = (data.offset() + at) * width;
                number(
                    kind,
                    data_type,
                    &data.buffers()[0][start..start + width],
                    bytes,
                )
            }
        };
        Ok(is_value?.then(|| plain(start, bytes)))
    };
    let rows = positions.into_iter().enumerate();
    let rows = rows.map(|(row, at)| match is_there(row) {
        true => append(at),
        false => Ok(None),
    });
    rows.collect()
}

/// Appends a little-endian number. Returns false if it is missing.
fn number(
    kind: &Kind,
    data_type: &DataType,
    value: &[u8],
    to: &mut Vec<u8>,
) -> Result<bool, FileError> {
    const DAY_MILLISECONDS: i64 = 24 * 60 * 60 * 1000;
    match (kind, data_type) {
        (Kind::Half, _) => kind.bytes(value, to),
        (Kind::Decimal(_), _) => {
            let big_endian: Vec<u8> = value.iter().rev().copied().collect();
            kind.bytes(&big_endian, to)
        }
        (Kind::Float, DataType::Float32) => {
            let number = f32::from_le_bytes(value.try_into().unwrap_or_default());
            Kind::float(&format!("{number:?}"), &format!("{number:e}"), to)
        }
        (Kind::Float, _) => {
            let number = f64::from_le_bytes(value.try_into().unwrap_or_default());
            Kind::float(&format!("{number:?}"), &format!("{number:e}"), to)
        }
        _ => {
            let is_signed = !matches!(kind, Kind::Unsigned);
            let is_negative = is_signed && value.last().is_some_and(|byte| byte & 0x80 != 0);
            let mut wide = [if is_negative { 0xff } else { 0 }; 8];
            for (to, byte) in wide.iter_mut().zip(value) {
                *to = *byte;
            }
            let number = i64::from_le_bytes(wide);
            match data_type {
                DataType::Date64 => kind.int64(number.div_euclid(DAY_MILLISECONDS), to),
                _ => kind.int64(number, to),
            }
        }
    }
}

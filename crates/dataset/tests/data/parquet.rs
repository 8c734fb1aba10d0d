//! Parquet files.

use super::*;
use ::parquet::basic::Compression;
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use dataset::fetch_texts;
use std::sync::Arc;

enum ColumnValues {
    /// Optional strings.
    Strings(Vec<Option<&'static str>>),
    Integers(Vec<i64>),
    Truths(Vec<bool>),
}

/// Returns a file whose row groups have these columns.
fn parquet_file(schema: &str, groups: &[Vec<ColumnValues>], compression: Compression) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(
        WriterProperties::builder()
            .set_compression(compression)
            .build(),
    );
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    for group in groups {
        let mut row_group = writer.next_row_group().unwrap();
        for values in group {
            let mut column = row_group.next_column().unwrap().unwrap();
            match values {
                ColumnValues::Strings(values) => {
                    let levels: Vec<i16> = values
                        .iter()
                        .map(|value| i16::from(value.is_some()))
                        .collect();
                    let there: Vec<ByteArray> = values
                        .iter()
                        .flatten()
                        .map(|value| ByteArray::from(*value))
                        .collect();
                    column
                        .typed::<ByteArrayType>()
                        .write_batch(&there, Some(&levels), None)
                        .unwrap();
                }
                ColumnValues::Integers(values) => {
                    column
                        .typed::<Int64Type>()
                        .write_batch(values, None, None)
                        .unwrap();
                }
                ColumnValues::Truths(values) => {
                    column
                        .typed::<BoolType>()
                        .write_batch(values, None, None)
                        .unwrap();
                }
            }
            column.close().unwrap();
        }
        row_group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

const STRINGS: &str = "message m { optional binary text (UTF8); optional binary label (UTF8); }";
const INTEGERS: &str = "message m { required int64 label; optional binary text (UTF8); }";

#[test]
fn reads_several_row_groups_in_all_compressions() {
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::ZSTD(Default::default()),
    ] {
        let groups = [
            vec![
                ColumnValues::Integers(vec![1, -2]),
                ColumnValues::Strings(vec![Some("a"), Some("é")]),
            ],
            vec![
                ColumnValues::Integers(vec![1]),
                ColumnValues::Strings(vec![Some("c\n")]),
            ],
        ];
        let file = given("a.parquet", parquet_file(INTEGERS, &groups, compression));
        assert_eq!(
            file.pairs(&options()),
            [pair("a", "1"), pair("é", "-2"), pair("c\n", "1")]
        );
    }
}

#[test]
fn reads_long_files_with_nulls() {
    let texts = (0..5000)
        .map(|row| if row % 7 == 0 { None } else { Some("text") })
        .collect();
    let labels = (0..5000)
        .map(|row| if row % 11 == 0 { None } else { Some("x") })
        .collect();
    let bytes = parquet_file(
        STRINGS,
        &[vec![
            ColumnValues::Strings(texts),
            ColumnValues::Strings(labels),
        ]],
        Compression::SNAPPY,
    );
    let file = given("a.parquet", &bytes);
    let rows = file.read(&dropping()).unwrap();
    let expected = (1..=5000_u32).filter(|record| (record - 1) % 7 != 0 && (record - 1) % 11 != 0);
    assert!(rows.places.iter().map(|place| place.record).eq(expected));
    assert_eq!(rows.counts.read, 5000);
    assert_eq!(rows.counts.files[0].bytes, bytes.len() as u64);
    assert_eq!(
        rows.counts.files[0].sha256.as_ref().map(String::len),
        Some(64)
    );
    assert_eq!(
        fetch_texts(&file.source(), &options(), &rows.places[..1]).unwrap(),
        ["text"]
    );
    insta::assert_snapshot!(file.messages(&options()), @r"
    error[D013]: row has no text
      --> a.parquet (record 1)
      help: 715 such rows; fix them, or pass --drop-missing
    error[D014]: row has no label
      --> a.parquet (record 12)
      help: 390 such rows; fix them, or pass --drop-missing
    ");
}

#[test]
fn missing_columns_and_wrong_types_are_errors() {
    let strings = || ColumnValues::Strings(vec![Some("a")]);
    let messages = |schema, values| {
        let bytes = parquet_file(schema, &[values], Compression::UNCOMPRESSED);
        given("a.parquet", bytes).messages(&options())
    };
    let schema = "message m { optional binary review (UTF8); optional binary label (UTF8); }";
    insta::assert_snapshot!(messages(schema, vec![strings(), strings()]), @r"
    error[D005]: no column is named `text`; the file has `review`, `label`
      --> a.parquet
      help: pass --text-column NAME
    ");
    let schema = "message m { required boolean text; optional binary label (UTF8); }";
    insta::assert_snapshot!(messages(schema, vec![ColumnValues::Truths(vec![true]), strings()]), @r"
    error[D009]: expected the column `text` to be a string, found `BOOLEAN`
      --> a.parquet
      help: pass another --text-column, or write the file with that type
    ");
    // The option is that of the column.
    let schema = "message m { optional binary text (UTF8); optional binary label (UTF8); \
                  required fixed_len_byte_array(4) bytes; }";
    let file = given(
        "a.parquet",
        parquet_file(schema, &[], Compression::UNCOMPRESSED),
    );
    let name = || "bytes".to_owned();
    let weighted = ReadOptions {
        weight_column: Some(name()),
        ..options()
    };
    let other_label = ReadOptions {
        multi_label: Some(dataset::MultiLabel {
            other_columns: vec![name()],
            ..dataset::MultiLabel::default()
        }),
        ..options()
    };
    let kept = ReadOptions {
        keep_columns: vec![name()],
        ..options()
    };
    for (options, flag) in [
        (weighted, "--weight-column"),
        (other_label, "--label-column"),
        (kept, "--keep-columns"),
    ] {
        let message = file.messages(&options);
        let help = format!("help: pass another {flag}, or write the file with that type");
        assert!(message.contains(&help), "{message}");
    }
    // The help, obeyed, removes the error.
    let schema = "message m { required boolean text; optional binary label (UTF8); \
                  optional binary review (UTF8); }";
    let columns = vec![ColumnValues::Truths(vec![true]), strings(), strings()];
    let file = given(
        "a.parquet",
        parquet_file(schema, &[columns], Compression::UNCOMPRESSED),
    );
    assert!(
        file.messages(&options())
            .contains("pass another --text-column")
    );
    let text_column = "review".to_owned();
    let other = ReadOptions {
        text_column,
        ..options()
    };
    assert_eq!(file.pairs(&other), [pair("a", "a")]);
    insta::assert_snapshot!(given("a.parquet", "text,label\na,b\n").messages(&options()), @r"
    error[D009]: the file is not parquet: it does not begin with `PAR1`
      --> a.parquet
      help: rename it to end in its own format, such as .csv, or write it again
    ");
}

#[test]
fn invalid_utf8_values_are_refused() {
    let values = || ColumnValues::Strings(vec![Some("one"), Some("two"), Some("three")]);
    let mut bytes = parquet_file(
        STRINGS,
        &[vec![values(), values()]],
        Compression::UNCOMPRESSED,
    );
    // The dictionary of the text column is before that of the label column.
    let places = |word: &[u8]| {
        (0..bytes.len() - 5)
            .filter(|at| bytes[*at..].starts_with(word))
            .collect::<Vec<_>>()
    };
    let (two, one) = (places(b"\x03\0\0\0two")[0], places(b"\x03\0\0\0one")[1]);
    (bytes[two + 4], bytes[one + 4]) = (0xff, 0xff);
    let file = given("a.parquet", bytes);
    assert_eq!(file.pairs(&dropping()), [pair("three", "three")]);
    insta::assert_snapshot!(file.messages(&options()), @r"
    error[D012]: the row is not valid UTF-8
      --> a.parquet (record 1)
      help: 2 such rows; rewrite them as UTF-8, or pass --drop-malformed
    ");
}

/// Returns a file with two row groups.
pub(super) fn three_hundred_rows() -> Vec<u8> {
    let column = |rows| {
        ColumnValues::Strings(
            (0..rows)
                .map(|row| (row % 5 > 0).then_some("some text"))
                .collect(),
        )
    };
    let groups = [100, 200].map(|rows| vec![column(rows), column(rows)]);
    parquet_file(STRINGS, &groups, Compression::SNAPPY)
}

#[test]
fn damaged_files_are_refused_and_do_not_panic() {
    let bytes = three_hundred_rows();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        match given("a.parquet", damaged).read(&dropping()) {
            Ok(rows) => assert!(rows.counts.used <= rows.counts.read),
            Err(ReadError::Data(bad)) => assert!(bad.findings.has_errors()),
            Err(ReadError::Stopped) => panic!("not stopped"),
        }
    }
}

/// USER 24: numbers stay numbers, as in JSON lines; names of classes and dates are texts.
#[test]
fn values_of_kept_columns_have_their_types() {
    let schema = "message m { required int64 id; optional binary text (UTF8); \
                  required boolean ok; required int64 day (TIMESTAMP_MILLIS); \
                  optional binary note (UTF8); }";
    let groups = [vec![
        ColumnValues::Integers(vec![7, -8]),
        ColumnValues::Strings(vec![Some("a"), Some("b")]),
        ColumnValues::Truths(vec![true, false]),
        ColumnValues::Integers(vec![0, 1000]),
        ColumnValues::Strings(vec![None, Some("1")]),
    ]];
    let file = given(
        "a.parquet",
        parquet_file(schema, &groups, Compression::UNCOMPRESSED),
    );
    let options = ReadOptions {
        keep_columns: ["note", "id", "ok", "day", "text"]
            .map(str::to_owned)
            .to_vec(),
        ..options()
    };
    let of_block = |_: &mut (), batch: &dataset::Batch<'_>| -> Vec<String> {
        let values = (0..batch.len()).flat_map(|row| batch.kept(row));
        values.map(|value| format!("{value:?}")).collect()
    };
    let mut values = Vec::new();
    let sink = |block: Vec<String>| {
        values.extend(block);
        Ok::<(), ()>(())
    };
    let labels = dataset::Labels::Ignored;
    dataset::stream(&file.source(), &options, labels, &GO, || (), of_block, sink).unwrap();
    assert_eq!(
        values,
        [
            "Missing",
            "Json(\"7\")",
            "Json(\"true\")",
            "Text(\"1970-01-01T00:00:00\")",
            "Text(\"a\")",
            "Text(\"1\")",
            "Json(\"-8\")",
            "Json(\"false\")",
            "Text(\"1970-01-01T00:00:01\")",
            "Text(\"b\")",
        ]
    );
}

/// Issue 17: parquet has no durations, but the schema of Arrow that pyarrow 26 wrote for the columns
/// `text: string` and `label: duration[ns]`. Arrow files with that type are refused in the same way.
#[test]
fn durations_are_refused_not_read_as_numbers() {
    const SCHEMA: &str = "/////6gAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAIAAAB\
        IAAAABAAAAND///8AAAESEAAAABwAAAAEAAAAAAAAAAUAAABsYWJlbAAGAAgABgAGAAAAAAADABAAFAAIAAYABwAMAAAA\
        EAAQAAAAAAABBRAAAAAcAAAABAAAAAAAAAAEAAAAdGV4dAAAAAAEAAQABAAAAAAAAAA=";
    let schema = "message m { optional binary text (UTF8); required int64 label; }";
    let file = |value: Option<&str>| {
        let pair = KeyValue::new("ARROW:schema".to_owned(), value.map(str::to_owned));
        let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![pair]));
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut bytes = Vec::new();
        let properties = Arc::new(properties.build());
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let typed = column.typed::<ByteArrayType>();
        typed
            .write_batch(&[ByteArray::from("a")], Some(&[1]), None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let typed = column.typed::<Int64Type>();
        typed.write_batch(&[5_000_000_000], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        given("a.parquet", bytes)
    };
    insta::assert_snapshot!(file(Some(SCHEMA)).messages(&options()), @r"
    error[D009]: expected the column `label` to be a string, a number, a date or true/false, found `Duration(ns)`
      --> a.parquet
      help: pass another --label-column, or write the file with that type
    ");
    // Other metadata, and damaged metadata, is ignored.
    for other in [None, Some(""), Some("*"), Some("/////6gAAAAQ")] {
        assert_eq!(
            file(other).pairs(&options()),
            [pair("a", "5000000000")],
            "{other:?}"
        );
    }
}

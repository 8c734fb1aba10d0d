//! Arrow files and streams.

use super::*;
use arrow_array::builder::{ListBuilder, StringBuilder, StructBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, LargeStringArray,
    RecordBatch, StringArray, StringViewArray,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_schema::{DataType, Field, Schema};
use dataset::{MultiLabel, codes, fetch_texts, sources};
use std::collections::HashMap;
use std::sync::Arc;

fn rows_of(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter();
    let columns = columns.map(|(name, values)| (name, values, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn compressed(codec: Option<CompressionType>) -> IpcWriteOptions {
    let options = IpcWriteOptions::default();
    options.try_with_compression(codec).unwrap()
}

fn file_of(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut bytes = Vec::new();
    let schema = batches[0].schema();
    let mut writer = FileWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    drop(writer);
    bytes
}

fn stream_of(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut bytes = Vec::new();
    let schema = batches[0].schema();
    let mut writer = StreamWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    drop(writer);
    bytes
}

fn plain_stream(batch: RecordBatch) -> Vec<u8> {
    stream_of(&[batch], IpcWriteOptions::default())
}

#[test]
fn reads_files_and_streams_of_all_strings_in_all_compressions() {
    let texts = ["a", "é", "c\n"];
    let columns: [ArrayRef; 4] = [
        strings(&texts),
        Arc::new(LargeStringArray::from(texts.to_vec())),
        Arc::new(StringViewArray::from(texts.to_vec())),
        Arc::new(texts.into_iter().collect::<DictionaryArray<Int32Type>>()),
    ];
    let codecs = [
        None,
        Some(CompressionType::LZ4_FRAME),
        Some(CompressionType::ZSTD),
    ];
    for column in columns {
        let labels: ArrayRef = Arc::new(Int64Array::from(vec![1, -2, 1]));
        let rows = rows_of(vec![("label", labels), ("text", column)]);
        let batches = [rows.slice(0, 2), rows.slice(2, 1)];
        for codec in codecs {
            for bytes in [
                file_of(&batches, compressed(codec)),
                stream_of(&batches, compressed(codec)),
            ] {
                assert_eq!(
                    given("a.arrow", &bytes).pairs(&options()),
                    [pair("a", "1"), pair("é", "-2"), pair("c\n", "1")]
                );
                // A file is read by its content if its name has no ending.
                let unnamed = given("rows", &bytes);
                let found = sources(&unnamed.path).unwrap();
                assert_eq!(found[0].format(), Format::Arrow);
            }
        }
    }
}

/// The batches of a stream may have different dictionaries.
#[test]
fn dictionaries_of_streams_are_replaced() {
    let batch = |labels: &[&str]| {
        let labels = labels.iter().copied();
        let labels: ArrayRef = Arc::new(labels.collect::<DictionaryArray<Int32Type>>());
        rows_of(vec![("text", strings(&["a", "b"])), ("label", labels)])
    };
    let batches = [batch(&["x", "y"]), batch(&["z", "x"])];
    let bytes = stream_of(&batches, IpcWriteOptions::default());
    assert_eq!(
        given("a.arrow", bytes).pairs(&options()),
        [
            pair("a", "x"),
            pair("b", "y"),
            pair("a", "z"),
            pair("b", "x")
        ]
    );
}

#[test]
fn reads_long_batches_with_nulls() {
    let texts = (0..5000).map(|row| (row % 7 > 0).then_some("text"));
    let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
    let labels = (0..5000).map(|row| (row % 11 > 0).then_some("x"));
    let labels: ArrayRef = Arc::new(labels.collect::<StringArray>());
    let rows = rows_of(vec![("text", texts), ("label", labels)]);
    let bytes = file_of(&[rows], IpcWriteOptions::default());
    let file = given("a.feather", &bytes);
    let rows = file.read(&dropping()).unwrap();
    let expected = (1..=5000_u32).filter(|record| (record - 1) % 7 != 0 && (record - 1) % 11 != 0);
    assert!(rows.places.iter().map(|place| place.record).eq(expected));
    let counts = &rows.counts.files[0];
    assert_eq!((rows.counts.read, counts.bytes), (5000, bytes.len() as u64));
    assert_eq!(counts.sha256.as_ref().map(String::len), Some(64));
    let texts = fetch_texts(&file.source(), &options(), &rows.places[..1]);
    assert_eq!(texts.unwrap(), ["text"]);
    insta::assert_snapshot!(file.messages(&options()), @r"
    error[D013]: row has no text
      --> a.feather (record 1)
      help: 715 such rows; fix them, or pass --drop-missing
    error[D014]: row has no label
      --> a.feather (record 12)
      help: 390 such rows; fix them, or pass --drop-missing
    ");
}

#[test]
fn missing_columns_wrong_types_and_other_files_are_errors() {
    let label = || ("label", strings(&["x"]));
    let messages = |columns| given("a.arrow", plain_stream(rows_of(columns))).messages(&options());
    insta::assert_snapshot!(messages(vec![("review", strings(&["a"])), label()]), @r"
    error[D005]: no column is named `text`; the file has `review`, `label`
      --> a.arrow
      help: pass --text-column NAME
    ");
    let truths: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    insta::assert_snapshot!(messages(vec![("text", truths), label()]), @r"
    error[D009]: expected the column `text` to be a string, found `Boolean`
      --> a.arrow
      help: pass another --text-column, or write the file with that type
    ");
    insta::assert_snapshot!(given("a.arrow", "text,label\na,b\n").messages(&options()), @r"
    error[D009]: the file is not Arrow: it does not begin with `ARROW1`
      --> a.arrow
      help: rename it to end in its own format, such as .csv, or write it again
    ");
    insta::assert_snapshot!(given("a.arrow.gz", b"\x1f\x8b\x08\0").messages(&options()), @r"
    error[D009]: the Arrow file is compressed as a whole
      --> a.arrow.gz
      help: decompress it with gunzip or unzstd; the format compresses its columns itself
    ");
    let bytes = plain_stream(rows_of(vec![("text", strings(&["a"])), label()]));
    // Without the end of the stream.
    insta::assert_snapshot!(given("a.arrow", &bytes[..bytes.len() - 8]).messages(&options()), @r"
    error[D009]: the Arrow file is damaged: it ends too early, after 1 row
      --> a.arrow
      help: download or write the file again
    ");
    let joined = [bytes.as_slice(), &bytes].concat();
    insta::assert_snapshot!(given("a.arrow", joined).messages(&options()), @r"
    error[D009]: the Arrow file cannot be read: its rows end before the file does, after 1 row
      --> a.arrow
      help: download or write the file again
    ");
}

/// As the same attacks on parquet: ATTACK F1.
#[test]
fn no_changed_or_missing_byte_drops_rows() {
    let texts = (0..30).map(|row| (row % 5 > 0).then_some("some text"));
    let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
    let labels = (0..30).map(|row| ["x", "y"][row % 2]);
    let labels: ArrayRef = Arc::new(labels.collect::<DictionaryArray<Int32Type>>());
    let rows = rows_of(vec![("text", texts), ("label", labels)]);
    let batches = [rows.slice(0, 10), rows.slice(10, 20)];
    let lz4 = compressed(Some(CompressionType::LZ4_FRAME));
    let mut needs_memory = false;
    for whole in [
        file_of(&batches, lz4),
        stream_of(&batches, IpcWriteOptions::default()),
    ] {
        let file = given("a.arrow", &whole);
        let read = |bytes: &[u8]| {
            std::fs::write(&file.path, bytes).unwrap();
            file.read(&dropping())
        };
        for at in 0..whole.len() {
            let cut = read(&whole[..at]);
            assert!(cut.is_err(), "{at} of {} bytes", whole.len());
            for flip in [0x01, 0x55] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                match read(&damaged) {
                    Ok(rows) => assert_eq!(rows.counts.read, 30, "byte {at} xor {flip:#x}"),
                    Err(error) => {
                        let message = error.to_string();
                        assert!(message.contains("help: "), "byte {at}: {message}");
                        needs_memory |= message.contains("bytes of memory");
                    }
                }
            }
        }
    }
    assert!(needs_memory);
}

/// A value of a struct that is null is missing; numbers of kept columns stay numbers.
#[test]
fn reads_nested_kept_and_weight_columns() {
    let fields = vec![Field::new("text", DataType::Utf8, true)];
    let mut data = StructBuilder::from_fields(fields, 3);
    for (text, is_there) in [("one", true), ("hidden", false), ("three", true)] {
        let texts = data.field_builder::<StringBuilder>(0).unwrap();
        texts.append_value(text);
        data.append(is_there);
    }
    let data: ArrayRef = Arc::new(data.finish());
    let labels: ArrayRef = Arc::new(BooleanArray::from(vec![true, true, false]));
    let weights: ArrayRef = Arc::new(Float64Array::from(vec![2.0, 1.0, 0.5]));
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![7, 8, -9]));
    let columns = vec![
        ("id", ids),
        ("data", data),
        ("label", labels),
        ("w", weights),
    ];
    let file = given("a.arrow", plain_stream(rows_of(columns)));
    let weighted = ReadOptions {
        text_column: "data.text".to_owned(),
        weight_column: Some("w".to_owned()),
        ..dropping()
    };
    let rows = file.read(&weighted).unwrap();
    assert_eq!(pairs(&rows), [pair("one", "true"), pair("three", "false")]);
    assert_eq!(rows.weights, [2.0, 0.5]);
    assert_eq!(rows.counts.read, 3);
    let kept = ReadOptions {
        weight_column: None,
        keep_columns: ["id", "label", "data.text"].map(str::to_owned).to_vec(),
        ..weighted
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
    dataset::stream(&file.source(), &kept, labels, &GO, || (), of_block, sink).unwrap();
    let expected = ["Json(\"7\")", "Json(\"true\")", "Text(\"one\")"];
    assert_eq!(values[..3], expected);
    let expected = ["Json(\"-9\")", "Json(\"false\")", "Text(\"three\")"];
    assert_eq!(values[3..], expected);
}

#[test]
fn lists_are_sets() {
    let mut labels = ListBuilder::new(StringBuilder::new());
    let rows: [Option<&[&str]>; 4] = [Some(&["b", "a"]), Some(&[]), None, Some(&["b"])];
    for row in rows {
        for label in row.unwrap_or_default() {
            labels.values().append_value(label);
        }
        labels.append(row.is_some());
    }
    let labels: ArrayRef = Arc::new(labels.finish());
    let texts = strings(&["one", "two", "three", "four"]);
    let rows = rows_of(vec![("text", texts), ("label", labels)]);
    let file = given("a.arrow", plain_stream(rows));
    let several = ReadOptions {
        multi_label: Some(MultiLabel {
            separator: None,
            other_columns: Vec::new(),
        }),
        ..options()
    };
    let expected = [
        pair("one", r#"["a","b"]"#),
        pair("two", "[]"),
        pair("three", "[]"),
        pair("four", r#"["b"]"#),
    ];
    assert_eq!(file.pairs(&several), expected);
    let message = file.messages(&options());
    assert!(message.contains("expected one value per row"), "{message}");
}

/// The files that `save_to_disk` of Hugging Face's datasets 4 writes, and a result of `map`.
#[test]
fn reads_folders_of_hugging_face_datasets() {
    let features = r#"{"info": {"features": {"text": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}"#;
    let fields = vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("label", DataType::Int64, true),
    ];
    let metadata = HashMap::from([("huggingface".to_owned(), features.to_owned())]);
    let schema = Schema::new(fields).with_metadata(metadata);
    let labels: ArrayRef = Arc::new(Int64Array::from(vec![1, 0, -1]));
    let columns = vec![strings(&["a", "b", "c"]), labels];
    let bytes = plain_stream(RecordBatch::try_new(Arc::new(schema), columns).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let state = "{\n  \"_data_files\": [\n    {\n      \"filename\": \
                 \"data-00000-of-00001.arrow\"\n    }\n  ],\n  \"_split\": null\n}";
    for (name, bytes) in [
        ("data-00000-of-00001.arrow", bytes.as_slice()),
        ("cache-5c9e4d1f.arrow", bytes.as_slice()),
        ("state.json", state.as_bytes()),
        ("dataset_info.json", "{\n  \"citation\": \"\"\n}".as_bytes()),
    ] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let files = sources(folder.path()).unwrap();
    let rows = read(&files, &dropping(), Texts::default, &GO).unwrap();
    assert_eq!(pairs(&rows), [pair("a", "pos"), pair("b", "neg")]);
    assert!(rows.counts.named_labels().is_some());
    assert_eq!(rows.counts.read, 3);
    // Issue 17: `load_from_disk` needs the files without rows, so that no warning names them.
    assert_eq!(rows.findings.count(&codes::SKIPPED_FILE), 1);
    let message = rows.findings.to_string();
    assert!(message.contains("cache-5c9e4d1f.arrow"), "{message}");
    // Beside files of other formats, they are files like others.
    let folder = given("a.csv", "text,label\na,x\n").folder;
    std::fs::write(folder.path().join("state.json"), state).unwrap();
    let rows = read(
        &sources(folder.path()).unwrap(),
        &options(),
        Texts::default,
        &GO,
    )
    .unwrap();
    assert_eq!(rows.findings.count(&codes::SKIPPED_FILE), 1);
}

//! Rows with several labels, or none.

use super::*;
use dataset::{Channels, Corpus, MultiLabel, Split, codes, labels_of};

fn several(separator: Option<&str>, columns: &[&str]) -> ReadOptions {
    ReadOptions {
        multi_label: Some(MultiLabel {
            separator: separator.map(str::to_owned),
            other_columns: columns.iter().map(|&name| name.to_owned()).collect(),
        }),
        ..options()
    }
}

/// Issue 17: the four forms of labels give the same rows.
#[test]
fn lists_separators_prefixes_and_columns_agree() {
    let expected = [
        pair("one", r#"["a","b"]"#),
        pair("two", "[]"),
        pair("three", r#"["b"]"#),
    ];
    let lists = several(None, &[]);
    let json = "{\"text\":\"one\",\"label\":[\"b\",\"a\"]}\n{\"text\":\"two\",\"label\":null}\n\
                {\"text\":\"three\",\"label\":\"b\"}\n";
    assert_eq!(given("a.jsonl", json).pairs(&lists), expected);
    let csv = "text,label\none,\"[\"\"b\"\",\"\"a\"\"]\"\ntwo,\nthree,['b']\n";
    assert_eq!(given("a.csv", csv).pairs(&lists), expected);
    let fast = "__label__b __label__a one\ntwo\n__label__b three\n";
    assert_eq!(given("a.ft", fast).pairs(&lists), expected);
    let csv = "text,label\none,b|a\ntwo,\nthree, b \n";
    assert_eq!(
        given("a.csv", csv).pairs(&several(Some("|"), &[])),
        expected
    );
    let json = "{\"text\":\"one\",\"label\":[\"b\",\"a\"]}\n{\"text\":\"two\",\"label\":\"\"}\n\
                {\"text\":\"three\",\"label\":\"b|\"}\n";
    let separated = several(Some("|"), &[]);
    assert_eq!(given("a.jsonl", json).pairs(&separated), expected);
    let columns = ReadOptions {
        label_column: "a".to_owned(),
        ..several(None, &["b"])
    };
    let csv = "b,text,a\n1,one,1\n0,two,0\n1,three,0\n";
    assert_eq!(given("a.csv", csv).pairs(&columns), expected);
    let json = "{\"text\":\"one\",\"a\":1,\"b\":true}\n{\"text\":\"two\",\"a\":0,\"b\":false}\n\
                {\"text\":\"three\",\"b\":1,\"a\":0}\n";
    assert_eq!(given("a.jsonl", json).pairs(&columns), expected);
}

/// Issue 17: manifests of jobs of Ground Truth with several labels have names by number.
#[test]
fn labels_of_augmented_manifests_are_named() {
    let row = |text: &str, labels: &str, map: &str| {
        format!(
            "{{\"source\":\"{text}\",\"topics\":{labels},\"topics-metadata\":{{\"class-map\":{map}}}}}\n"
        )
    };
    let bytes = row("one", "[0,2]", r#"{"0":"a","2":"c"}"#)
        + &row("two", r#"["1"]"#, r#"{"1":"b"}"#)
        + &row("three", "[]", "{}");
    let options = ReadOptions {
        text_column: "source".to_owned(),
        label_column: "topics".to_owned(),
        ..several(None, &[])
    };
    let file = given("a.manifest", &bytes);
    let expected = [
        pair("one", r#"["a","c"]"#),
        pair("two", r#"["b"]"#),
        pair("three", "[]"),
    ];
    assert_eq!(file.pairs(&options), expected);
    let message = file.messages(&options);
    let named = "warning[D045]: the labels are the class names in `topics-metadata.class-map`";
    assert!(message.contains(named), "{message}");
    // Other files have the labels that they have.
    let file = given("a.jsonl", &bytes);
    assert_eq!(file.pairs(&options)[0], pair("one", r#"["0","2"]"#));
    // A number without a name, and a manifest without names.
    let file = given("a.manifest", bytes + &row("four", "[0,5]", r#"{"0":"a"}"#));
    let message = file.messages(&options);
    let parts = [
        "error[D045]: `1` row with a label has no class name",
        "a.manifest:4:1 (record 4)",
    ];
    assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    let file = given(
        "a.manifest",
        row("one", "[0]", "{}") + &row("two", "[]", "{}"),
    );
    assert_eq!(file.messages(&options), "");
}

#[test]
fn other_values_are_errors_with_a_place() {
    let message = given("a.csv", "text,a,b\none,1,2\n").messages(&ReadOptions {
        label_column: "a".to_owned(),
        ..several(None, &["b"])
    });
    assert!(
        message.contains("error[D016]: expected `b` to be 0 or 1, found `2`")
            && message.contains("a.csv:2"),
        "{message}"
    );
    let list = given("a.csv", "text,label\none,[a\n").messages(&several(None, &[]));
    let expected = "expected `label` to be a list of strings in JSON or Python, found `[a`";
    assert!(list.contains(expected), "{list}");
    let inside = given("a.ft", "__label__a one __label__b\n").messages(&several(None, &[]));
    assert!(
        inside.contains("expected the labels before the text"),
        "{inside}"
    );
    let missing = given("a.csv", "text,a\none,1\n").messages(&ReadOptions {
        label_column: "a".to_owned(),
        ..several(None, &["b"])
    });
    assert!(missing.contains("no column is named `b`"), "{missing}");
    // The text column as the second label column.
    let columns = ReadOptions {
        label_column: "a".to_owned(),
        ..several(None, &["text"])
    };
    let same = given("a.csv", "text,a\none,1\n").messages(&columns);
    assert!(same.contains("error[D025]"), "{same}");
}

/// Issue 17: classes are those of the sets; labels that only other channels have are errors.
#[test]
fn corpus_has_sets_of_classes() {
    let train = given("a.csv", "text,label\none,b|a\ntwo,\nthree,b\nfour,c|b\n");
    let read = |test: &str| {
        let test = given("b.csv", test);
        let channels = Channels {
            train: train.source(),
            validation: Vec::new(),
            test: test.source(),
        };
        let options = several(Some("|"), &[]);
        Corpus::read(channels, &options, 0.0, 0, Texts::default, &GO).map(|corpus| corpus.rows)
    };
    let rows = read("text,label\nfive,c|a\nsix,\n").unwrap();
    assert_eq!(rows.classes, ["a", "b", "c"]);
    let sets: Vec<&[u32]> = (0..6).map(|row| rows.classes_of(row)).collect();
    assert_eq!(sets, [&[0, 1][..], &[], &[1], &[1, 2], &[0, 2], &[]]);
    assert_eq!(rows.of(Split::Test), [4, 5]);
    let error = read("text,label\nfive,c|d\n").err().unwrap().to_string();
    assert!(
        error.contains("found the label `d` in the test data"),
        "{error}"
    );
    assert_eq!(labels_of(r#"["a","b"]"#), ["a", "b"]);
    // Joined labels beside lists.
    let train = given(
        "a.jsonl",
        "{\"text\":\"one\",\"label\":[\"a\"]}\n{\"text\":\"two\",\"label\":[\"b\"]}\n",
    );
    let test = given("b.csv", "text,label\nfive,a|b\n");
    let channels = Channels {
        train: train.source(),
        validation: Vec::new(),
        test: test.source(),
    };
    let read = Corpus::read(channels, &several(None, &[]), 0.0, 0, Texts::default, &GO);
    let error = read.err().unwrap().to_string();
    assert!(
        error.contains("1 such row; pass --label-separator '|' if"),
        "{error}"
    );
}

#[test]
fn check_counts_the_rows_of_each_label() {
    let one = given("a.csv", "text,label\none,a\ntwo,\n");
    let two = given("a.csv", "text,label\none,b|a\ntwo,\nthree,b\n");
    let check = |file: &Given| {
        let options = several(Some("|"), &[]);
        dataset::check(&file.source(), &[], &options, 20, &GO, &mut |_| {}).unwrap()
    };
    let summary = check(&two);
    assert_eq!(summary.labels, [("b".to_owned(), 2), ("a".to_owned(), 1)]);
    assert_eq!(summary.rows_without_labels, Some(1));
    assert!(!summary.findings.has_errors());
    assert_eq!(check(&one).findings.count(&codes::ONE_CLASS), 1);
}

/// Issue 17, DATA 25: pandas writes a missing field as `nan`; `train` and `check` name the row.
#[test]
fn words_for_missing_values_are_named() {
    let found = |label: &str, options: &ReadOptions| {
        let rows = format!("text,label\none,b|a\ntwo,{label}\nthree,b\n");
        let file = given("a.csv", rows);
        let read = file.read(options).unwrap().findings;
        let source = file.source();
        let checked = dataset::check(&source, &[], options, 20, &GO, &mut |_| {}).unwrap();
        let counts = [&read, &checked.findings].map(|all| all.count(&codes::MISSING_LABEL));
        (counts, read.to_string())
    };
    let separated = several(Some("|"), &[]);
    let (counts, message) = found("NaN|a", &separated);
    assert_eq!(counts, [1, 1], "{message}");
    let expected = "the label `NaN` is a word for a missing value, but is used as a class";
    assert!(message.contains(expected), "{message}");
    assert!(message.contains("leave the field empty"), "{message}");
    assert_eq!(found("", &separated).0, [0, 0]);
    // Without a separator, the field is one label.
    assert_eq!(found("nan", &several(None, &[])).0, [1, 1]);
}

/// Issue 17: a list column of parquet.
#[cfg(feature = "parquet")]
#[test]
fn parquet_lists_are_sets() {
    use ::parquet::data_type::{ByteArray, ByteArrayType};
    use ::parquet::file::properties::WriterProperties;
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;
    use std::sync::Arc;

    let schema = "message m { required binary text (UTF8); optional group label (LIST) { \
                  repeated group list { optional binary element (UTF8); } } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    // Two labels; no label; null; a label and null.
    let labels = [3i16, 3, 1, 0, 3, 2];
    let rows = [0i16, 1, 0, 0, 0, 1];
    let columns = [
        (vec!["one", "two", "three", "four"], None),
        (vec!["b", "a", "b"], Some((&labels[..], &rows[..]))),
    ];
    for (values, levels) in columns {
        let values: Vec<ByteArray> = values.into_iter().map(ByteArray::from).collect();
        let (definition, repetition) = levels.unzip();
        let mut column = group.next_column().unwrap().unwrap();
        let typed = column.typed::<ByteArrayType>();
        typed.write_batch(&values, definition, repetition).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    let expected = [
        pair("one", r#"["a","b"]"#),
        pair("two", "[]"),
        pair("three", "[]"),
        pair("four", r#"["b"]"#),
    ];
    let file = given("a.parquet", bytes);
    assert_eq!(file.pairs(&several(None, &[])), expected);
    let message = file.messages(&options());
    assert!(message.contains("expected one value per row"), "{message}");
}

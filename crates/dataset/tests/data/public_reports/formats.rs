//! Lines without columns, and values that are passed on.

use dataset::Batch;

use super::*;

/// Returns text and label of each row of the file or folder.
fn all(path: &Path, options: &ReadOptions) -> Result<Vec<(String, String)>, ReadError> {
    let rows = read(&sources(path).unwrap(), options, Texts::default, &GO)?;
    Ok(pairs(&rows))
}

/// Text of a row, and its kept values.
type KeptRow = (String, Vec<String>);

/// Reads the rows as `predict` does.
fn kept(source: &Source, keep: &[&str], block_bytes: usize) -> Result<Vec<KeptRow>, String> {
    let options = ReadOptions {
        keep_columns: keep.iter().map(|&name| name.to_owned()).collect(),
        keep_blank: true,
        drop_malformed: true,
        block_bytes,
        ..options()
    };
    let of_block = |_: &mut (), batch: &Batch<'_>| -> Vec<KeptRow> {
        let values = |row: usize| batch.kept(row).map(|value| format!("{value:?}"));
        let rows = batch.rows().enumerate();
        rows.map(|(at, row)| (row.text.to_owned(), values(at).collect()))
            .collect()
    };
    let mut rows = Vec::new();
    let sink = |block: Vec<KeptRow>| {
        rows.extend(block);
        Ok::<(), ()>(())
    };
    let sources = std::slice::from_ref(source);
    let ended = stream(
        sources,
        &options,
        Labels::Ignored,
        &GO,
        || (),
        of_block,
        sink,
    );
    match ended {
        Ok(_) => Ok(rows),
        Err(StreamError::Read(error)) => Err(error.to_string()),
        Err(StreamError::Sink(())) => unreachable!("the sink does not fail"),
    }
}

/// USER 27: fastText's files; each file that begins with a label and has no other format.
#[test]
fn fasttext_files_are_read() {
    let bytes = "__label__bad a \"dull\" film\n\n  __label__good\t, fine, \\N really \r\n";
    let expected = [
        pair("a \"dull\" film", "bad"),
        pair(", fine, \\N really", "good"),
    ];
    for name in ["a.txt", "a.ft", "a.train", "a"] {
        for block_bytes in [1, 4096] {
            let options = ReadOptions {
                block_bytes,
                ..options()
            };
            let file = given(name, bytes);
            assert_eq!(all(&file.path, &options).unwrap(), expected, "{name}");
            // Issue 17: known before reading, so that options without effect are named.
            assert_eq!(sources(&file.path).unwrap()[0].format(), Format::FastText);
        }
    }
    // A quote opens nothing, and texts may be in another encoding.
    let open = given("a.txt", "__label__a ,\"one\n__label__b two\n");
    assert_eq!(
        all(&open.path, &options()).unwrap(),
        [pair(",\"one", "a"), pair("two", "b")]
    );
    let utf16: Vec<u8> = format!("\u{feff}{bytes}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let file = given("a.txt", utf16);
    assert_eq!(all(&file.path, &options()).unwrap(), expected);
    // In a folder, a text file of another kind is not data.
    let folder = given("a.txt", bytes);
    std::fs::write(folder.folder.path().join("README.txt"), "no data").unwrap();
    std::fs::write(folder.folder.path().join("b.ft"), "__label__x y\n").unwrap();
    let found = sources(folder.folder.path()).unwrap();
    let rows = read(&found, &options(), Texts::default, &GO).unwrap();
    assert_eq!(pairs(&rows), [&expected[..], &[pair("y", "x")]].concat());
    assert_eq!(rows.findings.count(&codes::SKIPPED_FILE), 1);
    // A text file of another kind is CSV, as before.
    let csv = given("a.txt", "text,label\na,x\n");
    assert_eq!(all(&csv.path, &options()).unwrap(), [pair("a", "x")]);
}

/// USER 27: no label and no row is lost.
#[test]
fn rows_with_several_labels_or_none_are_errors() {
    let bytes = "__label__a one\n__label__a __label__b two\nthree\n__label__ four\n__label__c\n\
                 __label__a five __label__b\n__label__a not__label__b\n";
    let file = given("a.ft", bytes);
    let message = file.messages(&options());
    has(
        &message,
        &[
            "error[D016]: expected one label, found `2`",
            "a.ft:2:1 (record 2)",
            "2 such rows; write a line for each label of them, or train with --multi-label, or pass \
             --drop-malformed",
            "error[D014]: row has no label",
            "a.ft:3:1 (record 3)",
            "2 such rows; fix them",
            "error[D013]: row has no text",
            "a.ft:5:11 (record 5)",
        ],
    );
    let rows = file.read(&dropping()).unwrap();
    assert_eq!(pairs(&rows), [pair("one", "a"), pair("not__label__b", "a")]);
    assert_eq!((rows.counts.read, rows.counts.used), (7, 2));
    // Without labels, the texts are those of `predict`.
    let source = Source::file(&file.path, Format::FastText);
    let texts = kept(&source, &[], 4096).unwrap();
    let texts: Vec<&str> = texts.iter().map(|(text, _)| text.as_str()).collect();
    let all = ["one", "two", "three", "four", "", "five __label__b"];
    assert_eq!(texts[..6], all);
    // The first of several labels is not kept as if it were the only one.
    let labelled = kept(&source, &["label"], 4096).unwrap();
    assert_eq!(labelled.len(), 5);
    assert_eq!(labelled[0].1, ["Text(\"a\")"]);
    assert_eq!(
        labelled[1],
        ("three".to_owned(), vec!["Missing".to_owned()])
    );
}

/// USER 27, USER 31: every line is a text, also a blank one.
#[test]
fn every_line_is_a_text() {
    let file = given("a.txt", "a, \"b\"\r\n\n \"c\"\n\\N\n\nlast");
    let source = Source::file(&file.path, Format::Lines);
    let expected = ["a, \"b\"", "", " \"c\"", "\\N", "", "last"];
    for block_bytes in [1, 7, 4096] {
        let rows = kept(&source, &["text"], block_bytes).unwrap();
        let texts: Vec<&str> = rows.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, expected);
        for (text, values) in &rows {
            assert_eq!(*values, [format!("Text({text:?})")]);
        }
    }
    let message = kept(&source, &["id"], 4096).unwrap_err();
    has(&message, &["no column is named `id`; the file has `text`"]);
}

/// USER 24: values as they stand in the data, in the order of the names.
#[test]
fn values_of_kept_columns_are_those_of_the_data() {
    let csv =
        "id,text,n,label\n07,\"a \"\"b\"\", c\",1.50,x\n,d,,\nonly two,e\n\\N,\"f\ng\",\" h\",y\n";
    let file = given("a.csv", csv);
    let source = Source::file(&file.path, Format::CSV);
    for block_bytes in [1, 16, 4096] {
        let rows = kept(&source, &["n", "id", "text"], block_bytes).unwrap();
        let values: Vec<Vec<&str>> = rows
            .iter()
            .map(|(_, values)| values.iter().map(String::as_str).collect())
            .collect();
        assert_eq!(
            values,
            [
                ["Text(\"1.50\")", "Text(\"07\")", r#"Text("a \"b\", c")"#],
                ["Text(\"\")", "Text(\"\")", "Text(\"d\")"],
                ["Text(\" h\")", r#"Text("\\N")"#, r#"Text("f\ng")"#],
            ]
        );
    }
    let json = "{\"id\":1.50,\"text\":\"a\",\"tags\":[1, {}]}\n{\"text\":\"b\",\"id\":null}\n\
                {\"id\":\"x\\ny\",\"text\":\"c\",\"tags\":true}\n";
    let file = given("a.jsonl", json);
    let source = Source::file(&file.path, Format::Jsonl);
    let rows = kept(&source, &["id", "tags"], 4096).unwrap();
    let values: Vec<&[String]> = rows.iter().map(|(_, values)| values.as_slice()).collect();
    assert_eq!(
        values,
        [
            ["Json(\"1.50\")", "Json(\"[1, {}]\")"],
            ["Missing", "Missing"],
            [r#"Text("x\ny")"#, "Json(\"true\")"],
        ]
    );
}

/// USER 24: the help names the nearest column.
#[test]
fn unknown_kept_columns_are_errors() {
    let file = given("a.csv", "ident,text\n1,a\n");
    let message = kept(&Source::file(&file.path, Format::CSV), &["idents"], 4096).unwrap_err();
    has(
        &message,
        &[
            "error[D005]: no column is named `idents`; the header has `ident`, `text`",
            "did you mean --keep-columns ident?",
        ],
    );
    let file = given("a.jsonl", "{\"ident\":1,\"text\":\"a\"}\n");
    let message = kept(&Source::file(&file.path, Format::Jsonl), &["idents"], 4096).unwrap_err();
    has(&message, &["did you mean --keep-columns ident?"]);
    // A column twice, of which one would be written.
    let file = given("a.csv", "id,text,id\n1,a,2\n");
    let message = kept(&Source::file(&file.path, Format::CSV), &["id"], 4096).unwrap_err();
    has(&message, &["error[D004]: expected one column named `id`"]);
}

/// Issue 17: a line is the whole text, also for a model of several text columns; it is not a pair.
#[test]
fn lines_are_whole_texts_for_several_text_columns() {
    let two = ReadOptions {
        text_column: "title".to_owned(),
        other_text_columns: vec!["body".to_owned()],
        keep_columns: vec!["title".to_owned()],
        ..options()
    };
    let numbered = ReadOptions {
        text_column: "1".to_owned(),
        other_text_columns: vec!["2".to_owned()],
        label_column: "0".to_owned(),
        no_header: true,
        ..options()
    };
    let lines = given("a.txt", "A great film\n\nDull\n");
    let fast_text = given("a.ft", "__label__x A great film\n__label__y Dull\n");
    for columns in [&two, &numbered] {
        let blank = ReadOptions {
            keep_blank: true,
            ..columns.clone()
        };
        let source = Source::file(&lines.path, Format::Lines);
        let (texts, ended) = streamed(&[source], &blank);
        assert_eq!(texts, ["A great film", "", "Dull"]);
        assert!(ended.is_ok());
        let (texts, _) = streamed(&fast_text.source(), columns);
        assert_eq!(texts, ["A great film", "Dull"]);
        let expected = [pair("A great film", "x"), pair("Dull", "y")];
        assert_eq!(fast_text.pairs(columns), expected);
    }
    let pairs = ReadOptions {
        text_pair: true,
        ..two
    };
    has(
        &fast_text.messages(&pairs),
        &[
            "error[D007]: a line has one text, expected the pair of the columns `title`, `body`",
            "pass a file with both columns",
        ],
    );
}

/// Issue 17: `predict --input texts.txt`, whose lines are texts without a header.
#[test]
fn files_of_plain_lines_are_recognised() {
    let refused = |file: &Given| {
        let found = sources(&file.path).unwrap();
        match streamed(&found, &options()).1 {
            Err(StreamError::Read(error)) => error.to_string(),
            _ => String::new(),
        }
    };
    let help =
        "if each line is a text, pass --input-format lines; otherwise, pass --text-column NAME";
    for bytes in [
        "good film\nbad film\n",
        "good, fine\nbad\n",
        "good; fine\nbad\n",
    ] {
        let file = given("texts.txt", bytes);
        let message = refused(&file);
        has(
            &message,
            &["no column is named `text`; the first line has `good", help],
        );
        let lines = Source::file(&file.path, Format::Lines);
        assert_eq!(streamed(&[lines], &options()).0.len(), 2);
        // With labels, lines have no columns.
        let found = sources(&file.path).unwrap();
        let message = read(&found, &options(), Texts::default, &GO).unwrap_err();
        let message = message.to_string();
        has(&message, &["pass --no-header"]);
    }
    let file = given("texts.txt", "texts\ngood\n");
    has(&refused(&file), &["did you mean --text-column texts?"]);
}

//! Other inputs of the kinds that the reports stand for.

use super::*;

/// Streams a file as `predict` does; returns its texts, and the findings.
fn predicted(file: &Given, options: &ReadOptions) -> (Vec<String>, dataset::Findings) {
    let (texts, ended) = streamed(&file.source(), options);
    (texts, ended.unwrap().findings)
}

/// DATA 01, 24: in a file with one column, as `predict` reads it, lines become no row only with a
/// finding.
#[test]
fn lines_of_a_single_column_are_rows_or_counted() {
    let file = given("a.tsv", "text\n\"noisy\nb\non a 42\"\nc\n");
    let (texts, findings) = predicted(&file, &options());
    assert_eq!(texts, ["noisy\nb\non a 42", "c"]);
    assert_eq!(findings.count(&codes::QUOTED_ROWS), 1);
    let (texts, findings) = predicted(&file, &quoting(Quoting::None));
    assert_eq!(texts, ["\"noisy", "b", "on a 42\"", "c"]);
    assert!(findings.is_empty());

    let bytes = "text\n\na\n\n\r\nb\n\"\"\nc\n\n\n";
    for block_bytes in [1, 7, 100] {
        let options = ReadOptions {
            keep_blank: true,
            block_bytes,
            ..options()
        };
        let (texts, findings) = predicted(&given("a.csv", bytes), &options);
        assert_eq!(texts, ["a", "b", "", "c"]);
        assert_eq!(findings.count(&codes::BLANK_LINE), 3);
        has(
            &findings.to_string(),
            &["a.csv:2", "3 such lines; write \"\" for a row without text"],
        );
    }
    // As in pandas, a blank line between rows of several columns is nothing.
    let file = given("a.csv", "text,label\na,x\n\nb,y\n");
    assert_eq!(file.messages(&options()), "");
}

/// DATA 01: labels of several words do not hide rows that a quote swallowed.
#[test]
fn swallowed_rows_with_labels_of_words_are_counted() {
    let bytes = "text,label\n\"noisy,not spam\nb,spam\non a 42\",very clean mail\nc,spam\n";
    let rows = given("a.csv", bytes).read(&options()).unwrap();
    assert_eq!(rows.findings.count(&codes::QUOTED_ROWS), 1);
    let bytes = "text,label\n\"well, noisy,x\nb,y\non a 42\",x\nc,y\n";
    let rows = given("a.csv", bytes).read(&options()).unwrap();
    assert_eq!(rows.findings.count(&codes::QUOTED_ROWS), 1);
    let text = "text,label\n\"It cost 1,000 pounds and a day\nof work\",x\nb,y\n";
    assert_eq!(messages("a.csv", text), "");
    let (_, findings) = predicted(&given("a.csv", text), &options());
    assert!(findings.is_empty(), "{findings}");
}

/// DATA 02: `--delimiter` is named for characters that are rarely a delimiter.
#[test]
fn help_about_rare_delimiters_works() {
    for (delimiter, name) in [
        ("^", "'^'"),
        ("::", ":"),
        ("\u{1}", "$'\\x01'"),
        ("~", "'~'"),
        ("#", "'#'"),
    ] {
        let text = "text;label\na b;x\nc;y\n".replace(';', delimiter);
        let file = given("a.csv", text);
        let message = file.messages(&options());
        has(
            &message,
            &["error[D005]", &format!("help: pass --delimiter {name}")],
        );
        let named = ReadOptions {
            delimiter: Some(delimiter.as_bytes()[0]),
            ..options()
        };
        assert_eq!(file.pairs(&named), [pair("a b", "x"), pair("c", "y")]);
    }
}

/// DATA 02: a `--delimiter` that the file does not have.
#[test]
fn help_about_a_wrong_delimiter_works() {
    let given_as = |delimiter: u8| ReadOptions {
        delimiter: Some(delimiter),
        ..options()
    };
    for (bytes, right, name) in [
        ("text,label\na,x\nb,y\n", b',', ","),
        ("\"text\",\"label\"\na,x\nb,y\n", b',', ","),
        ("text\tlabel\na\tx\nb\ty\n", b'\t', "tab"),
        ("text^label\na^x\nb^y\n", b'^', "'^'"),
    ] {
        let file = given("a.csv", bytes);
        let message = file.messages(&given_as(b';'));
        has(
            &message,
            &["error[D005]", &format!("help: pass --delimiter {name}")],
        );
        assert_eq!(file.pairs(&given_as(right)).len(), 2);
    }
}

/// DATA 06: other layouts of pandas and of `json.dumps`.
#[test]
fn objects_with_all_rows_are_recognised() {
    for (bytes, layout, filter) in [
        (
            r#"{"columns":["text","label"],"index":[0],"data":[["a",1]]}"#,
            "the rows as arrays in an object,",
            "from_entries",
        ),
        (
            r#"{"0":{"text":"a","label":1},"1":{"text":"b","label":0}}"#,
            "the rows as objects in an object,",
            "jq -c '.[]' FILE",
        ),
        (
            r#"{"version":"1","data": [ {"text":"a","label":1}]}"#,
            "an array in an object,",
            r#"'.["data"][]'"#,
        ),
        (
            r#"[["a",1],["b",0]]"#,
            "an array of arrays,",
            r#"{"text": .[0], "label": .[1]}"#,
        ),
    ] {
        let found = messages("a.json", bytes);
        has(&found, &["error[D007]: the file has", layout, filter]);
    }
    // Objects with other columns are rows.
    for bytes in [
        r#"{"data":{"review":"a"},"annotations":[{"label":1}]}"#,
        r#"{"review":{"0":"a"},"stars":{"0":1}}"#,
        "{}",
    ] {
        has(&messages("a.jsonl", bytes), &["error[D005]"]);
    }
    let bytes = "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":NaN}\n";
    has(&messages("a.jsonl", bytes), &["write null instead of NaN"]);
    let file = given("a.jsonl", bytes.replace("NaN", "null"));
    has(&file.messages(&options()), &["error[D014]"]);
    let bytes = "{\"text\":\"a\",\"label\":1}\r{\"text\":\"b\",\"label\":2}\r";
    has(&messages("a.jsonl", bytes), &[r"tr '\r' '\n' < FILE"]);
    let file = given("a.jsonl", bytes.replace('\r', "\n"));
    assert_eq!(file.pairs(&options()).len(), 2);
}

/// DATA 06: an option that drops rows is not proposed if it would drop all of them.
#[test]
fn help_does_not_drop_every_row() {
    for (name, bytes) in [
        ("a.csv", "text,label\na,b,c\n"),
        ("a.csv", "text,label\na,\n"),
        ("a.jsonl", "7\n8\n"),
    ] {
        let message = messages(name, bytes);
        assert!(!message.contains("--drop"), "{message}");
    }
    has(
        &messages("a.csv", "text,label\na,b,c\na,b\n"),
        &["or pass --drop-malformed"],
    );
}

/// DATA 07: automlbenchmark#466. Spellings of a label that look alike.
#[test]
fn labels_that_look_alike_are_counted() {
    for (a, b) in [
        ("spam", "spam\u{200b}"),
        ("spam", "\u{feff}spam"),
        ("\u{2764}", "\u{2764}\u{fe0f}"),
        ("1", "\u{ff11}"),
        ("1", "1e0"),
        ("1e+16", "10000000000000000.0"),
    ] {
        let rows = given("a.csv", format!("text,label\na,{a}\nb,{b}\nc,e\n"));
        let rows = rows.read(&options()).unwrap();
        assert_eq!(rows.label_names.len(), 3);
        assert_eq!(rows.findings.count(&codes::SIMILAR_LABELS), 1, "{b:?}");
    }
    let others = "text,label\na,1e\nb,e1\nc,1\nd,1-0\ne,e\nf,ee\ng,1e999\nh,inf\n";
    assert_eq!(messages("a.csv", others), "");
}

/// DATA 07: `check` finds the labels that `train` refuses.
#[test]
fn check_counts_labels_of_the_test_data_that_are_unknown() {
    let train = given("a.csv", "text,label\na,0\nb,1\n");
    let test = given("b.csv", "text,label\nc,0.0\nd,x\ne,1\nf,x\n");
    let mut found = Vec::new();
    let mut each = |finding: &diagnostics::Diagnostic| found.push(finding.to_string());
    let (train, test) = (train.source(), test.source());
    let summary = dataset::check(&train, &test, &options(), 20, &GO, &mut each).unwrap();
    assert_eq!(summary.findings.count(&codes::UNKNOWN_LABEL), 2);
    assert!(summary.findings.has_errors());
    let found = found.concat();
    has(
        &found,
        &[
            "error[D040]: expected only labels of the training data, found the label `0.0`",
            "write `0.0` as `0`",
            "found the label `x` in the test data",
        ],
    );
    let channels = dataset::Channels {
        train,
        validation: Vec::new(),
        test,
    };
    let read = dataset::Corpus::read(channels, &options(), 0.0, 0, Texts::default, &GO);
    let error = read.err().unwrap().to_string();
    // Place and number of the rows, and all labels.
    has(
        &error,
        &[
            "error[D040]",
            "1 such row; write `0.0` as `0`",
            "b.csv:2 (record 1)",
            "b.csv:3 (record 2)",
            "2 such rows; add rows with this label",
        ],
    );
}

/// DATA 09: datatable#2130. Joined files with other orders of columns.
#[test]
fn headers_in_another_order_are_errors() {
    let bytes = "id,text,label\n1,a,x\nlabel,id,Text\ny,2,b\n";
    let file = given("a.csv", bytes);
    has(
        &file.messages(&options()),
        &[
            "error[D032]: the row has the names of the header in another order",
            "a.csv:3:1 (record 2)",
        ],
    );
    let error = file.read(&dropping()).unwrap_err().to_string();
    has(&error, &["error[D032]"]);
    // The help is right.
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = bytes.split_at(bytes.find("label,id").unwrap());
    std::fs::write(folder.path().join("a.csv"), a).unwrap();
    std::fs::write(folder.path().join("b.csv"), b.replace("Text", "text")).unwrap();
    let files = sources(folder.path()).unwrap();
    let rows = dataset::read(&files, &options(), Texts::default, &GO).unwrap();
    assert_eq!(pairs(&rows), [pair("a", "x"), pair("b", "y")]);
}

/// DATA 11: more types, and the same ones after a byte order mark, blank lines or in capitals.
#[test]
fn other_file_types_are_recognised_in_all_spellings() {
    let ods = b"PK\x03\x04\x14\0\0\0mimetypeapplication/vnd.oasis.opendocument.spreadsheet";
    let files: [(&[u8], &str, &str); 11] = [
        (
            &b"\xef\xbb\xbf<!DOCTYPE html>\n"[..],
            "a web page",
            "download",
        ),
        (b"\n\n  <!Doctype HTML>\n", "a web page", "download"),
        (b"<HTML><BODY>x</BODY></HTML>\n", "a web page", "download"),
        (
            b"<?xml version=\"1.0\"?>\n<Error/>\n",
            "an XML document",
            "download",
        ),
        (
            b"\xef\xbb\xbfversion https://git-lfs",
            "a Git LFS pointer",
            "git lfs",
        ),
        (ods, "a LibreOffice document", "save the sheet"),
        (
            b"\x04\x22\x4d\x18\x60\x40",
            "compressed with lz4",
            "decompress",
        ),
        (b"\xff\xfe\0\0t\0\0\0", "text in UTF-32", "iconv -f utf-32"),
        (b"\0\0\xfe\xff\0\0\0t", "text in UTF-32", "iconv -f utf-32"),
        (b"PAR1", "a parquet file", "whose name ends in .parquet"),
        (b"FEA1", "a Feather file of version 1", "to_feather"),
    ];
    for (bytes, kind, help) in files {
        for name in ["a.csv", "a.jsonl"] {
            let found = messages(name, bytes);
            has(&found, &["error[D007]: the file is", kind, help]);
        }
    }
    let units = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    };
    let line = "{\"text\":\"b\u{e9}b\u{e9}\",\"label\":\"\u{4e16}\"}\n".repeat(2);
    for (bytes, name) in [
        (units(&line, u16::to_le_bytes), "utf-16le"),
        (units(&line, u16::to_be_bytes), "utf-16be"),
    ] {
        let file = given("a.jsonl", bytes);
        let found = file.messages(&options());
        has(
            &found,
            &["error[D007]", &format!("help: pass --encoding {name}")],
        );
        let named = ReadOptions {
            encoding: Some(dataset::encoding(name).unwrap()),
            ..options()
        };
        assert_eq!(file.pairs(&named).len(), 2);
    }
    #[cfg(feature = "parquet")]
    has(
        &messages("a.parquet.gz", b"\x1f\x8b\x08\0"),
        &[
            "error[D009]: the parquet file is compressed as a whole",
            "gunzip",
        ],
    );
}

/// DATA 13, 15: a byte order mark takes precedence over `--encoding`, as the help text says.
#[test]
fn byte_order_mark_of_utf_8_overrides_the_encoding() {
    for bytes in [
        "\u{feff}text,label\nth\u{e9},x\nb,\u{e9}\n",
        "\u{feff}\u{feff}text,label\nth\u{e9},x\nb,\u{e9}\n",
    ] {
        let file = given("a.csv", bytes);
        for name in ["latin-1", "gbk", "utf-16le"] {
            let named = ReadOptions {
                encoding: Some(dataset::encoding(name).unwrap()),
                ..options()
            };
            let rows = file.read(&named).unwrap();
            let expected = [pair("th\u{e9}", "x"), pair("b", "\u{e9}")];
            assert_eq!(pairs(&rows), expected, "{name}");
            let marks = bytes.matches('\u{feff}').count() as u64 - 1;
            assert_eq!(rows.findings.count(&codes::BYTE_ORDER_MARK), marks);
        }
    }
}

/// DATA 13: kg-microbe#649. `--encoding` for a file that is UTF-8, or mostly.
#[test]
fn utf_8_in_another_encoding_is_counted() {
    let good = "sch\u{f6}ne Stra\u{df}e,x\n".repeat(20);
    let bytes = [
        &b"text,label\n"[..],
        good.as_bytes(),
        b"gr\xfcn,y\nplain,y\n",
    ]
    .concat();
    let named = |name: &str| ReadOptions {
        encoding: Some(dataset::encoding(name).unwrap()),
        ..options()
    };
    for name in ["latin-1", "windows-1251", "koi8-r"] {
        let rows = given("a.csv", &bytes).read(&named(name)).unwrap();
        assert_eq!(rows.findings.count(&codes::OTHER_ENCODING), 20, "{name}");
        has(
            &rows.findings.to_string(),
            &[
                "warning[D041]: the row is UTF-8, but is read as",
                "a.csv:2:1",
            ],
        );
    }
    let json = "{\"text\":\"\u{e9}\",\"label\":1}\n{\"text\":\"b\",\"label\":2}\n";
    let rows = given("a.jsonl", json).read(&named("latin-1")).unwrap();
    assert_eq!(rows.findings.count(&codes::OTHER_ENCODING), 1);
    // Right encodings have no such rows.
    for (name, text) in [
        ("latin-1", "Th\u{e9} \u{e0} la cr\u{e8}me, \u{c3}\u{a0}o"),
        (
            "windows-1251",
            "\u{41e}\u{442}\u{43b}\u{438}\u{447}\u{43d}\u{44b}\u{439}",
        ),
    ] {
        let (text, ..) = dataset::encoding(name).unwrap().encode(text);
        let bytes = [&b"text,label\n\""[..], &*text, b" \xe9\",x\nb,y\n"].concat();
        let rows = given("a.csv", bytes).read(&named(name)).unwrap();
        assert!(rows.findings.is_empty(), "{}", rows.findings);
    }
}

/// DATA 13: the rows before the block decide, too.
#[test]
fn encodings_are_not_proposed_after_rows_in_utf_8() {
    let bytes = [
        "text,label\n".as_bytes(),
        "gr\u{fc}n,x\n".repeat(20).as_bytes(),
        "plain,y\n".repeat(100).as_bytes(),
        b"gr\xfcn,y\n",
    ]
    .concat();
    for block_bytes in [50, 1 << 20] {
        let blocks = ReadOptions {
            block_bytes,
            ..options()
        };
        let message = given("a.csv", &bytes).messages(&blocks);
        has(&message, &["error[D012]", "other rows are UTF-8"]);
        assert!(!message.contains("--encoding"), "{message}");
    }
}

/// DATA 32: rill#5173. Data in hidden folders, and names in capitals.
#[test]
fn hidden_folders_and_json_in_any_case_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "text,label\na,x\nb,y\n";
    std::fs::create_dir_all(folder.path().join(".ipynb_checkpoints/.old")).unwrap();
    for (name, bytes) in [
        ("part1.csv", csv),
        (".ipynb_checkpoints/part1-checkpoint.csv", csv),
        (".ipynb_checkpoints/.old/part0.tsv", csv),
        (".ipynb_checkpoints/notes.txt", csv),
        ("META.JSON", "{}"),
        ("rows.json.gz", "{}"),
        ("A.Manifest", "{}"),
    ] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let files = sources(folder.path()).unwrap();
    let rows = dataset::read(&files, &options(), Texts::default, &GO).unwrap();
    assert_eq!(rows.counts.used, 2);
    assert_eq!(rows.findings.count(&codes::SKIPPED_FILE), 5);
    let message = rows.findings.to_string();
    has(
        &message,
        &["part1-checkpoint.csv", "part0.tsv", "META.JSON"],
    );
}

/// DATA 32: the files of a ConfigMap are links into a hidden folder, and are read once.
#[test]
#[cfg(unix)]
fn files_in_a_hidden_folder_that_are_read_by_links_are_not_named() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("..2026_11_30");
    std::fs::create_dir(&real).unwrap();
    std::fs::write(real.join("a.csv"), "text,label\na,x\nb,y\n").unwrap();
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
    };
    link("..2026_11_30", "..data");
    link("..data/a.csv", "a.csv");
    let files = sources(folder.path()).unwrap();
    let rows = dataset::read(&files, &options(), Texts::default, &GO).unwrap();
    assert_eq!(rows.counts.used, 2);
    assert!(rows.findings.is_empty(), "{}", rows.findings);
}

/// DATA 34: a header in another encoding, whose names cannot be found.
#[test]
fn help_about_headers_in_another_encoding_works() {
    let text = "\u{c9}tiquette,Texte\nx,a\ny,b\n";
    let (bytes, ..) = dataset::encoding("latin-1").unwrap().encode(text);
    let file = given("a.csv", &bytes);
    let named = ReadOptions {
        text_column: "Texte".to_owned(),
        label_column: "\u{c9}tiquette".to_owned(),
        ..options()
    };
    has(
        &file.messages(&named),
        &[
            "error[D012]: the header is not valid UTF-8",
            "such as --encoding latin-1",
        ],
    );
    let latin = ReadOptions {
        encoding: Some(dataset::encoding("latin-1").unwrap()),
        ..named
    };
    assert_eq!(file.pairs(&latin), [pair("a", "x"), pair("b", "y")]);
}

/// DATA 34: ksponspeech#1. The names of Python's codecs, from `encodings.aliases` of Python 3.11.
#[test]
fn names_of_python_codecs_are_known() {
    for (whatwg, names) in [
        (
            "windows-1252",
            "1252 cp1252 windows_1252 latin_1 L1 8859 iso8859 iso8859_1",
        ),
        ("windows-1251", "1251 cp1251"),
        ("ISO-8859-13", "iso8859_13 latin7 L7"),
        ("ISO-8859-16", "iso8859_16 latin10 l10"),
        ("Shift_JIS", "shiftjis s_jis sjis ms_kanji 932 ms932 cp932"),
        (
            "EUC-KR",
            "cp949 949 ms949 uhc ks_x_1001 ksx1001 euc_kr korean",
        ),
        ("EUC-JP", "eucjp euc_jp ujis u_jis"),
        ("GBK", "gbk 936 cp936 ms936 euc_cn gb2312_80 gb2312"),
        ("Big5", "big5 big5_tw big5hkscs cp950 950"),
        ("ISO-2022-JP", "iso2022_jp iso2022jp"),
        ("windows-874", "tis_620 tis620 thai iso8859_11"),
        ("x-mac-cyrillic", "mac_cyrillic maccyrillic"),
        ("UTF-8", "u8 utf utf8 utf_8 utf_8_sig cp65001"),
        ("UTF-16LE", "u16 utf16 utf_16 utf_16_le"),
    ] {
        for name in names.split(' ') {
            assert_eq!(dataset::encoding(name).unwrap().name(), whatwg, "{name}");
        }
    }
    for (name, help) in [("utf-32", "iconv -f utf-32"), ("cp437", "with iconv")] {
        let error = dataset::encoding(name).unwrap_err().to_string();
        has(&error, &[help]);
    }
}

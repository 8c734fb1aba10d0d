//! JSON of other layouts, files without a header or an ending, and several texts.

use super::*;

/// Returns text and label of each row of the file or folder, and the findings.
fn all(path: &Path, options: &ReadOptions) -> (Vec<(String, String)>, String) {
    let rows = match read(&sources(path).unwrap(), options, Texts::default, &GO) {
        Ok(rows) => rows,
        Err(error) => return (Vec::new(), error.to_string()),
    };
    (pairs(&rows), rows.findings.to_string())
}

fn columns(texts: &[&str], label: &str) -> ReadOptions {
    ReadOptions {
        text_column: texts[0].to_owned(),
        other_text_columns: texts[1..].iter().map(|&text| text.to_owned()).collect(),
        label_column: label.to_owned(),
        ..options()
    }
}

/// DATA 06: datasets#6891. An array is read as its elements, in blocks of any size.
#[test]
fn json_arrays_are_read() {
    let expected = [pair("a ] \"}", "0"), pair("b", "1"), pair("c", "true")];
    for json in [
        "[{\"text\": \"a ] \\\"}\", \"label\": 0}, {\"text\":\"b\",\"label\":1},{\"label\":true,\"text\":\"c\"}]",
        "\n[\r\n  {\r\n    \"text\": \"a ] \\\"}\",\r\n    \"x\": [[{}]], \"label\": 0\r\n  },\r\n  {\"text\":\"b\",\
         \"label\":1}\r\n,\r\n{\"label\":true,\"text\":\"c\"}\r\n]\r\n\r\n",
        "[{\"text\": \"a ] \\\"}\", \"label\": 0}]\n[]\n[{\"text\":\"b\",\"label\":1}]{\"label\":true,\"text\":\"c\"}",
    ] {
        for block_bytes in [1, 10, 4096] {
            let blocks = ReadOptions {
                block_bytes,
                ..options()
            };
            let file = given("a.json", json);
            let rows = file.read(&blocks).unwrap();
            assert_eq!(pairs(&rows), expected, "{json}");
            assert!(rows.findings.is_empty(), "{}", rows.findings);
            let lines: Vec<u64> = rows.places.iter().map(|place| place.line).collect();
            let expected = match json.contains('\r') {
                true => [3, 7, 9],
                false => [
                    1,
                    1 + 2 * u64::from(json.contains('\n')),
                    1 + 2 * u64::from(json.contains('\n')),
                ],
            };
            assert_eq!(lines, expected, "{json}");
        }
    }
    has(
        &messages("a.json", "[]"),
        &["error[D003]: the file has no rows"],
    );
    has(
        &messages("a.csv", "[\n {\"text\": \"a\"}]"),
        &[
            "error[D007]: the file has JSON",
            "rename it to end in .json",
        ],
    );
    // No rows are lost at the end of a damaged file.
    for json in [
        "[{\"text\":\"a\",\"label\":1},",
        "[{\"text\":\"a\",\"label\":1}, {\"text\":\"b",
    ] {
        let error = given("a.json", json).read(&dropping()).unwrap_err();
        has(&error.to_string(), &["error[D044]"]);
    }
}

/// DATA 06, 10: keys inside of objects, as in pandas' `json_normalize`.
#[test]
fn nested_keys_are_columns() {
    let json = "{\"data\":{\"text\":\"a\",\"meta\":{\"class\":\"x\"}}}\n\
                {\"data\":{\"text\":\"b\"},\"data.meta.class\":\"y\"}\n";
    let file = given("a.jsonl", json);
    let nested = columns(&["data.text"], "data.meta.class");
    assert_eq!(file.pairs(&nested), [pair("a", "x"), pair("b", "y")]);
    let absent = columns(&["data.txt"], "data.meta.class");
    has(
        &file.messages(&absent),
        &[
            "no column is named `data.txt`; the first object has `data.meta.class`, `data.text`",
            "did you mean --text-column data.text?",
        ],
    );
    // Issue 17: a list or a string in the place of an object is not a missing value.
    let json = "{\"data\":[{\"text\":\"a\"}],\"label\":0}\n{\"data\":\"b\",\"label\":0}\n\
                {\"data\":{\"text\":\"c\"},\"label\":1}\n{\"data\":null,\"label\":1}\n{\"label\":1}\n";
    let missing = ReadOptions {
        drop_missing: true,
        ..columns(&["data.text"], "label")
    };
    has(
        &given("a.jsonl", json).messages(&missing),
        &[
            "error[D016]: expected `data` to be an object, found an array",
            "2 such rows",
            "warning[D013]: row has no text",
        ],
    );
    let other = columns(&["data.meta.text"], "label");
    let json = "{\"data\":{\"meta\":\"a\"},\"label\":0}\n";
    has(
        &given("a.jsonl", json).messages(&other),
        &["error[D016]: expected `data.meta` to be an object, found a string"],
    );
    // A deep object is not searched without end.
    let deep = format!(
        "{{\"a\":{}1{}}}\n",
        "{\"a\":".repeat(100_000),
        "}".repeat(100_000)
    );
    has(&messages("a.jsonl", deep), &["error[D005]", "a.a.a.a"]);
}

/// DATA 08: amazon-sagemaker-examples#1275.
#[test]
fn labels_of_augmented_manifests_are_class_names() {
    let row = |text: &str, label: &str, name: &str| {
        format!(
            "{{\"source\":\"{text}\",\"mood\":{label},\"mood-metadata\":{{{name}\"confidence\":0.9,\
             \"type\":\"groundtruth/text-classification\"}}}}\n"
        )
    };
    let (good, bad) = ("\"class-name\":\"good\",", "\"class-name\":\"bad\",");
    let bytes = row("a", "0", good) + &row("b", "1", bad);
    let file = given("train.manifest", &bytes);
    let (found, findings) = all(&file.path, &columns(&["source"], "mood"));
    assert_eq!(found, [pair("a", "good"), pair("b", "bad")]);
    has(
        &findings,
        &[
            "warning[D045]: the labels are the class names in `mood-metadata.class-name`",
            "pass --label-column mood-metadata.class-name to confirm",
        ],
    );
    let confirmed = all(
        &file.path,
        &columns(&["source"], "mood-metadata.class-name"),
    );
    assert_eq!(confirmed, (found, String::new()));
    has(
        &file.messages(&options()),
        &["did you mean --text-column source --label-column mood?"],
    );
    // A row without annotation is a row without label; names and numbers do not mix.
    let failed = "{\"source\":\"c\",\"mood-metadata\":{\"failure-reason\":\"x\"}}\n";
    let file = given("train.manifest", bytes.clone() + failed);
    let message = file.messages(&columns(&["source"], "mood"));
    has(&message, &["error[D014]: row has no label", "(record 3)"]);
    let file = given("train.manifest", bytes + &row("c", "1", ""));
    has(
        &file.messages(&columns(&["source"], "mood")),
        &[
            "error[D045]: `1` row with a label has no class name",
            "train.manifest:3:1 (record 3)",
        ],
    );
    // Other files have the labels that they have.
    let file = given("train.jsonl", row("a", "0", good));
    assert_eq!(file.pairs(&columns(&["source"], "mood")), [pair("a", "0")]);
    let references = "{\"source-ref\":\"s3://b/a.txt\",\"mood\":0}\n";
    let file = given("train.manifest", references);
    for text in ["text", "source", "source-ref"] {
        let message = file.messages(&columns(&[text], "mood"));
        has(
            &message,
            &["error[D007]: the manifest has the addresses", "aws s3 cp"],
        );
    }
}

/// DATA 16: pytorch-sentiment-analysis#100.
#[test]
fn files_without_a_header_have_numbered_columns() {
    let bytes = "\"1\",\"a, b\",\"c\"\n\"2\",,\"d\ne\"\n1,0,2\n";
    let numbered = |texts: &[&str], label: &str| ReadOptions {
        no_header: true,
        ..columns(texts, label)
    };
    for (name, bytes) in [
        ("a.csv", bytes.to_owned()),
        (
            "a.tsv",
            bytes
                .replace("a, b", "a; b")
                .replace(',', "\t")
                .replace(';', ","),
        ),
    ] {
        for block_bytes in [1, 4096] {
            let options = ReadOptions {
                block_bytes,
                ..numbered(&["1", "2"], "0")
            };
            let file = given(name, &bytes);
            let rows = file.read(&options).unwrap();
            let expected = [pair("a, b c", "1"), pair("d\ne", "2"), pair("0 2", "1")];
            assert_eq!(pairs(&rows), expected);
            assert!(rows.findings.is_empty(), "{}", rows.findings);
            assert_eq!((rows.places[0].line, rows.places[0].record), (1, 1));
        }
    }
    let file = given("a.csv", bytes);
    let by_name = ReadOptions {
        no_header: true,
        ..options()
    };
    has(
        &file.messages(&by_name),
        &[
            "error[D005]: no column has the number `text` or `label`; the first row has `0: 1`, \
             `1: a, b`, `2: c`",
            "pass --text-column NUMBER --label-column NUMBER, counted from 0",
        ],
    );
    has(
        &file.messages(&numbered(&["1"], "3")),
        &["no column has the number `3`", "pass --label-column NUMBER"],
    );
    // The delimiter is found as with a header, and rows of other lengths are counted.
    let file = given("a.csv", "a;x\nb;y\nc\n");
    has(
        &file.messages(&numbered(&["0"], "1")),
        &[
            "warning[D030]: the file is split at `;`, as its first row shows",
            "error[D010]: row has `1` field, the first row has `2`",
        ],
    );
}

/// DATA 16: title and description are one text.
#[test]
fn several_text_columns_are_joined() {
    let expected = [pair("a b", "x"), pair("c", "y"), pair("d", "x")];
    let csv = given("a.csv", "label,title,body\nx,a,b\ny,\" \",c\nx,d,\\N\n");
    let json = given(
        "a.jsonl",
        "{\"title\":\"a\",\"body\":\"b\",\"label\":\"x\"}\n\
         {\"title\":null,\"body\":\"c\",\"label\":\"y\"}\n{\"title\":\"d\",\"label\":\"x\"}\n",
    );
    let both = columns(&["title", "body"], "label");
    for file in [&csv, &json] {
        assert_eq!(file.pairs(&both), expected);
    }
    let reversed = columns(&["body", "title"], "label");
    assert_eq!(csv.pairs(&reversed)[0], pair("b a", "x"));
    // Without any text, the row has none.
    let file = given("a.csv", "title,body,label\n,,x\na,,y\n");
    has(
        &file.messages(&both),
        &["error[D013]: row has no text", "1 such row"],
    );
    let file = given("a.jsonl", "{\"title\":\"a\",\"body\":7,\"label\":1}\n");
    has(
        &file.messages(&both),
        &["expected `body` to be a string, found a number"],
    );
    for file in [
        given("a.csv", "title,label\na,x\n"),
        given("a.jsonl", "{\"title\":\"a\",\"label\":1}\n"),
    ] {
        has(&file.messages(&both), &["no column is named `body`"]);
    }
    let same = columns(&["title", "label"], "label");
    has(&csv.messages(&same), &["error[D025]"]);
    // Kept values are not affected.
    let kept = ReadOptions {
        keep_columns: vec!["body".to_owned(), "label".to_owned()],
        ..both
    };
    for file in [csv, json] {
        let map = |_: &mut (), batch: &dataset::Batch<'_>| {
            let values = |row| batch.kept(row).map(|value| format!("{value:?}")).collect();
            (0..batch.len()).map(values).collect::<Vec<Vec<String>>>()
        };
        let mut found = Vec::new();
        let sink = |rows: Vec<Vec<String>>| {
            found.extend(rows);
            Ok::<(), ()>(())
        };
        let source = file.source();
        let ended = stream(&source, &kept, Labels::Ignored, &GO, || (), map, sink);
        assert!(ended.is_ok());
        assert_eq!(found[0], ["Text(\"b\")", "Text(\"x\")"]);
        assert_eq!(found[1], ["Text(\"c\")", "Text(\"y\")"]);
    }
}

/// DATA 32: rill#5173, aws-sdk#745. The content decides where a name has no ending.
#[test]
fn files_without_an_ending_are_read_by_content() {
    let gzip = |text: &str| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    };
    let csv = "text,label\n\"a, b\",x\n";
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("0000_part_00", csv.as_bytes().to_vec()),
        ("0001_part_00.gz", gzip("text|label\nc|x\n")),
        (
            "part-2",
            b"{\"text\":\"d\",\"label\":\"y\"}\n{\"text\":\"e\",\"label\":\"x\"}\n".to_vec(),
        ),
        (
            "part-3.json",
            b"[{\"text\":\"f\",\"label\":\"x\"}]".to_vec(),
        ),
        (
            "README",
            b"Some text, with commas.\nAnd another line.\n".to_vec(),
        ),
        (
            "LICENSE",
            b"Data of Smith, Jones\nsee the paper, page 3\n".to_vec(),
        ),
        ("VERSION", b"1,2\n3,4\n".to_vec()),
        ("_metadata", csv.as_bytes().to_vec()),
        ("info.json", b"{\"text\":\"no\",\"label\":\"z\"}\n".to_vec()),
        (
            "list.manifest",
            b"[{\"prefix\":\"s3://b/\"},\"a.csv\"]".to_vec(),
        ),
        ("notes.txt", csv.as_bytes().to_vec()),
    ] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let (found, findings) = all(folder.path(), &options());
    let texts: Vec<&str> = found.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(texts, ["a, b", "c", "d", "e", "f"]);
    has(
        &findings,
        &[
            "warning[D043]: the file is read as CSV because of its content",
            "3 such files; give them the ending of the format, such as .csv, to confirm",
            "warning[D034]",
            "7 such files",
        ],
    );
    // Without files that are data by their names, one without the columns is an error.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("part-0"), "text,stars\na,x\n").unwrap();
    std::fs::write(folder.path().join("part-1"), csv).unwrap();
    has(
        &all(folder.path(), &options()).1,
        &["error[D005]", "part-0"],
    );
    // A file that is named itself is CSV if in doubt.
    let file = given("rows", "[{\"text\":\"a\",\"label\":\"x\"}]");
    let (found, findings) = all(&file.path, &options());
    assert_eq!(found, [pair("a", "x")]);
    has(
        &findings,
        &[
            "read as JSON",
            "give it the ending of the format, such as .jsonl",
        ],
    );
    let file = given("rows", "text\na\n");
    has(&all(&file.path, &options()).1, &["error[D005]"]);
}

/// LAUNCHER, USER: addresses are not files.
#[test]
fn addresses_are_refused_with_the_command_that_fetches() {
    for (address, command) in [
        ("s3://b/k/a.csv", "aws s3 cp s3://b/k/a.csv ."),
        ("s3://b/k/", "aws s3 cp --recursive s3://b/k/ data"),
        ("https://x.org/a.csv", "curl -LO https://x.org/a.csv"),
        (
            "hf://datasets/o/n@v1/d/a.parquet",
            "hf download o/n d/a.parquet --revision v1 --repo-type dataset --local-dir data",
        ),
        (
            "hf://datasets/o/n",
            "hf download o/n --repo-type dataset --local-dir data",
        ),
        (
            "hf://datasets/squad",
            "hf download squad --repo-type dataset --local-dir data",
        ),
        (
            "s3://b/data-v1.2",
            "aws s3 cp --recursive s3://b/data-v1.2 data",
        ),
        ("s3://b/a.txt", "aws s3 cp s3://b/a.txt ."),
    ] {
        has_command(address, command);
    }
}

/// Issue 17: names of other programs, patterns, pages, and repositories that are not data sets.
#[test]
fn addresses_of_other_kinds_are_refused_with_commands_that_work() {
    for (address, command) in [
        ("s3a://b/k/a.csv", "aws s3 cp s3://b/k/a.csv ."),
        ("S3://b/k/", "aws s3 cp --recursive s3://b/k/ data"),
        (
            "s3://b/p/*.csv",
            "aws s3 cp --recursive s3://b/p/ data --exclude '*' --include '*.csv'",
        ),
        (
            "gs://b/*.csv",
            "gcloud storage cp --recursive 'gs://b/*.csv' .",
        ),
        (
            "hf://datasets/o/n/data/*.parquet",
            "hf download o/n --include 'data/*.parquet' --repo-type dataset --local-dir data",
        ),
        (
            "hf://datasets/o/n@refs/convert/parquet/default/train/0.parquet",
            "hf download o/n FILE --revision REVISION --repo-type dataset --local-dir data",
        ),
        (
            "hf://datasets/o/n@refs%2Fconvert%2Fparquet/default/train/0.parquet",
            "hf download o/n FILE --revision REVISION --repo-type dataset",
        ),
        (
            "hf://datasets/o/n@~parquet/default/train/0.parquet",
            "hf download o/n FILE --revision REVISION --repo-type dataset",
        ),
        (
            "hf://spaces/o/n/a.csv",
            "hf download o/n a.csv --repo-type space --local-dir data",
        ),
        ("hf://o/n/a.csv", "hf download o/n a.csv --local-dir data"),
        (
            "https://huggingface.co/datasets/o/n",
            "hf download o/n --repo-type dataset --local-dir data",
        ),
        (
            "https://huggingface.co/datasets/o/n/blob/main/a.csv",
            "curl -LO https://huggingface.co/datasets/o/n/resolve/main/a.csv",
        ),
        (
            "https://github.com/o/n/blob/main/a.csv",
            "curl -LO https://github.com/o/n/raw/main/a.csv",
        ),
        ("az://c/a.csv", "help: fetch it, and pass the file"),
        ("hdfs://host/a.csv", "help: fetch it, and pass the file"),
        ("dbfs:/a.csv", "help: fetch it, and pass the file"),
        ("hf://", "help: fetch it, and pass the file"),
        (
            "file:///no/such/a.csv",
            "help: pass its path: /no/such/a.csv",
        ),
    ] {
        has_command(address, command);
    }
}

#[track_caller]
fn has_command(address: &str, command: &str) {
    let message = sources(Path::new(address)).unwrap_err().to_string();
    has(
        &message,
        &[
            "error[D001]: expected a file or folder, found an address",
            command,
        ],
    );
}

/// Issue 17: names of files that look like addresses.
#[test]
fn other_names_with_colons_are_paths() {
    for path in ["C:/data/a.csv", "./a:/b.csv", "no/such:/a.csv", "a:b.csv"] {
        let message = sources(Path::new(path)).unwrap_err().to_string();
        assert!(!message.contains("found an address"), "{message}");
    }
}

/// DATA 04: pandas#16682. The expected values are those of Python's `csv` module with
/// `escapechar="\\"`, but `\N` stays MySQL's NULL.
#[test]
fn escaped_bytes_are_part_of_the_text() {
    let bytes = concat!(
        "text,label\n",
        r#""he said \"no\", twice",x"#,
        "\n",
        r"one\, two\\,y",
        "\n",
        "line\\\nend,x\n",
        r#""a ""b""",y"#,
        "\n",
        r"\N,x",
        "\n",
        "plain,x\n",
    );
    for block_bytes in [1, 3, 4096] {
        let escaped = ReadOptions {
            escape: Some(b'\\'),
            drop_missing: true,
            block_bytes,
            ..options()
        };
        let rows = given("a.csv", bytes).read(&escaped).unwrap();
        let expected = [
            pair("he said \"no\", twice", "x"),
            pair("one, two\\", "y"),
            pair("line\nend", "x"),
            pair("a \"b\"", "y"),
            pair("plain", "x"),
        ];
        assert_eq!(pairs(&rows), expected);
        assert_eq!(rows.counts.dropped["missing text"], 1);
        let lines: Vec<u64> = rows.places.iter().map(|place| place.line).collect();
        assert_eq!(lines, [2, 3, 4, 6, 8]);
    }
    let escaped = ReadOptions {
        escape: Some(b'\\'),
        ..options()
    };
    for (bytes, finding) in [
        ("text,label\n\"a,x\n", "error[D011]"),
        ("text,label\n\"a\" b,x\n", "warning[D019]"),
        ("text,label\na,x\ntext,label\n", "warning[D032]"),
    ] {
        has(&given("a.csv", bytes).messages(&escaped), &[finding]);
    }
}

/// Issue 17: two texts as a pair. Each pair is one text, also if a text has the separator.
#[test]
fn pairs_of_texts_are_taken_apart() {
    let texts = [
        "",
        " ",
        "a",
        "a b",
        "\u{1f}",
        "a\u{1e}b\u{1f}\u{1e}",
        "\u{1e}\u{1c}\u{1d}",
    ];
    let mut seen = std::collections::BTreeSet::new();
    for first in texts {
        for second in texts {
            let pair = dataset::join_pair(first, second);
            let found = dataset::split_pair(&pair).unwrap();
            assert_eq!((&*found.0, found.1), (first, second));
            assert!(seen.insert(pair));
        }
    }
    assert_eq!(dataset::split_pair("a\u{1e}b"), None);
    let csv = given(
        "a.csv",
        "title,body,label\na,\"b, \"\"c\"\"\",x\n,a b,y\na,b,x\na b,\\N,y\n",
    );
    let json = given(
        "a.jsonl",
        "{\"title\":\"a\",\"body\":\"b, \\\"c\\\"\",\"label\":\"x\"}\n\
         {\"body\":\"a b\",\"label\":\"y\"}\n{\"title\":\"a\",\"body\":\"b\",\"label\":\"x\"}\n\
         {\"title\":\"a b\",\"body\":null,\"label\":\"y\"}\n",
    );
    let options = ReadOptions {
        text_pair: true,
        ..columns(&["title", "body"], "label")
    };
    for file in [&csv, &json] {
        let (rows, findings) = all(&file.path, &options);
        let split = |(text, _): &(String, String)| {
            let (first, second) = dataset::split_pair(text).unwrap();
            (first.into_owned(), second.to_owned())
        };
        let expected = [("a", "b, \"c\""), ("", "a b"), ("a", "b"), ("a b", "")];
        let expected = expected.map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(rows.iter().map(split).collect::<Vec<_>>(), expected);
        // The last three would be equal if they were joined.
        assert_eq!(findings, "");
    }
    let blank = given("a.csv", "title,body,label\n,,x\n \u{1e},\u{1f},y\n");
    has(
        &blank.messages(&options),
        &["error[D013]: row has no text", "2 such rows"],
    );
}

/// Issue 17: the first row alone does not decide between two delimiters.
#[test]
fn files_without_a_header_are_not_split_by_the_first_row_alone() {
    let numbered = ReadOptions {
        no_header: true,
        ..columns(&["1"], "0")
    };
    for delimiter in ["|", "\t"] {
        let row = |row: usize| {
            let (start, film) = (["Re", "Fwd"][row / 2 % 2], ["bad", "good"][row % 2]);
            format!("{}{delimiter}{start}: hello; {film} film {row}\n", row % 2)
        };
        let bytes: String = (0..60).map(row).collect();
        let file = given("a.csv", &bytes);
        let byte = delimiter.as_bytes()[0];
        let other = match byte {
            b'|' => ["split at `;`, and if it is split at `|`", "--delimiter '|'"],
            _ => [
                "split at `;`, and if it is split at tabs",
                "--delimiter tab",
            ],
        };
        let message = file.messages(&numbered);
        has(
            &message,
            &["error[D005]: the first row has the columns if it is"],
        );
        has(&message, &other);
        has(&message, &["pass --delimiter ';' or "]);
        let delimited = ReadOptions {
            delimiter: Some(byte),
            ..numbered.clone()
        };
        assert_eq!(
            file.pairs(&delimited)[1],
            pair("Re: hello; good film 1", "1")
        );
        // Other rows have one column only at the other delimiter.
        let few = format!("0{delimiter}a; b\n1{delimiter}c\n0{delimiter}d\n");
        let (found, findings) = all(&given("a.csv", few).path, &numbered);
        assert_eq!(found, [pair("a; b", "0"), pair("c", "1"), pair("d", "0")]);
        has(&findings, &["warning[D030]: the file is split at"]);
    }
    let rows: String = (0..30).map(|row| format!("{row}|a; b {row}\n")).collect();
    let split = ReadOptions {
        delimiter: Some(b';'),
        ..numbered
    };
    let rows = given("a.csv", rows).read(&split).unwrap();
    let error = dataset::unusable_labels(&rows, &[], &split).unwrap();
    assert_eq!(error.code, "D037");
    has(&error.help, &["pass --delimiter"]);
}

/// Issue 17: Kinesis Firehose writes objects without line ends, into files without an ending.
#[test]
fn objects_without_line_ends_are_refused_not_lost() {
    let one = |text: &str| format!("{{\"text\":\"{text}\",\"label\":0}}");
    let two = one("a } {") + &one("b");
    for name in ["a.json", "a.jsonl", "rows", "a.csv"] {
        let (found, findings) = all(&given(name, &two).path, &dropping());
        assert!(found.is_empty());
        has(
            &findings,
            &[
                "error[D007]: the file has several objects on a line",
                "convert it: jq -c . FILE > FILE.jsonl",
            ],
        );
    }
    // In a folder, such files are rows; one object alone is not.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), "text,label\na,x\n").unwrap();
    std::fs::write(folder.path().join("part-0"), &two).unwrap();
    std::fs::write(folder.path().join("info.json"), one("c")).unwrap();
    let (_, findings) = all(folder.path(), &dropping());
    has(
        &findings,
        &["error[D007]", "part-0", "warning[D034]", "info.json"],
    );
    // A line that is too long to be read is one of objects, too.
    let small = ReadOptions {
        max_record_bytes: 60,
        ..options()
    };
    let message = given("a.jsonl", two.repeat(9)).messages(&small);
    has(&message, &["error[D017]", "jq -c . FILE > FILE.jsonl"]);
    // Below the first row, no rows are dropped that are not counted.
    let bytes = format!("{}\n{} {}\n5\n", one("a"), one("b"), one("c"));
    let message = given("a.jsonl", bytes).messages(&dropping());
    has(
        &message,
        &[
            "error[D061]: the line has several JSON objects, expected one",
            "a.jsonl:2:1 (record 2)\n  help: convert the file: jq -c . FILE > FILE.jsonl",
            "warning[D015]",
        ],
    );
}

/// Issue 17: R's `write.table` does not name the column of row names.
#[test]
fn unnamed_row_names_are_recognised() {
    let named = "sed '1s/^/id,/' FILE > NEW-FILE";
    for bytes in [
        "text,label\n0,a,x\n1,b,y\n2,c,x\n",
        "\"text\",\"label\"\n\"17\",\"a, b\",\"x\"\n\"3\",\"c\",\"y\"\n",
    ] {
        let message = messages("a.csv", bytes);
        has(&message, &["error[D010]: row has `3` fields", named]);
        let file = given(
            "a.csv",
            bytes.replacen('t', "id,t", 1).replace("\"id,t", "id,\"t"),
        );
        assert_eq!(file.pairs(&options())[1].1, "y");
    }
    has(
        &messages("a.tsv", "text\tlabel\n1\ta\tx\n2\tb\ty\n"),
        &[r"sed '1s/^/id\t/' FILE"],
    );
    // Commas in texts.
    for bytes in [
        "label,text\n0,a, b\n1,c, d\n0,e, f\n",
        "label,text\n0,a, b\n1,c, d\n2,e\n",
        "text,label\n1,b,x\n",
    ] {
        has(
            &messages("a.csv", bytes),
            &["quote texts that contain the delimiter"],
        );
    }
}

//! Situations of public reports about other programs (issue 16, lists DATA and USER).

mod formats;
mod kinds;
mod layouts;
mod layouts_and_letters;

use super::*;
use dataset::{Labels, Quoting, StreamError, Streamed, codes, sources, stream};

fn messages(name: &str, bytes: impl AsRef<[u8]>) -> String {
    given(name, bytes).messages(&options())
}

#[track_caller]
fn has(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no `{part}` in:\n{message}");
    }
}

/// Streams the texts of files as `predict` does.
fn streamed(
    files: &[Source],
    options: &ReadOptions,
) -> (Vec<String>, Result<Streamed<()>, StreamError<()>>) {
    let mut texts = Vec::new();
    let map = |_: &mut (), batch: &dataset::Batch<'_>| -> Vec<String> {
        batch.rows().map(|row| row.text.to_owned()).collect()
    };
    let sink = |rows: Vec<String>| {
        texts.extend(rows);
        Ok::<(), ()>(())
    };
    let ended = stream(files, options, Labels::Ignored, &GO, || (), map, sink);
    (texts, ended)
}

fn quoting(quoting: Quoting) -> ReadOptions {
    ReadOptions {
        quoting: Some(quoting),
        ..options()
    }
}

/// DATA 01: pytorch/text#612.
#[test]
fn quotes_of_a_tsv_without_quoting_swallow_no_rows() {
    let bytes = "text\tlabel\na\t0\n\"noisy\t0\nb\t1\non a 42\"\t0\nc\t1\n";
    let file = given("a.tsv", bytes);
    let message = file.messages(&options());
    has(
        &message,
        &[
            "error[D031]: `3` lines that look like rows are one row",
            "a.tsv:3:1 (record 2)",
            "1 such row; pass --quoting none",
        ],
    );
    let rows = ["a", "\"noisy", "b", "on a 42\"", "c"];
    let labels = ["0", "0", "1", "0", "1"];
    let expected: Vec<_> = rows.iter().zip(labels).map(|(a, b)| pair(a, b)).collect();
    assert_eq!(file.pairs(&quoting(Quoting::None)), expected);
    // The other way out: the quotes are meant.
    let rows = file.read(&quoting(Quoting::Minimal)).unwrap();
    assert_eq!(rows.counts.used, 3);
    assert_eq!(rows.findings.count(&codes::QUOTED_ROWS), 1);
    // Text after the closing quote, and a quote that is never closed.
    let stray = bytes.replace("42\"", "42\" tv");
    has(&messages("a.tsv", stray), &["error[D031]", "warning[D019]"]);
    let open = bytes.replace("42\"", "42");
    has(
        &messages("a.tsv", open),
        &["error[D011]", "over `4` lines", "pass --quoting none"],
    );
    let header = "text\t\"label\na\t0\n";
    has(
        &messages("a.tsv", header),
        &["error[D011]", "--quoting none"],
    );
}

/// DATA 01: a CSV with commas in texts of several lines is common, so that is a warning at most.
#[test]
fn texts_of_several_lines_in_a_csv_are_not_errors() {
    let file = given("a.csv", "text,label\n\"one, two\nthree\",x\nb,y\n");
    assert!(file.read(&options()).unwrap().findings.is_empty());
    let file = given("a.csv", "text,label\n\"noisy,x\nb,y\n42\",x\nc,y\n");
    let rows = file.read(&options()).unwrap();
    assert_eq!(rows.findings.count(&codes::QUOTED_ROWS), 1);
    let file = given("a.tsv", "text\tlabel\n\"one\ntwo\"\tx\nb\ty\n");
    assert!(file.read(&options()).unwrap().findings.is_empty());
}

/// DATA 02, 03, 15: radiant#202, 10kGNAD#7, flair#491, datasets#622, `CSV.jl#646`.
#[test]
fn other_delimiters_are_found_by_the_header() {
    let expected = [pair("a, b", "x"), pair("c", "y")];
    for (delimiter, option) in [
        (";", "--delimiter ';'"),
        ("|", "--delimiter '|'"),
        ("\t", "tab"),
    ] {
        let text = "text;label\n\"a, b\";x\nc;y\n".replace(';', delimiter);
        let utf16 = "\u{feff}".to_owned() + &text;
        let utf16: Vec<u8> = utf16.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [text.into_bytes(), utf16] {
            let file = given("a.csv", bytes);
            assert_eq!(file.pairs(&options()), expected);
            has(
                &file.messages(&options()),
                &["warning[D030]: the file is split at", option],
            );
            let delimiter = Some(delimiter.as_bytes()[0]);
            let confirmed = ReadOptions {
                delimiter,
                ..options()
            };
            assert_eq!(file.pairs(&confirmed), expected);
            assert_eq!(file.messages(&confirmed), "");
        }
    }
    let file = given("a.tsv", "text,label\n\"a, b\",x\nc,y\n");
    assert_eq!(file.pairs(&options()), expected);
    // The texts are read again for the report, without the label column.
    let file = given("a.csv", "label;text\nx;a\ny;b\n");
    let rows = file.read(&options()).unwrap();
    let texts = dataset::fetch_texts(&file.source(), &options(), &rows.places).unwrap();
    assert_eq!(texts, ["a", "b"]);
}

/// DATA 02: Excel's line above the header.
#[test]
fn sep_lines_are_obeyed() {
    for bytes in [
        "sep=;\ntext;label\na;x\nb;y\n",
        "\"sep=,\"\r\ntext,label\r\na,x\r\nb,y\r\n",
    ] {
        let file = given("a.csv", bytes);
        let rows = file.read(&options()).unwrap();
        assert_eq!(pairs(&rows), [pair("a", "x"), pair("b", "y")]);
        assert_eq!((rows.places[0].record, rows.places[0].line), (1, 3));
    }
}

/// DATA 02: the help, obeyed, works; it never names one column for both.
#[test]
fn help_about_columns_at_another_delimiter_works() {
    let file = given("a.csv", "Kommentar;Kategorie\na;x\nb;y\n");
    has(
        &file.messages(&options()),
        &[
            "no column is named `text` or `label`; the header, split at `;`, has `Kommentar`, `Kategorie`",
            "pass --text-column NAME --label-column NAME",
        ],
    );
    let named = ReadOptions {
        text_column: "Kommentar".to_owned(),
        label_column: "Kategorie".to_owned(),
        ..options()
    };
    assert_eq!(file.pairs(&named), [pair("a", "x"), pair("b", "y")]);
    let message = messages("a.csv", "text_label\na\n");
    has(&message, &["--text-column text_label --label-column NAME"]);
    let message = messages("a.csv", "text,text of label\na,b\n");
    has(&message, &["--label-column 'text of label'"]);
    let message = messages("a.csv", "label,x\na,b\n");
    has(&message, &["pass --text-column NAME"]);
}

/// DATA 17: a file whose lines are quoted as a whole.
#[test]
fn lines_quoted_as_a_whole_are_explained() {
    let bytes = "\"text,label\"\n\"a,x\"\n\"\"\"b, c\"\",y\"\n";
    has(
        &messages("a.csv", bytes),
        &["error[D007]: each line of the file is one quoted field"],
    );
    // Excel ends lines with CR and LF.
    for bytes in [bytes.to_owned(), bytes.replace('\n', "\r\n")] {
        let file = given("a.csv", bytes);
        let message = file.messages(&options());
        let script = message.split('\'').nth(1).unwrap();
        let mut sed = std::process::Command::new("sed");
        let converted = sed.arg(script).arg(&file.path).output().unwrap();
        let file = given("a.csv", converted.stdout);
        assert_eq!(file.pairs(&options()), [pair("a", "x"), pair("b, c", "y")]);
    }
}

/// DATA 04: pandas#16682.
#[test]
fn null_of_mysql_is_not_a_class() {
    let file = given(
        "a.csv",
        "text,label\na,x\nb,\\N\n\\N,y\n\"\\N\",y\nc\\N,y\n",
    );
    let message = file.messages(&options());
    has(
        &message,
        &[
            "error[D014]: row has no label, but `\\N`, the NULL of MySQL",
            "a.csv:3:3",
        ],
    );
    has(
        &message,
        &["error[D013]: row has no text, but `\\N`", "2 such rows"],
    );
    let rows = file.read(&dropping()).unwrap();
    assert_eq!(pairs(&rows), [pair("a", "x"), pair("c\\N", "y")]);
    assert_eq!(rows.counts.dropped["missing label"], 1);
    // In JSON, which has a null, it is a string.
    let file = given("a.jsonl", r#"{"text":"a","label":"\\N"}"#);
    assert_eq!(file.pairs(&options()), [pair("a", "\\N")]);
}

/// DATA 04: pandas#33720.
#[test]
fn help_about_backslashes_before_quotes_works() {
    let bytes = "text,label\n\"he said \\\"no\\\", twice\",x\n\"b\",y\n";
    let file = given("a.csv", bytes);
    has(&file.messages(&options()), &[r"pass --escape '\'"]);
    let escaped = ReadOptions {
        escape: Some(b'\\'),
        ..options()
    };
    assert_eq!(
        file.pairs(&escaped),
        [pair("he said \"no\", twice", "x"), pair("b", "y")]
    );
}

/// DATA 05: fastText#1118.
#[test]
fn help_about_fasttext_files_works() {
    let bytes = "__label__bad a \"dull\" film\n__label__good fine, really\n";
    let message = messages("a.csv", bytes);
    let help = "rename it to end in .txt";
    has(
        &message,
        &["error[D007]: the file has fastText's format", help],
    );
    let file = given("a.txt", bytes);
    let rows = read(
        &sources(&file.path).unwrap(),
        &options(),
        Texts::default,
        &GO,
    );
    assert_eq!(
        pairs(&rows.unwrap()),
        [pair("a \"dull\" film", "bad"), pair("fine, really", "good")]
    );
}

/// DATA 06: datasets#6891.
#[test]
fn other_layouts_of_json_are_recognised() {
    for (bytes, message, filter) in [
        (
            "{\n  \"text\": \"a\",\n  \"label\": 0\n}\n",
            "an object over several lines,",
            "jq -c . FILE",
        ),
        (
            "{\"data\": [{\"text\": \"a\"}]}",
            "an array in an object,",
            "'.[\"data\"][]'",
        ),
    ] {
        for name in ["a.json", "a.jsonl", "a.csv"] {
            let found = messages(name, bytes);
            assert_eq!(found.matches("error").count(), 1, "{found}");
            has(&found, &["error[D007]: the file has", message, filter]);
        }
    }
    // Objects of rows are not layouts.
    let file = given(
        "a.jsonl",
        "{\"meta\":[{}],\"text\":\"a\",\"label\":0}\n[1]\n",
    );
    assert_eq!(file.read(&dropping()).unwrap().counts.used, 1);
    let columns = r#"{"text": {"0": "a"}, "label": {"0": 1}}"#;
    has(
        &messages("a.json", columns),
        &[
            "error[D016]",
            "to_json(PATH, orient=\"records\", lines=True)",
        ],
    );
}

/// DATA 08: amazon-sagemaker-examples#1275.
#[test]
fn augmented_manifests_are_json_lines() {
    let bytes = "{\"source\": \"a, b\", \"label\": 0}\n{\"source\": \"c\", \"label\": 1}\n";
    let named = ReadOptions {
        text_column: "source".to_owned(),
        ..options()
    };
    let file = given("train.manifest", bytes);
    assert_eq!(file.pairs(&named), [pair("a, b", "0"), pair("c", "1")]);
    has(
        &file.messages(&options()),
        &["the first object has `source`, `label`"],
    );
    let message = messages("a.csv", bytes);
    has(
        &message,
        &[
            "error[D007]: the file has JSON, expected CSV",
            "rename it to end in .jsonl",
        ],
    );
}

/// DATA 09, 18: datatable#2130, pandas#10018.
#[test]
fn headers_and_marks_inside_a_file_are_counted_and_not_read() {
    let file = given(
        "a.csv",
        "text,label\na,x\n\"text\",label\nb,y\n Text,LABEL\nlabel,label\n",
    );
    let rows = file.read(&options()).unwrap();
    assert_eq!(
        pairs(&rows),
        [pair("a", "x"), pair("b", "y"), pair("label", "label")]
    );
    assert_eq!(rows.counts.dropped["repeated header"], 2);
    assert_eq!(rows.findings.count(&codes::HEADER_ROW), 2);
    has(
        &rows.findings.to_string(),
        &["a.csv:3:1 (record 2)", "2 such rows; remove them"],
    );
    let mark = "\u{feff}";
    let rows = given("a.csv", format!("{mark}text,label\na,x\nb,y\n")).read(&options());
    assert_eq!(rows.unwrap().findings.count(&codes::BYTE_ORDER_MARK), 0);
    let bytes = format!("{mark}{mark}text,label\na,x\n{mark}text,label\n{mark}\"b\nc\",y\n");
    let rows = given("a.csv", bytes).read(&options()).unwrap();
    assert_eq!(pairs(&rows), [pair("a", "x"), pair("b\nc", "y")]);
    assert_eq!(rows.findings.count(&codes::BYTE_ORDER_MARK), 3);
    assert_eq!(
        (rows.counts.read, rows.counts.dropped["repeated header"]),
        (3, 1)
    );
    let object = format!("{{\"text\":\"a\",\"label\":1}}\n{mark}{{\"text\":\"b\",\"label\":2}}\n");
    assert_eq!(given("a.jsonl", object).pairs(&options()).len(), 2);
    // The line below the header in the output of sqlcmd; a later one may be data.
    let rows = given("a.csv", "text,label\n----,-----\na,x\n--,--\n")
        .read(&options())
        .unwrap();
    assert_eq!(pairs(&rows), [pair("a", "x"), pair("--", "--")]);
    assert_eq!(rows.counts.dropped["repeated header"], 1);
    has(
        &rows.findings.to_string(),
        &["warning[D032]: the row has only dashes"],
    );
    // In a single column, the name may be a text.
    let file = given("a.csv", "text\ntext\n");
    let count = |_: &mut (), batch: &dataset::Batch<'_>| batch.len();
    let sink = |_| Ok::<(), ()>(());
    let found: Result<_, StreamError<()>> = stream(
        &file.source(),
        &options(),
        Labels::Ignored,
        &GO,
        || (),
        count,
        sink,
    );
    assert_eq!(found.unwrap().counts.used, 1);
}

/// DATA 11: pandas#12005, readr#780, git-lfs#4278, datasets#6703.
#[test]
fn other_file_types_are_recognised_by_content() {
    let padded = |at: usize, magic: &[u8]| [vec![b'x'; at], magic.to_vec(), vec![0; 300]].concat();
    let xlsx = b"PK\x03\x04\x14\0\0\0\x08\0\x21\0[Content_Types].xml ".to_vec();
    for (bytes, kind, help) in [
        (
            padded(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
            "an Excel workbook (xls)",
            "save the sheet",
        ),
        (xlsx, "an Excel workbook (xlsx)", "save the sheet"),
        (padded(0, b"PK\x03\x04"), "a zip archive", "unpack it"),
        (padded(257, b"ustar\x0000"), "a tar archive", "tar -xf"),
        (
            padded(0, b"ARROW1\0\0"),
            "an Arrow (Feather) file",
            "whose name ends in .arrow",
        ),
        (
            padded(0, b"\xff\xff\xff\xff\x10\x01\0\0"),
            "an Arrow stream",
            "whose name ends in .arrow",
        ),
        (padded(0, b"\x80\x04\x95"), "a Python pickle", "read_pickle"),
        (
            b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
            "a Git LFS pointer",
            "git lfs pull",
        ),
        (
            b"<!DOCTYPE html>\n<html>".to_vec(),
            "a web page",
            "download the file itself",
        ),
    ] {
        let zipped = zstd::encode_all(bytes.as_slice(), 1).unwrap();
        for (name, bytes) in [
            ("a.csv", &bytes),
            ("a.jsonl", &bytes),
            ("a.csv.zst", &zipped),
        ] {
            has(
                &messages(name, bytes),
                &["error[D007]: the file is", kind, help],
            );
        }
        #[cfg(feature = "parquet")]
        has(
            &messages("a.parquet", &bytes),
            &["error[D007]: the file is", kind, help],
        );
    }
}

/// DATA 11: random bytes are not UTF-16.
#[test]
fn binary_data_is_not_called_utf_16() {
    let mut state = 1_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    };
    for _ in 0..50 {
        let bytes: Vec<u8> = (0..5000).map(|_| random()).collect();
        let message = messages("a.csv", bytes);
        has(
            &message,
            &["error[D007]: the file is binary, expected text"],
        );
        assert!(!message.contains("looks like"), "{message}");
    }
    let le: Vec<u8> = "text,label\na,x\nb,y\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let be: Vec<u8> = "text,label\na,x\nb,y\n"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    for (bytes, name) in [(le, "utf-16le"), (be, "utf-16be")] {
        let file = given("a.csv", bytes);
        has(
            &file.messages(&options()),
            &[&format!("help: pass --encoding {name}")],
        );
        let encoding = Some(dataset::encoding(name).unwrap());
        let named = ReadOptions {
            encoding,
            ..options()
        };
        assert_eq!(file.pairs(&named).len(), 2);
    }
}

/// DATA 13: kg-microbe#649.
#[test]
fn single_rows_in_another_encoding_are_named() {
    let good = "grüne Straße,x\n".repeat(20);
    let bytes = [&b"text,label\n"[..], good.as_bytes(), b"gr\xfcn,y\n"].concat();
    let message = messages("a.csv", &bytes);
    has(
        &message,
        &[
            "error[D012]",
            "a.csv:22:3 (record 21)",
            "other rows are UTF-8: rewrite only it",
        ],
    );
    assert!(!message.contains("--encoding"), "{message}");
    // If no row is UTF-8 beyond ASCII, the file has another encoding.
    let message = messages("a.csv", b"text,label\na,x\ngr\xfcn,y\n");
    has(&message, &["such as --encoding latin-1"]);
}

/// DATA 34: ksponspeech#1.
#[test]
fn encodings_that_fit_are_named() {
    for (name, text) in [
        ("cp949", "영화가 정말 재미있었다 배우들의 연기도 훌륭했다"),
        ("cp932", "この映画はとても面白かった、役者も素晴らしい"),
        ("gbk", "这部电影非常好看，演员的表演也很出色"),
        ("windows-1251", "Отличный фильм, прекрасная игра актёров"),
    ] {
        let encoding = dataset::encoding(name).unwrap();
        let (bytes, ..) = encoding.encode(text);
        let file = given(
            "a.csv",
            [&b"text,label\n\""[..], &*bytes, b"\",x\nb,y\n"].concat(),
        );
        let message = file.messages(&options());
        let (_, named) = message.split_once("--encoding").unwrap();
        let mut names = named.split([' ', ',']);
        let first = names.find_map(|name| dataset::encoding(name).ok());
        assert_eq!(first, Some(encoding), "{message}");
        let encoding = Some(encoding);
        let named = ReadOptions {
            encoding,
            ..options()
        };
        assert_eq!(file.pairs(&named)[0].0, text);
    }
    // Names of Python's codecs.
    for (python, whatwg) in [
        ("uhc", "EUC-KR"),
        ("mac_roman", "macintosh"),
        ("utf_8_sig", "UTF-8"),
    ] {
        assert_eq!(dataset::encoding(python).unwrap().name(), whatwg);
    }
}

/// DATA 17: rust-csv#337.
#[test]
fn help_about_blanks_before_quotes_works() {
    let bytes = "label,text\n0, \"a, really\"\n1, \"b, really\"\n";
    let message = messages("a.csv", bytes);
    has(
        &message,
        &[
            "error[D010]",
            "2 such rows",
            "sed 's/^ *\"/\"/; s/, *\"/,\"/g' FILE > NEW-FILE",
        ],
    );
    let file = given("a.csv", bytes.replace(", \"", ",\""));
    assert_eq!(
        file.pairs(&options()),
        [pair("a, really", "0"), pair("b, really", "1")]
    );
}

/// DATA 17: quotes after a blank are part of the value, as in pandas, and counted.
#[test]
fn blanks_before_quotes_are_counted() {
    let bytes = "text,label\na, \"x\"\n \"b\",y\nc,\" \"\"x\"\"\"\nd, \"x\" y\n";
    let file = given("a.csv", bytes);
    let rows = file.read(&options()).unwrap();
    let expected = [
        ("a", " \"x\""),
        (" \"b\"", "y"),
        ("c", " \"x\""),
        ("d", " \"x\" y"),
    ];
    assert_eq!(
        pairs(&rows),
        expected.map(|(text, label)| pair(text, label))
    );
    assert_eq!(rows.findings.count(&codes::BLANK_QUOTE), 2);
    has(
        &rows.findings.to_string(),
        &["warning[D039]", "a.csv:2:3 (record 1)", "2 such rows"],
    );
    let rows = file.read(&quoting(Quoting::None)).unwrap();
    assert_eq!(rows.findings.count(&codes::BLANK_QUOTE), 0);
    // In a TSV file, in a row with another defect, and after an empty field.
    let file = given("a.tsv", "text\tlabel\n \"a\"\t\"x\" 1\n\t \"y\"\n");
    let rows = file.read(&dropping()).unwrap();
    assert_eq!(rows.findings.count(&codes::BLANK_QUOTE), 2);
    assert_eq!(rows.findings.count(&codes::TEXT_AFTER_QUOTE), 1);
    // After the closing quote.
    let message = messages("a.csv", "text,label\n\"a\" ,x\nb,\"y\" \n");
    has(
        &message,
        &[
            "warning[D019]: there is a blank after the closing quote here",
            "2 such rows; remove the blank between a quote and the delimiter",
        ],
    );
}

/// DATA 31: parquet-java#2238, texera#8512, arkouda#2327, the `ClassLabel` of Hugging Face; the
/// same in Arrow files.
#[test]
#[cfg(feature = "parquet")]
fn labels_of_columns_are_those_of_python() {
    let folder = tempfile::tempdir().unwrap();
    let judged = testkit::judge("parquet_types", &[folder.path()]);
    let files = judged.as_object().unwrap();
    assert!(files.len() > 120);
    for (name, labels) in files {
        let path = folder.path().join(name);
        let source = [Source::file(&path, Format::of_name(&path).unwrap())];
        let rows = dataset::read(&source, &dropping(), Texts::default, &GO);
        let rows = rows.unwrap_or_else(|error| panic!("{name}: {error}"));
        let labels = labels.as_array().unwrap();
        let expected: Vec<_> = (0..)
            .zip(labels)
            .filter_map(|(row, label): (u32, _)| {
                Some(pair(&format!("text {row}"), label.as_str()?))
            })
            .collect();
        assert_eq!(pairs(&rows), expected, "{name}");
        let is_named = rows.counts.named_labels().is_some();
        assert_eq!(is_named, name.contains("class_label"), "{name}");
        let missing = (labels.len() - expected.len()) as u64;
        assert_eq!(rows.findings.count(&codes::NO_LABEL), missing, "{name}");
    }
    for (name, format) in [
        ("list.parquet", Format::Parquet),
        ("list.arrow", Format::Arrow),
    ] {
        let list = [Source::file(&folder.path().join(name), format)];
        let message = dataset::read(&list, &options(), Texts::default, &GO)
            .unwrap_err()
            .to_string();
        has(
            &message,
            &[
                "expected one value per row in the column `label`, found a list",
                "explode",
            ],
        );
        assert!(!message.contains("label.list"), "{message}");
    }
}

/// DATA 32: rill#5173.
#[test]
fn files_of_a_folder_that_are_not_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "text,label\na,x\nb,y\n";
    for (name, bytes) in [
        ("part1.csv", csv),
        ("part2.tsv", "text\tlabel\nc\tx\n"),
        ("part3.jsonl", "{\"text\":\"d\",\"label\":\"y\"}\n"),
        ("0000_part_00", csv),
        ("data.csv.bz2", csv),
        ("part3.json", csv),
        ("part4.txt", csv),
        ("._part1.csv", csv),
        (".part1.csv.crc", csv),
    ] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let files = sources(folder.path()).unwrap();
    let rows = dataset::read(&files, &options(), Texts::default, &GO).unwrap();
    // Files of several formats are read together.
    assert_eq!(rows.counts.used, 8);
    assert_eq!(rows.findings.count(&codes::CONTENT), 1);
    assert_eq!(rows.findings.count(&codes::SKIPPED_FILE), 3);
    let message = rows.findings.to_string();
    let skipped = ["._part1.csv", "part3.json", "part4.txt"];
    has(&message, &skipped);
    has(
        &message,
        &["warning[D034]", "3 such files; rename them, or remove them"],
    );
    let mut found = Vec::new();
    let mut each = |finding: &diagnostics::Diagnostic| found.push(finding.to_string());
    dataset::check(&files, &[], &options(), 20, &GO, &mut each).unwrap();
    let named = |name: &&str| {
        found
            .iter()
            .any(|line| line.contains(name) && line.contains("D034"))
    };
    assert!(skipped.iter().all(named), "{found:#?}");
    // Other columns are an error that names the file.
    std::fs::write(folder.path().join("part5.csv"), "review,stars\na,1\n").unwrap();
    let files = sources(folder.path()).unwrap();
    let error = dataset::read(&files, &options(), Texts::default, &GO).unwrap_err();
    has(&error.to_string(), &["error[D005]", "part5.csv:1"]);
}

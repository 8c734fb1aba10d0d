//! Files of programs with other habits, and letters that are not what they look like.

use std::io::Write as _;

use dataset::check;
use flate2::{Compression, write::GzEncoder};

use super::*;

/// Of a file with an escape character: pandas `to_csv(quoting=QUOTE_NONE, escapechar='\\')`.
#[test]
fn backslashes_before_delimiters_and_line_ends_are_counted() {
    let file = given("a.csv", "text,label\na\\, b\\\n c,x\nd \\\\,y\n\"e\\\",x\n");
    let rows = file.read(&options()).unwrap();
    assert_eq!(rows.counts.used, 4);
    assert_eq!(rows.findings.count(&codes::ESCAPED_END), 1);
    has(
        &rows.findings.to_string(),
        &["warning[D060]", "a.csv:2:3", r"pass --escape '\'"],
    );
    let message = messages("a.csv", "text,label\na\\, \\\"b\\\",x\nd,y\n");
    has(&message, &["error[D010]", r"pass --escape '\'"]);
    // Quotes that are escaped, but no quote after an escaped backslash.
    let message = messages("a.csv", "text,label\n\"a \\\"b\\\", c\",x\n");
    has(
        &message,
        &["error[D010]", r"help: 1 such row; pass --escape '\'"],
    );
    let message = messages("a.csv", "text,label\n\"a \\\\\",x,\nb,y\n");
    assert!(!message.contains("--escape"), "{message}");
}

/// Returns the help about a file in an encoding.
fn encoding_help(name: &str, rows: &[&str]) -> String {
    let encoding = dataset::encoding(name).unwrap();
    let text: String = rows.iter().map(|row| format!("\"{row}\",x\n")).collect();
    let (bytes, _, lossy) = encoding.encode(&text);
    assert!(!lossy, "{name}");
    messages("a.csv", [&b"text,label\n"[..], &*bytes].concat())
}

/// The encoding that is proposed is the one of the file.
#[test]
fn encodings_are_proposed_by_their_letters() {
    for (name, rows) in [
        (
            "windows-1250",
            &["To był wspaniały film, świetna gra aktorów"][..],
        ),
        (
            "windows-1250",
            &["zażółć gęślą 0", "jaźń 1", "święto 2", "łódź 3"],
        ),
        (
            "iso-8859-2",
            &["To był wspaniały film, świetna gra aktorów i piękne zdjęcia"],
        ),
        (
            "windows-1250",
            &["To byl skvělý film, příběh mě opravdu nadchl a byl úžasný"],
        ),
        (
            "windows-1253",
            &["Η ταινία ήταν υπέροχη και οι ηθοποιοί έπαιξαν πολύ καλά"],
        ),
        ("windows-1253", &["ελληνικά κείμενο 0", "καλημέρα 1"]),
        (
            "windows-1254",
            &["Bu film gerçekten güzeldi, oyuncular başarılıydı"],
        ),
        (
            "windows-1254",
            &["şişli güneş 0", "ağır çay 1", "İstanbul 2"],
        ),
        ("windows-1255", &["הסרט היה נהדר והשחקנים היו מצוינים"]),
        ("windows-1251", &["Отличный фильм, прекрасная игра актёров"]),
        ("windows-1251", &["плохо0", "фильм1 хорош", "плохо2"]),
        ("koi8-r", &["Плохой сюжет и скучная игра"]),
        ("koi8-r", &["добрый день 0", "спасибо большое 1"]),
        ("windows-1256", &["كان الفيلم رائعا والتمثيل ممتاز"]),
        ("latin-1", &["Un très bon film, l’histoire est émouvante"]),
        (
            "latin-1",
            &[
                "un café noir 0",
                "le thé vert 1",
                "une idée 2",
                "très bon 3",
            ],
        ),
        ("latin-1", &["schöne Filme für große Leute"]),
        ("latin-1", &["Un film più bello di così non c’è, perché no"]),
        ("latin-1", &["it cost £5", "20 °C"]),
    ] {
        let help = encoding_help(name, rows);
        let expected = format!("such as --encoding {name}, or pass --drop-malformed");
        let alone = format!("such as --encoding {name}");
        assert!(
            help.contains(&expected) || help.ends_with(&alone),
            "{name}: {help}"
        );
    }
    // Hungarian is also plausible in latin-1, a word of Hebrew also as Greek or Russian.
    let rows = ["Nagyon jó film volt, a színészek gyönyörűek, őszintén"];
    has(
        &encoding_help("windows-1250", &rows),
        &["--encoding: ask who wrote the file whether it is latin-1 or windows-1250"],
    );
    let help = encoding_help("windows-1255", &["נעל"]);
    has(&help, &["ask who wrote the file", "windows-1255"]);
}

/// Rows that are UTF-8 do not decide which encoding the others have.
#[test]
fn encodings_are_proposed_for_the_other_rows_only() {
    let bytes = b"text,label\n0 caf\xe9,1\n1 na\xc3\xafve,0\n2 th\xe9,1\n3 caf\xe9,0\n";
    has(
        &messages("a.csv", bytes),
        &["error[D012]", "such as --encoding latin-1"],
    );
}

/// pandas `to_csv(sep=' ')`.
#[test]
fn spaces_are_found_as_delimiter() {
    let file = given("a.csv", "text label\n\"a b\" x\n\"c d\" y\n");
    has(
        &file.messages(&options()),
        &["error[D005]", "help: pass --delimiter ' '"],
    );
    let named = ReadOptions {
        delimiter: Some(b' '),
        ..options()
    };
    assert_eq!(file.pairs(&named), [pair("a b", "x"), pair("c d", "y")]);
}

/// Labels and texts that differ in what is not seen, or have nothing else.
#[test]
fn unseen_characters_are_neither_labels_nor_texts() {
    for unseen in [
        "\0",
        "\u{1}",
        "\u{7f}",
        "\u{1a}",
        "\u{e0061}\u{e007f}",
        "\u{3164}",
    ] {
        let file = given("a.csv", format!("text,label\na,x\nb,x{unseen}\nc,y\n"));
        let rows = file.read(&options()).unwrap();
        assert_eq!(rows.findings.count(&codes::SIMILAR_LABELS), 1, "{unseen:?}");
        let rows = format!("text,label\n{unseen},x\na,{unseen}\nb,x\nc,y\n");
        let rows = given("a.csv", rows).read(&dropping()).unwrap();
        assert_eq!(rows.findings.count(&codes::NO_TEXT), 1, "{unseen:?}");
        assert_eq!(rows.findings.count(&codes::NO_LABEL), 1, "{unseen:?}");
    }
}

/// `check --limit` and `--json`: each pair of labels is a finding.
#[test]
fn check_reports_every_pair_of_similar_labels() {
    let row = |row: usize| format!("a{row},l{row}\nb{row},L{row}\n");
    let rows: String = (0..9).map(row).collect();
    let file = given("a.csv", format!("text,label\n{rows}"));
    let mut found = Vec::new();
    let mut each = |finding: &diagnostics::Diagnostic| found.push(finding.message.clone());
    check(&file.source(), &[], &options(), 20, &GO, &mut each).unwrap();
    let pairs = found
        .iter()
        .filter(|message| message.contains("differ only"));
    assert_eq!(pairs.count(), 9, "{found:?}");
    has(&found.join("\n"), &["`l8` and `L8`"]);
    // If a finding of each kind is printed, it names the first pairs.
    has(&file.messages(&options()), &["`l4` and `L4`, 4 more pairs"]);
}

/// Streams texts as `predict` does; returns them, and the errors.
fn texts_and_errors(files: &[Source], block_bytes: usize) -> (Vec<String>, String) {
    let options = ReadOptions {
        keep_blank: true,
        block_bytes,
        ..options()
    };
    let (texts, ended) = streamed(files, &options);
    let errors = match ended {
        Ok(streamed) => streamed.findings.to_string(),
        Err(StreamError::Read(error)) => error.to_string(),
        Err(StreamError::Sink(())) => unreachable!("the sink does not fail"),
    };
    (texts, errors)
}

/// A column that no object has is one error, not one per row, and has no predictions.
#[test]
fn missing_keys_of_json_lines_are_one_error() {
    let absent = given("a.jsonl", "{\"body\":\"a\"}\n".repeat(9));
    let late = given(
        "b.jsonl",
        "{\"id\":1}\n{\"id\":2,\"text\":\"b\"}\n{\"id\":3}\n",
    );
    for block_bytes in [1, 20, 4096] {
        let (texts, errors) = texts_and_errors(&absent.source(), block_bytes);
        assert!(texts.is_empty(), "{texts:?}");
        has(&errors, &["error[D005]: no column is named `text`"]);
        assert!(!errors.contains("D013"), "{errors}");
        let (texts, errors) = texts_and_errors(&late.source(), block_bytes);
        assert_eq!(texts, ["", "b", ""]);
        has(&errors, &["warning[D013]", "b.jsonl:1:1", "2 such rows"]);
        let both = [absent.source(), late.source()].concat();
        let (texts, errors) = texts_and_errors(&both, block_bytes);
        assert_eq!(texts, ["", "b", ""]);
        has(&errors, &["error[D005]", "2 such rows"]);
    }
    let message = messages("a.jsonl", "{\"text\":\"a\",\"class\":1}\n".repeat(3));
    has(&message, &["error[D005]: no column is named `label`"]);
    assert!(!message.contains("D014"), "{message}");
}

/// A named pipe has no end; Spark leaves rows of failed tasks in `_temporary`.
#[cfg(unix)]
#[test]
fn pipes_and_temporary_folders_are_skipped() {
    let file = given("a.csv", "text,label\na,x\nb,y\n");
    let folder = file.folder.path();
    let pipe = folder.join("b.csv");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for name in ["_temporary/0", "_day=1"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("c.csv"), "text,label\nc,x\n").unwrap();
    }
    let found = sources(folder).unwrap();
    let rows = read(&found, &options(), Texts::default, &GO).unwrap();
    assert_eq!(
        pairs(&rows),
        [pair("c", "x"), pair("a", "x"), pair("b", "y")]
    );
    assert_eq!(rows.findings.count(&codes::SKIPPED_FILE), 2);
    has(
        &without(&rows.findings.to_string(), folder),
        &["an underscore; nor is `b.csv`", "--> _temporary/0/c.csv"],
    );
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// gzip ignores what follows its data, with a warning.
#[test]
fn bytes_after_the_data_of_gzip_are_named() {
    let rows: String = (0..500)
        .map(|row| format!("text {row},{}\n", row % 2))
        .collect();
    let text = format!("text,label\n{rows}");
    let whole = gz(text.as_bytes());
    for other in [&b"x"[..], b"other bytes", &[0, 0, 1]] {
        let message = messages("a.csv.gz", [&whole[..], other].concat());
        has(
            &message,
            &[
                "error[D006]: the compressed data is followed by other bytes after 500 rows",
                "gunzip -c FILE > NEW-FILE",
            ],
        );
    }
    let used = |bytes: Vec<u8>| {
        given("a.csv.gz", bytes)
            .read(&options())
            .unwrap()
            .counts
            .used
    };
    assert_eq!(used([&whole[..], &[0; 3000]].concat()), 500);
    assert_eq!(
        used([&whole[..], &gz(b"more,0\n")[..], &gz(b"")[..]].concat()),
        501
    );
    has(
        &messages("a.csv.gz", gz(&whole)),
        &[
            "error[D007]: the file is compressed twice",
            "decompress it once",
        ],
    );
}

/// The help about a line that is not JSON has its cause.
#[test]
fn help_about_lines_of_json_fits_the_cause() {
    let good = "{\"text\":\"a\",\"label\":1}\n";
    for (line, help) in [
        ("{\"text\":\"a \\ud83d x\",\"label\":1}", "surrogate pair"),
        (
            "{\"text\":\"a\",\"label\":1,\"text\":\"b\"}",
            "keep one of the two values in it",
        ),
        (
            "{\"text\":\"a\",\"label\":1},",
            "remove the comma at the end of the lines: sed",
        ),
        (
            "{\"text\":\"a\",\"label\":1,}",
            "remove the comma after the last value in it",
        ),
    ] {
        let message = messages("a.jsonl", format!("{good}{line}\n"));
        has(&message, &["error[D015]", help]);
    }
    for (header, help) in [
        ("text,label\na,1\n", "rename it to end in .csv"),
        ("\"label\"\t\"text\"\n1\ta\n", "rename it to end in .tsv"),
    ] {
        has(&messages("a.jsonl", header), &["error[D007]", help]);
    }
}

/// Delimiters at the end of lines, and single quotes.
#[test]
fn help_about_field_counts_fits_the_cause() {
    let message = messages("a.csv", "text,label\na,1,,\nb,0,,\n");
    has(&message, &["error[D010]", r"sed 's/,,\r*$//' FILE"]);
    let message = messages("a.csv", "text,label\n'a, \"b\"',1\n'c, d',0\n");
    has(&message, &["error[D010]", "quotechar=\"'\""]);
}

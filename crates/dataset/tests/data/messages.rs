//! Texts of messages.

use super::*;

fn messages(name: &str, bytes: impl AsRef<[u8]>) -> String {
    given(name, bytes).messages(&options())
}

#[test]
fn missing_values() {
    insta::assert_snapshot!(messages("movie.csv", "text,label\ngood,1\n\"bad,\nbad\",\nx, \ny,\n"), @r"
    error[D014]: row has no label
      --> movie.csv:4:6 (record 2)
      help: 3 such rows; fix them, or pass --drop-missing
    ");
    insta::assert_snapshot!(messages("movie.csv", "text,label\ngood,1\n,1\n"), @r"
    error[D013]: row has no text
      --> movie.csv:3:1 (record 2)
      help: 1 such row; fix it, or pass --drop-missing
    ");
    insta::assert_snapshot!(messages("movie.jsonl", "{\"text\":\"a\",\"label\":1}\n{\"text\":null,\"label\":1}\n{\"text\":\"b\"}\n"), @r"
    error[D013]: row has no text
      --> movie.jsonl:2:1 (record 2)
      help: 1 such row; fix it, or pass --drop-missing
    error[D014]: row has no label
      --> movie.jsonl:3:1 (record 3)
      help: 1 such row; fix it, or pass --drop-missing
    ");
    insta::assert_snapshot!(given("movie.csv", "text,label\ngood,1\nbad,\n").messages(&dropping()), @r"
    warning[D014]: row has no label
      --> movie.csv:3:5 (record 2)
      help: 1 such row; dropped because of --drop-missing
    ");
    insta::assert_snapshot!(given("movie.csv", "text,label\nbad,\n").messages(&dropping()), @r"
    error[D003]: no rows are left: all `1` were dropped
      --> movie.csv
      help: pass data with texts, and with labels where required
    warning[D014]: row has no label
      --> movie.csv:2:5 (record 1)
      help: 1 such row; dropped because of --drop-missing
    ");
}

#[test]
fn malformed_rows() {
    insta::assert_snapshot!(messages("a.csv", "text,label\na,b,1\nc,1\nd\n"), @r"
    error[D010]: row has `3` fields, the header has `2`
      --> a.csv:2:5 (record 1)
      help: 2 such rows; fix them (quote texts that contain the delimiter), or pass --drop-malformed
    ");
    insta::assert_snapshot!(messages("a.csv", "text,label\nd\n"), @r"
    error[D010]: row has `1` field, the header has `2`
      --> a.csv:2:2 (record 1)
      help: 1 such row; fix it
    ");
    insta::assert_snapshot!(messages("a.csv", "text,label\n\"a\n,1\",b\nc,\"open,1\nd,1\n"), @r"
    error[D011]: the quote opened here is never closed; the row extends over `2` lines to the end of the file
      --> a.csv:4:3 (record 2)
      help: close it, or pass --quoting none if quotes are part of the text, or pass --drop-malformed
    ");
    insta::assert_snapshot!(messages("a.csv", b"text,label\na,1\n\"b\nb\xe9\",1\n"), @r"
    error[D012]: byte `0xe9` at offset `19` of the file is not valid UTF-8
      --> a.csv:4:2 (record 2)
      help: 1 such row; save the file as UTF-8, or pass its encoding, such as --encoding latin-1, or pass --drop-malformed
    ");
    insta::assert_snapshot!(messages("a.csv", "text,label\na,1\n\"say \"no\" twice\",0\n"), @r"
    warning[D019]: there is text after the closing quote here
      --> a.csv:3:6 (record 2)
      help: 1 such row; check whether rows were joined; quotes that are part of the text must be doubled
    ");
    insta::assert_snapshot!(given("a.csv", "text,label\na,1\nb,2,3\n").messages(&dropping()), @r"
    warning[D010]: row has `3` fields, the header has `2`
      --> a.csv:3:5 (record 2)
      help: 1 such row; dropped because of --drop-malformed
    ");
}

#[test]
fn headers() {
    insta::assert_snapshot!(messages("a.csv", ""), @r"
    error[D003]: the file is empty
      --> a.csv
      help: add at least one row; a CSV file also needs a header
    ");
    insta::assert_snapshot!(messages("a.csv", "\n\n"), @r"
    error[D003]: the file has no rows
      --> a.csv
      help: add at least one row; a CSV file also needs a header
    ");
    insta::assert_snapshot!(messages("a.csv", "text,label\n"), @r"
    error[D003]: the file has no rows
      --> a.csv
      help: add at least one row; a CSV file also needs a header
    ");
    insta::assert_snapshot!(messages("a.csv", "Text,labels\na,b\n"), @r"
    error[D005]: no column is named `text` or `label`; the header has `Text`, `labels`
      --> a.csv:1
      help: did you mean --text-column Text --label-column labels?
    ");
    insta::assert_snapshot!(messages("a.csv", "sentiment,review\na,b\n"), @r"
    error[D005]: no column is named `text` or `label`; the header has `sentiment`, `review`
      --> a.csv:1
      help: pass --text-column NAME --label-column NAME; the first line must be a header
    ");
    insta::assert_snapshot!(messages("a.csv", "text,label,text,text\na,b,c,d\n"), @r"
    error[D004]: expected one column named `text`, found `3`
      --> a.csv:1
      help: rename all but one of them
    ");
    insta::assert_snapshot!(messages("a.csv", "text,\"label\na,b\n"), @r"
    error[D011]: the quote opened here in the header is never closed
      --> a.csv:1:6
      help: close it, or pass --quoting none if quotes are part of the text
    ");
    insta::assert_snapshot!(messages("a.csv", "\"A long review, which is not a header at all, but the first row\",1\nb,2\n"), @r"
    error[D005]: no column is named `text` or `label`; the header has `A long review, which is not a header at ...`, `1`
      --> a.csv:1
      help: pass --text-column NAME --label-column NAME; the first line must be a header
    ");
    insta::assert_snapshot!(messages("a.csv", "t\0e\0x\0t\0,\0l\0a\0b\0e\0l\0\n\0a\0,\0b\0\n\0"), @r"
    error[D007]: the file looks like UTF-16 without a byte order mark
      --> a.csv
      help: pass --encoding utf-16le
    ");
    let wide = (1..30)
        .map(|n| format!("c{n}"))
        .collect::<Vec<_>>()
        .join(",");
    insta::assert_snapshot!(messages("a.csv", wide), @r"
    error[D005]: no column is named `text` or `label`; the header has `c1`, `c2`, `c3`, `c4`, `c5`, `c6`, `c7`, `c8`, `c9`, `c10`, `c11`, `c12` and 17 more
      --> a.csv:1
      help: pass --text-column NAME --label-column NAME; the first line must be a header
    ");
}

#[test]
fn json_lines() {
    insta::assert_snapshot!(messages("a.jsonl", "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",label:1}\n[1]\n"), @r"
    error[D015]: the line is not a JSON object: key must be a string
      --> a.jsonl:2:13 (record 2)
      help: 2 such rows; write one JSON object per line, or pass --drop-malformed
    ");
    insta::assert_snapshot!(messages("a.jsonl", "{\"text\":\"a\",\"label\":1}\n{\"text\":7,\"label\":1}\n"), @r"
    error[D016]: expected `text` to be a string, found a number
      --> a.jsonl:2:1 (record 2)
      help: 1 such row; fix it, or pass another column, or pass --drop-malformed
    ");
    insta::assert_snapshot!(messages("a.jsonl", "{\"text\":\"a\",\"label\":{\"id\":7}}\n"), @r#"
    error[D016]: expected `label` to be a string, a number or true/false, found an object
      --> a.jsonl:1:1 (record 1)
      help: 1 such row; pass another column; pandas writes such columns unless you pass to_json(PATH, orient="records", lines=True)
    "#);
    insta::assert_snapshot!(messages("a.jsonl", "{\"review\":\"a\",\"lable\":1}\n"), @r"
    error[D005]: no column is named `text` or `label`; the first object has `review`, `lable`
      --> a.jsonl
      help: pass --text-column NAME --label-column lable
    ");
    insta::assert_snapshot!(messages("a.json", "[\n{\"text\":\"a\",\"label\":1}\n]\n"), @r"
    error[D007]: the file has an array, expected one JSON object per line
      --> a.json
      help: convert it: jq -c '.[]' FILE > FILE.jsonl
    ");
    insta::assert_snapshot!(messages("a.jsonl", b"{\"text\":\"a\",\"label\":1}\n{\"text\":\"\xff\",\"label\":1}\n"), @r"
    error[D012]: byte `0xff` at offset `32` of the file is not valid UTF-8
      --> a.jsonl:2:10 (record 2)
      help: 1 such row; save the file as UTF-8, or pass its encoding, such as --encoding latin-1, or pass --drop-malformed
    ");
}

#[test]
fn duplicates_and_similar_labels() {
    insta::assert_snapshot!(messages("a.csv", "text,label\na,1\nb,0\na,0\nb,0\nb,0\n"), @r"
    warning[D021]: the text has the label `0` here but `1` at `a.csv:2 (record 1)`
      --> a.csv:4 (record 3)
      help: 1 such row; decide which label is right
    warning[D022]: the same text with the same label is at `a.csv:3 (record 2)`
      --> a.csv:5 (record 4)
      help: 2 such rows; remove them, unless these are independent observations
    ");
    insta::assert_snapshot!(messages("a.csv", "text,label\na,Spam\nb, spam\nc,ham\n"), @r"
    warning[D024]: labels that differ only in case, whitespace or number format are treated as different: `Spam` and ` spam`
      help: use one spelling if they mean the same label
    ");
}

#[test]
fn text_and_label_in_the_same_column_is_error() {
    let same = ReadOptions {
        label_column: "text".to_owned(),
        ..options()
    };
    for (name, bytes) in [
        ("a.csv", "text,label\na,1\nb,2\n"),
        ("a.tsv", "text\na\nb\n"),
        ("a.jsonl", "{\"text\":\"a\",\"label\":1}\n"),
        // Refused before the file is opened, so the format does not matter.
        ("a.parquet", "PAR1"),
    ] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(given(name, bytes).messages(&same), @r"
            error[D025]: text and label are the same column `text`
              help: pass different names to --text-column and --label-column
            ");
        }
    }
}

/// Checks that no metric regex can match, and that data cannot start a line.
fn harmless(message: &str) {
    for metric in sagemaker::Metric::all() {
        // Every match of the metric's regex starts with this.
        assert!(!message.contains(&format!("{metric}=")), "{message}");
    }
    for line in message.lines() {
        let own = ["error[D", "warning[D", "  --> ", "  help: "];
        assert!(own.iter().any(|start| line.starts_with(start)), "{message}");
    }
    assert!(!message.contains(['\u{1b}', '\r']), "{message}");
}

#[test]
fn data_in_messages_cannot_look_like_metrics() {
    let evil = " train:accuracy=0.99; ";
    let cell = format!("\n{evil}\r\u{1b}[31m");
    let name = format!("x\n{evil}.csv");
    let json = |value: &str| serde_json::to_string(value).unwrap();
    let line = format!("\n{evil}");
    let texts = [
        // Names in the header: listed, suggested, truncated.
        given("a.csv", format!("\"{cell}\",label\na,1\n")).messages(&options()),
        given("a.csv", format!("\"text{line}\",label\na,1\n")).messages(&options()),
        given("a.csv", format!("\"{}{line}and on\"\na\n", "a ".repeat(8))).messages(&options()),
        // Keys and values of JSON.
        given("a.jsonl", format!("{{{}:1}}\n", json(&cell))).messages(&options()),
        given("a.jsonl", format!("{}\n", json(&cell))).messages(&options()),
        // The name of the file, as place and in messages about other rows.
        given(&name, "text,label\na,\n").messages(&options()),
        given(&name, "text,label\na,1\na,0\n").messages(&options()),
    ];
    for message in &texts {
        harmless(message);
    }
    assert!(
        texts
            .iter()
            .all(|message| message.contains(r"accuracy\u{3d}0.99;")),
        "each message has the data: {texts:#?}"
    );
    harmless(&given("a.jsonl", format!("{{\"text\":\"{evil}\",{evil}}}\n")).messages(&options()));
    let options = ReadOptions {
        text_column: cell.clone(),
        ..options()
    };
    harmless(&given("a.jsonl", format!("{{{}:1}}\n", json(&cell))).messages(&options));
    harmless(&given("a.csv", format!("\"{cell}\",\"{cell}\"\na,1\n")).messages(&options));
    harmless(&dataset::encoding(&cell).unwrap_err().to_string());
}

#[test]
fn paths_in_messages_cannot_look_like_metrics() {
    let evil = "\n train:accuracy=0.99; ";
    let folder = given(&format!("{evil}.txt"), "");
    let listed = dataset::sources(folder.folder.path()).unwrap_err();
    let closest = folder.folder.path().join(format!("{evil}.tx"));
    let absent = folder.folder.path().join(evil).join("a.csv");
    let closest = dataset::sources(&closest).unwrap_err();
    let absent = dataset::sources(&absent).unwrap_err();
    for message in [listed, closest, absent].map(|message| message.to_string()) {
        harmless(&message);
        assert!(message.contains(r"accuracy\u{3d}0.99;"), "{message}");
    }
}

#[test]
fn long_values_are_truncated() {
    let message = messages("a.jsonl", format!("\"{}\"\n", "private ".repeat(100)));
    assert!(message.contains("pr..."), "{message}");
    assert!(message.len() < 400, "{message}");
}

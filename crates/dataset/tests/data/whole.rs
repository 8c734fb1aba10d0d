//! Operations on whole data sets.

use super::*;
use crate::rows::long;
use dataset::{RowPlace, TrainTexts, check, codes, fetch_texts, unusable_labels};

#[test]
fn texts_can_be_reread() {
    let file = given("a.csv", long());
    let rows = file.read(&options()).unwrap();
    let all = pairs(&rows);
    let wanted = [4321, 1, 1, 0, 4999, 2];
    let places: Vec<RowPlace> = wanted.iter().map(|row| rows.places[*row]).collect();
    let small = ReadOptions {
        block_bytes: 300,
        ..options()
    };
    let texts = fetch_texts(&file.source(), &small, &places).unwrap();
    assert_eq!(texts, wanted.map(|row| all[row].0.clone()));
    std::fs::write(&file.path, "text,label\na,b\n").unwrap();
    let error = fetch_texts(&file.source(), &small, &places)
        .unwrap_err()
        .to_string();
    insta::assert_snapshot!(without(&error, file.folder.path()), @r"
    error[D001]: the row no longer exists: the file changed while it was in use
      --> a.csv:5403 (record 4322)
      help: run the command again
    ");
}

#[test]
fn single_class_and_leaks_are_found() {
    let train = given("train.csv", "text,label\na,x\nb,x\n");
    let test = given("test.csv", "text,label\nc,x\nb,y\n");
    let (train_rows, test_rows) = (
        train.read(&options()).unwrap(),
        test.read(&options()).unwrap(),
    );
    let error = unusable_labels(&train_rows, &train.source(), &options())
        .unwrap()
        .to_string();
    insta::assert_snapshot!(without(&error, train.folder.path()), @r"
    error[D020]: all `2` rows have the label `x`, expected at least two labels
      --> train.csv
      help: add rows with other labels, or pass another column with --label-column
    ");
    assert_eq!(
        unusable_labels(&test_rows, &test.source(), &options()),
        None
    );
    let (train_source, test_source, all) = (train.source(), test.source(), options());
    let (texts, near) = TrainTexts::new((&train_rows, &train_source), &all, &GO).unwrap();
    assert!(near.is_empty());
    let found = texts.leaked((&test_rows, &test_source), "test").unwrap();
    assert_eq!(found.count(&codes::LEAK), 1);
    let message = without(&found.to_string(), train.folder.path());
    insta::assert_snapshot!(without(&message, test.folder.path()), @r"
    warning[D023]: the test text is also in the training data at `train.csv:3 (record 2)`
      --> test.csv:3 (record 2)
      help: 1 such row; remove it from one of the two data sets; otherwise the score is too high
    ");
}

#[test]
fn check_continues_after_errors() {
    let train = given(
        "train.csv",
        "text,label\na,x\nb,\nc,\nd,\na,y\ne,X\na,x\nf,g,h\n",
    );
    let test = given("test.csv", "text,label\n,x\na,x\n");
    let mut all = Vec::new();
    let mut each = |finding: &diagnostics::Diagnostic| all.push(finding.to_string());
    let summary = check(
        &train.source(),
        &test.source(),
        &options(),
        2,
        &GO,
        &mut each,
    )
    .unwrap();
    let message = without(
        &without(&all.join("\n"), train.folder.path()),
        test.folder.path(),
    );
    insta::assert_snapshot!(message, @r"
    error[D010]: row has `3` fields, the header has `2`
      --> train.csv:9:5 (record 8)
      help: fix it (quote texts that contain the delimiter), or pass --drop-malformed
    error[D014]: row has no label
      --> train.csv:3:3 (record 2)
      help: fix it, or pass --drop-missing
    error[D014]: row has no label
      --> train.csv:4:3 (record 3)
      help: fix it, or pass --drop-missing
    warning[D021]: the text has the label `y` here but `x` at `train.csv:2 (record 1)`
      --> train.csv:6 (record 5)
      help: decide which label is right
    warning[D022]: the same text with the same label is at `train.csv:2 (record 1)`
      --> train.csv:8 (record 7)
      help: remove it, unless these are independent observations
    warning[D024]: labels that differ only in case, whitespace or number format are treated as different: `x` and `X`
      help: use one spelling if they mean the same label
    error[D013]: row has no text
      --> test.csv:2:1 (record 1)
      help: fix it, or pass --drop-missing
    warning[D023]: the test text is also in the training data at `train.csv:2 (record 1)`
      --> test.csv:3 (record 2)
      help: remove it from one of the two data sets; otherwise the score is too high
    ");
    let counts: Vec<String> = summary
        .findings
        .counts()
        .map(|(id, _, n)| format!("{id} {n}"))
        .collect();
    assert_eq!(
        counts,
        [
            "D010 1", "D013 1", "D014 3", "D021 1", "D022 1", "D023 1", "D024 1"
        ]
    );
    assert_eq!((summary.rows.read, summary.rows.used), (8, 4));
    assert_eq!(
        summary.labels,
        [
            ("x".to_owned(), 2),
            ("X".to_owned(), 1),
            ("y".to_owned(), 1)
        ]
    );
}

#[test]
fn open_quote_does_not_exhaust_memory() {
    let mut bytes = b"text,label\na,b\n\"never closed,".to_vec();
    bytes.resize(3_000_000, b'x');
    let file = given("a.csv", bytes);
    for block_bytes in [1000, 512 * 1024] {
        let small = ReadOptions {
            max_record_bytes: 100_000,
            block_bytes,
            ..dropping()
        };
        let Err(ReadError::Data(bad)) = file.read(&small) else {
            panic!("an error was expected")
        };
        assert_eq!((bad.counts.read, bad.counts.used), (2, 1));
        insta::allow_duplicates! {
            insta::assert_snapshot!(without(&bad.findings.to_string(), file.folder.path()), @r"
            error[D017]: the record is larger than `100000` bytes; reading stopped here
              --> a.csv:3:1 (record 2)
              help: 1 such row; check for a quote that is never closed; if quotes are part of the text, pass --quoting none
            ");
        }
    }
}

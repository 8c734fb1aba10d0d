//! Inputs that somebody made to break the program (issue 16, list ATTACK).

use super::*;

/// ATTACK F1.
#[test]
#[cfg(feature = "parquet")]
fn no_changed_footer_byte_drops_rows() {
    use crate::parquet::three_hundred_rows;
    let bytes = three_hundred_rows();
    let footer = u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap());
    for at in bytes.len() - 8 - footer as usize..bytes.len() {
        for flip in [0x01, 0x04, 0x10, 0x40, 0x55, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            if let Ok(rows) = given("a.parquet", damaged).read(&dropping()) {
                assert_eq!(rows.counts.read, 300, "byte {at} xor {flip:#x}");
            }
        }
    }
}

/// ATTACK F13: the name is not compared with others, and not printed in full.
#[test]
fn huge_column_names_are_not_suggested() {
    let name = "labels".repeat(1_000_000);
    let message = given("a.csv", format!("text,{name}\na,b\n")).messages(&options());
    assert!(
        message.contains("help: pass --label-column NAME"),
        "{message}"
    );
    assert!(message.len() < 400, "{message}");
}

/// ATTACK F13: a header with millions of columns is refused, and keys are compared in part.
#[test]
fn millions_of_columns_take_little_time() {
    let header = format!("text,label{}\na,b\n", ",".repeat(1 << 20));
    let message = given("a.csv", header).messages(&options());
    let expected = "the header has `1048578` columns, expected at most `1048576`";
    assert!(message.contains(expected), "{message}");
    let keys: String = (0..200_000).map(|key| format!("\"k{key}\":1,")).collect();
    let start = std::time::Instant::now();
    let message = given("a.jsonl", format!("{{{keys}\"a\":1}}\n")).messages(&options());
    assert!(message.contains("error[D005]"), "{message}");
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

/// ATTACK F13: `check` keeps a row per text, not per row; its findings stay those of `train`.
#[test]
fn check_counts_repeated_rows_in_any_number() {
    let rows = "a,x\na,y\nb,x\n".repeat(100_000);
    let file = given("a.csv", format!("text,label\n{rows}"));
    let (summary, found) = check(&file.source(), &file.source(), 1);
    assert_eq!(summary.rows.used, 300_000);
    let labels = [("x".to_owned(), 200_000), ("y".to_owned(), 100_000)];
    assert_eq!(summary.labels, labels);
    let count = |code| summary.findings.count(code);
    // Each row is compared with the first one of its text, in both channels.
    assert_eq!(count(&dataset::codes::CONFLICT), 2 * 100_000);
    assert_eq!(count(&dataset::codes::DUPLICATE), 2 * (99_999 + 99_999));
    assert_eq!(count(&dataset::codes::LEAK), 300_000);
    assert!(
        found.iter().any(|line| line.contains("a.csv:3 (record 2)")),
        "{found:?}"
    );
}

/// Returns the summary of `check` and the findings that it reports.
fn check(train: &[Source], test: &[Source], limit: usize) -> (dataset::CheckSummary, Vec<String>) {
    let mut found = Vec::new();
    let mut each = |finding: &diagnostics::Diagnostic| found.push(finding.to_string());
    let summary = dataset::check(train, test, &options(), limit, &GO, &mut each).unwrap();
    (summary, found)
}

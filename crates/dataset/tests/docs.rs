//! Compares the documentation with the code.

#![expect(clippy::expect_used, reason = "test helpers outside test functions")]

use std::fs;
use std::path::Path;

use dataset::codes;

/// Returns the cells of the rows of the table in `docs/reference/errors.md` that start with a code.
fn documented() -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/errors.md");
    let text = fs::read_to_string(&path).expect("docs/reference/errors.md is in the repository");
    let rows = text.lines().filter(|line| line.starts_with("| D"));
    let cells = |line: &str| {
        let inner = line.trim_start_matches('|').trim_end_matches('|');
        inner
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

#[test]
fn every_code_is_documented_in_order() {
    let documented = documented();
    let found: Vec<_> = documented
        .iter()
        .map(|cells| (cells[0].as_str(), cells[1].as_str()))
        .collect();
    let expected: Vec<_> = codes::ALL
        .iter()
        .map(|code| (code.id, code.meaning))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn documented_fixes_name_the_options_that_drop_rows() {
    for (cells, code) in documented().iter().zip(codes::ALL) {
        for option in ["--drop-missing", "--drop-malformed"] {
            let expected = codes::drop_option(code.id) == Some(option);
            assert_eq!(cells[4].contains(option), expected, "{cells:?}");
        }
    }
}

#[test]
fn every_code_has_kind_example_and_fix() {
    for cells in documented() {
        assert_eq!(
            cells.len(),
            5,
            "`|` in a cell, or a cell is missing: {cells:?}"
        );
        assert!(
            cells[2].starts_with("error") || cells[2].starts_with("warning"),
            "{cells:?}"
        );
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{cells:?}");
    }
}

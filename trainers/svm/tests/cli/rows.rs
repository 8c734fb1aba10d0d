//! Dropped rows, the validation split, and the log.

use testkit::{Row, movie_rows, to_csv};

use super::{Workspace, number};

#[test]
fn dropped_rows_are_counted() {
    let workspace = Workspace::new();
    let mut csv = to_csv(&movie_rows()[..300]);
    csv.extend_from_slice(b"too,many,fields\n,1\nno label,\n\xff\xfe,1\n");
    let file = workspace.write("rows.csv", &csv);
    workspace.train(&file, &["--no-report"]).expect_code(1);
    assert!(
        !workspace.path("model").exists(),
        "no model from invalid data"
    );

    let outcome = workspace.train(
        &file,
        &[
            "--no-report",
            "--json",
            "--drop-malformed",
            "--drop-missing",
        ],
    );
    let counts = &outcome.expect_code(0).json()["data"]["train"];
    assert_eq!(
        (&counts["read"], &counts["used"]),
        (&304.into(), &300.into())
    );
    let dropped: u64 = counts["dropped"]
        .as_object()
        .unwrap()
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert_eq!(dropped, 4, "{counts}");
    assert!(
        outcome
            .stderr
            .contains("304 rows read, 300 used, dropped: "),
        "{}",
        outcome.stderr
    );

    // The model does not depend on dropped rows.
    let with = workspace.model();
    let clean = workspace.write("clean.csv", to_csv(&movie_rows()[..300]));
    workspace.train(&clean, &["--no-report"]).expect_code(0);
    assert!(with == workspace.model());
}

#[test]
fn duplicates_are_in_the_same_split() {
    let workspace = Workspace::new();
    // Each text four times, with random labels: they can be memorised, but do not generalise.
    let rows: Vec<Row> = (0..300u32)
        .flat_map(|row| {
            let letters: String = (0..6)
                .map(|at| char::from(b'a' + ((row >> (2 * at)) & 3) as u8))
                .collect();
            let text = format!("word{letters} item{letters}");
            let label = (row.wrapping_mul(2_654_435_761) >> 31).to_string();
            std::iter::repeat_n(Row { text, label }, 4)
        })
        .collect();
    let file = workspace.write("rows.csv", to_csv(&rows));
    let facts = workspace
        .train(
            &file,
            &[
                "--no-report",
                "--json",
                "--min-df",
                "1",
                "--validation-split",
                "0.25",
            ],
        )
        .json();
    // Whole groups of four, about a quarter of the rows.
    let split_off = facts["validation"]["rows"].as_u64().unwrap();
    assert!(
        split_off.is_multiple_of(4) && split_off.abs_diff(300) <= 8,
        "{split_off}"
    );
    assert_eq!(
        number(&facts["train"]["accuracy"]),
        1.0,
        "training rows are memorised"
    );
    assert!(
        number(&facts["validation"]["accuracy"]) < 0.7,
        "validation rows were seen: {}",
        facts["accuracy"]
    );
}

#[test]
fn log_contains_no_texts() {
    let workspace = Workspace::new();
    let mut rows = movie_rows();
    for row in &mut rows {
        row.text = format!(
            "train:accuracy=0.1234567; {}\nvalidation:accuracy=0.1234567;",
            row.text
        );
    }
    let file = workspace.write("rows.csv", to_csv(&rows));
    let outcome = workspace.train(&file, &[]);
    outcome.expect_code(0);
    assert!(
        !outcome.output().contains("0.1234567"),
        "{}",
        outcome.output()
    );
}

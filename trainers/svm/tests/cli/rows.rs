//! Where the rows go: dropped, split off, and never into the log.

use testkit::{Row, movie_rows, to_csv};

use super::{Home, number};

#[test]
fn dropped_rows_are_accounted_for() {
    let home = Home::new();
    let mut csv = to_csv(&movie_rows()[..300]);
    csv.extend_from_slice(b"too,many,fields\n,1\nno label,\n\xff\xfe,1\n");
    let file = home.write("rows.csv", &csv);
    home.train(&file, &["--no-report"]).expect_code(1);
    assert!(!home.path("model").exists(), "nothing is made of bad data");

    let outcome = home.train(
        &file,
        &[
            "--no-report",
            "--json",
            "--drop-malformed",
            "--drop-missing",
        ],
    );
    let account = &outcome.expect_code(0).json()["data"]["train"];
    assert_eq!(
        (&account["read"], &account["used"]),
        (&304.into(), &300.into())
    );
    let dropped: u64 = account["dropped"]
        .as_object()
        .unwrap()
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert_eq!(dropped, 4, "{account}");
    assert!(
        outcome
            .stderr
            .contains("304 rows read, 300 used, dropped: "),
        "{}",
        outcome.stderr
    );

    // The dropped rows leave no trace in the model.
    let with = home.model();
    let clean = home.write("clean.csv", to_csv(&movie_rows()[..300]));
    home.train(&clean, &["--no-report"]).expect_code(0);
    assert!(with == home.model());
}

/// A tenth of the rows is split off; were a text on both sides, its words would give it away.
#[test]
fn duplicates_stay_on_one_side_of_the_split() {
    let home = Home::new();
    // Each text four times, with noise labels: nothing can be learnt, but much can be remembered.
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
    let file = home.write("rows.csv", to_csv(&rows));
    let facts = home
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
    // Whole groups of four, the quarter as near as may be.
    let split_off = facts["validation"]["rows"].as_u64().unwrap();
    assert!(
        split_off.is_multiple_of(4) && split_off.abs_diff(300) <= 8,
        "{split_off}"
    );
    assert_eq!(
        number(&facts["train"]["accuracy"]),
        1.0,
        "all that was seen is remembered"
    );
    assert!(
        number(&facts["validation"]["accuracy"]) < 0.7,
        "nothing is known of the rest: {}",
        facts["accuracy"]
    );
}

#[test]
fn texts_of_the_data_stay_out_of_the_log() {
    let home = Home::new();
    let mut rows = movie_rows();
    for row in &mut rows {
        row.text = format!(
            "train:accuracy=0.1234567; {}\nvalidation:accuracy=0.1234567;",
            row.text
        );
    }
    let file = home.write("rows.csv", to_csv(&rows));
    let outcome = home.train(&file, &[]);
    outcome.expect_code(0);
    assert!(
        !outcome.output().contains("0.1234567"),
        "{}",
        outcome.output()
    );
}

//! Issue 17: rows with several labels, or none.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Workspace, train};

/// Texts with words of the labels `good` and `long`; some labels are wrong.
fn rows() -> String {
    let mut csv = "text,good,long\n".to_owned();
    for number in 0..240 {
        let (good, long) = (number % 2 == 0, number % 3 == 0);
        let words = [(good, "fine lovely"), (long, "endless slow")];
        let words = words.into_iter().filter(|(is_there, _)| *is_there);
        let words: Vec<&str> = words.map(|(_, words)| words).collect();
        let (good, long) = (good != (number % 11 == 5), long != (number % 13 == 6));
        let flags = (u8::from(good), u8::from(long));
        let text = words.join(" ");
        let _ = writeln!(
            csv,
            "film number{} {text},{},{}",
            number % 7,
            flags.0,
            flags.1
        );
    }
    csv
}

#[test]
fn sets_are_learnt_with_the_same_bytes_on_any_number_of_threads() {
    let workspace = Workspace::new();
    let file = workspace.path("a.csv");
    std::fs::write(&file, rows()).unwrap();
    let columns = [
        "--multi-label",
        "--label-column",
        "good",
        "--label-column",
        "long",
    ];
    let mut weights = Vec::new();
    for threads in ["1", "3"] {
        let more = ["--threads", threads, "--threshold-metric", "f1"];
        train(&workspace, &file, &[&columns[..], &more].concat()).expect_code(0);
        weights.push(workspace.weights());
    }
    assert!(weights[0] == weights[1]);
    let found = workspace
        .bag("evaluate", &["--json", file.to_str().unwrap()])
        .json();
    assert!(found["micro_f1"].as_f64().unwrap() > 0.8, "{found}");
    train(&workspace, &file, &columns).expect_code(0);
    let texts = [
        "film fine lovely endless slow",
        "film fine lovely",
        "film number1",
    ];
    let flags = ["--format", "jsonl", "--all-classes"];
    let outcome = workspace.bag("predict", &[&texts[..], &flags].concat());
    let rows: Vec<Value> = outcome
        .expect_code(0)
        .stdout
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let sets: Vec<String> = rows.iter().map(|row| row["labels"].to_string()).collect();
    assert_eq!(sets, [r#"["good","long"]"#, r#"["good"]"#, "[]"]);
    let probability = |label: &str| rows[0]["probabilities"][label].as_f64().unwrap();
    assert!(
        probability("good") + probability("long") > 1.1,
        "{}",
        rows[0]
    );
    let weights = [&columns[..], &["--class-weight", "balanced"]].concat();
    train(&workspace, &file, &weights).expect_code(2);
}

/// A weight of 1 changes nothing, and rows of weight 0 are not learnt.
#[test]
fn weights_of_rows_with_several_labels_are_used() {
    let workspace = Workspace::new();
    let file = workspace.path("a.csv");
    let columns = [
        "--multi-label",
        "--label-column",
        "good",
        "--label-column",
        "long",
    ];
    let weighted = [&columns[..], &["--weight-column", "weight"]].concat();
    let mut models = Vec::new();
    for (weights, flags) in [
        (["1", "1"], &columns[..]),
        (["1", "1"], &weighted[..]),
        (["0", "2"], &weighted[..]),
    ] {
        let rows = rows();
        let lines = rows.lines().enumerate();
        let lines = lines.map(|(row, line)| match row {
            0 => format!("{line},weight\n"),
            _ => format!("{line},{}\n", weights[row % 2]),
        });
        std::fs::write(&file, lines.collect::<String>()).unwrap();
        train(&workspace, &file, flags).expect_code(0);
        models.push(workspace.weights());
    }
    assert!(models[0] == models[1] && models[1] != models[2]);
}

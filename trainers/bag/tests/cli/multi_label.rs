//! Issue 17: rows with several labels, or none.

use serde_json::Value;
use testkit::two_label_rows;

use super::{Workspace, train};

/// Columns of the labels.
const COLUMNS: [&str; 5] = [
    "--multi-label",
    "--label-column",
    "good",
    "--label-column",
    "long",
];

fn rows() -> String {
    let rows = two_label_rows(240).into_iter().map(|(text, labels)| {
        let [good, long] = labels.map(u8::from);
        format!("{text},{good},{long}\n")
    });
    "text,good,long\n".to_owned() + &rows.collect::<String>()
}

#[test]
fn sets_are_learnt_with_the_same_bytes_on_any_number_of_threads() {
    let workspace = Workspace::new();
    let file = workspace.path("a.csv");
    std::fs::write(&file, rows()).unwrap();
    let mut weights = Vec::new();
    for threads in ["1", "3"] {
        let more = ["--threads", threads, "--threshold-metric", "f1"];
        train(&workspace, &file, &[&COLUMNS[..], &more].concat()).expect_code(0);
        weights.push(workspace.weights());
    }
    assert!(weights[0] == weights[1]);
    let found = workspace
        .bag("evaluate", &["--json", file.to_str().unwrap()])
        .json();
    assert!(found["micro_f1"].as_f64().unwrap() > 0.8, "{found}");
    train(&workspace, &file, &COLUMNS).expect_code(0);
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
}

/// Issue 17: weights of 1 change nothing; a third of the rows are `long`, and weights find more.
#[test]
fn class_weights_are_those_of_each_label() {
    let workspace = Workspace::new();
    let [file, ones, own] = ["a.csv", "ones.json", "own.json"].map(|name| workspace.path(name));
    std::fs::write(&file, rows()).unwrap();
    std::fs::write(&ones, r#"{"good": 1, "long": 1}"#).unwrap();
    std::fs::write(&own, r#"{"good": 1, "long": 40}"#).unwrap();
    let [ones, own] = [&ones, &own].map(|path| path.to_str().unwrap());
    let models = ["none", ones, "balanced", own].map(|weights| {
        let flags = [&COLUMNS[..], &["--class-weight", weights]].concat();
        train(&workspace, &file, &flags).expect_code(0);
        let evaluate = ["--json", file.to_str().unwrap()];
        let found = workspace.bag("evaluate", &evaluate).json();
        let recall = found["per_class"][1]["recall"].as_f64().unwrap();
        (workspace.weights(), recall)
    });
    let [none, ones, balanced, own] = models;
    assert!(none.0 == ones.0 && none.0 != balanced.0);
    assert!(own.1 > none.1 + 0.05, "{} {}", none.1, own.1);
}

/// A weight of 1 changes nothing, and rows of weight 0 are not learnt.
#[test]
fn weights_of_rows_with_several_labels_are_used() {
    let workspace = Workspace::new();
    let file = workspace.path("a.csv");
    let weighted = [&COLUMNS[..], &["--weight-column", "weight"]].concat();
    let mut models = Vec::new();
    for (weights, flags) in [
        (["1", "1"], &COLUMNS[..]),
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

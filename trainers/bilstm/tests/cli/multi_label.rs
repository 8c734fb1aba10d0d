//! Issue 17: rows with several labels, or none.

use serde_json::Value;
use testkit::{several_label_rows, to_csv};

use super::Home;

#[test]
fn sets_are_learnt_and_read_again() {
    let home = Home::new();
    let file = home.path("several.csv");
    std::fs::write(&file, to_csv(&several_label_rows(300, 1))).unwrap();
    let several = ["--multi-label", "--label-separator", "|"];
    let flags = "--epochs 20 --learning-rate 0.02 --dropout 0 --validation-split 0 --threads 3";
    let flags: Vec<&str> = flags.split(' ').collect();
    home.train(&file, &[&several[..], &flags].concat())
        .expect_code(0);
    let config = std::fs::read(home.path("model/config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["problem_type"], "multi_label_classification");
    let file = file.to_str().unwrap();
    let found = home.bilstm("evaluate", &[file, "--json"]).json();
    assert_eq!(found["rows"], 300);
    let flags = ["--input", file, "--format", "jsonl", "--all-classes"];
    let outcome = home.bilstm("predict", &flags);
    // Hits and labels of all rows: micro-F1 of what `predict` prints is that of `evaluate`.
    let truth = several_label_rows(300, 1);
    let (mut hits, mut all) = (0, 0);
    for (line, row) in outcome.expect_code(0).stdout.lines().zip(&truth) {
        let answer: Value = serde_json::from_str(line).unwrap();
        let labels: Vec<&str> = row
            .label
            .split('|')
            .filter(|label| !label.is_empty())
            .collect();
        let predicted = answer["labels"].as_array().unwrap();
        for (label, probability) in answer["probabilities"].as_object().unwrap() {
            let is_predicted = predicted.iter().any(|found| found == label.as_str());
            assert_eq!(is_predicted, probability.as_f64().unwrap() > 0.5, "{line}");
            hits += usize::from(is_predicted && labels.contains(&label.as_str()));
        }
        all += labels.len() + predicted.len();
    }
    let micro_f1 = 2.0 * hits as f64 / all as f64;
    assert!(micro_f1 > 0.6, "{micro_f1}");
    assert!(
        (found["micro_f1"].as_f64().unwrap() - micro_f1).abs() < 1e-9,
        "{found}"
    );
}

/// Issue 17: a quarter of the rows have each label, and weights of 20 let the network find most.
#[test]
fn class_weights_are_those_of_each_label() {
    let home = Home::new();
    let [file, own] = ["several.csv", "own.json"].map(|name| home.path(name));
    std::fs::write(&file, to_csv(&several_label_rows(300, 1))).unwrap();
    let weights = r#"{"art": 20, "music": 20, "sport": 20, "war": 20}"#;
    std::fs::write(&own, weights).unwrap();
    let predicted = ["none", "balanced", own.to_str().unwrap()].map(|weights| {
        let flags = "--multi-label --label-separator | --epochs 3 --learning-rate 0.02 --dropout 0 \
                     --no-report --class-weight";
        let flags: Vec<&str> = flags.split_whitespace().chain([weights]).collect();
        home.train(&file, &flags).expect_code(0);
        let evaluate = [file.to_str().unwrap(), "--json"];
        let found = home.bilstm("evaluate", &evaluate).json();
        let labels = found["per_class"].as_array().unwrap().iter();
        let predicted = labels.map(|label| label["predicted"].as_u64().unwrap());
        predicted.sum::<u64>()
    });
    let [none, balanced, own] = predicted;
    assert!(none < balanced && balanced < own, "{predicted:?}");
}

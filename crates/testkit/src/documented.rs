//! Labels of the Python code in docs/reference/models.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::{run, several_label_rows, to_csv};

/// Trains models with thresholds, for two classes and for rows with several labels, and asserts
/// that the Python code on the trainer's page has the labels of `predict`. `judge` is
/// [`crate::judge`] or [`crate::torch_judge`].
///
/// # Panics
/// If more than one label differs: single and double precision may disagree near a threshold.
#[track_caller]
pub fn check_documented_labels(
    trainer: &str,
    binary: &Path,
    judge: impl Fn(&str, &[String]) -> Value,
) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (data, test, model) = (path("train.csv"), path("test.csv"), path("model"));
    let run_trainer = |arguments: &[&str]| {
        let mut command = Command::new(binary);
        command.env_clear().args(arguments);
        let outcome = run(command);
        outcome.expect_code(0);
        outcome.stdout
    };
    let sets = ["--multi-label", "--label-separator", "|"];
    for (flags, key) in [(&[] as &[&str], "label"), (&sets[..], "labels")] {
        for (file, seed) in [(&data, 4), (&test, 5)] {
            let mut rows = several_label_rows(600, seed);
            if flags.is_empty() {
                // A quarter of the rows, with few typical words: the threshold is far from 0.
                for row in &mut rows {
                    row.label = row.label.contains("art").to_string();
                }
            }
            std::fs::write(file, to_csv(&rows)).expect("a file can be written");
        }
        let fixed = ["train", "--train", &data, "--model-dir", &model];
        let more = ["--no-report", "--threshold-metric", "f1"];
        run_trainer(&[&fixed[..], &more, flags].concat());
        let fixed = ["predict", "--model-dir", &model, "--input", &test];
        let answers = run_trainer(&[&fixed[..], &["--format", "jsonl"]].concat());
        let label = |line: &str| {
            let mut answer: Value = serde_json::from_str(line).expect("predict prints JSON");
            answer[key].take()
        };
        let ours: Vec<Value> = answers.lines().map(label).collect();
        let arguments = [trainer, &model, &test].map(str::to_owned);
        let found = judge("documented_labels", &arguments);
        let theirs = found["labels"].as_array().expect("a list of labels");
        assert_eq!(ours.len(), theirs.len());
        let different = ours.iter().zip(theirs).filter(|(a, b)| a != b).count();
        assert!(different <= 1, "{different} labels differ, {flags:?}");
    }
}

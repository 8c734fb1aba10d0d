//! Many seeded cases of damaged data and models; more with `./test --long`.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::campaign::{Campaign, assert_has_help, data_files, mutate, mutate_model, rows_in};
use testkit::{Outcome, run_within};

use super::{BIN, Workspace};

#[test]
fn mutated_models_are_refused_or_answer() {
    let workspace = testkit::Workspace::new(BIN, &[]);
    workspace.train(&workspace.rows(120), &[]).expect_code(0);
    let campaign = Campaign::new("svm: mutated models", 150, 5_000);
    mutate_model(&workspace, campaign);
}

/// Runs a command on a model folder; a failure must be an error with help.
#[track_caller]
fn run_safely(workspace: &Workspace, name: &str, model: &str, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(BIN);
    command.env_clear().arg(name).arg("--model-dir");
    command.arg(workspace.path(model)).args(arguments);
    let outcome = run_within(command, Duration::from_secs(60));
    let (code, output) = (outcome.code(), outcome.output());
    assert!(matches!(code, Some(0..=2)), "{name}: {output}");
    if code != Some(0) {
        assert_has_help(&outcome);
    }
    outcome
}

/// Returns the rows that were read and used. All others are dropped for a reason.
#[track_caller]
fn read_and_used(counts: &Value) -> (u64, u64) {
    let number = |value: &Value| value.as_u64().unwrap();
    let (read, used) = (number(&counts["read"]), number(&counts["used"]));
    let dropped = counts["dropped"].as_object().unwrap().values();
    assert_eq!(read, used + dropped.map(number).sum::<u64>(), "{counts}");
    (read, used)
}

#[test]
fn mutated_data_is_refused_or_counted_by_every_command() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let files = data_files();
    let mut campaign = Campaign::new("svm: mutated data files", 60, 4_000);
    while let Some(mut random) = campaign.next_case() {
        let (name, whole) = random.pick(&files);
        let bytes = mutate(whole, &mut random);
        let path = workspace.write(name, &bytes);
        let path = path.to_str().unwrap();
        let drop: &[&str] = &["--drop-missing", "--drop-malformed"];
        let drop = *random.pick(&[&drop[..0], drop]);
        let check = [&[path, "--json"][..], drop].concat();
        let check = run_safely(&workspace, "check", "model", &check);
        let train = [&["--train", path, "--no-report", "--json"][..], drop].concat();
        let train = run_safely(&workspace, "train", "trained", &train);
        let predict = [&["--input", path, "--format", "jsonl"][..], drop].concat();
        let predict = run_safely(&workspace, "predict", "model", &predict);

        if check.code() != Some(0) {
            assert_ne!(train.code(), Some(0), "{name}: {}", check.output());
            campaign.count("refused");
            continue;
        }
        campaign.count("accepted");
        let summary: Value = serde_json::from_str(check.stdout.lines().last().unwrap()).unwrap();
        let (read, used) = read_and_used(&summary["summary"]["rows"]);
        if let Some(expected) = rows_in(name, &bytes) {
            assert_eq!(read, expected, "{name}: {summary}");
        }
        if train.code() == Some(0) {
            let trained = read_and_used(&train.json()["data"]["train"]);
            assert_eq!(trained, (read, used), "{name}: {summary}");
        }
        if predict.code() == Some(0) {
            // Rows without a label are predicted too.
            let answers = predict.stdout.lines().count() as u64;
            assert!((used..=read).contains(&answers), "{name}: {answers}");
        }
    }
}

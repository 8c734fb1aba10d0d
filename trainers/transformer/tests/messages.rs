//! Snapshots of help texts and error messages. `INSTA_UPDATE=always ./test -p transformer` accepts
//! changes.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of a test function"
)]

use std::path::Path;
use std::process::Command;

use testkit::{run, to_csv};

#[test]
fn help_of_each_command() {
    for command in ["train", "evaluate", "predict", "explain"] {
        let help = harness::help::<transformer::Transformer>(command).unwrap();
        insta::assert_snapshot!(format!("help_{command}"), help);
    }
    assert_eq!(harness::help::<transformer::Transformer>("serve"), None);
}

/// Runs command lines in one folder, each with its exit code and standard error.
#[track_caller]
fn snapshot(name: &str, lines: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let rows = testkit::movie_rows();
    std::fs::write(home.path().join("rows.csv"), to_csv(&rows[..40])).unwrap();
    let answer = |line: &&str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_transformer"));
        command
            .env_clear()
            .current_dir(home.path())
            .args(line.split_whitespace());
        let outcome = run(command);
        let code = outcome.code().unwrap();
        // Successful runs print times, which differ.
        let told: Vec<&str> = outcome
            .stderr
            .lines()
            .filter(|_| code != 0)
            .filter(|line| !is_progress(line))
            .collect();
        format!(
            "$ transformer {line}\n[exit code {code}]\n{}\n",
            told.join("\n")
        )
    };
    let answers: Vec<String> = lines.iter().map(answer).collect();
    insta::assert_snapshot!(name.to_owned(), answers.join("\n"));
}

fn is_progress(line: &str) -> bool {
    ["reading the data", "train:", "2 classes"]
        .iter()
        .any(|start| line.starts_with(start))
}

#[test]
fn invalid_arguments() {
    let train = "train --train rows.csv --model-dir model --pretrained-model nowhere";
    let lines = [
        "--freze-layers 1",
        "--max-len 2",
        "--batch-size 0",
        "--epochs five",
        "--freeze-layers some",
        "--dropout 1",
        "--learning-rate 0",
        "--learning-rate inf",
        "--warm-up 2",
        "--weight-decay -1",
        "--clip-norm -1",
        "--label-smoothing 1",
        "--device gpu",
        "--device cuda:7",
        "--device cpu --precision mixed",
        "--host-timeout 0",
        "--seed 1",
    ];
    let lines = lines.map(|line| format!("{train} {line}"));
    snapshot("invalid_arguments", &lines.each_ref().map(String::as_str));
}

/// Every error ends with help.
#[test]
fn every_message_ends_with_help() {
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let text = std::fs::read_to_string(snapshots.join("messages__invalid_arguments.snap")).unwrap();
    let mut seen = 0;
    for answer in text
        .split("$ transformer ")
        .skip(1)
        .filter(|answer| !answer.contains("[exit code 0]"))
    {
        assert!(answer.contains("error"), "{answer}");
        let last = answer.trim_end().lines().last().unwrap();
        assert!(last.starts_with("  help: "), "{answer}");
        seen += 1;
    }
    assert!(seen > 15, "{seen}");
}

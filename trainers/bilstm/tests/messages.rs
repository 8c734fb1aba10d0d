//! Snapshots of help texts and error messages. `INSTA_UPDATE=always ./test -p bilstm` accepts
//! changes.
#![cfg(feature = "libtorch")]
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
        let help = harness::help::<bilstm::BiLstm>(command).unwrap();
        insta::assert_snapshot!(format!("help_{command}"), help);
    }
    assert_eq!(harness::help::<bilstm::BiLstm>("serve"), None);
}

/// Runs command lines in one folder; the snapshot has their exit codes and standard error.
#[track_caller]
fn snapshot(name: &str, lines: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let rows = testkit::movie_rows();
    std::fs::write(home.path().join("rows.csv"), to_csv(&rows[..40])).unwrap();
    std::fs::write(home.path().join("other.json"), "{\"version\": 1}").unwrap();
    std::fs::write(
        home.path().join("silent.csv"),
        "text,label\n...,1\n!!!,0\n?!,1\n;;,0\n",
    )
    .unwrap();
    let answer = |line: &&str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bilstm"));
        command
            .env_clear()
            .current_dir(home.path())
            .args(line.split_whitespace());
        let outcome = run(command);
        let code = outcome.code().unwrap();
        // The output of a successful run has times.
        let errors: Vec<&str> = outcome
            .stderr
            .lines()
            .filter(|_| code != 0)
            .filter(|line| !is_progress(line))
            .collect();
        format!(
            "$ bilstm {line}\n[exit code {code}]\n{}\n",
            errors.join("\n")
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
fn command_line_errors() {
    snapshot(
        "command_line",
        &[
            "train --train rows.csv --model-dir model --hiden-size 5",
            "train --train rows.csv --model-dir model --hidden_size five",
            "train --train rows.csv --model-dir model --hidden-size 0",
            "train --train rows.csv --model-dir model --batch-size 0",
            "train --train rows.csv --model-dir model --pooling first",
            "train --train rows.csv --model-dir model --dropout 1",
            "train --train rows.csv --model-dir model --learning-rate 0",
            "train --train rows.csv --model-dir model --learning-rate inf",
            "train --train rows.csv --model-dir model --warm-up 2",
            "train --train rows.csv --model-dir model --clip-norm -1",
            "train --train rows.csv --model-dir model --device gpu",
            "train --train rows.csv --model-dir model --device cuda:7",
            "train --train rows.csv --model-dir model --device cpu --precision mixed",
            "train --train rows.csv --model-dir model --tokenizer nowhere.json",
            "train --train rows.csv --model-dir model --tokenizer other.json",
            "train --train rows.csv --model-dir model --tokenizer other.json --vocab-size 50",
            "train --train silent.csv --model-dir model",
        ],
    );
}

#[test]
fn what_is_no_model() {
    snapshot(
        "model",
        &[
            "predict --model-dir nowhere text",
            "train --train rows.csv --model-dir model --no-report --threads 1 --epochs 1 --hidden-size 4 --emb-size 4",
            "evaluate --model-dir model --data silent.csv --label-column lable",
        ],
    );
}

#[test]
fn every_message_ends_with_help() {
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let mut seen = 0;
    for name in ["command_line", "model"] {
        let text =
            std::fs::read_to_string(snapshots.join(format!("messages__{name}.snap"))).unwrap();
        for answer in text
            .split("$ bilstm ")
            .skip(1)
            .filter(|answer| !answer.contains("[exit code 0]"))
        {
            assert!(answer.contains("error"), "{answer}");
            assert!(
                answer
                    .trim_end()
                    .lines()
                    .last()
                    .unwrap()
                    .starts_with("  help: "),
                "{answer}"
            );
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen}");
}

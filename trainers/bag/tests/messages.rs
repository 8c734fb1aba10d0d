//! Snapshots of help texts and error messages. `INSTA_UPDATE=always ./test -p bag` accepts changes.

use std::process::Command;

use testkit::{run, to_csv};

#[test]
fn help_of_each_command() {
    for command in ["train", "evaluate", "predict", "explain"] {
        let help = harness::help::<bag::Bag>(command).unwrap();
        insta::assert_snapshot!(format!("help_{command}"), help);
    }
}

#[test]
fn command_line_errors_end_with_help() {
    let folder = tempfile::tempdir().unwrap();
    let rows = testkit::movie_rows();
    std::fs::write(folder.path().join("rows.csv"), to_csv(&rows[..40])).unwrap();
    let answer = |flags: &&str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bag"));
        let line = format!("train --train rows.csv --model-dir model {flags}");
        command.env_clear().current_dir(folder.path());
        command.args(line.split_whitespace());
        let outcome = run(command);
        let code = outcome.code().unwrap();
        let lines: Vec<&str> = outcome
            .stderr
            .lines()
            .filter(|line| !line.starts_with("reading the data") && !line.starts_with("train:"))
            .collect();
        let last = lines.last().copied().unwrap_or_default();
        assert!(last.starts_with("  help: "), "{}", outcome.stderr);
        format!("$ bag {line}\n[exit code {code}]\n{}\n", lines.join("\n"))
    };
    let answers: Vec<String> = [
        "--max-ngram 0",
        "--max-ngrams 9",
        "--emb-size 0",
        "--dropout 1",
        "--learning-rate 0",
        "--learning-rate inf",
        "--schedule often",
        "--hidden-size 5",
        "--min-df 1000",
    ]
    .iter()
    .map(answer)
    .collect();
    insta::assert_snapshot!("command_line", answers.join("\n"));
}

//! Snapshots of help texts and error messages. `INSTA_UPDATE=always ./test -p svm` accepts changes.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of a test function"
)]

use std::path::Path;
use std::process::Command;

use testkit::{FakeMl, Row, run, to_csv};

#[test]
fn help_of_each_command() {
    for command in ["train", "evaluate", "predict", "check", "explain"] {
        let help = harness::help::<svm::Svm>(command).unwrap();
        insta::assert_snapshot!(format!("help_{command}"), help);
    }
    assert_eq!(harness::help::<svm::Svm>("serve"), None);
}

/// A folder with invalid input files.
struct Fixture(tempfile::TempDir);

impl Fixture {
    fn new() -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        let rows = testkit::movie_rows();
        fixture.write("rows.csv", &to_csv(&rows[..40]));
        let mut broken = rows[..40].to_vec();
        broken[7].label.clear();
        fixture.write("no_label.csv", &to_csv(&broken));
        let same = |row: &Row| Row {
            label: "pos".to_owned(),
            ..row.clone()
        };
        fixture.write(
            "one_class.csv",
            &to_csv(&rows[..40].iter().map(same).collect::<Vec<_>>()),
        );
        fixture.write("open_quote.csv", b"text,label\ngood,1\n\"bad,0\nfine,1\n");
        fixture.write("twice.csv", b"text,label,text\na b,1,c\nc d,0,d\n");
        fixture.write("empty.csv", b"");
        fixture.write("field.csv", b"text,label\ngood film,1\nbad film,0,really\n");
        fixture
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.path().join(name), bytes).unwrap();
    }

    /// Returns the command line, its exit code and its standard error, without paths of this
    /// machine.
    fn run(&self, line: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_svm"));
        command
            .env_clear()
            .current_dir(self.0.path())
            .args(line.split_whitespace());
        let outcome = run(command);
        let code = outcome.code().unwrap();
        // A successful run prints times, which differ.
        let stderr = if code == 0 { "" } else { &outcome.stderr };
        format!("$ svm {line}\n[exit code {code}]\n{stderr}")
    }
}

/// Runs the commands and compares their output with the snapshot.
#[track_caller]
fn snapshot(name: &str, lines: &[&str]) {
    let fixture = Fixture::new();
    let outputs: Vec<String> = lines.iter().map(|line| fixture.run(line)).collect();
    insta::assert_snapshot!(name.to_owned(), outputs.join("\n"));
}

#[test]
fn command_line_errors() {
    snapshot(
        "command_line",
        &[
            "trian",
            "train",
            "train --train rows.csv",
            "train --train rows.csv --model-dir model --min-fd 5",
            "train --train rows.csv --model-dir model --min-df five",
            "train --train rows.csv --model-dir model --min_df=1.5",
            "train --train rows.csv --model-dir model --loss square",
            "train --train rows.csv --model-dir model --max-ngrams 9",
            "train --train rows.csv --model-dir model --alpha -1",
            "train --train rows.csv --model-dir model --alpha 0.1 --c 1",
            "train --train rows.csv --model-dir model --loss log --c 1e39",
            "train --train rows.csv --model-dir model --c 1e-50",
            "train --train rows.csv --model-dir model --alpha 1e-320",
            "train --train rows.csv --model-dir model --tol 1",
            "train --train rows.csv --model-dir model --validation-split 1",
            "train --train rows.csv --model-dir model --stopwords frnch",
            "train --train rows.csv --model-dir model --tune --kernel rbf",
            "train --train rows.csv --model-dir model --tune --c 3",
            "train --train rows.csv --model-dir model --tune --alpha 0.1",
            "train --train rows.csv --model-dir model --tune --weighting tfidf",
            "train --train rows.csv --model-dir model --tune --sublinear-tf",
            "train --train rows.csv --model-dir rows.csv",
            "predict --model-dir model --input rows.csv text",
            "predict --model-dir model -1",
        ],
    );
}

#[test]
fn data_errors() {
    snapshot(
        "data",
        &[
            "train --train nowhere.csv --model-dir model",
            "train --train rows.csv --model-dir model --label-column lable",
            "train --train no_label.csv --model-dir model",
            "train --train one_class.csv --model-dir model",
            "train --train open_quote.csv --model-dir model",
            "train --train twice.csv --model-dir model",
            "train --train empty.csv --model-dir model",
            "train --train field.csv --model-dir model",
            "train --train rows.csv --model-dir model --encoding klingon",
            "train --train rows.csv --model-dir model --min-df 700",
            "train --train rows.csv --model-dir model --validation one_class.csv",
        ],
    );
}

#[test]
fn model_errors() {
    snapshot(
        "model",
        &[
            "predict --model-dir nowhere text",
            "evaluate --model-dir . --data rows.csv",
            "train --train rows.csv --model-dir model --no-report --threads 1 --kernel poly",
            "explain --model-dir model",
            "evaluate --model-dir model --data one_class.csv",
        ],
    );
}

#[test]
fn every_error_ends_with_help() {
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let mut seen = 0;
    for name in ["command_line", "data", "model"] {
        let text =
            std::fs::read_to_string(snapshots.join(format!("messages__{name}.snap"))).unwrap();
        for answer in text
            .split("$ svm ")
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
    assert!(seen > 25, "{seen}");
}

/// In a container the exit code is 1 for command line errors too.
#[test]
fn failure_file_contains_the_message() {
    let train = |ml: &FakeMl| {
        let outcome = run(ml.train(Path::new(env!("CARGO_BIN_EXE_svm")), &["--no-report"]));
        outcome.expect_code(1);
        let text = ml.failure().unwrap();
        text.replace(ml.path("").to_str().unwrap(), "/opt/ml/")
    };
    let mut broken = testkit::movie_rows()[..40].to_vec();
    broken[7].label.clear();
    let job = || FakeMl::new().channel("train", "rows.csv", to_csv(&testkit::movie_rows()[..40]));
    let answers = [
        train(&job().hyperparameter("min_fd", "5")),
        train(&job().hyperparameter("min_df", "five")),
        train(&job().hyperparameter("learning_rate", "-1")),
        train(&FakeMl::new()),
        train(&FakeMl::new().channel("train", "rows.csv", to_csv(&broken))),
    ];
    insta::assert_snapshot!("failure_file", answers.join("\n----\n"));
}

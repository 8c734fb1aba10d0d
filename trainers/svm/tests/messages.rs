//! Help texts and error messages, word by word. A change is shown by the test; `INSTA_UPDATE=always ./test -p svm`
//! accepts it.
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

/// A folder with files for the commands to stumble over.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        let rows = testkit::movie_rows();
        home.write("rows.csv", &to_csv(&rows[..40]));
        let mut broken = rows[..40].to_vec();
        broken[7].label.clear();
        home.write("no_label.csv", &to_csv(&broken));
        let same = |row: &Row| Row {
            label: "pos".to_owned(),
            ..row.clone()
        };
        home.write(
            "one_class.csv",
            &to_csv(&rows[..40].iter().map(same).collect::<Vec<_>>()),
        );
        home.write("open_quote.csv", b"text,label\ngood,1\n\"bad,0\nfine,1\n");
        home.write("twice.csv", b"text,label,text\na b,1,c\nc d,0,d\n");
        home.write("empty.csv", b"");
        home.write("field.csv", b"text,label\ngood film,1\nbad film,0,really\n");
        home
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.path().join(name), bytes).unwrap();
    }

    /// The command line, its exit code and what it prints on standard error, without this machine's paths.
    fn run(&self, line: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_svm"));
        command
            .env_clear()
            .current_dir(self.0.path())
            .args(line.split_whitespace());
        let outcome = run(command);
        let code = outcome.code().unwrap();
        // A run that works prints its times, which differ.
        let told = if code == 0 { "" } else { &outcome.stderr };
        format!("$ svm {line}\n[exit code {code}]\n{told}")
    }
}

/// The commands after each other, each with its answer.
#[track_caller]
fn snapshot(name: &str, lines: &[&str]) {
    let home = Home::new();
    let answers: Vec<String> = lines.iter().map(|line| home.run(line)).collect();
    insta::assert_snapshot!(name.to_owned(), answers.join("\n"));
}

#[test]
fn what_was_typed() {
    snapshot(
        "typed",
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
fn what_is_in_the_data() {
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
fn what_is_no_model() {
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

/// Whatever fails, a way out is named, once, at the end.
#[test]
fn every_message_ends_with_help() {
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let mut seen = 0;
    for name in ["typed", "data", "model"] {
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

/// In a container the same messages stand in the failure file, and the exit code is 1 even for what was typed.
#[test]
fn the_failure_file_says_the_same() {
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

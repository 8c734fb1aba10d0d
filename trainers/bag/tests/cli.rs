//! A user's day with the real binary: train, be killed, go on, predict, explain, read the model in PyTorch.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of a test function"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::{Outcome, movie_csv, run, start, torch_judge};

/// A folder for one test's files.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `bag COMMAND --model-dir HOME/model ...`
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bag"));
        command.env_clear().arg(name).arg("--model-dir");
        command.arg(self.path("model")).args(arguments);
        command
    }

    fn bag(&self, name: &str, arguments: &[&str]) -> Outcome {
        run(self.command(name, arguments))
    }

    fn weights(&self) -> Vec<u8> {
        std::fs::read(self.path("model/model.safetensors")).unwrap()
    }

    fn metrics(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("model/metrics.json")).unwrap()).unwrap()
    }
}

/// So many epochs that a run can be killed in the middle, and dropout, so that its stream is part of what goes on.
const LONG: [&str; 8] = [
    "--epochs",
    "40",
    "--dropout",
    "0.2",
    "--checkpoint-every",
    "97",
    "--threads",
    "1",
];

fn flags<'a>(rows: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["--no-report", "--train", rows.to_str().unwrap()];
    [&fixed[..], more].concat()
}

fn train(home: &Home, rows: &Path, more: &[&str]) -> Outcome {
    home.bag("train", &flags(rows, more))
}

#[test]
fn equal_seeds_give_equal_models_whatever_the_threads() {
    let home = Home::new();
    let mut models = Vec::new();
    for (seed, threads) in [("0", "1"), ("0", "3"), ("1", "1")] {
        let more = ["--seed", seed, "--threads", threads, "--dropout", "0.1"];
        train(&home, &movie_csv(), &more).expect_code(0);
        let config = std::fs::read(home.path("model/config.json")).unwrap();
        models.push((home.weights(), config));
    }
    assert!(models[0] == models[1]);
    assert!(models[0] != models[2]);
}

#[test]
fn pytorch_reads_the_model() {
    let home = Home::new();
    let rows = movie_csv();
    for more in [&["--emb-size", "5"][..], &["--max-ngrams", "3"]] {
        train(&home, &rows, more).expect_code(0);
        let theirs = torch_judge("read_bag", &[&home.path("model"), &rows]);
        let arguments = ["--input", rows.to_str().unwrap(), "--format", "jsonl"];
        let outcome = home.bag("predict", &arguments);
        let answers = outcome.expect_code(0).stdout.lines();
        let (labels, logits) = (&theirs["labels"], theirs["logits"].as_array().unwrap());
        assert_eq!(answers.clone().count(), logits.len());
        for (row, (answer, logits)) in answers.zip(logits).enumerate() {
            let answer: Value = serde_json::from_str(answer).unwrap();
            let numbers = logits.as_array().unwrap().iter().filter_map(Value::as_f64);
            let (ours, theirs) = (
                answer["score"].as_f64().unwrap(),
                numbers.fold(f64::MIN, f64::max),
            );
            assert!(
                (ours - theirs).abs() < 1e-5,
                "row {row}: {ours}, expected {theirs}"
            );
            assert_eq!(answer["label"], labels[row], "row {row}");
        }
    }
}

/// One text alone is looked up in another way than many.
#[test]
fn a_text_alone_has_the_score_that_it_has_among_others() {
    let home = Home::new();
    train(&home, &movie_csv(), &[]).expect_code(0);
    let all = home.bag(
        "predict",
        &[
            "--input",
            movie_csv().to_str().unwrap(),
            "--format",
            "jsonl",
        ],
    );
    for (row, answer) in testkit::movie_rows().iter().zip(all.stdout.lines()).take(5) {
        let alone = home.bag("predict", &["--format", "jsonl", &row.text]);
        let score = |answer: &str| {
            serde_json::from_str::<Value>(answer).unwrap()["score"]
                .as_f64()
                .unwrap()
        };
        assert!((score(&alone.stdout) - score(answer)).abs() < 1e-5);
    }
}

fn checkpoints(home: &Home) -> PathBuf {
    home.path("checkpoints")
}

#[test]
fn killed_runs_go_on_to_the_same_model() {
    let home = Home::new();
    let rows = movie_csv();
    let usual = train(&home, &rows, &LONG).expect_code(0).seconds;
    let expected = home.weights();
    let chain = checkpoints(&home);
    let more = [&LONG[..], &["--checkpoint-dir", chain.to_str().unwrap()]].concat();
    let mut resumed = 0;
    for kill in 1..=12 {
        let mut running = start(home.command("train", &flags(&rows, &more)));
        running.ends_within(Duration::from_secs_f64(usual * f64::from(kill) / 10.0));
        running.sigkill();
        let outcome = running.finish(Duration::from_secs(30));
        resumed += u32::from(outcome.stderr.contains("going on from the checkpoint"));
    }
    train(&home, &rows, &more).expect_code(0);
    assert!(home.weights() == expected);
    assert_eq!(home.metrics()["history"].as_array().unwrap().len(), 40);
    assert!(resumed > 0);
}

/// The newest checkpoint is gone: the one before is in the middle of an epoch.
#[test]
fn a_run_goes_on_within_an_epoch() {
    let home = Home::new();
    let rows = movie_csv();
    let chain = checkpoints(&home);
    let more = [&LONG[..], &["--checkpoint-dir", chain.to_str().unwrap()]].concat();
    train(&home, &rows, &more).expect_code(0);
    let expected = home.weights();
    let mut steps: Vec<PathBuf> = std::fs::read_dir(&chain)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    steps.sort();
    assert!(steps[0].ends_with("step-000000021534"), "{steps:?}");
    std::fs::remove_dir_all(&steps[1]).unwrap();
    std::fs::remove_dir_all(home.path("model")).unwrap();
    // Its bytes do not depend on threads, and so other threads may go on.
    let outcome = train(&home, &rows, &[&more[..], &["--threads", "2"]].concat());
    outcome.expect_code(0);
    assert!(
        outcome.stderr.contains("going on from the checkpoint"),
        "{}",
        outcome.stderr
    );
    assert!(home.weights() == expected);
}

#[test]
fn a_loss_that_is_no_number_ends_the_run() {
    let home = Home::new();
    let outcome = train(&home, &movie_csv(), &["--learning-rate", "1e30"]);
    outcome.expect_code(1);
    for part in [
        "is not a finite number",
        "(epoch 1)",
        "help: lower --learning-rate",
    ] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
}

/// Of three rows each is a step, and the last epoch's last step breaks the network.
#[test]
fn what_the_last_step_of_an_epoch_breaks_is_no_model() {
    let home = Home::new();
    let rows = home.path("rows.csv");
    std::fs::write(&rows, testkit::to_csv(&testkit::movie_rows()[..3])).unwrap();
    let validation = movie_csv();
    let more = [
        ["--min-df", "1"],
        ["--validation", validation.to_str().unwrap()],
        ["--learning-rate", "1e20"],
        ["--schedule", "constant"],
    ];
    let outcome = train(&home, &rows, &more.concat());
    outcome.expect_code(1);
    let said = &outcome.stderr;
    assert!(said.contains("is not a finite number"), "{said}");
    assert!(!home.path("model/config.json").exists());
}

/// What `bilstm` wrote of another kind is refused, with who reads it.
#[test]
fn another_architecture_is_refused() {
    let home = Home::new();
    train(&home, &movie_csv(), &[]).expect_code(0);
    let path = home.path("model/config.json");
    let config = std::fs::read_to_string(&path).unwrap();
    let other = config.replace("\"arch\": \"bag\"", "\"arch\": \"bilstm\"");
    assert_ne!(config, other);
    std::fs::write(&path, other).unwrap();
    let outcome = home.bag("predict", &["a film"]);
    outcome.expect_code(1);
    for part in [
        "expected a model of the arch `bag`, found `bilstm`",
        "help: the command `bilstm` reads it",
    ] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
}

#[test]
fn texts_and_models_are_explained() {
    let home = Home::new();
    train(&home, &movie_csv(), &[]).expect_code(0);
    let whole = home.bag("explain", &["--top", "3", "--json"]);
    let text = home.bag("explain", &["--json", "the worst film, and a great cast"]);
    for outcome in [&whole, &text] {
        outcome.expect_code(0);
    }
    assert!(
        text.stdout.contains("worst") && !text.stdout.contains("terrible"),
        "{}",
        text.stdout
    );
}

/// Of a class that is rare, `balanced` finds more.
#[test]
fn balanced_classes_find_the_rare_one() {
    let home = Home::new();
    let mut rows = testkit::movie_rows();
    let mut kept = 0;
    rows.retain(|row| {
        kept += u32::from(row.label == "1");
        row.label == "0" || kept <= 60
    });
    let path = home.path("skewed.csv");
    std::fs::write(&path, testkit::to_csv(&rows)).unwrap();
    let mut predicted = Vec::new();
    for weight in ["none", "balanced"] {
        train(
            &home,
            &path,
            &["--class-weight", weight, "--validation-split", "0.3"],
        )
        .expect_code(0);
        let rare = home.metrics()["validation"]["per_class"][1].clone();
        assert_eq!(rare["label"], "1");
        predicted.push(rare["predicted"].as_u64().unwrap());
    }
    assert!(predicted[1] > predicted[0], "{predicted:?}");
}

/// fastText (bigrams, dim 10, lr 0.5, 5 epochs; 0.9.2) has 0.8997, 0.8631 and 0.9851 on the same rows.
#[test]
fn accuracy_and_size_on_real_data() {
    let home = Home::new();
    for (set, least) in [("imdb", 0.905), ("ag_news", 0.870), ("sms_spam", 0.985)] {
        let [rows, test] =
            ["train.csv", "test.csv"].map(|name| testkit::data_dir().join(set).join(name));
        if !rows.is_file() {
            testkit::skip("accuracy of bag", "no real data");
            return;
        }
        train(&home, &rows, &["--test", test.to_str().unwrap()]).expect_code(0);
        let found = home.metrics()["accuracy"].as_f64().unwrap();
        assert!(found >= least, "{set}: {found}");
        let bytes: u64 = std::fs::read_dir(home.path("model"))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes < 50_000_000, "{set}: {bytes}");
    }
}

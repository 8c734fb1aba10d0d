//! `--arch bag`: that the crate `bag`, which has its own tests, is used.

use harness::Model;
use testkit::{Outcome, movie_csv};

use super::Home;

fn train(home: &Home, more: &[&str]) -> Outcome {
    let rows = movie_csv();
    let fixed = ["--arch", "bag", "--no-report", "--train"];
    home.bilstm(
        "train",
        &[&fixed[..], &[rows.to_str().unwrap()], more].concat(),
    )
}

#[test]
fn shared_flags_reach_the_bag() {
    let home = Home::new();
    let weights = |more: &[&str]| {
        train(&home, more).expect_code(0);
        home.weights()
    };
    let usual = weights(&[]);
    for [flag, default, other] in [
        ["--emb-size", "16", "5"],
        ["--max-ngrams", "2", "1"],
        ["--min-df", "2", "3"],
        ["--dropout", "0", "0.1"],
        ["--epochs", "5", "2"],
        ["--learning-rate", "0.05", "0.1"],
        ["--schedule", "linear", "constant"],
    ] {
        assert!(weights(&[flag, default]) == usual, "{flag}");
        assert!(weights(&[flag, other]) != usual, "{flag}");
    }
    assert!(weights(&["--vocab-size", "50"]) != usual);
    assert!(weights(&["--threads", "1"]) == usual);
}

/// On an unbalanced file.
#[test]
fn class_weights_reach_the_bag() {
    let home = Home::new();
    let mut rows = testkit::movie_rows();
    let mut rare = 0;
    rows.retain(|row| {
        rare += u32::from(row.label == "1");
        row.label == "0" || rare <= 60
    });
    let path = home.path("skewed.csv");
    std::fs::write(&path, testkit::to_csv(&rows)).unwrap();
    let weights = |weight: &str| {
        let flags = ["--arch", "bag", "--no-report", "--class-weight", weight];
        let train = ["--train", path.to_str().unwrap()];
        home.bilstm("train", &[&flags[..], &train].concat())
            .expect_code(0);
        home.weights()
    };
    assert!(weights("none") != weights("balanced"));
}

#[test]
fn model_folder_is_that_of_the_program_bag() {
    let home = Home::new();
    train(&home, &[]).expect_code(0);
    let answers = || {
        let texts = [
            "the worst film",
            "a great cast, and a film I shall remember",
        ];
        home.bilstm("predict", &texts).expect_code(0).stdout.clone()
    };
    let (before, weights) = (answers(), home.weights());
    let folder = home.path("model");
    let model = bag::BagModel::load(&folder).unwrap();
    for name in ["model.safetensors", "vocabulary.txt", "config.json"] {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    model.save(&folder).unwrap();
    assert!(home.weights() == weights);
    assert_eq!(answers(), before);
}

#[test]
fn bag_predicts_and_explains() {
    let home = Home::new();
    train(&home, &[]).expect_code(0);
    let found = home.bilstm(
        "evaluate",
        &["--json", "--data", movie_csv().to_str().unwrap()],
    );
    let accuracy = found.expect_code(0).json()["accuracy"].clone();
    assert!(accuracy.as_f64().unwrap() > 0.95, "{accuracy}");
    let answer = home.bilstm("explain", &["--json", "the worst film, and a great cast"]);
    assert!(answer.expect_code(0).stdout.contains("worst"));
}

/// With another number of threads.
#[test]
fn bag_resumes_from_checkpoints() {
    let home = Home::new();
    let chain = home.path("checkpoints");
    let more = [
        "--epochs",
        "4",
        "--checkpoint-every",
        "97",
        "--checkpoint-dir",
        chain.to_str().unwrap(),
    ];
    train(&home, &more).expect_code(0);
    let expected = home.weights();
    std::fs::remove_dir_all(home.path("model")).unwrap();
    let mut steps: Vec<_> = std::fs::read_dir(&chain)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    steps.sort();
    std::fs::remove_dir_all(steps.pop().unwrap()).unwrap();
    let outcome = train(&home, &[&more[..], &["--threads", "2"]].concat());
    outcome.expect_code(0);
    assert!(
        outcome.stderr.contains("resuming from the checkpoint"),
        "{}",
        outcome.stderr
    );
    assert!(home.weights() == expected);
}

#[test]
fn flags_of_the_other_architecture_are_refused() {
    let home = Home::new();
    for (flag, value) in [
        ("--seq-len", "9"),
        ("--batch-size", "8"),
        ("--pooling", "mean"),
        ("--patience", "1"),
    ] {
        let outcome = train(&home, &[flag, value]);
        outcome.expect_code(2);
        let expected = format!("expected --arch bilstm with {flag}, found --arch `bag`");
        assert!(outcome.stderr.contains(&expected), "{}", outcome.stderr);
    }
    let rows = movie_csv();
    let outcome = home.bilstm(
        "train",
        &["--train", rows.to_str().unwrap(), "--max-ngrams", "3"],
    );
    outcome.expect_code(2);
    let expected = "expected --arch bag with --max-ngrams, found --arch `bilstm`";
    assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
}

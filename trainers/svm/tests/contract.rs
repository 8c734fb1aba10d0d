//! SageMaker's training contract, tested on the binary.

use testkit::{pairs, strings};

fn trainer() -> testkit::Trainer {
    testkit::Trainer {
        bin: env!("CARGO_BIN_EXE_svm").into(),
        quick: strings(&["--no-report"]),
        long_data: testkit::imdb_train(),
        long: Vec::new(),
        // Enough candidates that the run is stopped during one.
        tune: strings(&["--tune", "--tune-trials", "3", "--folds", "2"]),
        // A doubly quoted string, an alias, and a named list.
        hyperparameters: pairs(&[
            ("min_df", "\"3\""),
            ("max_ngram", "1"),
            ("stopwords", "\"\\\"english\\\"\""),
        ]),
        flags: strings(&[
            "--min-df",
            "3",
            "--max-ngrams",
            "1",
            "--stopwords",
            "english",
        ]),
        number: ("min_df".into(), "4".into(), "8".into()),
        switch: "sublinear_tf".into(),
        metrics: sagemaker::metrics::definitions()
            .into_iter()
            .map(|definition| (definition.name, definition.regex))
            .collect(),
    }
}

testkit::contract_suite!(trainer());

/// `serve`, as SageMaker runs it.
#[cfg(feature = "serve")]
#[test]
fn hosting_contract() {
    testkit::contract::hosting(&trainer());
}

/// `train --config`, also with the run file that a training wrote.
#[test]
fn run_files_train_the_same_model() {
    testkit::contract::run_file_trains_the_same_model(&trainer());
    testkit::contract::run_file_is_between_flags_and_hyperparameters(&trainer());
}

#[test]
fn path_hyperparameters_are_an_error() {
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_svm"));
    for name in ["model_dir", "output-data-dir", "train", "check"] {
        let ml = testkit::FakeMl::new()
            .hyperparameter(name, "elsewhere")
            .channel(
                "train",
                "movie.csv",
                std::fs::read(testkit::movie_csv()).unwrap(),
            );
        let outcome = testkit::run(ml.train(bin, &["--no-report"]));
        assert_ne!(outcome.code(), Some(0), "{name}");
        let failure = ml.failure().expect("a failure file");
        assert!(failure.contains("is reserved"), "{failure}");
    }
}

#[test]
fn unused_channel_is_a_warning() {
    let movie = std::fs::read(testkit::movie_csv()).unwrap();
    let ml = testkit::FakeMl::new()
        .channel("train", "movie.csv", &movie)
        .channel("validaton", "movie.csv", &movie);
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_svm"));
    let outcome = testkit::run(ml.train(bin, &["--no-report"]));
    outcome.expect_code(0);
    let warning = "warning: the channel `validaton` is not used";
    assert!(outcome.stderr.contains(warning), "{}", outcome.stderr);
}

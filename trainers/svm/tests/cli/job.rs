//! `train --check`, and where an argument comes from.

use std::path::Path;

use serde_json::Value;
use testkit::{FakeMl, movie_csv, run};

use super::{BIN, Home};

#[test]
fn train_check_reads_no_data() {
    let home = Home::new();
    // A pipe that nobody writes: reading it would never end.
    testkit::fifo(&home.path("rows.csv"));
    let rows = home.path("rows.csv");
    home.train(&rows, &["--check"]).expect_code(0);
    assert!(!home.path("model").exists());
    let facts = home
        .train(&rows, &["--check", "--json", "--min-df", "7"])
        .json();
    assert_eq!(facts["parameters"]["min_df"], "7");
    home.train(&rows, &["--check", "--min-df", "-7"])
        .expect_code(2);
    home.train(&rows, &["--check", "--alpha", "0"])
        .expect_code(2);

    // A job's hyperparameters are checked too, without any channel; a failure is told as always.
    let ml = FakeMl::new()
        .hyperparameter("min_df", "\"3\"")
        .hyperparameter("max_ngram", "2");
    let facts = run(ml.train(Path::new(BIN), &["--check", "--json"]));
    let facts = facts.expect_code(0).json();
    let of = |name: &str| facts["parameters"][name].clone();
    assert_eq!(
        (of("min_df"), of("max_ngrams"), of("max_df")),
        ("3".into(), "2".into(), "1.0".into())
    );
    let ml = FakeMl::new().hyperparameter("min_df", "three");
    run(ml.train(Path::new(BIN), &["--check"])).expect_code(1);
    assert!(ml.failure().unwrap().contains("`three`"));
}

/// What is typed wins over the job's hyperparameters, also where the two exclude each other.
#[test]
fn the_old_names_work_and_what_is_typed_wins() {
    let parameters = |ml: &FakeMl, typed: &[&str]| {
        let outcome = run(ml.train(Path::new(BIN), &[&["--check", "--json"], typed].concat()));
        outcome.expect_code(0).json()["parameters"].clone()
    };
    let ml = FakeMl::new()
        .hyperparameter("learning_rate", "0.001")
        .hyperparameter("max_ngram", "3")
        .hyperparameter("loss", "\"hinge\"")
        .hyperparameter("stopwords", "english")
        .hyperparameter("min_df", "5");
    let found = parameters(&ml, &[]);
    let of = |name: &str| found[name].as_str().unwrap().to_owned();
    assert_eq!(
        ["alpha", "max_ngrams", "loss", "stopwords", "min_df"].map(of),
        ["0.001", "3", "hinge", "english", "5"]
    );
    assert_eq!(parameters(&ml, &["--max_ngrams", "1"])["max_ngrams"], "1");
    assert_eq!(parameters(&ml, &["--alpha=0.01"])["alpha"], "0.01");
    let found = parameters(&ml, &["--c", "2"]);
    assert_eq!((&found["c"], &found["alpha"]), (&"2".into(), &Value::Null));
}

#[test]
fn one_flag_under_two_names_and_lists_are_refused() {
    let home = Home::new();
    let refused = [
        (
            r#"{"alpha": "1e-4", "learning_rate": "1"}"#,
            "one and the same",
        ),
        (
            r#"{"max_ngram": "1", "max_ngrams": "2"}"#,
            "one and the same",
        ),
        (r#"{"min_df": "[1, 9]"}"#, "expected one value"),
    ];
    for (hyperparameters, expected) in refused {
        std::fs::create_dir_all(home.path("ml/input/config")).unwrap();
        home.write("ml/input/config/hyperparameters.json", hyperparameters);
        let mut command = home.command("train", &["--train", movie_csv().to_str().unwrap()]);
        command.env("SAGEMAKER_BASE_DIR", home.path("ml"));
        run(command).expect_code(1);
        let failure = String::from_utf8(home.read("ml/output/failure")).unwrap();
        assert!(failure.contains(expected), "{failure}");
        assert!(!home.path("model").exists());
    }
}

#[test]
fn predict_and_evaluate_obey_sigterm_as_process_1() {
    if !testkit::pid_1_allowed() {
        return testkit::skip(
            "svm: predict_and_evaluate_obey_sigterm_as_process_1",
            "the kernel allows no process namespace",
        );
    }
    let home = Home::with_model(&["--no-report"]);
    // A pipe that nobody writes: reading it would never end.
    testkit::fifo(&home.path("rows.csv"));
    let rows = home.path("rows.csv").display().to_string();
    let out = home.path("out.csv").display().to_string();
    for (name, arguments) in [
        ("predict", vec!["--input", &rows, "--output", &out]),
        ("evaluate", vec!["--data", &rows]),
    ] {
        let command = testkit::as_pid_1(&home.command(name, &arguments));
        let mut running = testkit::start(command);
        running.sigterm_to_process_1();
        let outcome = running.finish(std::time::Duration::from_secs(15));
        outcome.expect_code(143);
    }
    let mut left: Vec<_> = std::fs::read_dir(home.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["model", "rows.csv"]);
}

//! `train --check`, hyperparameters of a job, and signals.

use std::path::Path;

use serde_json::{Value, json};
use testkit::{FakeMl, movie_csv, run};

use super::{BIN, Workspace};

#[test]
fn train_check_reads_no_data() {
    let workspace = Workspace::new();
    // A pipe without a writer: reading it would block forever.
    testkit::fifo(&workspace.path("rows.csv"));
    let rows = workspace.path("rows.csv");
    workspace.train(&rows, &["--check"]).expect_code(0);
    assert!(!workspace.path("model").exists());
    let facts = workspace
        .train(&rows, &["--check", "--json", "--min-df", "7"])
        .json();
    assert_eq!(facts["parameters"]["min_df"], 7);
    workspace
        .train(&rows, &["--check", "--min-df", "-7"])
        .expect_code(2);
    workspace
        .train(&rows, &["--check", "--alpha", "0"])
        .expect_code(2);

    // Hyperparameters of a job are checked too, without any channel; errors go to the failure file.
    let ml = FakeMl::new()
        .hyperparameter("min_df", "\"3\"")
        .hyperparameter("max_ngram", "2");
    let facts = run(ml.train(Path::new(BIN), &["--check", "--json"]));
    let facts = facts.expect_code(0).json();
    let of = |name: &str| facts["parameters"][name].clone();
    assert_eq!(
        (of("min_df"), of("max_ngrams"), of("max_df")),
        (3.into(), 2.into(), 1.0.into())
    );
    let ml = FakeMl::new().hyperparameter("min_df", "three");
    run(ml.train(Path::new(BIN), &["--check"])).expect_code(1);
    assert!(ml.failure().unwrap().contains("`three`"));
}

/// This holds also for arguments that exclude a hyperparameter.
#[test]
fn aliases_work_and_command_line_overrides_hyperparameters() {
    let parameters = |ml: &FakeMl, flags: &[&str]| {
        let outcome = run(ml.train(Path::new(BIN), &[&["--check", "--json"], flags].concat()));
        outcome.expect_code(0).json()["parameters"].clone()
    };
    let ml = FakeMl::new()
        .hyperparameter("learning_rate", "0.001")
        .hyperparameter("max_ngram", "3")
        .hyperparameter("loss", "\"hinge\"")
        .hyperparameter("stopwords", "english")
        .hyperparameter("min_df", "5");
    let found = parameters(&ml, &[]);
    let of = |name: &str| found[name].clone();
    assert_eq!(
        ["alpha", "max_ngrams", "loss", "stopwords", "min_df"].map(of),
        [
            json!(0.001),
            json!(3),
            json!("hinge"),
            json!("english"),
            json!(5)
        ]
    );
    assert_eq!(parameters(&ml, &["--max_ngrams", "1"])["max_ngrams"], 1);
    assert_eq!(parameters(&ml, &["--alpha=0.01"])["alpha"], 0.01);
    let found = parameters(&ml, &["--c", "2"]);
    assert_eq!((&found["c"], &found["alpha"]), (&json!(2), &Value::Null));
}

#[test]
fn duplicate_aliases_and_lists_are_an_error() {
    let workspace = Workspace::new();
    let refused = [
        (
            r#"{"alpha": "1e-4", "learning_rate": "1"}"#,
            "set the same argument",
        ),
        (
            r#"{"max_ngram": "1", "max_ngrams": "2"}"#,
            "set the same argument",
        ),
        (r#"{"min_df": "[1, 9]"}"#, "expected one value"),
    ];
    for (hyperparameters, expected) in refused {
        std::fs::create_dir_all(workspace.path("ml/input/config")).unwrap();
        workspace.write("ml/input/config/hyperparameters.json", hyperparameters);
        let mut command = workspace.command("train", &["--train", movie_csv().to_str().unwrap()]);
        command.env("SAGEMAKER_BASE_DIR", workspace.path("ml"));
        run(command).expect_code(1);
        let failure = String::from_utf8(workspace.read("ml/output/failure")).unwrap();
        assert!(failure.contains(expected), "{failure}");
        assert!(!workspace.path("model").exists());
    }
}

#[test]
fn predict_and_evaluate_obey_sigterm_as_pid_1() {
    if !testkit::pid_1_allowed() {
        return testkit::skip(
            "svm: predict_and_evaluate_obey_sigterm_as_pid_1",
            "the kernel allows no process namespace",
        );
    }
    let workspace = Workspace::with_model(&["--no-report"]);
    // A pipe without a writer: reading it would block forever.
    testkit::fifo(&workspace.path("rows.csv"));
    let rows = workspace.path("rows.csv").display().to_string();
    let out = workspace.path("out.csv").display().to_string();
    for (name, arguments) in [
        ("predict", vec!["--input", &rows, "--output", &out]),
        ("evaluate", vec!["--data", &rows]),
    ] {
        let command = testkit::as_pid_1(&workspace.command(name, &arguments));
        let mut running = testkit::start(command);
        running.sigterm_to_process_1();
        let outcome = running.finish(std::time::Duration::from_secs(15));
        outcome.expect_code(143);
    }
    let mut left: Vec<_> = std::fs::read_dir(workspace.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["model", "rows.csv"]);
}

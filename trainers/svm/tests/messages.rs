//! Snapshots of help texts and error messages. `INSTA_UPDATE=always ./test -p svm` accepts changes.

use std::path::Path;
use std::process::Command;

use harness::Trainer as _;
use serde_json::json;
use testkit::{FakeMl, MessageFixture, Outcome, run, to_csv};

#[test]
fn help_of_each_command() {
    for command in ["train", "evaluate", "predict", "check", "explain", "serve"] {
        let help = harness::help::<svm::Svm>(command).unwrap();
        insta::assert_snapshot!(format!("help_{command}"), help);
    }
    assert_eq!(harness::help::<svm::Svm>("unknown"), None);
}

fn svm(arguments: &[&str]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_svm"));
    command.args(arguments);
    run(command)
}

#[test]
fn help_of_the_program_begins_with_its_purpose() {
    let about = svm::Svm::ABOUT;
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["help", "-h"],
        &["help", "--help"],
    ] {
        let outcome = svm(arguments);
        outcome.expect_code(0);
        assert!(outcome.stdout.starts_with(about), "{arguments:?}");
    }
    let without_arguments = svm(&[]);
    without_arguments.expect_code(2);
    assert_eq!(without_arguments.stdout, "");
    assert!(without_arguments.stderr.starts_with(about));
}

#[test]
fn description_has_defaults_and_ranges() {
    let outcome = svm(&["describe", "--json"]);
    outcome.expect_code(0);
    let description: serde_json::Value = outcome.json();
    assert_eq!(
        description["channels"][0]["compression"],
        json!(["None", "Gzip", "Zstd", "Bzip2", "Xz"])
    );
    let parameters = description["hyperparameters"].as_array().unwrap();
    for (name, default, range, tunable) in [
        (
            "threads",
            "one per core",
            json!({"min": "1", "max": "256"}),
            false,
        ),
        (
            "seed",
            "0",
            json!({"min": "0", "max": i64::MAX.to_string()}),
            false,
        ),
        (
            "max-ngrams",
            "2; 3 with --tune or characters",
            json!({"min": "1", "max": "8"}),
            true,
        ),
        ("c", "1", json!({"min": "1e-30", "max": "1e30"}), true),
        (
            "tol",
            "0.001; 0.003 with --alpha",
            json!({"min": "0", "max": "1"}),
            true,
        ),
        ("gamma", "1", json!({"min": "0"}), true),
        ("coef0", "1", json!(null), true),
        ("encoding", "utf-8", json!(null), false),
    ] {
        let found = parameters.iter().find(|found| found["name"] == name);
        let found = found.expect(name);
        assert_eq!(found["default"], default, "{name}");
        assert_eq!(found["range"], range, "{name}");
        assert_eq!(found["tunable"], tunable, "{name}");
    }
    let delimiter = parameters
        .iter()
        .find(|found| found["name"] == "delimiter")
        .unwrap();
    assert_eq!(delimiter["type"], "FreeText");
}

/// The schema has every option of `train`, with type, range and default.
#[test]
fn schema_of_run_files_has_types_and_ranges() {
    let schema = svm(&["describe", "--json-schema"]).expect_code(0).json();
    assert_eq!(schema["additionalProperties"], false);
    let property = |name: &str| &schema["properties"][name];
    let max_ngrams = property("max_ngrams");
    assert_eq!(max_ngrams["type"], "integer");
    assert_eq!(max_ngrams["minimum"], 1);
    assert_eq!(max_ngrams["maximum"], 8);
    for (name, key, expected) in [
        ("c", "type", json!("number")),
        ("tune", "type", json!("boolean")),
        ("tune", "default", json!(false)),
        ("train", "type", json!("string")),
        ("min_df", "type", json!(["string", "number"])),
        ("loss", "enum", json!(["hinge", "squared_hinge", "log"])),
        ("validation_split", "default", json!(0.1)),
    ] {
        assert_eq!(property(name)[key], expected, "{name}");
    }
    let either = &property("text_column")["anyOf"];
    assert_eq!(either[0]["type"], "string");
    assert_eq!(either[1]["items"]["default"], "text");
    assert!(property("config").is_null());
    // All spellings that `train` accepts.
    for (name, same) in [
        ("data", "train"),
        ("min-df", "min_df"),
        ("model-dir", "model_dir"),
    ] {
        let reference = format!("#/properties/{same}");
        assert_eq!(property(name)["$ref"], reference, "{name}");
    }
}

/// Errors in a run file name the line; obeying the help removes them.
#[test]
fn errors_in_run_files_name_the_line() {
    let fixture = fixture();
    for (line, expected) in [
        (
            "min_fd = 5",
            "error: unknown option `min_fd` in `run.toml:3`\n  help: did you mean `min_df`?",
        ),
        (
            "config = \"other.toml\"",
            "error: `config` in `run.toml:3` is not an option of run files\n  help: remove it",
        ),
        (
            "max_ngrams = 9",
            "error: `run.toml:3`: expected a whole number from 1 to 8 for --max-ngrams, found `9`",
        ),
        (
            "data = \"rows.csv\"",
            "error: the options `data` and `train` in `run.toml:2` set the same argument",
        ),
    ] {
        let text = format!("# mine\ntrain = \"rows.csv\"\n{line}\n");
        fixture.write("run.toml", text);
        let output = fixture.run(&["train --config run.toml --model-dir model --check"]);
        assert!(output.contains(expected), "{output}");
    }
    fixture.write("run.toml", "# mine\ntrain = \"rows.csv\"\nmin_df = 5\n");
    let output = fixture.run(&[
        "train --config run.toml --model-dir model --check",
        "train --config missing.toml --model-dir model",
        "train --config run.toml --model-dir .",
    ]);
    assert!(output.contains("--check\n[exit code 0]"), "{output}");
    assert!(output.contains("cannot read `missing.toml`"), "{output}");
    // It would replace the user's file.
    assert!(output.contains("was not written by a training"), "{output}");
}

/// A folder with invalid input files.
fn fixture() -> MessageFixture {
    let fixture = MessageFixture::new(env!("CARGO_BIN_EXE_svm"));
    let rows = testkit::movie_rows();
    let mut broken = rows[..40].to_vec();
    broken[7].label.clear();
    fixture.write("no_label.csv", to_csv(&broken));
    let mut one_class = rows[..40].to_vec();
    for row in &mut one_class {
        "pos".clone_into(&mut row.label);
    }
    fixture.write("one_class.csv", to_csv(&one_class));
    fixture.write("open_quote.csv", "text,label\ngood,1\n\"bad,0\nfine,1\n");
    fixture.write("twice.csv", "text,label,text\na b,1,c\nc d,0,d\n");
    fixture.write("empty.csv", "");
    fixture.write("field.csv", "text,label\ngood film,1\nbad film,0,really\n");
    fixture
}

#[test]
fn command_line_errors_end_with_help() {
    let output = fixture().run(&[
        "trian",
        "train",
        "train --train rows.csv",
        "train --train rows.csv --model-dir model --min-fd 5",
        "train --train rows.csv --model-dir model --min-df five",
        "train --train rows.csv --model-dir model --min_df=1.5",
        "train --train rows.csv --model-dir model --loss square",
        "train --train rows.csv --model-dir model --max-ngrams 9",
        "train --train rows.csv --model-dir model --threads 300",
        "train --train rows.csv --model-dir model --threads 0",
        "train --train rows.csv --model-dir model --seed -1",
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
    ]);
    insta::assert_snapshot!("command_line", output);
}

#[test]
fn data_errors_end_with_help() {
    let output = fixture().run(&[
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
    ]);
    insta::assert_snapshot!("data", output);
}

#[test]
fn model_errors_end_with_help() {
    let output = fixture().run(&[
        "predict --model-dir nowhere text",
        "evaluate --model-dir . --data rows.csv",
        "train --train rows.csv --model-dir model --no-report --threads 1 --kernel poly",
        "explain --model-dir model",
        "evaluate --model-dir model --data one_class.csv",
    ]);
    insta::assert_snapshot!("model", output);
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

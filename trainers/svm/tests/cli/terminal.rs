//! Output on the terminal, in JSON and in the report.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Value, json};
use testkit::{FakeMl, movie_csv, movie_rows, run, to_csv};

use super::{BIN, Workspace};

mod public_reports {
    use super::*;

    const METRIC: &str = "validation:accuracy=";

    /// USER 15: metric lines are for training jobs and on request.
    #[test]
    fn metric_lines_are_printed_in_jobs_and_on_request() {
        let workspace = Workspace::new();
        let plain = workspace.train(&movie_csv(), &[]);
        assert!(!plain.expect_code(0).output().contains(METRIC));
        let asked = workspace.train(&movie_csv(), &["--metric-lines"]);
        assert_eq!(asked.expect_code(0).stderr.matches(METRIC).count(), 1);
        let rows = to_csv(&movie_rows());
        let ml = FakeMl::new().channel("train", "rows.csv", rows);
        let job = run(ml.train(Path::new(BIN), &[] as &[&str]));
        assert_eq!(job.expect_code(0).stderr.matches(METRIC).count(), 1);
        let mut script = workspace.command("train", &[] as &[&str]);
        script.env("SM_MODEL_DIR", workspace.path("model"));
        script.env("SM_CHANNEL_TRAIN", movie_csv());
        assert_eq!(run(script).expect_code(0).stderr.matches(METRIC).count(), 1);
    }

    /// USER 19: parameters have types, and warnings are objects.
    #[test]
    fn metrics_have_typed_parameters_and_structured_warnings() {
        let workspace = Workspace::new();
        let rows = workspace.write(
            "rows.csv",
            "text,label\nsame text,1\nsame text,1\nx y,2\n,2\n",
        );
        let flags = ["--drop-missing", "--c", "0.5", "--validation-split", "0"];
        let metrics = workspace.train(&rows, &[&flags[..], &["--json"]].concat());
        let metrics = metrics.expect_code(0).json();
        let of = |name: &str| metrics["parameters"][name].clone();
        assert_eq!(
            [
                "drop_missing",
                "c",
                "min_df",
                "max_df",
                "text_column",
                "seed"
            ]
            .map(of),
            [
                json!(true),
                json!(0.5),
                json!(2),
                json!(1.0),
                json!("text"),
                json!(0)
            ]
        );
        let finding = |code: &str| {
            let mut warnings = metrics["warnings"].as_array().unwrap().iter();
            warnings.find(|warning| warning["code"] == code).cloned()
        };
        let missing = finding("D013").unwrap();
        assert_eq!(missing["severity"], "warning");
        assert_eq!(missing["message"], "row has no text");
        assert_eq!(missing["place"]["line"], 5);
        assert!(
            missing["help"][0]
                .as_str()
                .unwrap()
                .contains("--drop-missing")
        );
    }

    /// USER 20: `explain` prints no empty headings.
    #[test]
    fn explain_leaves_out_classes_without_features() {
        let workspace = Workspace::with_model(&[]);
        let text = workspace.svm("explain", &["wonderful"]).stdout;
        assert_eq!(text.matches("for ").count(), 1, "{text}");
        let unknown = workspace.svm("explain", &["xyzzy"]).stdout;
        assert!(
            unknown.contains("no class has features") && !unknown.contains("for 0"),
            "{unknown}"
        );
    }

    /// USER 21: `predict` has no option for the label, and the help of `train` an own example.
    #[test]
    fn help_has_an_example_and_no_option_without_effect() {
        let workspace = Workspace::new();
        let refused = workspace.svm("predict", &["--label-column", "x", "text"]);
        assert!(
            refused
                .expect_code(2)
                .stderr
                .contains("unexpected argument `--label-column`")
        );
        let help = run(workspace.command("train", &["--help"])).stdout;
        assert!(help.contains("svm train --train reviews.csv --model-dir models/svm --tune"));
    }

    /// USER 18: numbers agree with their nouns, and severities are words.
    #[test]
    fn check_counts_in_plain_english() {
        let workspace = Workspace::new();
        let rows = workspace.write("rows.csv", "text,label\nsame,1\n");
        let output = run({
            let mut command = std::process::Command::new(BIN);
            command.args(["check", "--data"]).arg(&rows);
            command
        });
        assert!(
            output.stdout.contains("1 row, 1 usable, 1 label\n"),
            "{}",
            output.stdout
        );
        assert!(
            output.stdout.contains("1  error D020\n"),
            "{}",
            output.stdout
        );
    }

    /// USER 26: `evaluate --report` writes a report, and never over a file of the model.
    #[test]
    fn evaluate_writes_a_report() {
        let workspace = Workspace::with_model(&["--max-ngrams", "1"]);
        let mut rows = movie_rows();
        rows.truncate(100);
        for row in &mut rows[..20] {
            row.label = if row.label == "1" { "0" } else { "1" }.to_owned();
        }
        let data = workspace.write("wrong.csv", to_csv(&rows));
        let data = data.to_str().unwrap();
        let file = workspace.path("test.html");
        let flags = ["--data", data, "--report", file.to_str().unwrap()];
        workspace.svm("evaluate", &flags).expect_code(0);
        let page = String::from_utf8(workspace.read("test.html")).unwrap();
        let json = workspace
            .svm("evaluate", &["--data", data, "--json"])
            .json();
        let accuracy = format!("accuracy {:.4}</title>", json["accuracy"].as_f64().unwrap());
        assert!(page.contains(&accuracy), "{accuracy}");
        for expected in [
            "Quality on the test rows",
            "id=\"worst\"",
            "id=\"words\"",
            "Calibration",
        ] {
            assert!(page.contains(expected), "{expected}");
        }
        let config = workspace.path("model/config.json");
        let flags = ["--data", data, "--report", config.to_str().unwrap()];
        let refused = workspace.svm("evaluate", &flags);
        assert!(
            refused
                .expect_code(2)
                .stderr
                .contains("choose another --report")
        );
    }

    /// USER 17: the command of the report can be pasted, and a path that is not UTF-8 does not end
    /// the run after its training.
    #[test]
    fn report_has_the_command_for_a_shell() {
        let workspace = Workspace::new();
        let name = OsStr::from_bytes(b"my th\xe9.csv");
        let path = workspace.path("").join(name);
        std::fs::write(&path, to_csv(&movie_rows())).unwrap();
        let flags = [OsStr::new("--train"), path.as_os_str()];
        workspace.svm("train", &flags).expect_code(0);
        let page = String::from_utf8(workspace.read("model/report.html")).unwrap();
        assert!(page.contains("/my th\u{fffd}.csv&#39;</pre>"), "{page}");
    }

    /// USER 29: a long label does not fill the terminal.
    #[test]
    fn long_label_is_cut_in_the_line_of_the_baseline() {
        let workspace = Workspace::new();
        let mut rows = movie_rows();
        for row in &mut rows {
            row.label = row.label.repeat(500);
        }
        let data = workspace.write("long.csv", to_csv(&rows));
        let trained = workspace.train(&data, &[]);
        let evaluated = workspace.svm("evaluate", &[data.to_str().unwrap()]);
        for outcome in [trained, evaluated] {
            let stdout = &outcome.expect_code(0).stdout;
            let line = stdout
                .lines()
                .find(|line| line.contains("always predicting"));
            assert!(line.unwrap().len() < 110, "{stdout}");
            assert!(line.unwrap().contains("...`"), "{stdout}");
        }
    }

    /// USER 28: the model remembers its columns; options and other models win.
    #[test]
    fn columns_of_the_training_data_are_defaults() {
        let workspace = Workspace::new();
        let rows: String = movie_rows()
            .iter()
            .map(|row| format!("\"{}\",{}\n", row.text.replace('"', "\"\""), row.label))
            .collect();
        let data = workspace.write("data.csv", format!("body,stars\n{rows}"));
        let data = data.to_str().unwrap();
        let columns = ["--text-column", "body", "--label-column", "stars"];
        workspace.train(Path::new(data), &columns).expect_code(0);
        for (name, flag) in [
            ("evaluate", "--data"),
            ("predict", "--input"),
            ("check", "--data"),
        ] {
            workspace.svm(name, &[flag, data]).expect_code(0);
        }
        let other = workspace.svm("predict", &["--input", data, "--text-column", "text"]);
        assert!(
            other
                .expect_code(1)
                .stderr
                .contains("no column is named `text`")
        );
    }

    /// USER 29: the share of the most frequent class, and the accuracy without test texts that are
    /// in the training data.
    #[test]
    fn baseline_and_unseen_texts_are_scored() {
        let workspace = Workspace::new();
        let rows = movie_rows();
        let train = workspace.write("train.csv", to_csv(&rows[..500]));
        // 40 rows of the training data, which the model knows, and 100 others.
        let test = workspace.write("test.csv", to_csv(&rows[460..]));
        let outcome = workspace.train(&train, &["--test", test.to_str().unwrap()]);
        let output = &outcome.expect_code(0).stdout;
        let metrics: Value = serde_json::from_slice(&workspace.read("model/metrics.json")).unwrap();
        let unseen = &metrics["test"]["without_texts_of_train"];
        assert_eq!(unseen["rows"], 100);
        let alone = workspace.write("alone.csv", to_csv(&rows[500..]));
        let alone = workspace.svm("evaluate", &["--data", alone.to_str().unwrap(), "--json"]);
        let alone = alone.expect_code(0).json();
        assert_eq!(unseen["accuracy"], alone["accuracy"]);
        let line = format!(
            "accuracy {:.4} on the 100 test rows whose text is not in the training data\n",
            alone["accuracy"].as_f64().unwrap()
        );
        assert!(output.contains(&line), "{output}");
        let ones = rows[460..].iter().filter(|row| row.label == "1").count();
        let share = ones.max(140 - ones) as f64 / 140.0;
        assert!(
            output.contains(&format!("has accuracy {share:.4}\n")),
            "{output}"
        );
        assert_eq!(metrics["most_frequent_class"]["share"], share);
    }
}

//! `evaluate`: labels that the model does not have, files, comparison with another model.

mod public_reports {
    use std::collections::HashSet;

    use serde_json::Value;
    use testkit::{Row, movie_csv, movie_rows, to_csv};

    use super::super::{Workspace, number, records};

    /// Issue 17: one row with another label ended the evaluation.
    #[test]
    fn rows_with_unknown_labels_are_counted_and_not_scored() {
        let workspace = Workspace::with_model(&["--no-report"]);
        let mut rows = movie_rows();
        rows.truncate(50);
        let known = workspace.write("known.csv", to_csv(&rows));
        for label in ["maybe", "2", "maybe"] {
            rows.insert(
                7,
                Row {
                    text: "a film".to_owned(),
                    label: label.to_owned(),
                },
            );
        }
        let all = workspace.write("all.csv", to_csv(&rows));
        let [known, all] = [&known, &all].map(|path| path.to_str().unwrap());
        let metrics = workspace.path("test.json");
        let report = workspace.path("test.html");
        let outputs = [
            "--metrics",
            metrics.to_str().unwrap(),
            "--report",
            report.to_str().unwrap(),
        ];
        let outcome = workspace.svm("evaluate", &[&[all], &outputs[..]].concat());
        outcome.expect_code(0);
        assert!(
            outcome
                .stdout
                .starts_with("rows             50\nunknown          3 "),
            "{}",
            outcome.stdout
        );
        let warning = "not scored: 3 rows with labels that the model does not have: `2`, `maybe`";
        assert!(outcome.stderr.contains(warning), "{}", outcome.stderr);
        let page = String::from_utf8(workspace.read("test.html")).unwrap();
        assert!(page.contains("not scored: 3 rows"));

        let found: Value = serde_json::from_slice(&workspace.read("test.json")).unwrap();
        let expected = workspace.svm("evaluate", &[known, "--json"]).json();
        for name in [
            "rows",
            "accuracy",
            "log_loss",
            "per_class",
            "most_frequent_class",
        ] {
            assert_eq!(found[name], expected[name], "{name}");
        }
        assert_eq!(found["unknown_labels"]["rows"], 3);
        assert_eq!(found["unknown_labels"]["labels"], 2);
        assert_eq!(expected["unknown_labels"]["rows"], 0);
        let share = number(&found["most_frequent_class"]["share"]);
        assert!((0.5..1.0).contains(&share));
    }

    /// Issue 17: the folder of another model and its predictions give the same comparison, whose
    /// counts are those of two runs of `predict`.
    #[test]
    fn comparison_counts_the_rows_that_one_model_has_right() {
        let workspace = Workspace::with_model(&["--no-report"]);
        let other = Workspace::with_model(&["--no-report", "--max-ngrams", "1", "--min-df", "40"]);
        let rows = movie_csv();
        let rows = rows.to_str().unwrap();
        let right = |workspace: &Workspace| -> Vec<bool> {
            let predicted = workspace.svm("predict", &["--input", rows]);
            let predicted = records(&predicted.expect_code(0).stdout);
            let labels = movie_rows().into_iter().map(|row| row.label);
            let pairs = predicted.iter().zip(labels);
            pairs.map(|(record, label)| record[1] == label).collect()
        };
        let (ours, theirs) = (right(&workspace), right(&other));
        let count = |this: bool, that: bool| {
            let pairs = ours.iter().zip(&theirs);
            pairs.filter(|(a, b)| (**a, **b) == (this, that)).count()
        };
        assert!(count(true, false) > 0, "the models differ");

        let mut paths = vec![other.path("model")];
        for format in ["csv", "jsonl"] {
            let path = other.path(&format!("predicted.{format}"));
            let output = path.to_str().unwrap();
            let flags = ["--input", rows, "--format", format, "--output", output];
            other.svm("predict", &flags).expect_code(0);
            paths.push(path);
        }
        let mut found = Vec::new();
        for path in &paths {
            let path = path.to_str().unwrap();
            let outcome = workspace.svm("evaluate", &[rows, "--json", "--against", path]);
            let mut comparison = outcome.expect_code(0).json()["comparison"].clone();
            assert_eq!(comparison["against"], path);
            comparison["against"] = Value::Null;
            found.push(comparison);
        }
        assert!(found[0] == found[1] && found[0] == found[2], "{found:?}");
        for (name, this, that) in [
            ("both_right", true, true),
            ("only_this_right", true, false),
            ("only_other_right", false, true),
            ("both_wrong", false, false),
        ] {
            assert_eq!(found[0][name], count(this, that), "{name}");
        }
        let [low, high] = [0, 1].map(|end| number(&found[0]["difference_interval"][end]));
        let difference = number(&found[0]["difference"]);
        assert!(low <= difference && difference <= high, "{found:?}");

        let report = workspace.path("report.html");
        let flags = ["--report", report.to_str().unwrap(), "--against"];
        let against = paths[0].to_str().unwrap();
        let outcome = workspace.svm("evaluate", &[&[rows], &flags[..], &[against]].concat());
        let stdout = &outcome.expect_code(0).stdout;
        for part in [
            "against          ",
            "difference       +",
            "p-value          ",
        ] {
            assert!(stdout.contains(part), "{stdout}");
        }
        let page = String::from_utf8(workspace.read("report.html")).unwrap();
        assert!(page.contains("id=\"comparison\"") && page.contains("McNemar"));
    }

    /// The other model got the texts of this one's column, without a warning.
    #[test]
    fn model_of_another_column_is_compared_by_its_predictions() {
        let (workspace, other) = (Workspace::new(), Workspace::new());
        let rows = |header: &str| {
            let row = |number: usize| match number % 2 {
                0 => format!("fine {number},lovely film,1\n"),
                _ => format!("poor {number},boring film,0\n"),
            };
            format!("{header}\n{}", (0..60).map(row).collect::<String>())
        };
        let file = workspace.write("rows.csv", rows("title,body,label"));
        for (workspace, column) in [(&workspace, "title"), (&other, "body")] {
            let flags = ["--text-column", column, "--no-report"];
            workspace.train(&file, &flags).expect_code(0);
        }
        let (file, model) = (file.to_str().unwrap(), other.path("model"));
        let model = model.to_str().unwrap();
        let outcome = workspace.svm("evaluate", &[file, "--against", model]);
        let stderr = &outcome.expect_code(2).stderr;
        assert!(
            stderr.contains("in the column `title` for --against, found one of `body`")
                && stderr.contains("help: pass the file that `predict"),
            "{stderr}"
        );
        let predicted = other.path("predicted.csv");
        let predicted = predicted.to_str().unwrap();
        let flags = ["--input", file, "--output", predicted];
        other.svm("predict", &flags).expect_code(0);
        let flags = [file, "--json", "--against", predicted];
        let found = workspace.svm("evaluate", &flags).json();
        assert_eq!(found["comparison"]["accuracy"], 1.0);
        // One column for both.
        let named = workspace.write("named.csv", rows("text,other,label"));
        let flags = [named.to_str().unwrap(), "--text-column", "text"];
        let flags = [&flags[..], &["--against", model]].concat();
        workspace.svm("evaluate", &flags).expect_code(0);
    }

    /// A name of the label column is in a header, also if the model's data had none.
    #[test]
    fn named_label_column_is_in_a_header() {
        let workspace = Workspace::new();
        let csv = String::from_utf8(to_csv(&movie_rows())).unwrap();
        let (_, bare) = csv.split_once('\n').unwrap();
        let bare = workspace.write("bare.csv", bare);
        let flags = ["--no-header", "--text-column", "0", "--label-column", "1"];
        workspace
            .train(&bare, &[&flags[..], &["--no-report"]].concat())
            .expect_code(0);
        let named = movie_csv();
        let flags = [named.to_str().unwrap(), "--label-column", "label"];
        let outcome = workspace.svm("evaluate", &flags);
        let stderr = &outcome.expect_code(1).stderr;
        assert!(stderr.contains("help: pass --text-column NAME"), "{stderr}");
        let flags = [&flags[..], &["--text-column", "text"]].concat();
        workspace.svm("evaluate", &flags).expect_code(0);
    }

    #[test]
    fn predictions_for_other_rows_are_refused() {
        let workspace = Workspace::with_model(&["--no-report"]);
        let rows = workspace.write("rows.csv", to_csv(&movie_rows()[..3]));
        let rows = rows.to_str().unwrap();
        for (text, expected) in [
            ("record,label\n1,0\n3,1\n", "found none for"),
            (
                "record,label\n1,0\n2,0\n3,1\n4,1\n",
                "found `4` for `3` rows",
            ),
            ("record,label\n1,0\n2,0\n2,0\n", "found two for record 2"),
            ("record,label\n1,0\nx,0\n3,1\n", "found the record `x`"),
            ("row,class\n1,0\n", "a file that `predict` wrote"),
        ] {
            let path = workspace.write("predicted.csv", text);
            let outcome = workspace.svm("evaluate", &[rows, "--against", path.to_str().unwrap()]);
            let stderr = &outcome.expect_code(1).stderr;
            assert!(
                stderr.contains(expected) && stderr.contains("help: run `predict"),
                "{stderr}"
            );
        }
        let predicted = workspace.path("predicted.csv");
        let flags = ["--input", rows, "--output", predicted.to_str().unwrap()];
        workspace.svm("predict", &flags).expect_code(0);
        let flags = [rows, "--against", predicted.to_str().unwrap(), "--json"];
        let comparison = workspace.svm("evaluate", &flags).json()["comparison"].clone();
        assert_eq!(
            (&comparison["difference"], &comparison["p_value"]),
            (&0.0.into(), &1.0.into()),
            "a model against its own predictions"
        );
    }

    /// Issue 17: the accuracy without the texts of the training data, as after `train --test`.
    #[test]
    fn evaluate_scores_unseen_texts_as_train_does() {
        let workspace = Workspace::new();
        let rows = movie_rows();
        let train = workspace.write("train.csv", to_csv(&rows[..400]));
        let test = workspace.write("test.csv", to_csv(&rows[300..]));
        let [train, test] = [&train, &test].map(|path| path.to_str().unwrap());
        let flags = ["--train", train, "--test", test, "--no-report", "--json"];
        let trained = workspace.svm("train", &flags).json();
        let expected = &trained["test"]["without_texts_of_train"];
        let seen: HashSet<&str> = rows[..400].iter().map(|row| row.text.as_str()).collect();
        let unseen = rows[300..]
            .iter()
            .filter(|row| !seen.contains(row.text.as_str()));
        assert_eq!(expected["rows"], unseen.count());

        let flags = [test, "--train", train, "--json"];
        let found = workspace.svm("evaluate", &flags).json();
        assert_eq!(&found["without_texts_of_train"], expected);
        let outcome = workspace.svm("evaluate", &flags[..3]);
        assert!(
            outcome.stdout.contains("\nunseen           "),
            "{}",
            outcome.stdout
        );
    }

    /// `--metrics` and `--report` replaced the training data, the predictions and the model that
    /// are compared with, and each other.
    #[test]
    fn outputs_must_not_replace_inputs_or_each_other() {
        let workspace = Workspace::with_model(&["--no-report"]);
        let rows = workspace.write("rows.csv", to_csv(&movie_rows()[..30]));
        let train = workspace.write("train.csv", to_csv(&movie_rows()[..30]));
        let predicted = workspace.path("predicted.csv");
        let other = workspace.path("other");
        let paths = [&rows, &train, &predicted, &other];
        let [rows, train, predicted, other] = paths.map(|path| path.to_str().unwrap());
        workspace
            .svm("predict", &["--input", rows, "--output", predicted])
            .expect_code(0);
        std::fs::create_dir(other).unwrap();
        for entry in std::fs::read_dir(workspace.path("model")).unwrap() {
            let entry = entry.unwrap();
            let copy = workspace.path("other").join(entry.file_name());
            std::fs::copy(entry.path(), copy).unwrap();
        }
        let config = format!("{other}/config.json");
        let files = [rows, train, predicted, &config];
        let read = || files.map(|file| std::fs::read(file).unwrap());
        let before = read();
        let new = workspace.path("x.out");
        let [new, same] = [new.clone(), workspace.path("model/../x.out")];
        let [new, same] = [&new, &same].map(|path| path.to_str().unwrap());
        for (flags, message) in [
            (&["--metrics", rows][..], "than the input `"),
            (&["--train", train, "--metrics", train], "than the input `"),
            (&["--train", train, "--report", train], "than the input `"),
            (
                &["--against", predicted, "--metrics", predicted],
                "than the input `",
            ),
            (
                &["--against", other, "--report", &config],
                "than the model's `config.json`",
            ),
            (
                &["--report", new, "--metrics", same],
                "than that of --report, `",
            ),
            (
                &["--metrics", "-"],
                "expected the name of a file, found `-`",
            ),
        ] {
            let outcome = workspace.svm("evaluate", &[&[rows], flags].concat());
            let stderr = &outcome.expect_code(2).stderr;
            assert!(stderr.contains(message), "{flags:?} {stderr}");
        }
        assert!(read() == before && !std::path::Path::new(new).exists());
        let metrics = format!("{new}.json");
        let flags = [rows, "--report", new, "--metrics", &metrics];
        workspace.svm("evaluate", &flags).expect_code(0);
        // The report claimed that it was not known.
        let lone = workspace.write("lone.csv", "text,label\na lone text,0\n");
        let flags = [&flags[..], &["--train", lone.to_str().unwrap()]].concat();
        workspace.svm("evaluate", &flags).expect_code(0);
        let page = String::from_utf8(workspace.read("x.out")).unwrap();
        assert!(page.contains("the texts of these rows are not in --train"));
    }

    /// A prediction of another spelling was wrong without a warning; the help about the other model
    /// named --model-dir.
    #[test]
    fn predictions_of_unknown_labels_are_a_warning() {
        let workspace = Workspace::with_model(&["--no-report"]);
        let rows = workspace.write("rows.csv", to_csv(&movie_rows()[..3]));
        let rows = rows.to_str().unwrap();
        let path = workspace.write("predicted.csv", "record,label\n1,HAM\n2,0\n3,HAM\n");
        let outcome = workspace.svm("evaluate", &[rows, "--against", path.to_str().unwrap()]);
        let stderr = &outcome.expect_code(0).stderr;
        let warning =
            "2 predicted labels that the evaluated model does not have, never right: `HAM`\n";
        assert!(stderr.contains(warning), "{stderr}");
        let empty = workspace.path("");
        let outcome = workspace.svm("evaluate", &[rows, "--against", empty.to_str().unwrap()]);
        let stderr = &outcome.expect_code(1).stderr;
        assert!(
            stderr.contains("help: pass --against the folder") && !stderr.contains("--model-dir"),
            "{stderr}"
        );
    }
}

//! Issue 17: rows with several labels, or none.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;
use testkit::{movie_csv, two_label_rows};

use super::{Workspace, number, records};

/// Returns a line per row: that of `form`, in which `TEXT` is the text.
fn rows(form: impl Fn(bool, bool) -> String) -> String {
    let rows = two_label_rows(120).into_iter();
    rows.map(|(text, [good, long])| form(good, long).replace("TEXT", &text) + "\n")
        .collect()
}

fn labels(good: bool, long: bool) -> Vec<&'static str> {
    let labels = [("good", good), ("long", long)];
    let labels = labels.into_iter().filter(|(_, is_there)| *is_there);
    labels.map(|(label, _)| label).collect()
}

fn list(good: bool, long: bool) -> String {
    let labels = labels(good, long);
    serde_json::json!({ "text": "TEXT", "label": labels }).to_string()
}

/// The four forms of labels give the same weights; the model remembers the form.
#[test]
fn all_forms_of_labels_give_the_same_model() {
    let joined = |good, long| format!("TEXT,{}", labels(good, long).join("|"));
    let prefixed = |good, long| {
        let labels = labels(good, long);
        let labels: String = labels
            .iter()
            .map(|label| format!("__label__{label} "))
            .collect();
        format!("{labels}TEXT")
    };
    let columns = |good: bool, long: bool| format!("TEXT,{},{}", u8::from(good), u8::from(long));
    let separator = ["--label-separator", "|"];
    let two = ["--label-column", "good", "--label-column", "long"];
    let mut weights: Option<Vec<u8>> = None;
    for (name, content, flags) in [
        ("a.jsonl", rows(list), &[] as &[&str]),
        ("a.csv", format!("text,label\n{}", rows(joined)), &separator),
        ("a.ft", rows(prefixed), &[]),
        ("a.csv", format!("text,good,long\n{}", rows(columns)), &two),
    ] {
        let workspace = Workspace::new();
        let file = workspace.write(name, content);
        let flags = [&["--multi-label", "--no-report", "--seed", "3"], flags].concat();
        let outcome = workspace.train(&file, &flags);
        outcome.expect_code(0);
        assert!(
            outcome.stderr.contains("39 rows without labels"),
            "{}",
            outcome.stderr
        );
        assert!(
            outcome.stdout.contains("subset accuracy"),
            "{}",
            outcome.stdout
        );
        let [config, _, tensors] = workspace.model();
        assert_eq!(*weights.get_or_insert(tensors.clone()), tensors, "{name}");
        let config: Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["problem_type"], "multi_label_classification");
        let found = workspace
            .svm("evaluate", &[file.to_str().unwrap(), "--json"])
            .json();
        assert_eq!(
            (&found["rows"], &found["rows_without_labels"]),
            (&120.into(), &39.into())
        );
        assert!(number(&found["micro_f1"]) > 0.8, "{found}");
    }
}

#[test]
fn predictions_are_sets_and_probabilities_independent() {
    let workspace = Workspace::new();
    let file = workspace.write("a.jsonl", rows(list));
    // The report has all sets.
    workspace
        .train(&file, &["--multi-label", "--calibration", "cv"])
        .expect_code(0);
    let page = String::from_utf8(workspace.read("model/report.html")).unwrap();
    assert!(page.contains("Hamming loss") && !page.contains("Confusion matrix"));
    let texts = [
        "film fine lovely endless slow",
        "film number1",
        "film endless slow",
    ];
    let csv = workspace.svm("predict", &[&texts[..], &["--all-classes"]].concat());
    let rows = records(&csv.expect_code(0).stdout);
    let sets: Vec<&str> = rows.iter().map(|row| &row[1]).collect();
    assert_eq!(sets, [r#"["good","long"]"#, "[]", r#"["long"]"#]);
    let probability = |column: usize| rows[0][column].parse::<f64>().unwrap();
    assert!(probability(4) + probability(5) > 1.2, "{:?}", rows[0]);
    let text = workspace.svm("explain", &[texts[0]]);
    let first = text
        .expect_code(0)
        .stdout
        .lines()
        .next()
        .unwrap_or_default();
    assert!(
        first.starts_with("prediction: good (0.") && first.contains(", long (0."),
        "{first}"
    );
    let none = workspace.svm("explain", &[texts[1], "--json"]).json();
    assert_eq!(none["prediction"]["labels"], serde_json::json!([]));
    // Labels that the model does not have are counted.
    let other = workspace.write("b.jsonl", "{\"text\":\"a film\",\"label\":[\"good\",\"new\"]}\n{\"text\":\"endless slow\",\"label\":[\"long\"]}\n");
    let other = other.to_str().unwrap();
    let found = workspace.svm("evaluate", &[other, "--json"]).json();
    assert_eq!(
        (&found["rows"], &found["unknown_labels"]["rows"]),
        (&1.into(), &1.into())
    );
    let check = workspace.svm("check", &[other]);
    assert!(
        check
            .expect_code(0)
            .stdout
            .contains("2 rows, 2 usable, 3 labels")
    );
}

/// The model has the same bytes on any number of threads, also with thresholds out of fold.
#[test]
fn thresholds_are_chosen_saved_and_subtracted() {
    let workspace = Workspace::new();
    let file = workspace.write("a.jsonl", rows(list));
    let flags = [
        "--multi-label",
        "--threshold-metric",
        "f1",
        "--calibration",
        "cv",
        "--no-report",
    ];
    let mut models = Vec::new();
    for threads in ["1", "3"] {
        let outcome = workspace.train(&file, &[&flags[..], &["--threads", threads]].concat());
        outcome.expect_code(0);
        assert!(
            outcome.stdout.contains("thresholds: chosen on 1"),
            "{}",
            outcome.stdout
        );
        models.push(workspace.model());
    }
    assert_eq!(models[0][2], models[1][2]);
    let mut config: Value = serde_json::from_slice(&models[0][0]).unwrap();
    let metrics: Value = serde_json::from_slice(&workspace.read("model/metrics.json")).unwrap();
    let chosen = &metrics["details"]["thresholds"];
    assert_eq!(chosen["chosen_on"], "train");
    for class in 0..2 {
        let [saved, shown] = [&config["thresholds"][class], &chosen["values"][class]].map(number);
        assert!((saved - shown).abs() < 1e-6, "{chosen}");
    }
    // No text is predicted above a threshold that no decision value reaches. Without checksums, as
    // a folder of an older version, which has no `columns` either.
    config["thresholds"] = serde_json::json!([100.0, 100.0]);
    for member in ["files", "columns"] {
        config.as_object_mut().unwrap().remove(member).unwrap();
    }
    workspace.write("model/config.json", config.to_string());
    let rows = records(
        &workspace
            .svm("predict", &["film fine lovely"])
            .expect_code(0)
            .stdout,
    );
    assert_eq!(&rows[0][1], "[]");
    config["thresholds"] = serde_json::json!([1.0]);
    workspace.write("model/config.json", config.to_string());
    let wrong = workspace.svm("predict", &["film"]);
    assert!(
        wrong
            .expect_code(1)
            .stderr
            .contains("expected `2` values of `thresholds`, found `1`")
    );
}

/// Two classes: a threshold moves the boundary of the second one.
#[test]
fn threshold_of_two_classes_raises_its_measure() {
    let mut recall = Vec::new();
    for flags in [&[] as &[&str], &["--threshold-metric", "balanced-accuracy"]] {
        // Few rows of the second class.
        let mut csv = "text,label\n".to_owned();
        for number in 0..300 {
            let (rare, other) = (number % 10 == 0, number % 4);
            let word = if rare || other == 1 { "hint" } else { "plain" };
            let _ = writeln!(csv, "{word} any{},{}", number % 13, u8::from(rare));
        }
        let workspace = Workspace::new();
        let file = workspace.write("a.csv", csv);
        let flags = [&["--calibration", "cv", "--no-report"], flags].concat();
        workspace.train(&file, &flags).expect_code(0);
        let found = workspace
            .svm("evaluate", &[file.to_str().unwrap(), "--json"])
            .json();
        recall.push(number(&found["per_class"][1]["recall"]));
    }
    assert!(recall[1] > recall[0] + 0.3, "{recall:?}");
}

#[test]
fn wrong_combinations_are_errors_with_help() {
    let workspace = Workspace::new();
    let path = movie_csv();
    let three = workspace.write("a.csv", "text,label\na,x\nb,y\nc,z\na b,x\nb c,y\nc a,z\n");
    for (file, flags, message) in [
        (
            &path,
            &["--label-separator", "|"][..],
            "expected no --label-separator",
        ),
        (
            &path,
            &["--label-column", "a", "--label-column", "b"],
            "expected one --label-column",
        ),
        (
            &path,
            &[
                "--multi-label",
                "--label-separator",
                "|",
                "--label-column",
                "a",
                "--label-column",
                "b",
            ],
            "found both",
        ),
        (
            &path,
            &[
                "--multi-label",
                "--label-column",
                "a",
                "--label-column",
                "a",
            ],
            "expected different --label-column, found `a` twice",
        ),
        (
            &three,
            &["--threshold-metric", "f1"],
            "expected two classes for --threshold-metric, found `3`",
        ),
    ] {
        let outcome = workspace.train(file, flags);
        outcome.expect_code(2);
        assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("help: "), "{}", outcome.stderr);
    }
}

/// `evaluate --label-column` read the separator's labels as one.
#[test]
fn separator_of_the_model_is_that_of_a_renamed_column() {
    let workspace = Workspace::new();
    let rows = rows(|good, long| format!("TEXT,{}", labels(good, long).join("|")));
    let file = workspace.write("a.csv", format!("text,label\n{rows}"));
    let flags = ["--multi-label", "--label-separator", "|", "--no-report"];
    workspace.train(&file, &flags).expect_code(0);
    let renamed = workspace.write("b.csv", format!("text,tags\n{rows}"));
    let renamed = [renamed.to_str().unwrap(), "--label-column", "tags"];
    let expected = workspace
        .svm("evaluate", &[file.to_str().unwrap(), "--json"])
        .json();
    let found = workspace
        .svm("evaluate", &[&renamed[..], &["--json"]].concat())
        .json();
    for name in ["rows", "samples_f1", "per_class", "unknown_labels"] {
        assert_eq!(found[name], expected[name], "{name}");
    }
    // Both: the help is obeyed.
    let both = [&renamed[..], &["--label-column", "b"]].concat();
    let outcome = workspace.svm(
        "evaluate",
        &[&both[..], &["--label-separator", "|"]].concat(),
    );
    let help = "help: leave out --label-separator, or give one --label-column";
    let stderr = &outcome.expect_code(2).stderr;
    assert!(stderr.contains(help), "{stderr}");
    let one = [&renamed[..], &["--label-separator", "|"]].concat();
    workspace.svm("evaluate", &one).expect_code(0);
}

/// `evaluate` and `check` name their own options.
#[test]
fn help_for_several_labels_depends_on_the_command() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let path = movie_csv();
    let path = path.to_str().unwrap();
    let separator = ["--label-separator", "|"];
    let two = ["--label-column", "label", "--label-column", "b"];
    for (command, flags, message, help) in [
        (
            "evaluate",
            &separator[..],
            "expected no --label-separator: the model has one label per row",
            "help: leave out --label-separator\n",
        ),
        (
            "evaluate",
            &two,
            "expected no further --label-column: the model has one label per row",
            "help: leave out further --label-column\n",
        ),
        (
            "check",
            &separator,
            "expected no --label-separator: rows have one label",
            "help: leave out --label-separator, or pass --multi-label\n",
        ),
    ] {
        let outcome = workspace.svm(command, &[&[path], flags].concat());
        let stderr = &outcome.expect_code(2).stderr;
        assert!(
            stderr.contains(message) && stderr.contains(help),
            "{stderr}"
        );
    }
    workspace.svm("evaluate", &[path]).expect_code(0);
    let flags = [&[path, "--multi-label"], &separator[..]].concat();
    workspace.svm("check", &flags).expect_code(0);
}

/// Returns a model and its rows, and a model of rows with the other half of one label.
fn models_that_differ(content: &str) -> (Workspace, Workspace, PathBuf) {
    let (workspace, other) = (Workspace::new(), Workspace::new());
    let file = workspace.write("a.jsonl", content);
    let flags = ["--multi-label", "--no-report", "--calibration", "cv"];
    workspace.train(&file, &flags).expect_code(0);
    let inverted = other.write("b.jsonl", rows(|good, long| list(good, !long)));
    other.train(&inverted, &flags).expect_code(0);
    (workspace, other, file)
}

/// A row is right if all its labels are, for the folder of another model and for its predictions.
#[test]
fn comparison_is_that_of_whole_sets() {
    let content = rows(list);
    let (workspace, other, file) = models_that_differ(&content);
    let file = file.to_str().unwrap();
    let lines = |text: &str| -> Vec<Value> {
        let rows = text.lines().map(|row| serde_json::from_str(row).unwrap());
        rows.collect()
    };
    let truth = lines(&content);
    let right = |workspace: &Workspace| -> Vec<bool> {
        let predicted = workspace.svm("predict", &["--input", file, "--format", "jsonl"]);
        let predicted = lines(&predicted.expect_code(0).stdout);
        let pairs = predicted.iter().zip(&truth);
        pairs
            .map(|(row, of)| row["labels"] == of["label"])
            .collect()
    };
    let (ours, theirs) = (right(&workspace), right(&other));
    let predicted = other.path("predicted.csv");
    let flags = ["--input", file, "--output", predicted.to_str().unwrap()];
    other.svm("predict", &flags).expect_code(0);
    for path in [other.path("model"), predicted] {
        let flags = [file, "--json", "--against", path.to_str().unwrap()];
        let comparison = workspace.svm("evaluate", &flags).json()["comparison"].clone();
        for (name, this, that) in [
            ("both_right", true, true),
            ("only_this_right", true, false),
            ("only_other_right", false, true),
            ("both_wrong", false, false),
        ] {
            let pairs = ours.iter().zip(&theirs);
            let count = pairs.filter(|(a, b)| (**a, **b) == (this, that)).count();
            assert_eq!(comparison[name], count, "{name} {}", path.display());
        }
        assert!(number(&comparison["difference"]) > 0.5, "{comparison}");
    }
    let model = other.path("model");
    let shown = workspace.svm("evaluate", &[file, "--against", model.to_str().unwrap()]);
    let stdout = &shown.expect_code(0).stdout;
    for part in [
        "\nsubset accuracy  0.",
        "\nno labels        39 ",
        "\nlog loss         0.",
        "\ndifference       +0.",
        "(subset accuracy of `",
    ] {
        assert!(stdout.contains(part), "{stdout}");
    }
}

/// Only `train` printed the number, and a mistyped key in nearly all rows gave a useless model.
#[test]
fn rows_without_labels_are_counted_and_a_warning_if_nearly_all() {
    let workspace = Workspace::new();
    let wrong = |row: &str| row.replace("\"label\"", "\"lable\"");
    let file = workspace.write("a.jsonl", rows(list) + &wrong(&rows(list)).repeat(10));
    let path = file.to_str().unwrap();
    let checked = workspace.svm("check", &[path, "--multi-label"]);
    let stdout = &checked.expect_code(0).stdout;
    assert!(stdout.contains("\n1239 rows without labels\n"), "{stdout}");
    let checked = workspace.svm("check", &[path, "--multi-label", "--json"]);
    assert!(checked.stdout.contains("\"rows_without_labels\":1239"));
    let outcome = workspace.train(&file, &["--multi-label", "--no-report"]);
    let warning = "1239 of 1320 rows have no labels in `label`";
    let stderr = &outcome.expect_code(0).stderr;
    assert!(stderr.contains(warning), "{stderr}");
}

/// One column per label: the error was that both forms were given.
#[test]
fn separator_without_its_column_is_named() {
    let workspace = Workspace::new();
    let form = |good: bool, long: bool| format!("TEXT,{},{}", u8::from(good), u8::from(long));
    let file = workspace.write("a.csv", format!("text,good,long\n{}", rows(form)));
    let two = ["--label-column", "good", "--label-column", "long"];
    let flags = [&["--multi-label", "--no-report"], &two[..]].concat();
    workspace.train(&file, &flags).expect_code(0);
    let joined = rows(|good, long| format!("TEXT,{}", labels(good, long).join("|")));
    let joined = workspace.write("b.csv", format!("text,label\n{joined}"));
    let flags = [joined.to_str().unwrap(), "--label-separator", "|"];
    let outcome = workspace.svm("evaluate", &flags);
    let stderr = &outcome.expect_code(2).stderr;
    let help = "help: add --label-column NAME, the column of the joined labels";
    assert!(stderr.contains(help), "{stderr}");
    let flags = [&flags[..], &["--label-column", "label"]].concat();
    workspace.svm("evaluate", &flags).expect_code(0);
}

/// A job can be tuned on the micro-F1, the first number that `train` prints.
#[test]
fn micro_f1_is_in_the_metric_lines() {
    let workspace = Workspace::new();
    let file = workspace.write("a.jsonl", rows(list));
    let flags = ["--multi-label", "--no-report", "--metric-lines"];
    let outcome = workspace.train(&file, &flags);
    let stdout = &outcome.expect_code(0).stdout;
    let shown = stdout.strip_prefix("micro-F1 ").unwrap();
    let shown: f64 = shown.split(',').next().unwrap().parse().unwrap();
    let (_, line) = outcome.stderr.split_once("validation:micro_f1=").unwrap();
    let value: f64 = line.split(';').next().unwrap().parse().unwrap();
    assert!((value - shown).abs() < 1e-4, "{value} {shown}");
}

/// Joined labels of a model of lists: rows were not scored, and the help named --label-column.
#[test]
fn help_about_joined_labels_names_the_separator() {
    let workspace = Workspace::new();
    let file = workspace.write("a.jsonl", rows(list));
    let flags = ["--multi-label", "--no-report"];
    workspace.train(&file, &flags).expect_code(0);
    let joined = rows(|good, long| format!("TEXT,{}", labels(good, long).join("|")));
    let joined = workspace.write("b.csv", format!("text,label\n{joined}"));
    let joined = joined.to_str().unwrap();
    let outcome = workspace.svm("evaluate", &[joined]);
    let help = "help: pass --label-separator '|' if `good|long` is several labels";
    let stderr = &outcome.expect_code(0).stderr;
    assert!(
        stderr.contains("not scored: ") && stderr.contains(help),
        "{stderr}"
    );
    let flags = [joined, "--label-separator", "|"];
    let outcome = workspace.svm("evaluate", &flags);
    assert!(!outcome.expect_code(0).stderr.contains("not scored"));
}

/// The note was "of 2 of 2 classes".
#[test]
fn macro_f1_names_the_classes_without_rows() {
    let workspace = Workspace::new();
    let file = workspace.write("a.jsonl", rows(list));
    let flags = ["--multi-label", "--no-report"];
    workspace.train(&file, &flags).expect_code(0);
    let good = workspace.write(
        "b.jsonl",
        "{\"text\":\"fine lovely\",\"label\":[\"good\"]}\n",
    );
    let outcome = workspace.svm("evaluate", &[good.to_str().unwrap()]);
    let stdout = &outcome.expect_code(0).stdout;
    assert!(
        stdout.contains(" of 2 classes (1 without rows)\n") && !stdout.contains("of 2 of"),
        "{stdout}"
    );
}

#[test]
fn model_with_one_label_is_not_compared() {
    let (workspace, _, file) = models_that_differ(&rows(list));
    let single = Workspace::with_model(&["--no-report"]);
    let path = single.path("model");
    let flags = [file.to_str().unwrap(), "--against", path.to_str().unwrap()];
    let stderr = &workspace
        .svm("evaluate", &flags)
        .expect_code(2)
        .stderr
        .clone();
    let message =
        "expected a model with several labels per row for --against, found one with one label";
    assert!(
        stderr.contains(message) && stderr.contains("help: pass a model of the same kind"),
        "{stderr}"
    );
}

/// Predictions of the same model, joined with a separator that the evaluated one does not have, had
/// another accuracy, with a p-value below 0.0001 and without a warning. JSON lines were refused.
#[test]
fn predictions_with_another_separator_are_a_warning() {
    let (workspace, joined) = (Workspace::new(), Workspace::new());
    let file = workspace.write("a.jsonl", rows(list));
    let flags = ["--multi-label", "--no-report", "--seed", "3"];
    workspace.train(&file, &flags).expect_code(0);
    let csv = rows(|good, long| format!("TEXT,{}", labels(good, long).join("|")));
    let csv = joined.write("a.csv", format!("text,label\n{csv}"));
    let separator = ["--label-separator", "|"];
    joined
        .train(&csv, &[&flags[..], &separator].concat())
        .expect_code(0);
    let file = file.to_str().unwrap();
    let difference = |name: &str, more: &[&str]| {
        let path = joined.path(name);
        let path = path.to_str().unwrap();
        let flags = ["--input", file, "--output", path];
        joined.svm("predict", &flags).expect_code(0);
        let flags = [&[file, "--json", "--against", path], more].concat();
        let outcome = workspace.svm("evaluate", &flags);
        let found = outcome.expect_code(0).json();
        let difference = number(&found["comparison"]["difference"]);
        (difference, found["warnings"].to_string())
    };
    let (wrong, warnings) = difference("b.csv", &[]);
    assert!(wrong > 0.05);
    for part in [
        " predicted labels that the evaluated model does not have, never right: `good|long`",
        "if `good|long` is several labels, run `predict` with an --output that ends in .jsonl",
        "or pass --label-separator '|'",
    ] {
        assert!(warnings.contains(part), "{warnings}");
    }
    // Obeyed.
    for (right, warnings) in [difference("b.jsonl", &[]), difference("b.csv", &separator)] {
        assert_eq!(right, 0.0);
        assert!(!warnings.contains("predicted labels"), "{warnings}");
    }
}

/// A label with the separator in it: a model did not agree with its own predictions.
#[test]
fn labels_with_the_separator_are_predicted_as_lists() {
    let workspace = Workspace::new();
    let text = "{\"text\":\"good film\",\"label\":[\"x|y\"]}\n{\"text\":\"bad movie\",\"label\":\
                [\"z\"]}\n{\"text\":\"good film bad movie\",\"label\":[\"x|y\",\"z\"]}\n";
    let file = workspace.write("a.jsonl", text.repeat(9));
    let flags = ["--multi-label", "--label-separator", "|", "--min-df", "1"];
    workspace
        .train(&file, &[&flags[..], &["--no-report"]].concat())
        .expect_code(0);
    let file = file.to_str().unwrap();
    for (name, warns) in [("b.csv", true), ("b.jsonl", false)] {
        let path = workspace.path(name);
        let path = path.to_str().unwrap();
        let flags = ["--input", file, "--output", path];
        let predicted = workspace.svm("predict", &flags);
        let warning = "joined with `|`, which is also in the label `x|y`";
        assert_eq!(predicted.expect_code(0).stderr.contains(warning), warns);
        let outcome = workspace.svm("evaluate", &[file, "--json", "--against", path]);
        let found = outcome.expect_code(0).json();
        assert_eq!(number(&found["comparison"]["difference"]) == 0.0, !warns);
        let warnings = found["warnings"].to_string();
        let help = "the separator is also in a label of the evaluated model: run `predict`";
        assert_eq!(warnings.contains(help), warns, "{warnings}");
    }
}

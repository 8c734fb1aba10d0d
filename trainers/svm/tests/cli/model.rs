//! `train`, `evaluate`, `check` and `explain`.

use std::path::Path;
use std::process::Command;

use regex::Regex;
use serde_json::Value;
use testkit::{Outcome, movie_csv, movie_rows, run, to_csv};

use super::{BIN, Workspace, number};

#[test]
fn train_prints_metrics_and_paths() {
    let workspace = Workspace::new();
    let outcome = workspace.train(&movie_csv(), &[]);
    outcome.expect_code(0);
    let output = &outcome.stdout;
    let accuracy = Regex::new(
        r"^accuracy (0\.\d{4}) \(0\.\d{4} to 0\.\d{4}\), macro-F1 0\.\d{4} on 60 validation rows\n",
    )
    .unwrap();
    let accuracy: f64 = accuracy.captures(output).expect(output)[1].parse().unwrap();
    assert!(accuracy > 0.7, "{output}");
    for name in ["model", "report"] {
        let path = output
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")))
            .unwrap();
        assert!(Path::new(path).exists(), "{path}");
    }
    assert!(
        outcome
            .stderr
            .contains("train: 600 rows read, 600 used, none dropped")
    );

    let metrics: Value = serde_json::from_slice(&workspace.read("model/metrics.json")).unwrap();
    assert!((number(&metrics["accuracy"]) - accuracy).abs() < 1e-4);
    assert_eq!(metrics["measured_on"], "validation");
    assert_eq!(metrics["parameters"]["min_df"], 2);
    let file = &metrics["data"]["train"]["files"][0];
    assert_eq!(file["rows_read"], 600);
    assert_eq!(file["sha256"].as_str().unwrap().len(), 64);
    let config: Value = serde_json::from_slice(&workspace.read("model/config.json")).unwrap();
    assert_eq!(config["id2label"]["1"], "1");
    assert_eq!(config["label2id"]["1"], 1);
}

#[test]
fn report_has_no_external_resources() {
    let workspace = Workspace::with_model(&[]);
    let page = String::from_utf8(workspace.read("model/report.html")).unwrap();
    assert!(
        page.len() > 20_000 && page.contains("<svg"),
        "a page of {} bytes",
        page.len()
    );
    // Attributes and rules that load something; names of namespaces are not loaded.
    let loads = Regex::new(r#"(?i)(?:src|href|action|data|poster|srcset)\s*=\s*["']?\s*(?:https?:)?//|url\(\s*["']?\s*(?:https?:)?//|@import|<script[^>]+src|<link\b"#).unwrap();
    assert!(loads.find(&page).is_none(), "{:?}", loads.find(&page));
    // `--no-report` also removes the report of an older model.
    workspace
        .train(&movie_csv(), &["--no-report"])
        .expect_code(0);
    assert!(!workspace.path("model/report.html").exists());
}

#[test]
fn evaluate_agrees_with_train() {
    let workspace = Workspace::new();
    let rows = movie_rows();
    let train = workspace.write("train.csv", to_csv(&rows[..400]));
    let test = workspace.write("test.csv", to_csv(&rows[400..]));
    let outcome = workspace.train(
        &train,
        &["--test", test.to_str().unwrap(), "--json", "--no-report"],
    );
    let measured = outcome.expect_code(0).json();
    assert_eq!(measured["measured_on"], "test");
    let evaluated = workspace.svm("evaluate", &["--data", test.to_str().unwrap(), "--json"]);
    let evaluated = evaluated.expect_code(0).json();
    assert_eq!(evaluated["rows"], 200);
    for name in ["accuracy", "macro_f1", "log_loss", "ece"] {
        assert!(
            (number(&measured[name]) - number(&evaluated[name])).abs() < 1e-6,
            "{name}"
        );
        assert!(
            (number(&measured["test"][name]) - number(&evaluated[name])).abs() < 1e-6,
            "{name}"
        );
    }
    let text = workspace.svm("evaluate", &["--data", test.to_str().unwrap()]);
    assert!(text.expect_code(0).stdout.contains(&format!(
        "accuracy         {:.4}",
        number(&evaluated["accuracy"])
    )));
}

fn check(path: &Path, more: &[&str]) -> Outcome {
    let mut command = Command::new(BIN);
    command.env_clear().args(["check", "--data"]);
    command.arg(path).args(more);
    run(command)
}

#[test]
fn check_lists_findings() {
    let workspace = Workspace::new();
    let outcome = check(&movie_csv(), &[]);
    outcome.expect_code(0);
    assert!(
        outcome.stdout.contains("600 rows, 600 usable, 2 labels"),
        "{}",
        outcome.stdout
    );

    let bad = workspace.write(
        "bad.csv",
        "text,label\ngood,1\nbad,\nfine,1,2\ngood,0\n,1\nawful,0\n",
    );
    let outcome = check(&bad, &["--json"]);
    outcome.expect_code(1);
    let lines: Vec<Value> = outcome
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (summary, findings) = lines.split_last().unwrap();
    assert_eq!(summary["summary"]["rows"]["read"], 6);
    for (code, line) in [("D014", 3), ("D010", 4), ("D021", 5), ("D013", 6)] {
        let found = findings.iter().find(|finding| finding["code"] == code);
        assert_eq!(
            found.expect(code)["place"]["line"],
            line,
            "{code}: {findings:?}"
        );
        assert_eq!(summary["findings"][code], 1);
    }

    let outcome = check(&bad, &["--error-format", "json"]);
    outcome.expect_code(1);
    let report: Value = serde_json::from_str(outcome.stderr.lines().last().unwrap()).unwrap();
    let error = &report["error"];
    let diagnostics = error["diagnostics"].as_array().unwrap();
    assert_eq!(diagnostics.len(), 3, "errors without warnings");
    let help = "fix them, or pass --drop-malformed and --drop-missing to `train`";
    assert_eq!(error["help"][0], help);
    let one_class = workspace.write("one_class.csv", "text,label\ngood,1\nfine,1\n");
    let outcome = check(&one_class, &[]);
    outcome.expect_code(1);
    assert!(
        outcome.stderr.ends_with("help: fix them\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn explain_lists_terms() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let why = workspace
        .svm(
            "explain",
            &["--json", "--top", "3", "a wonderful, bad film"],
        )
        .json();
    let words = |class: usize| {
        why["classes"][class]["features"]
            .as_array()
            .unwrap()
            .to_vec()
    };
    assert_eq!(
        (&words(0)[0][0], &words(1)[0][0]),
        (&"bad".into(), &"wonderful".into())
    );
    assert!(words(0).len() <= 3 && number(&words(1)[0][1]) > 0.0);
    let whole = workspace.svm("explain", &[] as &[&str]).stdout;
    assert!(
        whole.contains("for 0\n") && whole.lines().count() == 32,
        "{whole}"
    );
}

#[test]
fn model_is_byte_identical_for_any_number_of_threads() {
    let rows = testkit::data_dir().join("ag_news/train.csv");
    let rows = if rows.is_file() { rows } else { movie_csv() };
    for flags in [
        &["--calibration", "cv"][..],
        &["--tune", "--tune-trials", "3"],
        &["--weighting", "nbsvm"],
    ] {
        let model = |more: &[&str]| {
            let workspace = Workspace::new();
            workspace
                .train(&rows, &[flags, &["--no-report"], more].concat())
                .expect_code(0);
            workspace.model()
        };
        let one = model(&["--threads", "1"]);
        assert!(one == model(&["--threads", "1"]), "{flags:?}: another run");
        assert!(one == model(&["--threads", "2"]), "{flags:?}: two threads");
        assert!(one == model(&["--threads", "5"]), "{flags:?}: five threads");
        assert!(
            one != model(&["--threads", "1", "--seed", "1"]),
            "{flags:?}: the seed must matter"
        );
    }
}

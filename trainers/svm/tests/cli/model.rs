//! What `train` writes, what `evaluate` measures and what `explain` tells.

use std::path::Path;
use std::process::Command;

use regex::Regex;
use serde_json::Value;
use testkit::{movie_csv, movie_rows, run, to_csv};

use super::{BIN, Home, number};

#[test]
fn train_says_what_it_made_and_where() {
    let home = Home::new();
    let outcome = home.train(&movie_csv(), &[]);
    outcome.expect_code(0);
    let said = &outcome.stdout;
    let accuracy = Regex::new(
        r"^accuracy (0\.\d{4}) \(0\.\d{4} to 0\.\d{4}\), macro-F1 0\.\d{4} on 60 validation rows\n",
    )
    .unwrap();
    let accuracy: f64 = accuracy.captures(said).expect(said)[1].parse().unwrap();
    assert!(accuracy > 0.7, "{said}");
    for name in ["model", "report"] {
        let path = said
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

    let metrics: Value = serde_json::from_slice(&home.read("model/metrics.json")).unwrap();
    assert!((number(&metrics["accuracy"]) - accuracy).abs() < 1e-4);
    assert_eq!(metrics["measured_on"], "validation");
    assert_eq!(metrics["parameters"]["max_ngrams"], "2");
    let file = &metrics["data"]["train"]["files"][0];
    assert_eq!(file["rows_read"], 600);
    assert_eq!(file["sha256"].as_str().unwrap().len(), 64);
    let config: Value = serde_json::from_slice(&home.read("model/config.json")).unwrap();
    assert_eq!(config["id2label"]["1"], "1");
    assert_eq!(config["label2id"]["1"], 1);
}

#[test]
fn the_report_loads_nothing() {
    let home = Home::with_model(&[]);
    let page = String::from_utf8(home.read("model/report.html")).unwrap();
    assert!(
        page.len() > 20_000 && page.contains("<svg"),
        "a page of {} bytes",
        page.len()
    );
    // A namespace's name is not loaded; anything that is stands in one of these.
    let loads = Regex::new(r#"(?i)(?:src|href|action|data|poster|srcset)\s*=\s*["']?\s*(?:https?:)?//|url\(\s*["']?\s*(?:https?:)?//|@import|<script[^>]+src|<link\b"#).unwrap();
    assert!(loads.find(&page).is_none(), "{:?}", loads.find(&page));
    // `--no-report` writes none, and one of an older model goes with it.
    home.train(&movie_csv(), &["--no-report"]).expect_code(0);
    assert!(!home.path("model/report.html").exists());
}

#[test]
fn evaluate_agrees_with_what_train_measured() {
    let home = Home::new();
    let rows = movie_rows();
    let train = home.write("train.csv", to_csv(&rows[..400]));
    let test = home.write("test.csv", to_csv(&rows[400..]));
    let outcome = home.train(
        &train,
        &["--test", test.to_str().unwrap(), "--json", "--no-report"],
    );
    let measured = outcome.expect_code(0).json();
    assert_eq!(measured["measured_on"], "test");
    let judged = home.svm("evaluate", &["--data", test.to_str().unwrap(), "--json"]);
    let judged = judged.expect_code(0).json();
    assert_eq!(judged["rows"], 200);
    for name in ["accuracy", "macro_f1", "log_loss", "ece"] {
        assert!(
            (number(&measured[name]) - number(&judged[name])).abs() < 1e-6,
            "{name}"
        );
        assert!(
            (number(&measured["test"][name]) - number(&judged[name])).abs() < 1e-6,
            "{name}"
        );
    }
    let told = home.svm("evaluate", &["--data", test.to_str().unwrap()]);
    assert!(
        told.expect_code(0)
            .stdout
            .contains(&format!("accuracy  {:.4}", number(&judged["accuracy"])))
    );
}

#[test]
fn check_lists_what_is_wrong_and_explain_says_why() {
    let home = Home::with_model(&["--no-report"]);
    let check = |path: &Path, more: &[&str]| {
        let mut command = Command::new(BIN);
        command
            .env_clear()
            .arg("check")
            .arg("--data")
            .arg(path)
            .args(more);
        run(command)
    };
    let outcome = check(&movie_csv(), &[]);
    outcome.expect_code(0);
    assert!(
        outcome.stdout.contains("600 rows, 600 usable, 2 labels"),
        "{}",
        outcome.stdout
    );

    let bad = home.write(
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
    assert_eq!(summary["summary"]["account"]["read"], 6);
    for (code, line) in [("D014", 3), ("D010", 4), ("D021", 5), ("D013", 6)] {
        let found = findings.iter().find(|finding| finding["code"] == code);
        assert_eq!(
            found.expect(code)["place"]["line"],
            line,
            "{code}: {findings:?}"
        );
        assert_eq!(summary["findings"][code], 1);
    }

    let why = home
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
    let whole = home.svm("explain", &[] as &[&str]).stdout;
    assert!(
        whole.contains("for 0\n") && whole.lines().count() == 32,
        "{whole}"
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let rows = testkit::data_dir().join("ag_news/train.csv");
    let rows = if rows.is_file() { rows } else { movie_csv() };
    for flags in [
        &["--calibration", "cv"][..],
        &["--tune", "--tune-trials", "3"],
        &["--weighting", "nbsvm"],
    ] {
        let model = |more: &[&str]| {
            let home = Home::new();
            home.train(&rows, &[flags, &["--no-report"], more].concat())
                .expect_code(0);
            home.model()
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

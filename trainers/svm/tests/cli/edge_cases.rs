//! Rare classes, C at the ends of its range, and invalid configurations.

use serde_json::{Value, json};

use super::{Workspace, number};

/// Two large classes and `rare` rows of a third one.
fn rows_with_a_rare_class(rare: usize) -> String {
    let mut csv = "text,label\n".to_owned();
    for row in 0..60 {
        let (word, label) = [("good fine", "pos"), ("bad poor", "neg")][row % 2];
        csv.push_str(&format!("{word} film number{}{row},{label}\n", row % 5));
    }
    for row in 0..rare {
        csv.push_str(&format!("strange odd film thing{row},odd\n"));
    }
    csv
}

#[test]
fn fold_without_a_class_is_ok() {
    let workspace = Workspace::new();
    for rare in [1, 2] {
        let rows = workspace.write("rows.csv", rows_with_a_rare_class(rare));
        for flags in [
            &["--tune", "--tune-trials", "3"][..],
            &["--tune", "--tune-trials", "2", "--class-weight", "balanced"],
            &["--calibration", "cv"],
            &["--calibration", "cv", "--loss", "log"],
            &["--calibration", "cv", "--kernel", "rbf"],
        ] {
            let more = ["--validation-split", "0", "--no-report"];
            workspace
                .train(&rows, &[flags, &more[..]].concat())
                .expect_code(0);
            let answer = workspace
                .svm("predict", &["--format", "jsonl", "a good fine film"])
                .json();
            let text = answer.to_string();
            assert!(
                text.contains("pos") && !text.contains("null"),
                "{flags:?}: {text}"
            );
        }
    }
}

#[test]
fn class_without_calibration_rows_is_a_warning() {
    let workspace = Workspace::new();
    let train = workspace.write("rows.csv", rows_with_a_rare_class(4));
    let validation = workspace.write("validation.csv", rows_with_a_rare_class(0));
    let outcome = workspace.train(
        &train,
        &[
            "--validation",
            validation.to_str().unwrap(),
            "--json",
            "--no-report",
        ],
    );
    let measured = outcome.expect_code(0).json();
    assert!(number(&measured["log_loss"]).is_finite());
    assert!(
        outcome.stderr.contains("rough probabilities of `odd`")
            && outcome.stderr.contains("use --calibration cv"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn c_at_both_ends_of_its_range_gives_finite_scores() {
    let workspace = Workspace::new();
    let rows = workspace.write("rows.csv", rows_with_a_rare_class(4));
    for loss in ["hinge", "squared_hinge", "log"] {
        for c in ["1e-30", "1e30"] {
            let flags = ["--loss", loss, "--c", c, "--max-iter", "50", "--no-report"];
            workspace.train(&rows, &flags).expect_code(0);
            let answer = workspace
                .svm("predict", &["--format", "jsonl", "a good fine film"])
                .json();
            // There may be no probability if all decision values are near 0, but always a score.
            assert!(number(&answer["score"]).is_finite(), "{loss} {c}: {answer}");
            assert_ne!(answer["score"], 0.0, "{loss} {c}: {answer}");
        }
    }
}

#[test]
fn invalid_config_is_an_error() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let whole: Value = serde_json::from_slice(&workspace.read("model/config.json")).unwrap();
    for (name, value) in [
        ("max_ngrams", json!(0)),
        ("max_ngrams", json!(256)),
        ("min_word_length", json!(0)),
        ("min_word_length", json!(3)),
        ("min_ngrams", json!(0)),
        ("min_ngrams", json!(3)),
        ("id2label", json!({"0": "0", "2": "1"})),
        ("id2label", json!({"1": "0", "2": "1"})),
    ] {
        let mut config = whole.clone();
        config[name] = value;
        workspace.write("model/config.json", config.to_string());
        let outcome = workspace.svm("predict", &["a good film"]);
        outcome.expect_code(1);
        assert!(
            outcome.stderr.contains(&format!("`{name}`")) && outcome.stderr.contains("help:"),
            "{name}: {}",
            outcome.stderr
        );
    }
}

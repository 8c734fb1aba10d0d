//! Rows with several labels, with scikit-learn as the judge.

use testkit::{judge, several_label_rows, to_csv};

use super::{close, number, predict, svm, train};

/// Issue 17: `OneVsRestClassifier` predicts the same, and scikit-learn has the same metrics.
#[test]
fn sets_and_metrics_are_those_of_scikit_learn() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (train_rows, test_rows, model) = (at("train.csv"), at("test.csv"), at("model"));
    std::fs::write(&train_rows, to_csv(&several_label_rows(800, 1))).unwrap();
    std::fs::write(&test_rows, to_csv(&several_label_rows(600, 2))).unwrap();
    let predictions = at("predictions.jsonl");
    let several = ["--multi-label", "--label-separator", "|"];
    let uncalibrated = [
        "--calibration",
        "none",
        "--validation-split",
        "0",
        "--tol",
        "1e-6",
    ];
    for (flags, is_twin) in [
        (&uncalibrated[..], true),
        (&["--tol", "0.0001"], false),
        (&["--threshold-metric", "f1", "--calibration", "cv"], false),
    ] {
        train(&train_rows, &model, &[&several[..], flags].concat());
        std::fs::write(&predictions, predict(&model, &test_rows)).unwrap();
        let paths = [&train_rows, &test_rows, &predictions].map(|path| path.to_str().unwrap());
        let theirs = judge("multilabel", &[&paths[..], &["--twin", "svm"]].concat());
        let [model, test_rows] = [&model, &test_rows].map(|path| path.to_str().unwrap());
        let ours = svm(&["evaluate", "--json", "--model-dir", model, test_rows]).json();
        for (name, value) in theirs["metrics"].as_object().unwrap() {
            close(&ours[name], value, 1e-6, name);
        }
        assert_eq!(ours["rows"], 600);
        assert!(
            ours["rows_without_labels"].as_u64().unwrap() > 100,
            "{ours}"
        );
        let (twin, equal) = (number(&theirs["twin"]), number(&theirs["equal"]));
        assert!(twin > 0.6, "the labels can be learnt: {theirs}");
        if is_twin {
            assert!(equal > 0.998, "{theirs}");
        }
        let found = number(&ours["micro_f1"]);
        assert!(found > twin - 0.02, "{flags:?}: {found}, {theirs}");
    }
}

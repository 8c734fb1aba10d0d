//! Compares `evaluate --json` with the metrics of scikit-learn.

use testkit::judge;

use super::{close, data, predict, svm, train};

#[track_caller]
fn compare(set: &str, flags: &[&str]) {
    let (rows, test) = (
        data(&format!("{set}/train.csv")),
        data(&format!("{set}/test.csv")),
    );
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    train(&rows, &model, flags);
    let predictions = folder.path().join("predictions.jsonl");
    std::fs::write(&predictions, predict(&model, &test)).unwrap();
    let reference = judge("metrics", &[&predictions, &test]);

    let [model, test] = [&model, &test].map(|path| path.to_str().unwrap());
    let found = svm(&["evaluate", "--model-dir", model, "--data", test, "--json"]).json();
    assert_eq!(found["rows"], reference["rows"]);
    assert_eq!(found["confusion"], reference["confusion"]);
    for name in ["accuracy", "macro_f1"] {
        close(&found[name], &reference[name], 1e-9, name);
    }
    let calibrated = !flags.contains(&"none");
    assert_eq!(found["log_loss"].is_number(), calibrated);
    let labels = reference["labels"].as_array().unwrap();
    let classes = found["per_class"].as_array().unwrap();
    assert_eq!(labels.len(), classes.len());
    for (label, class) in labels.iter().zip(classes) {
        assert_eq!(&class["label"], label);
        let theirs = &reference["per_class"][label.as_str().unwrap()];
        assert_eq!(class["support"], theirs["support"]);
        for name in ["precision", "recall", "f1"] {
            close(&class[name], &theirs[name], 1e-9, name);
        }
        for name in ["roc_auc", "average_precision"] {
            if calibrated {
                close(&class[name], &theirs[name], 1e-6, name);
            }
        }
    }
    if calibrated {
        close(&found["log_loss"], &reference["log_loss"], 1e-5, "log_loss");
        close(&found["ece"], &reference["ece"], 1e-6, "ece");
    }
}

#[test]
fn two_classes_calibrated_on_validation_rows() {
    compare("sms_spam", &["--calibration", "auto"]);
}

#[test]
fn four_classes_calibrated_by_cross_validation() {
    compare(
        "ag_news",
        &["--calibration", "cv", "--validation-split", "0"],
    );
}

#[test]
fn uncalibrated() {
    compare("ag_news", &["--calibration", "none", "--loss", "hinge"]);
}

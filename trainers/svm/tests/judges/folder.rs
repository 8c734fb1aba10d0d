//! Reads the model folder with the documented Python code and compares predictions.

use serde_json::Value;
use testkit::judge_cases;

use super::{close, data, number, predict, train};

/// Compares the models of these flags.
#[track_caller]
fn compare(set: &str, all_flags: &[&str]) {
    let (rows, test) = (
        data(&format!("{set}/train.csv")),
        data(&format!("{set}/test.csv")),
    );
    let home = tempfile::tempdir().unwrap();
    let (mut answers, mut cases) = (Vec::new(), Vec::new());
    for flags in all_flags {
        let folder = home.path().join(cases.len().to_string());
        train(
            &rows,
            &folder,
            &flags.split_whitespace().collect::<Vec<_>>(),
        );
        answers.push(predict(&folder, &test));
        cases.push(
            [&folder, &test]
                .map(|path| path.to_str().unwrap().to_owned())
                .to_vec(),
        );
    }
    for (read, answers) in judge_cases("read_model", &cases).iter().zip(&answers) {
        assert_equal(read, answers);
    }
}

/// Asserts that the answers of `predict` are those of the documented code.
#[track_caller]
fn assert_equal(read: &Value, answers: &str) {
    let (mut sure, mut rows) = (0, 0);
    for (row, answer) in answers.lines().enumerate() {
        let answer: Value = serde_json::from_str(answer).unwrap();
        let decisions = read["decision"][row].as_array().unwrap();
        let labels = read["labels"].as_array().unwrap();
        let class = labels
            .iter()
            .position(|label| *label == answer["label"])
            .unwrap();
        let theirs = match (decisions.as_slice(), class) {
            ([decision], 0) => (-decision.as_f64().unwrap()).into(),
            ([decision], _) => decision.clone(),
            (decisions, class) => decisions[class].clone(),
        };
        close(
            &answer["score"],
            &theirs,
            2e-5,
            &format!("decision of row {row}"),
        );
        // Single and double precision may differ if two classes are nearly equal.
        let score = number(&theirs);
        let near = decisions.iter().map(number);
        let tie = match decisions.len() {
            1 => score.abs() < 1e-5,
            _ => near.filter(|d| (d - score).abs() < 1e-5).count() > 1,
        };
        if let Some(probabilities) = read["probability"].as_array() {
            let theirs: Vec<f64> = probabilities[row]
                .as_array()
                .unwrap()
                .iter()
                .map(number)
                .collect();
            let label = answer["label"].as_str().unwrap();
            let ours = number(&answer["probabilities"][label]);
            assert!(
                (ours - theirs[class]).abs() < 1e-4,
                "row {row}: {ours} {theirs:?}"
            );
        }
        if !tie {
            assert_eq!(answer["label"], read["predicted"][row], "row {row}");
            sure += 1;
        }
        rows += 1;
    }
    assert_eq!(rows, read["predicted"].as_array().unwrap().len());
    assert!(
        sure * 100 > rows * 98,
        "{sure} of {rows} rows were compared"
    );
}

#[test]
fn two_classes() {
    let uncalibrated = "--calibration none --sublinear-tf --min-word-length 1";
    compare("sms_spam", &["", uncalibrated]);
}

#[test]
fn two_classes_with_naive_bayes_weights() {
    compare("sms_spam", &["--weighting nbsvm --max-ngrams 3"]);
}

#[test]
fn four_classes() {
    compare("ag_news", &["--stopwords english", "--calibration none"]);
}

#[test]
fn four_classes_with_naive_bayes_weights() {
    compare("ag_news", &["--weighting nbsvm"]);
}

/// scikit-learn has the same tokens with every analyzer that is in the folder.
#[test]
fn analyzers() {
    let flags = [
        "--analyzer char --no-lowercase",
        "--analyzer char_wb --min-ngrams 2 --max-ngrams 5",
        r"--token-pattern [^\W\d_]+|[!?] --strip-accents unicode",
    ];
    compare("sms_spam", &flags);
}

//! Compares the objective of the solver with the optimum of liblinear, to 1e-3.

use testkit::judge;

use super::{data, number, svm, train};

/// Trains with the flags, which the judge gets too; the objective must be within 1e-3 of the
/// optimum.
#[track_caller]
fn compare(rows: &str, flags: &[&str]) {
    compare_within(1e-3, rows, flags, &[]);
}

/// The same with another bound, and with `own` flags that the judge does not get.
#[track_caller]
fn compare_within(bound: f64, rows: &str, flags: &[&str], own: &[&str]) {
    let rows = data(rows);
    let folder = tempfile::tempdir().unwrap();
    let exact = ["--validation-split", "0", "--calibration", "none"];
    let trained = train(&rows, folder.path(), &[flags, own, &exact].concat());
    let paths = [
        rows.to_str().unwrap(),
        "--model-dir",
        folder.path().to_str().unwrap(),
    ];
    let reference = judge("liblinear", &[&paths, flags].concat());
    let problems = reference["problems"].as_array().unwrap();
    let solved = trained["details"]["solver"].as_array().unwrap();
    assert_eq!(problems.len(), solved.len());
    for (problem, solved) in problems.iter().zip(solved) {
        assert_eq!(
            problem["converged"], true,
            "the judge did not converge: {problem}"
        );
        assert_eq!(solved["converged"], true, "{solved}");
        let difference = number(&problem["relative_difference"]);
        assert!(difference.abs() <= bound, "{flags:?}: {problem}");
        // The objective that the solver reports is correct.
        let (reported, reached) = (
            number(&solved["objective"]),
            number(&problem["model_objective"]),
        );
        assert!(
            (reported - reached).abs() <= 1e-4 * reached,
            "{flags:?}: reported {reported}, reached {reached}"
        );
    }
}

/// Features of the original script.
const SCRIPT: [&str; 6] = [
    "--max-ngrams",
    "1",
    "--min-df",
    "5",
    "--stopwords",
    "english",
];

#[test]
fn imdb_squared_hinge() {
    compare(
        "imdb/train.csv",
        &[&SCRIPT[..], &["--loss", "squared_hinge", "--c", "1"]].concat(),
    );
}

#[test]
fn imdb_hinge_by_alpha() {
    let flags = [&SCRIPT[..], &["--loss", "hinge", "--alpha", "0.0001"]].concat();
    compare_within(1e-3, "imdb/train.csv", &flags, &["--tol", "0.001"]);
    // The default tolerance with --alpha is the accuracy of SGDClassifier.
    compare_within(3e-3, "sms_spam/train.csv", &flags, &[]);
}

#[test]
fn small_data_with_every_loss_and_c() {
    for loss in ["hinge", "squared_hinge", "log"] {
        for c in ["0.1", "10"] {
            compare(
                "sms_spam/train.csv",
                &[
                    "--max-ngrams",
                    "2",
                    "--min-df",
                    "2",
                    "--loss",
                    loss,
                    "--c",
                    c,
                ],
            );
        }
    }
}

#[test]
fn one_class_against_the_rest() {
    for loss in ["hinge", "squared_hinge"] {
        compare(
            "ag_news/train.csv",
            &[
                "--max-ngrams",
                "1",
                "--min-df",
                "2",
                "--loss",
                loss,
                "--c",
                "1",
            ],
        );
    }
}

#[test]
fn balanced_classes() {
    let flags = [
        "--max-ngrams",
        "1",
        "--min-df",
        "2",
        "--c",
        "1",
        "--class-weight",
        "balanced",
    ];
    compare(
        "sms_spam/train.csv",
        &[&flags[..], &["--loss", "hinge"]].concat(),
    );
    // Drop most rows of three classes, so that the weights matter.
    let folder = tempfile::tempdir().unwrap();
    let mut reader = csv::Reader::from_path(data("ag_news/train.csv")).unwrap();
    let records: Vec<csv::StringRecord> = reader.records().map(|record| record.unwrap()).collect();
    let first = records[0][1].to_owned();
    let skewed = records
        .iter()
        .enumerate()
        .filter(|(row, record)| record[1] == first || row % 7 == 0);
    let rows: Vec<_> = skewed
        .map(|(_, record)| testkit::Row {
            text: record[0].to_owned(),
            label: record[1].to_owned(),
        })
        .collect();
    let path = folder.path().join("skewed.csv");
    std::fs::write(&path, testkit::to_csv(&rows)).unwrap();
    compare(
        path.to_str().unwrap(),
        &[&flags[..], &["--loss", "squared_hinge"]].concat(),
    );
    // Weights of the user's own, for three classes of four: `class_weight={label: weight}`.
    let weights = folder.path().join("weights.json");
    let labels: std::collections::BTreeSet<&str> =
        records.iter().map(|record| &record[1]).collect();
    let pairs = labels.into_iter().take(3).zip([2.5, 0.5, 7.0]);
    let object: serde_json::Map<_, _> = pairs
        .map(|(label, weight)| (label.to_owned(), weight.into()))
        .collect();
    std::fs::write(&weights, serde_json::Value::Object(object).to_string()).unwrap();
    let mut flags = flags.to_vec();
    *flags.last_mut().unwrap() = weights.to_str().unwrap();
    compare(
        path.to_str().unwrap(),
        &[&flags[..], &["--loss", "squared_hinge"]].concat(),
    );
}

/// `sample_weight` of scikit-learn, alone and with class weights; rows of weight 0 are left out.
#[test]
fn weights_of_rows() {
    let folder = tempfile::tempdir().unwrap();
    for (set, loss, class_weight) in [
        ("sms_spam", "hinge", "none"),
        ("ag_news", "squared_hinge", "balanced"),
    ] {
        let mut reader = csv::Reader::from_path(data(&format!("{set}/train.csv"))).unwrap();
        let path = folder.path().join(format!("{set}.csv"));
        let mut writer = csv::Writer::from_path(&path).unwrap();
        writer.write_record(["text", "label", "weight"]).unwrap();
        for (row, record) in reader.records().take(2000).enumerate() {
            let record = record.unwrap();
            let weight = ["1", "0.5", "0", "3", "0.25"][row % 5];
            writer
                .write_record([&record[0], &record[1], weight])
                .unwrap();
        }
        drop(writer);
        let flags = [
            "--max-ngrams",
            "1",
            "--min-df",
            "2",
            "--c",
            "1",
            "--weight-column",
            "weight",
            "--class-weight",
            class_weight,
            "--loss",
            loss,
        ];
        compare(path.to_str().unwrap(), &flags);
    }
}

#[test]
fn alpha_is_c_of_the_training_rows() {
    let rows = testkit::movie_csv();
    let tensors = |flags: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let trained = train(
            &rows,
            folder.path(),
            &[flags, &["--validation-split", "0"]].concat(),
        );
        (
            std::fs::read(folder.path().join("model.safetensors")).unwrap(),
            trained,
        )
    };
    // 600 rows: C = 1 / (600 x 0.001).
    let (by_alpha, trained) = tensors(&["--alpha", "0.001"]);
    assert!((number(&trained["details"]["candidate"]["c"]) - 1.0 / 0.6).abs() < 1e-12);
    let (by_old_name, _) = tensors(&["--learning_rate", "0.001"]);
    assert!(by_alpha == by_old_name);
    svm(&["train", "--check", "--C=1"]);
}

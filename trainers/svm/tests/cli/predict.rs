//! `predict`: what it takes and what it answers.

use std::process::Stdio;

use serde_json::Value;
use testkit::{Row, movie_csv, movie_rows, to_csv};

use super::{Home, number, records};

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

#[test]
fn the_output_may_be_the_input_and_is_whole_or_the_old_one() {
    let home = Home::with_model(&["--no-report"]);
    let rows = home.write("rows.csv", "text,label\ngood film,1\nbad film,0\n");
    let path = rows.to_str().unwrap();
    let in_place = ["--input", path, "--output", path];
    home.svm("predict", &in_place).expect_code(0);
    let answers = String::from_utf8(home.read("rows.csv")).unwrap();
    assert!(answers.starts_with("record,label,probability,score\n1,"));
    assert_eq!(answers.lines().count(), 3);
    // The answers have no column `text`: the second run fails, and leaves them alone.
    home.svm("predict", &in_place).expect_code(1);
    assert_eq!(home.read("rows.csv"), answers.as_bytes());
    let names = std::fs::read_dir(rows.parent().unwrap()).unwrap();
    let left: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().contains("partial")),
        "{left:?}"
    );
}

#[test]
fn links_stay_and_standard_output_has_names() {
    let home = Home::with_model(&["--no-report"]);
    let target = home.write("target.csv", "old");
    let link = home.path("link.csv");
    std::os::unix::fs::symlink("target.csv", &link).unwrap();
    let to_link = ["--output", link.to_str().unwrap(), "a good film"];
    home.svm("predict", &to_link).expect_code(0);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    let answers = std::fs::read_to_string(&target).unwrap();
    assert!(answers.starts_with("record,"), "{answers}");
    // Where it leads need not be there yet.
    std::fs::remove_file(&target).unwrap();
    home.svm("predict", &to_link).expect_code(0);
    assert_eq!(std::fs::read_to_string(&target).unwrap(), answers);
    for name in ["-", "/dev/stdout", "/dev/fd/1"] {
        let said = home.svm("predict", &["--output", name, "a good film"]);
        assert_eq!(said.expect_code(0).stdout, answers, "{name}");
    }
    let there = std::fs::symlink_metadata("/dev/stdout").unwrap();
    assert!(there.is_symlink());
}

#[test]
fn answers_replace_no_file_of_the_model() {
    let home = Home::with_model(&["--no-report"]);
    let before = home.model();
    for name in ["config.json", "model.safetensors"] {
        let path = home.path(&format!("model/../model/{name}"));
        let said = home.svm("predict", &["--output", path.to_str().unwrap(), "good"]);
        let said = &said.expect_code(2).stderr;
        assert!(said.contains("name another --output"), "{said}");
    }
    assert_eq!(home.model(), before);
    // What is no file of the model may lie beside it, and be replaced.
    let beside = home.path("model/answers.csv");
    for _ in 0..2 {
        home.svm("predict", &["--output", beside.to_str().unwrap(), "good"])
            .expect_code(0);
    }
}

#[test]
fn a_run_without_a_report_leaves_none_of_another() {
    let home = Home::new();
    let rows = movie_csv();
    let output = home.path("output");
    let to = ["--output-data-dir", output.to_str().unwrap()];
    home.train(&rows, &to).expect_code(0);
    assert!(output.join("report.html").exists());
    home.train(&rows, &[&to[..], &["--no-report"]].concat())
        .expect_code(0);
    assert!(!output.join("report.html").exists());
    // Another's file stays.
    std::fs::write(output.join("report.html"), "<!doctype html>\n<p>mine").unwrap();
    home.train(&rows, &[&to[..], &["--no-report"]].concat())
        .expect_code(0);
    assert!(output.join("report.html").exists());
}

#[test]
fn a_closed_standard_error_costs_nobody_the_model() {
    let home = Home::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = home
        .command("train", &["--train", movie_csv().to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(writer)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    assert!(home.path("model/config.json").exists());
    assert!(home.path("model/report.html").exists());
}

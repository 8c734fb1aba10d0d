//! `predict`: inputs, outputs and their failures.

use std::process::Stdio;

use serde_json::Value;
use testkit::{Row, movie_csv, movie_rows, to_csv};

use super::{Workspace, number, records};

#[test]
fn predict_reads_arguments_files_and_stdin() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let rows = movie_rows();
    let rows = &rows[..50];
    let file = workspace.write("rows.csv", to_csv(rows));
    let by_file = workspace.svm("predict", &["--input", file.to_str().unwrap()]);
    let by_file = &by_file.expect_code(0).stdout;
    assert!(
        by_file.starts_with("record,label,probability,score\n1,"),
        "{by_file}"
    );
    assert_eq!(by_file.lines().count(), 51);

    let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
    let by_text = workspace.svm("predict", &[&["--"], &texts[..]].concat());
    assert_eq!(&by_text.expect_code(0).stdout, by_file);
    assert_eq!(&workspace.predict_piped(&[], &to_csv(rows)), by_file);
    let lines: Vec<String> = texts
        .iter()
        .map(|text| serde_json::json!({ "text": text }).to_string() + "\n")
        .collect();
    assert_eq!(
        &workspace.predict_piped(&["--input-format", "jsonl"], lines.concat().as_bytes()),
        by_file
    );
    assert_eq!(
        &workspace.predict_piped(&["--input", "-"], &to_csv(rows)),
        by_file
    );
    let written = workspace.path("answers.csv");
    let paths = [
        "--input",
        file.to_str().unwrap(),
        "--output",
        written.to_str().unwrap(),
    ];
    assert_eq!(workspace.svm("predict", &paths).expect_code(0).stdout, "");
    assert_eq!(&std::fs::read_to_string(written).unwrap(), by_file);
    // Predictions do not depend on the number of threads.
    let threads = ["--input", file.to_str().unwrap(), "--threads", "3"];
    assert_eq!(&workspace.svm("predict", &threads).stdout, by_file);
}

#[test]
fn predict_writes_csv_and_json_lines() {
    let workspace = Workspace::new();
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
    let file = workspace.write("rows.csv", to_csv(&rows));
    workspace.train(&file, &["--no-report"]).expect_code(0);
    let arguments = [
        "--all-classes",
        "--input",
        file.to_str().unwrap(),
        "--format",
    ];
    let csv = workspace
        .svm("predict", &[&arguments[..], &["csv"]].concat())
        .stdout;
    let jsonl = workspace
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
fn probabilities_of_an_uncalibrated_model_are_empty() {
    let workspace = Workspace::with_model(&["--no-report", "--calibration", "none"]);
    let csv = workspace
        .svm("predict", &["--all-classes", "--", "a good film"])
        .stdout;
    let record = &records(&csv)[0];
    assert!(
        record[2].is_empty() && record[4].is_empty() && record[3].parse::<f64>().unwrap() > 0.0,
        "{csv}"
    );
    let json = workspace
        .svm(
            "evaluate",
            &["--json", "--data", movie_csv().to_str().unwrap()],
        )
        .json();
    assert!(json["log_loss"].is_null() && json["ece"].is_null());
}

#[test]
fn broken_pipe_is_ok_full_disk_is_error() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let rows = movie_csv();
    let head = |name: &str, flag: &str| {
        let mut command = workspace.command(name, &[flag, rows.to_str().unwrap()]);
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
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && !stderr.contains("panicked"),
            "{name}: {stderr}"
        );
    }
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = workspace.command("predict", &["--input", rows.to_str().unwrap()]);
    let output = command
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("space"));
}

#[test]
fn output_is_written_atomically() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let rows = workspace.write("rows.csv", "text,label\ngood film,1\nbad film,0\n");
    let output = workspace.path("answers.csv");
    let [input, output] = [&rows, &output].map(|path| path.to_str().unwrap());
    let to_file = ["--input", input, "--output", output];
    workspace.svm("predict", &to_file).expect_code(0);
    let answers = String::from_utf8(workspace.read("answers.csv")).unwrap();
    assert!(answers.starts_with("record,label,probability,score\n1,"));
    assert_eq!(answers.lines().count(), 3);
    // The second run fails and does not change the file.
    workspace.write("rows.csv", "text,label\ngood film,1\nbad, film,0\n");
    workspace.svm("predict", &to_file).expect_code(1);
    assert_eq!(workspace.read("answers.csv"), answers.as_bytes());
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
fn output_may_be_a_link_or_stdout() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let target = workspace.write("target.csv", "old");
    let link = workspace.path("link.csv");
    std::os::unix::fs::symlink("target.csv", &link).unwrap();
    let to_link = ["--output", link.to_str().unwrap(), "a good film"];
    workspace.svm("predict", &to_link).expect_code(0);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    let answers = std::fs::read_to_string(&target).unwrap();
    assert!(answers.starts_with("record,"), "{answers}");
    // The target of the link need not exist.
    std::fs::remove_file(&target).unwrap();
    workspace.svm("predict", &to_link).expect_code(0);
    assert_eq!(std::fs::read_to_string(&target).unwrap(), answers);
    for name in ["-", "/dev/stdout", "/dev/fd/1"] {
        let output = workspace.svm("predict", &["--output", name, "a good film"]);
        assert_eq!(output.expect_code(0).stdout, answers, "{name}");
    }
    let there = std::fs::symlink_metadata("/dev/stdout").unwrap();
    assert!(there.is_symlink());
}

#[test]
fn output_must_not_replace_a_model_file() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let before = workspace.model();
    for name in ["config.json", "model.safetensors"] {
        let path = workspace.path(&format!("model/../model/{name}"));
        let output = workspace.svm("predict", &["--output", path.to_str().unwrap(), "good"]);
        let output = &output.expect_code(2).stderr;
        assert!(output.contains("choose another --output"), "{output}");
    }
    assert_eq!(workspace.model(), before);
    // Other files in the model folder may be written and replaced.
    let inside = workspace.path("model/answers.csv");
    for _ in 0..2 {
        workspace
            .svm("predict", &["--output", inside.to_str().unwrap(), "good"])
            .expect_code(0);
    }
}

#[test]
fn no_report_removes_an_old_report() {
    let workspace = Workspace::new();
    let rows = movie_csv();
    let output = workspace.path("output");
    let to = ["--output-data-dir", output.to_str().unwrap()];
    workspace.train(&rows, &to).expect_code(0);
    assert!(output.join("report.html").exists());
    workspace
        .train(&rows, &[&to[..], &["--no-report"]].concat())
        .expect_code(0);
    assert!(!output.join("report.html").exists());
    // A file that Trainyard did not write is kept.
    std::fs::write(output.join("report.html"), "<!doctype html>\n<p>mine").unwrap();
    workspace
        .train(&rows, &[&to[..], &["--no-report"]].concat())
        .expect_code(0);
    assert!(output.join("report.html").exists());
}

#[test]
fn training_succeeds_with_closed_stderr() {
    let workspace = Workspace::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = workspace
        .command("train", &["--train", movie_csv().to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(writer)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    assert!(workspace.path("model/config.json").exists());
    assert!(workspace.path("model/report.html").exists());
}

//! Scenarios for both containers and processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::{movie_csv, run};

use super::{Jobs, archive, files, unpacked};

/// Trains the svm on real reviews and returns the model's archive.
#[track_caller]
pub fn trains_svm(jobs: &Jobs, hyperparameters: &[&str]) -> PathBuf {
    let mut more = vec!["--"];
    more.extend(hyperparameters);
    let outcome = run(jobs.train_on(&movie_csv(), &more));
    let answer = outcome.expect_code(0).json();
    assert_eq!(answer["status"], "Completed");
    assert!(
        outcome.stderr.contains("validation:accuracy="),
        "{}",
        outcome.stderr
    );
    let report = archive(&answer, "output").with_file_name("report.html");
    assert!(report.is_file());
    assert!(
        outcome
            .stderr
            .contains(&format!("the report is `{}`", report.display())),
        "{}",
        outcome.stderr
    );
    let model = archive(&answer, "model");
    let job = answer["name"].as_str().expect("a name");
    assert_eq!(
        model,
        jobs.path("out").join(job).join("output/model.tar.gz")
    );
    let names: Vec<_> = unpacked(&model).into_keys().collect();
    assert_eq!(
        names,
        [
            "config.json",
            "model.safetensors",
            "run.toml",
            "vocabulary.txt"
        ]
    );
    assert!(unpacked(archive(&answer, "output")).contains_key("report.html"));
    model
}

/// Returns the label and the score of `predict` for each text, as the answers to `inputs` have them.
#[track_caller]
pub fn predicted(binary: &Path, model: &Path, texts: &[&str]) -> Vec<Value> {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .args(["predict", "--format", "jsonl", "--model-dir"])
        .arg(model)
        .arg("--")
        .args(texts);
    let outcome = run(command);
    let rows = outcome.expect_code(0).stdout.lines().map(|line| {
        let row: Value = serde_json::from_str(line).expect("`predict` writes JSON lines");
        let score = match &row["probability"] {
            Value::Null => &row["score"],
            probability => probability,
        };
        json!({ "label": row["label"], "score": score })
    });
    rows.collect()
}

/// Enough reviews that a search of hyperparameters takes more than a second.
pub fn many_reviews(jobs: &Jobs) -> PathBuf {
    let rows = testkit::movie_rows();
    let many: Vec<_> = (0..60)
        .flat_map(|copy| {
            rows.iter().map(move |row| testkit::Row {
                // Duplicate texts would be removed.
                text: format!("{} copy{copy}", row.text),
                label: row.label.clone(),
            })
        })
        .collect();
    let path = jobs.path("many.csv");
    fs::write(&path, testkit::to_csv(&many)).expect("a file");
    path
}

/// A trainer without checkpoints saves its model and starts again from the beginning.
#[track_caller]
pub fn svm_restarts(jobs: &Jobs) {
    let data = many_reviews(jobs);
    // Late enough to have started, too early to have ended.
    let more = ["--simulate-interruption", "3s", "--", "--tune"];
    let outcome = run(jobs.train_on(&data, &more));
    let answer = outcome.expect_code(0).json();
    assert_eq!(answer["interruptions"], 1, "{}", outcome.stderr);
    assert_eq!(
        outcome.stderr.matches("reading the data").count(),
        2,
        "{}",
        outcome.stderr
    );
    assert!(
        outcome
            .stderr
            .contains("the trainer ended with exit code 0"),
        "{}",
        outcome.stderr
    );
    assert!(unpacked(archive(&answer, "model")).contains_key("model.safetensors"));
    jobs.assert_clean();
}

/// After a spot interruption the job starts again and resumes from its checkpoints.
#[track_caller]
pub fn resumes_after_interruption(jobs: &Jobs) {
    let checkpoints = jobs.path("kept");
    let flag = format!("file://{}", checkpoints.display());
    let command = jobs.toy_command(
        "steps",
        &["--simulate-interruption", "5s", "--checkpoints", &flag],
    );
    // More steps than any machine runs before the interruption.
    let mut command = command;
    command.args(["--steps", "40"]);
    let outcome = run(command);
    let answer = outcome.expect_code(0).json();
    assert_eq!(answer["interruptions"], 1, "{answer:#}");
    let model = unpacked(archive(&answer, "model"));
    let text = String::from_utf8_lossy(&model["steps"]).into_owned();
    let from: u32 = text
        .strip_prefix("40, from ")
        .and_then(|from| from.parse().ok())
        .expect("the toy's model");
    assert!((1..40).contains(&from), "{text}");
    for line in [
        "simulated interruption: SIGTERM",
        "toy: stopped before step",
        "starting the job again",
        &format!("toy: begins after step {from}"),
    ] {
        assert!(
            outcome.stderr.contains(line),
            "no `{line}`:\n{}",
            outcome.stderr
        );
    }
    assert_eq!(files(&checkpoints), ["more/", "more/state", "step-40"]);

    // A later job resumes there, too.
    let again = jobs.toy("steps", &["--checkpoints", &flag]);
    let model = unpacked(archive(&again.expect_code(0).json(), "model"));
    assert_eq!(model["steps"], b"20, from 40");
    jobs.assert_clean();
}

/// A failed job shows the reason and keeps its files.
#[track_caller]
pub fn shows_the_failure(jobs: &Jobs) {
    let outcome = jobs.toy("fail", &[]);
    let answer = outcome.expect_code(3).json();
    let reason = "AlgorithmError: the toy broke\nwhile: playing\\u{1b}[31m, exit code: 1";
    assert_eq!(answer["failure_reason"], reason);
    assert_eq!(answer["status"], "Failed");
    assert!(outcome.stderr.contains(reason), "{}", outcome.stderr);
    assert_eq!(
        unpacked(archive(&answer, "model"))["half"],
        b"a part of a model"
    );
    assert_eq!(answer["output"], Value::Null);
    jobs.assert_clean();

    let outcome = jobs.toy("unknown", &[]);
    outcome.expect_code(3);
    assert!(
        outcome.stderr.contains("help: ") && outcome.stderr.contains("train svm -- --help"),
        "{}",
        outcome.stderr
    );
}

/// All bytes of the log are passed on in whole lines.
#[track_caller]
pub fn passes_log_on(jobs: &Jobs) {
    let mut command = jobs.toy_command("noise", &[]);
    command.stdin(Stdio::null());
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(0));
    let lines: Vec<&[u8]> = output.stderr.split(|byte| *byte == b'\n').collect();
    let count = |wanted: Vec<u8>| lines.iter().filter(|line| **line == wanted).count();
    for number in 0..200 {
        assert_eq!(count(format!("out {number} {}", "o".repeat(300)).into()), 1);
        assert_eq!(count(format!("err {number} {}", "e".repeat(300)).into()), 1);
    }
    assert_eq!(count(b"\xff\xfe binary \x00\x01".to_vec()), 1);
    assert_eq!(count(vec![b'l'; 200_000]), 1);
    assert_eq!(count(b"partial, no end".to_vec()), 1);
    jobs.assert_clean();
}

/// After a signal the trainer saves its model and the job ends.
#[track_caller]
pub fn stops(jobs: &Jobs, signal: &str, code: i32) {
    let started = jobs.start_toy("until_stopped", &[]);
    started.signal(signal);
    let outcome = started.finish();
    let answer = outcome.expect_code(code).json();
    assert_eq!(answer["status"], "Stopped");
    assert_eq!(answer["exit_code"], 0);
    assert_eq!(
        unpacked(archive(&answer, "model"))["stopped"],
        b"saved after SIGTERM"
    );
    assert!(
        outcome.stderr.contains("stopping the job")
            && (signal != "HUP" || outcome.stderr.contains("SIGHUP: stopping")),
        "{}",
        outcome.stderr
    );
    jobs.assert_clean();
}

/// The second Ctrl-C kills a trainer that ignores SIGTERM.
#[track_caller]
pub fn second_ctrl_c_kills_trainer(jobs: &Jobs) {
    let mut started = jobs.start_toy("stubborn", &[]);
    started.signal("INT");
    started.wait_for("stopping the job");
    started.signal("INT");
    let outcome = started.finish();
    let answer = outcome.expect_code(130).json();
    assert_eq!(answer["exit_code"], 137);
    assert!(
        outcome.stderr.contains("killing the trainer")
            && outcome
                .stderr
                .contains("exit code 137 (killed by the second Ctrl-C)")
            && !outcome.stderr.contains("memory"),
        "{}",
        outcome.stderr
    );
    jobs.assert_clean();
    // No empty folder is left.
    assert_eq!(files(&jobs.path("out")), [""; 0]);
}

/// A job that takes too long is stopped, as on SageMaker.
#[track_caller]
pub fn ends_at_max_run(jobs: &Jobs) {
    let outcome = jobs.toy("until_stopped", &["--max-run", "10s"]);
    let answer = outcome.expect_code(4).json();
    assert_eq!(answer["status"], "Stopped");
    assert_eq!(answer["secondary_status"], "MaxRuntimeExceeded");
    assert!(unpacked(archive(&answer, "model")).contains_key("stopped"));
    jobs.assert_clean();
}

/// Links are followed inside of the trainer's folder and skipped if they lead out of it.
#[track_caller]
pub fn follows_links_inside(jobs: &Jobs) {
    let outcome = jobs.toy("links", &[]);
    let model = unpacked(archive(&outcome.expect_code(0).json(), "model"));
    let names: Vec<_> = model.keys().map(String::as_str).collect();
    assert_eq!(names, ["latest", "sub", "sub/same", "weights"]);
    for name in ["latest", "sub/same", "weights"] {
        assert_eq!(model[name], b"w", "{name}");
    }
    assert!(
        outcome.stderr.contains("`passwd` is not in the archive"),
        "{}",
        outcome.stderr
    );
    jobs.assert_clean();
}

/// The reason is printed once and names the user's file, not the container's.
#[track_caller]
pub fn names_users_file(jobs: &Jobs) {
    let data = jobs.path("my data");
    fs::create_dir(&data).expect("a folder");
    fs::write(data.join("x.csv"), "foo,bar\n1,2\n").expect("a file");
    let outcome = run(jobs.train_on(&data, &[]));
    let answer = outcome.expect_code(3).json();
    let reason = answer["failure_reason"].as_str().expect("a reason");
    let place = format!("--> {}/x.csv:1", data.display());
    assert!(reason.contains(&place), "{reason}");
    let log = &outcome.stderr;
    assert_eq!(log.matches("no column is named").count(), 1, "{log}");
    let (_, ending) = log.split_once("error: job `").expect("an ending");
    assert!(ending.contains(&place), "{log}");

    // Each of several places follows its message.
    fs::write(data.join("x.csv"), "text,label\na,b\n,c\nd,\n").expect("a file");
    let outcome = run(jobs.train_on(&data, &[]));
    let log = &outcome.expect_code(3).stderr;
    let (_, ending) = log.split_once("error: job `").expect("an ending");
    for (message, line) in [("row has no text", 3), ("row has no label", 4)] {
        let found = format!("{message}\n    --> {}/x.csv:{line}", data.display());
        assert!(ending.contains(&found), "no `{found}` in {log}");
    }
    jobs.assert_clean();
}

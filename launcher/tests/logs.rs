//! `trainyard logs` with the CloudWatch of moto: every line is printed exactly once.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod cloud;

use std::process::Stdio;
use std::time::Duration;

use cloud::{command, moto, safe, start_train, train_with, trainyard, wait_until};
use serde_json::{Value, json};
use testkit::{Moto, start};

const LIMIT: Duration = Duration::from_secs(120);

/// Submits a job that follows the script.
#[track_caller]
fn submitted(moto: &Moto, script: Value, more: &[&str]) -> String {
    moto.job(&script);
    let mut arguments = vec!["--no-wait"];
    arguments.extend(more);
    train_with(moto, &arguments)
        .expect_code(0)
        .stdout
        .trim()
        .to_owned()
}

/// Returns `count` lines over `seconds`.
fn lines(count: u32, seconds: f64) -> Vec<Value> {
    (0..count)
        .map(|i| json!({"at": 0.2 + seconds * f64::from(i) / f64::from(count), "text": format!("line {i}")}))
        .collect()
}

fn expected(count: u32) -> String {
    (0..count).map(|i| format!("line {i}\n")).collect()
}

fn phases(seconds: f64) -> Value {
    json!([["Starting", 0.1], ["Training", seconds]])
}

#[test]
fn prints_every_line_once_while_the_job_runs() {
    let moto = moto();
    // The last lines are visible only after the end.
    let script = json!({"phases": phases(2.0), "lines": lines(300, 1.8), "lag": 0.4});
    let name = submitted(&moto, script, &[]);
    let outcome = trainyard(&moto, &["logs", &name]);
    assert_eq!(outcome.expect_code(0).stdout, expected(300));
    assert!(outcome.stderr.contains(": Completed"), "{}", outcome.stderr);
    // Again, after the end.
    for more in [vec![], vec!["--no-wait"]] {
        let mut arguments = vec!["logs", &name];
        arguments.extend(more);
        assert_eq!(
            trainyard(&moto, &arguments).expect_code(0).stdout,
            expected(300)
        );
    }
}

#[test]
fn prints_every_line_once_despite_request_errors() {
    let moto = moto();
    let name = submitted(
        &moto,
        json!({"phases": phases(2.0), "lines": lines(100, 1.8)}),
        &[],
    );
    for (operation, kind, after) in [
        ("GetLogEvents", "throttle", 1),
        ("GetLogEvents", "500", 3),
        ("GetLogEvents", "drop_after", 4),
        ("GetLogEvents", "cut", 6),
        ("DescribeLogStreams", "503", 2),
        ("DescribeTrainingJob", "throttle", 1),
    ] {
        moto.fault_with(&json!({"operation": operation, "kind": kind, "after": after}));
    }
    let outcome = trainyard(&moto, &["logs", &name]);
    assert_eq!(outcome.expect_code(0).stdout, expected(100));
}

#[test]
fn retries_longer_than_the_sdk() {
    let moto = moto();
    let name = submitted(
        &moto,
        json!({"phases": phases(1.0), "lines": lines(20, 0.8)}),
        &[],
    );
    moto.fault("GetLogEvents", "throttle", 6);
    let outcome = trainyard(&moto, &["logs", &name]);
    assert_eq!(outcome.expect_code(0).stdout, expected(20));
    assert!(
        outcome.stderr.contains("AWS throttles requests")
            && outcome.stderr.contains("nothing to do, retrying"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn follows_a_new_stream_after_a_spot_interruption() {
    let moto = moto();
    let script = json!({
        "phases": [["Starting", 0.1], ["Training", 0.6], ["Interrupted", 0.3], ["Starting", 0.1], ["Training", 0.6]],
        "lines": [
            {"at": 0.2, "text": "first run"},
            {"at": 0.6, "text": "interrupted at step 5"},
            {"at": 1.2, "text": "resumed at step 5", "run": 1},
            {"at": 1.5, "text": "done", "run": 1},
        ],
    });
    let name = submitted(&moto, script, &[]);
    let outcome = trainyard(&moto, &["logs", &name]);
    assert_eq!(
        outcome.expect_code(0).stdout,
        "first run\ninterrupted at step 5\nresumed at step 5\ndone\n"
    );
    assert!(
        outcome.stderr.contains("(Interrupted)"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn prefixes_lines_with_host_for_several_hosts() {
    let moto = moto();
    let script = json!({"phases": phases(0.5), "lines": [{"at": 0.2, "text": "a\nb"}, {"at": 0.4, "text": "c", "host": "algo-2"}]});
    let name = submitted(&moto, script, &["--instance-count", "2"]);
    let text = trainyard(&moto, &["logs", &name])
        .expect_code(0)
        .stdout
        .clone();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "algo-1 | a",
            "algo-1 | b",
            "algo-2 | a",
            "algo-2 | b",
            "algo-2 | c"
        ]
    );
}

#[test]
fn ignores_lines_of_other_jobs() {
    let moto = moto();
    let name = submitted(
        &moto,
        json!({"phases": phases(0.3), "lines": lines(3, 0.1)}),
        &["--job-name-prefix", "one"],
    );
    moto.boto(&format!(
        "logs = client('logs')\n\
         group = '/aws/sagemaker/TrainingJobs'\n\
         try: logs.create_log_group(logGroupName=group)\n\
         except logs.exceptions.ResourceAlreadyExistsException: pass\n\
         logs.create_log_stream(logGroupName=group, logStreamName='{name}0/algo-1-1')\n\
         logs.put_log_events(logGroupName=group, logStreamName='{name}0/algo-1-1', logEvents=[{{'timestamp': int(time.time() * 1000), 'message': 'foreign'}}])"
    ));
    assert_eq!(
        trainyard(&moto, &["logs", &name]).expect_code(0).stdout,
        expected(3)
    );
}

#[test]
fn prints_json_lines_and_unchanged_text() {
    let moto = moto();
    let script =
        json!({"phases": phases(0.3), "lines": [{"at": 0.2, "text": "\u{1b}[31mred\tä\r"}]});
    let name = submitted(&moto, script, &[]);
    let outcome = trainyard(&moto, &["logs", &name]);
    assert_eq!(outcome.expect_code(0).stdout, "\u{1b}[31mred\tä\r\n");
    let outcome = trainyard(&moto, &["logs", &name, "--json"]);
    let line = outcome.expect_code(0).json();
    let outcome = trainyard(&moto, &["logs", "absent", "--json"]);
    assert_eq!(
        outcome.expect_code(1).stdout.lines().count(),
        1,
        "{}",
        outcome.stdout
    );
    assert_eq!(outcome.json()["error"]["exit_code"], 1);
    assert_eq!(line["message"], "\u{1b}[31mred\tä\r");
    assert_eq!(line["host"], "algo-1");
}

#[test]
fn no_wait_without_log_suggests_commands() {
    let moto = moto();
    let name = submitted(
        &moto,
        json!({"phases": [["Starting", 60]], "lines": []}),
        &[],
    );
    let outcome = trainyard(&moto, &["logs", &name, "--no-wait"]);
    assert_eq!(outcome.expect_code(0).stdout, "");
    assert!(
        outcome.stderr.contains("no log yet") && outcome.stderr.contains("trainyard stop"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn ended_job_without_log_suggests_describe() {
    let moto = moto();
    let script = json!({"phases": [["Starting", 0.1]], "lines": []});
    let name = submitted(&moto, script, &[]);
    wait_until("it has ended", || {
        trainyard(&moto, &["status", &name])
            .stdout
            .contains(": Completed")
    });
    let outcome = trainyard(&moto, &["logs", &name, "--no-wait"]);
    let text = &outcome.expect_code(0).stderr;
    assert!(
        text.contains("no log: the job has ended, Completed")
            && text.contains(&format!("`trainyard describe {name}`"))
            && !text.contains("trainyard stop"),
        "{text}"
    );
}

#[test]
fn failed_job_exits_with_3() {
    let moto = moto();
    let name = submitted(
        &moto,
        json!({"phases": phases(0.2), "outcome": "Failed", "reason": "AlgorithmError: it broke"}),
        &[],
    );
    let outcome = trainyard(&moto, &["logs", &name]);
    assert!(
        outcome
            .expect_code(3)
            .stderr
            .contains("AlgorithmError: it broke"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn missing_log_permission_fails_logs_but_not_train() {
    let moto = moto();
    moto.fault("DescribeLogStreams", "denied", 99);
    // `train` continues without the log, `logs` fails.
    let running = start_train(&moto, &["--json"]);
    let outcome = safe(running.finish(LIMIT));
    let name = outcome.expect_code(0).json()["name"]
        .as_str()
        .expect("text")
        .to_owned();
    assert!(
        outcome.stderr.contains("`logs:DescribeLogStreams`")
            && outcome
                .stderr
                .contains("waiting for the job without its log"),
        "{}",
        outcome.stderr
    );
    let outcome = trainyard(&moto, &["logs", &name]);
    assert!(
        outcome
            .expect_code(1)
            .stderr
            .contains("`logs:DescribeLogStreams`"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn broken_pipe_ends_logs_with_0() {
    let moto = moto();
    let name = submitted(
        &moto,
        json!({"phases": phases(60.0), "lines": lines(200, 20.0)}),
        &[],
    );
    let mut head = command(&moto, &["logs", &name])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    // Closes the pipe.
    drop(head.stdout.take());
    wait_until("it has noticed", || {
        head.try_wait().expect("a child").is_some()
    });
    assert!(head.wait().expect("a child").success());
    // With a reader, `logs` keeps following.
    let mut running = start(command(&moto, &["logs", &name]));
    assert!(!running.ends_within(Duration::from_millis(500)));
}

#[test]
fn full_disk_is_error() {
    let moto = moto();
    let job = finished_soon(&moto);
    let mut logs = command(&moto, &["logs", &job]);
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("Linux has one");
    let output = logs.stdout(full).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("cannot write to standard output"), "{text}");
}

#[test]
fn arn_of_another_region_is_refused() {
    let moto = moto();
    let job = finished_soon(&moto);
    let arn = |region: &str| format!("arn:aws:sagemaker:{region}:123456789012:training-job/{job}");
    trainyard(&moto, &["status", &arn("us-east-1")]).expect_code(0);
    let outcome = trainyard(&moto, &["stop", &arn("eu-west-1")]);
    outcome.expect_code(2);
    assert!(
        outcome.stderr.contains("--region eu-west-1"),
        "{}",
        outcome.stderr
    );
}

fn finished_soon(moto: &Moto) -> String {
    let outcome = train_with(moto, &["--no-wait"]);
    outcome.expect_code(0).stdout.trim().to_owned()
}

//! `trainyard train --instance-type local-process` with real and toy trainers, without Docker.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "tests report by panicking"
)]

#[path = "local_process/attacks.rs"]
mod attacks;
mod local_kit;
#[path = "local_process/public_reports.rs"]
mod public_reports;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use local_kit::*;
use testkit::{movie_csv, on_read_only_folder, run};

fn toys(test: &str) -> Jobs {
    Jobs::new(test, toy_in(false))
}

#[test]
fn svm_trains_with_hyperparameters() {
    let jobs = Jobs::new("p-svm", svm_in(false));
    let model = trains_svm(&jobs, &["--min-df", "5"]);
    let again = trains_svm(&jobs, &["--min-df", "5"]);
    assert_eq!(
        fs::read(&model).expect("bytes"),
        fs::read(again).expect("bytes")
    );
    let other = trains_svm(&jobs, &["--min-df", "50"]);
    assert_ne!(
        unpacked(&model)["vocabulary.txt"],
        unpacked(other)["vocabulary.txt"]
    );
    jobs.assert_clean();
}

#[test]
fn trainer_sees_the_layout_of_a_container() {
    let jobs = toys("p-look");
    let data = jobs.path("größe & mehr");
    fs::create_dir_all(data.join("sub folder")).expect("a folder");
    fs::write(data.join("sub folder/a b.csv"), "text,label\n").expect("a file");
    let checkpoints = format!("file://{}", jobs.path("kept").display());
    let single = format!("one={}", movie_csv().display());
    let outcome = run(jobs.train_on(
        &data,
        &[
            "--channel",
            &single,
            "--env",
            "GREETING=good day",
            "--checkpoints",
            &checkpoints,
            "--",
            "--mode",
            "look",
            "--x",
            "1",
        ],
    ));
    let seen = seen(&outcome.expect_code(0).json());
    let variables = seen["variables"].as_object().expect("an object");
    let mut names: Vec<_> = variables.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "AWS_DEFAULT_REGION",
            "AWS_REGION",
            "GREETING",
            "HOME",
            "PATH",
            "SAGEMAKER_BASE_DIR",
            "TMPDIR",
            "TRAINING_JOB_ARN",
            "TRAINING_JOB_NAME"
        ]
    );
    assert_eq!(variables["GREETING"], "good day");
    let base = variables["SAGEMAKER_BASE_DIR"].as_str().expect("a path");
    assert_eq!(seen["folder"], base);
    assert_eq!(seen["arguments"], serde_json::json!(["train"]));
    let config = &seen["config"];
    assert_eq!(
        config["hyperparameters.json"],
        serde_json::json!({"mode": "look", "x": "1"})
    );
    assert_eq!(
        config["inputdataconfig.json"]["one"]["TrainingInputMode"],
        "File"
    );
    assert_eq!(
        config["resourceconfig.json"]["hosts"],
        serde_json::json!(["algo-1"])
    );
    assert_eq!(
        config["checkpointconfig.json"]["LocalPath"],
        format!("{base}/checkpoints")
    );
    assert_eq!(config.as_object().map(serde_json::Map::len), Some(4));
    let files = seen["files"].as_array().expect("a list");
    for file in [
        "input/data/train/sub folder/a b.csv",
        "input/data/one/movie.csv",
    ] {
        assert!(files.contains(&file.into()), "{file}: {files:?}");
    }
    jobs.assert_clean();
}

#[test]
fn failure_is_shown() {
    shows_the_failure(&toys("p-fail"));
}

#[test]
fn failure_names_users_file() {
    names_users_file(&Jobs::new("p-file", svm_in(false)));
}

#[test]
fn log_is_passed_on() {
    passes_log_on(&toys("p-noise"));
}

#[test]
fn ctrl_c_stops() {
    stops(&toys("p-int"), "INT", 130);
}

#[test]
fn sigterm_stops() {
    stops(&toys("p-term"), "TERM", 4);
}

#[test]
fn second_ctrl_c_kills() {
    second_ctrl_c_kills_trainer(&toys("p-kill"));
}

#[test]
fn job_stops_at_max_run() {
    ends_at_max_run(&toys("p-max"));
}

#[test]
fn interrupted_job_resumes() {
    resumes_after_interruption(&toys("p-spot"));
}

#[test]
fn interrupted_svm_restarts() {
    svm_restarts(&Jobs::new("p-svmspot", svm_in(false)));
}

#[test]
fn children_end_with_the_trainer() {
    let jobs = toys("p-child");
    let started = Instant::now();
    jobs.toy("orphan", &[]).expect_code(0);
    assert!(started.elapsed() < Duration::from_secs(60));
    jobs.assert_clean();
}

#[test]
fn archive_follows_links_inside_folder() {
    follows_links_inside(&toys("p-links"));
}

#[test]
fn invalid_inputs_start_nothing() {
    let jobs = toys("p-bad");
    let outcome = run(jobs.train_on(&jobs.path("none.csv"), &[]));
    outcome.expect_code(2);
    assert!(outcome.stderr.contains("cannot read"), "{}", outcome.stderr);
    let empty = jobs.path("empty");
    fs::create_dir(&empty).expect("a folder");
    let outcome = run(jobs.train_on(&empty, &[]));
    assert!(outcome.expect_code(2).stderr.contains("is empty"));
    let no_program = Jobs::new("p-noprog", Backend::Process(movie_csv()));
    let outcome = no_program.toy("look", &[]);
    assert!(outcome.expect_code(2).stderr.contains("cannot start"));
    assert_eq!(files(&jobs.path("out")), [""; 0]);
    let mut nowhere = jobs.toy_command("look", &[]);
    nowhere.env("TMPDIR", "/nowhere");
    let outcome = run(nowhere);
    let text = &outcome.expect_code(1).stderr;
    assert!(
        text.contains("cannot make a temporary folder")
            && text.contains("set TMPDIR to an existing folder"),
        "{text}"
    );
    // A file instead of a folder.
    fs::write(jobs.path("out"), "mine").expect("a file");
    let outcome = jobs.toy("look", &[]);
    let text = &outcome.expect_code(2).stderr;
    assert!(
        text.contains("out` is not a folder") && !text.contains("exists"),
        "{text}"
    );
    assert_eq!(fs::read(jobs.path("out")).expect("untouched"), b"mine");
    fs::remove_file(jobs.path("out")).expect("own file");
    jobs.assert_clean();
    no_program.assert_clean();
}

#[test]
fn read_only_output_starts_nothing() {
    if !testkit::read_only_allowed() {
        return testkit::skip("read_only_output_starts_nothing", "no mount namespaces");
    }
    let jobs = toys("p-ro");
    fs::create_dir(jobs.path("out")).expect("a folder");
    let command = jobs.toy_command("look", &[]);
    let outcome = on_read_only_folder(command, &jobs.path("out"));
    outcome.expect_code(2);
    assert!(
        outcome.stderr.contains("cannot write to `--output"),
        "{}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains("toy:"), "{}", outcome.stderr);
}

#[test]
fn dry_run_changes_nothing() {
    let jobs = toys("p-dry");
    let outcome = jobs.toy("look", &["--dry-run", "--simulate-interruption", "30s"]);
    let plan = outcome.expect_code(0).json();
    assert_eq!(plan["dry_run"], true);
    let text = plan.to_string();
    for part in [
        "hyperparameters.json",
        "SAGEMAKER_BASE_DIR",
        "toy_trainer",
        "model.tar.gz",
        "SIGTERM after 30 s",
    ] {
        assert!(text.contains(part), "{part}: {plan:#}");
    }
    assert!(!text.contains("canary"), "{plan:#}");
    assert!(!jobs.path("out").exists());
    jobs.assert_clean();
}

#[test]
fn full_disk_leaves_no_partial_archive() {
    if !testkit::small_disk_allowed() {
        return testkit::skip("full_disk_leaves_no_partial_archive", "no mount namespaces");
    }
    let jobs = Jobs::new("p-full", svm_in(false));
    fs::create_dir(jobs.path("out")).expect("a folder");
    let command: Command = jobs.train_on(&movie_csv(), &["--", "--min-df", "1"]);
    // The trainer's folder is on another disk and is kept.
    let disk = testkit::on_small_disk(&command, &jobs.path("out"), 8);
    disk.outcome.expect_code(1);
    assert!(
        disk.outcome.stderr.contains("No space left"),
        "{}",
        disk.outcome.stderr
    );
    assert!(
        !disk.left.iter().any(|name| name.contains("tar.gz")),
        "{:?}",
        disk.left
    );
    let kept = kept_folder(&jobs);
    assert!(
        disk.outcome.stdout.contains(&*kept.to_string_lossy()),
        "{:?}",
        disk.outcome
    );
    assert!(kept.join("model/model.safetensors").is_file());
    fs::remove_dir_all(kept).expect("own file");
    jobs.assert_clean();
}

/// The only folder in the folder for temporary files.
#[track_caller]
fn kept_folder(jobs: &Jobs) -> PathBuf {
    let found: Vec<_> = files(&jobs.path("tmp"))
        .into_iter()
        .filter(|name| name.find('/') == Some(name.len() - 1))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    jobs.path("tmp").join(found[0].trim_end_matches('/'))
}

/// Ctrl-C while the results are packed leaves no partial archive and keeps the trainer's files.
#[test]
fn ctrl_c_while_packing_keeps_the_folder() {
    let jobs = toys("p-cpack");
    let mut started = Started::new(jobs.toy_command("large", &[]), "toy: wrote", &jobs);
    started.wait_until(|| {
        files(&jobs.path("out"))
            .iter()
            .any(|name| name.contains("partial"))
    });
    started.signal("INT");
    let outcome = started.finish();
    let error = outcome.expect_code(130).json();
    let kept = kept_folder(&jobs);
    assert!(
        error.to_string().contains(&*kept.to_string_lossy()),
        "{error:#}"
    );
    assert!(kept.join("model/noise").is_file());
    fs::remove_dir_all(kept).expect("own file");
    jobs.assert_clean();
    assert_eq!(files(&jobs.path("out")), [""; 0]);
}

/// In a trainer's repository, on a machine without Rust.
#[test]
fn existing_binary_needs_no_cargo() {
    let jobs = toys("p-nocargo");
    fs::write(jobs.path("Cargo.toml"), "[workspace]\n").expect("a file");
    // No trainer is next to it.
    let launcher = jobs.path("trainyard");
    fs::copy(env!("CARGO_BIN_EXE_trainyard"), &launcher).expect("a copy");
    let data = jobs.data();
    let mut with = jobs.train_with(&launcher, &data, &["--", "--mode", "look"]);
    with.env("PATH", "/nowhere");
    run(with).expect_code(0);

    let mut without = Command::new(&launcher);
    jobs.environment(&mut without);
    without
        .args(["train", "svm", "--instance-type", "local-process"])
        .args(["--output", "out", "--data"])
        .arg(&data)
        .env("PATH", "/nowhere");
    let outcome = run(without);
    outcome.expect_code(2);
    for part in [
        "cannot start `cargo`",
        "`--trainer-binary FILE`",
        "rustup.rs",
    ] {
        assert!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
    }

    // An existing image is used with a warning.
    let mut image = Command::new(&launcher);
    jobs.environment(&mut image);
    image
        .args(["train", "no-such-trainer", "--instance-type", "local"])
        .args(["--output", "out", "--data"])
        .arg(&data)
        .env("PATH", "/nowhere");
    let outcome = run(image);
    outcome.expect_code(2);
    let warning = "taking the image `trainyard/no-such-trainer:latest` from the engine";
    for part in [warning, "the Docker engine has no image"] {
        assert!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
    }
    jobs.assert_clean();
}

//! `trainyard train --instance-type local-process`: the real launcher, real and toy trainers, no Docker.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "tests report by panicking"
)]

mod local_kit;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use local_kit::*;
use serde_json::{Value, json};
use testkit::{Moto, movie_csv, on_read_only_folder, run};

fn toys(test: &str) -> Jobs {
    Jobs::new(test, toy_in(false))
}

#[test]
fn svm_trains_and_hyperparameters_count() {
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
fn the_trainer_sees_a_container() {
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
fn the_log_arrives() {
    passes_the_log_on(&toys("p-noise"));
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
    kills_at_the_second(&toys("p-kill"));
}

#[test]
fn the_job_ends_at_max_run() {
    let jobs = toys("p-max");
    let outcome = jobs.toy("until_stopped", &["--max-run", "10s"]);
    let answer = outcome.expect_code(4).json();
    assert_eq!(answer["status"], "Stopped");
    assert!(unpacked(archive(&answer, "model")).contains_key("stopped"));
    jobs.assert_clean();
}

#[test]
fn an_interrupted_job_resumes() {
    resumes_after_an_interruption(&toys("p-spot"));
}

#[test]
fn an_interrupted_svm_starts_again() {
    svm_starts_again(&Jobs::new("p-svmspot", svm_in(false)));
}

#[test]
fn a_killed_launcher_takes_the_trainer_with_it() {
    let jobs = toys("p-orphan");
    let started = jobs.start_toy("stubborn", &[]);
    let trainer = started.running.only_child().expect("the trainer runs");
    started.signal("KILL");
    let until = Instant::now() + Duration::from_secs(20);
    let gone = || {
        let stat = fs::read_to_string(format!("/proc/{trainer}/stat")).unwrap_or_default();
        // A zombie, whose new parent has not looked yet, is gone as well.
        stat.is_empty() || stat.contains(") Z ")
    };
    while !gone() {
        assert!(Instant::now() < until, "the trainer lives on");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(started);
}

#[test]
fn what_the_trainer_has_started_ends_with_it() {
    let jobs = toys("p-child");
    let started = Instant::now();
    jobs.toy("orphan", &[]).expect_code(0);
    assert!(started.elapsed() < Duration::from_secs(60));
    jobs.assert_clean();
}

#[test]
fn links_stay_inside_the_archive() {
    let jobs = toys("p-links");
    let outcome = jobs.toy("links", &[]);
    let model = unpacked(archive(&outcome.expect_code(0).json(), "model"));
    let names: Vec<_> = model.keys().map(String::as_str).collect();
    assert_eq!(names, ["latest", "sub", "sub/same", "weights"]);
    assert!(
        outcome.stderr.contains("`passwd` is left out"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn bad_inputs_start_nothing() {
    let jobs = toys("p-bad");
    let outcome = run(jobs.train_on(&jobs.path("none.csv"), &[]));
    outcome.expect_code(2);
    assert!(outcome.stderr.contains("cannot read"), "{}", outcome.stderr);
    let empty = jobs.path("empty");
    fs::create_dir(&empty).expect("a folder");
    let outcome = run(jobs.train_on(&empty, &[]));
    assert!(outcome.expect_code(2).stderr.contains("is empty"));
    let no_program = Jobs::new("p-noprog", Where::Process(movie_csv()));
    let outcome = no_program.toy("look", &[]);
    assert!(outcome.expect_code(2).stderr.contains("cannot start"));
    assert_eq!(files(&jobs.path("out")), [""; 0]);
    jobs.assert_clean();
    no_program.assert_clean();
}

#[test]
fn an_output_that_cannot_be_written_starts_nothing() {
    if !testkit::read_only_allowed() {
        return testkit::skip(
            "an_output_that_cannot_be_written_starts_nothing",
            "no mount namespaces",
        );
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
fn a_dry_run_does_nothing() {
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
fn a_full_disk_leaves_no_half_archive() {
    if !testkit::small_disk_allowed() {
        return testkit::skip("a_full_disk_leaves_no_half_archive", "no mount namespaces");
    }
    let jobs = Jobs::new("p-full", svm_in(false));
    fs::create_dir(jobs.path("out")).expect("a folder");
    let command: Command = jobs.train_on(&movie_csv(), &["--", "--min-df", "1"]);
    // The trainer's own folder is on another disk and stays.
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
    fs::remove_dir_all(kept).expect("ours");
    jobs.assert_clean();
}

/// The only folder that a job has left in the folder for temporary files.
#[track_caller]
fn kept_folder(jobs: &Jobs) -> PathBuf {
    let found: Vec<_> = files(&jobs.path("tmp"))
        .into_iter()
        .filter(|name| name.find('/') == Some(name.len() - 1))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    jobs.path("tmp").join(found[0].trim_end_matches('/'))
}

/// `trainyard train` with all in S3.
fn train_in_s3(moto: &Moto, jobs: &Jobs, mode: &str, more: &[&str]) -> Command {
    let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
    command
        .env("TMPDIR", jobs.path("tmp"))
        .current_dir(jobs.folder.path())
        .args(["train", "svm", "--json", "--instance-type", "local-process"])
        .args(["--output", "s3://bucket/out", "--data"])
        .arg(jobs.data())
        .arg("--trainer-binary")
        .arg(toy())
        .args(more)
        .args(["--", "--mode", mode]);
    command
}

/// The command after `sends them`'s first backtick.
#[track_caller]
fn sends(error: &Value, what: &str) -> Vec<String> {
    let help = error["error"]["help"].as_array().expect("a list");
    let line = help
        .iter()
        .filter_map(Value::as_str)
        .find(|line| line.contains(what));
    let command = line.and_then(|line| line.split('`').nth(3));
    let words = command.expect("a command").split(' ').skip(1);
    words.map(str::to_owned).collect()
}

/// A model whose upload is denied is not lost: the command that the message names sends it.
#[test]
fn a_denied_upload_leaves_the_model() {
    let moto = testkit::moto();
    moto.boto("client('s3').create_bucket(Bucket='bucket')");
    let jobs = toys("p-denied");
    moto.fault("PutObject", "denied", 50);
    let command = train_in_s3(
        &moto,
        &jobs,
        "quick",
        &["--checkpoints", "s3://bucket/kept"],
    );
    let error = run(command).expect_code(1).json();
    assert!(error.to_string().contains("access denied"), "{error:#}");
    moto.forget();
    for what in ["the results are kept", "the checkpoints are kept"] {
        let words = sends(&error, what);
        let mut upload = moto.command(env!("CARGO_BIN_EXE_trainyard"));
        upload.args(&words);
        run(upload).expect_code(0);
        fs::remove_dir_all(&words[1]).expect("it was kept");
    }
    let text = keys(&moto);
    for part in ["/output/model.tar.gz", "kept/new"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    jobs.assert_clean();
}

/// Checkpoints that are denied do not keep the model from its place.
#[test]
fn the_model_goes_before_the_checkpoints() {
    let moto = testkit::moto();
    moto.boto("client('s3').create_bucket(Bucket='bucket')");
    let jobs = toys("p-first");
    moto.fault_with(
        &json!({"operation": "PutObject", "kind": "denied", "times": 50, "match": "kept/"}),
    );
    let command = train_in_s3(
        &moto,
        &jobs,
        "quick",
        &["--checkpoints", "s3://bucket/kept"],
    );
    let error = run(command).expect_code(1).json();
    let words = sends(&error, "the checkpoints are kept");
    assert!(keys(&moto).contains("/output/model.tar.gz"), "{error:#}");
    fs::remove_dir_all(&words[1]).expect("it was kept");
    jobs.assert_clean();
}

/// Ctrl-C during the upload: the model stays here.
#[test]
fn ctrl_c_while_sending_leaves_the_model() {
    let moto = testkit::moto();
    moto.boto("client('s3').create_bucket(Bucket='bucket')");
    let jobs = toys("p-csend");
    moto.fault_with(
        &json!({"operation": "PutObject", "kind": "stall", "times": 50, "seconds": 60}),
    );
    let command = train_in_s3(&moto, &jobs, "quick", &[]);
    let mut running = testkit::start(command);
    let until = Instant::now() + Duration::from_secs(60);
    while moto.requests("PutObject").is_empty() {
        assert!(
            Instant::now() < until && !running.ended(),
            "nothing is sent"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut kill = Command::new("kill");
    run({
        kill.arg("-INT").arg(running.pid().to_string());
        kill
    })
    .expect_code(0);
    let error = running
        .finish(Duration::from_secs(20))
        .expect_code(130)
        .json();
    let words = sends(&error, "the results are kept");
    let kept = PathBuf::from(&words[1]);
    assert_eq!(files(&kept), ["model.tar.gz"]);
    assert!(unpacked(kept.join("model.tar.gz")).contains_key("model"));
    fs::remove_dir_all(kept).expect("it was kept");
    jobs.assert_clean();
}

/// What the trainer deletes is deleted in S3; what was never here is not.
#[test]
fn checkpoints_in_s3_follow() {
    let moto = testkit::moto();
    moto.boto(
        "s3 = client('s3'); s3.create_bucket(Bucket='bucket'); \
         s3.put_object(Bucket='bucket', Key='kept/old', Body=b''); \
         s3.put_object(Bucket='bucket', Key='kept-too/old', Body=b'')",
    );
    let jobs = toys("p-follow");
    let more = ["--checkpoints", "s3://bucket/kept"];
    run(train_in_s3(&moto, &jobs, "forget", &more)).expect_code(0);
    let text = keys(&moto);
    assert!(
        !text.contains("kept/old") && text.contains("kept-too/old"),
        "{text}"
    );

    let more = [
        "--checkpoints",
        "s3://bucket/kept",
        "--simulate-interruption",
        "3s",
    ];
    let mut command = train_in_s3(&moto, &jobs, "steps", &more);
    command.args(["--steps", "40"]);
    let outcome = run(command);
    assert_eq!(outcome.expect_code(0).json()["interruptions"], 1);
    let (before, after) = outcome
        .stderr
        .split_once("starting the job again")
        .expect("it was");
    for part in [before, after] {
        assert!(
            part.contains("uploading the checkpoints"),
            "{}",
            outcome.stderr
        );
    }
    let text = keys(&moto);
    assert_eq!(text.matches("kept/step-").count(), 1, "{text}");
    assert!(text.contains("kept/step-40"), "{text}");
    jobs.assert_clean();
}

#[track_caller]
fn keys(moto: &Moto) -> String {
    let lines = "show([o['Key'] for o in client('s3').list_objects_v2(Bucket='bucket').get('Contents', [])])";
    moto.boto(lines).to_string()
}

/// Ctrl-C while the results are packed: no half archive, and the trainer's files stay.
#[test]
fn ctrl_c_while_packing_leaves_the_folder() {
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
    fs::remove_dir_all(kept).expect("ours");
    jobs.assert_clean();
    assert_eq!(files(&jobs.path("out")), [""; 0]);
}

#[test]
fn data_model_and_checkpoints_in_s3() {
    let moto = testkit::moto();
    moto.boto(
        "s3 = client('s3'); s3.create_bucket(Bucket='bucket'); \
         s3.put_object(Bucket='bucket', Key='data/a.csv', Body=b'text,label\\n'); \
         s3.put_object(Bucket='bucket', Key='data/sub/b.csv', Body=b'text,label\\n'); \
         s3.put_object(Bucket='bucket', Key='kept/step-18', Body=b'')",
    );
    let jobs = toys("p-s3");
    let train = |mode: &str, more: &[&str]| {
        let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
        command
            .env("TMPDIR", jobs.path("tmp"))
            .current_dir(jobs.folder.path())
            .args(["train", "svm", "--json", "--instance-type", "local-process"])
            .args(["--data", "s3://bucket/data", "--output", "s3://bucket/out"])
            .arg("--trainer-binary")
            .arg(toy())
            .args(more)
            .args(["--", "--mode", mode]);
        run(command)
    };
    let outcome = train("steps", &["--checkpoints", "s3://bucket/kept"]);
    let answer = outcome.expect_code(0).json();
    let job = answer["job"].as_str().expect("a name");
    let model = format!("s3://bucket/out/{job}/output/model.tar.gz");
    assert_eq!(answer["model"], model.as_str());
    for line in [
        "downloading channel `train`",
        "toy: begins after step 18",
        "uploading",
    ] {
        assert!(
            outcome.stderr.contains(line),
            "no `{line}`:\n{}",
            outcome.stderr
        );
    }
    let keys = moto.boto(
        "show([o['Key'] for o in client('s3').list_objects_v2(Bucket='bucket')['Contents']])",
    );
    let text = keys.to_string();
    assert!(
        text.contains(&format!("out/{job}/output/model.tar.gz")),
        "{text}"
    );
    assert!(text.contains("kept/step-20"), "{text}");
    jobs.assert_clean();
}

//! `trainyard serve`: the model reaches `TRAINER serve`, and signals too.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "tests report by panicking"
)]

mod local_kit;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use local_kit::*;
use serde_json::json;
use testkit::{free_port, run, start};

/// Prints its arguments and the model, and exits with 7 after SIGTERM.
const TRAINER: &str = r#"#!/bin/sh
trap 'exit 7' TERM
echo "arguments: $1 $2 $4 $5 $6 $7"
echo "model: $(cat "$3/config.json")"
: > started
while :; do sleep 0.05; done
"#;

fn serve(folder: &Path, more: &[&str]) -> Command {
    let trainer = folder.join("trainer");
    fs::write(&trainer, TRAINER).expect("a writable folder");
    fs::set_permissions(&trainer, fs::Permissions::from_mode(0o755)).expect("its own file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    command
        .current_dir(folder)
        .args(["serve", "svm", "--trainer-binary"])
        .arg(trainer)
        .args(more);
    command
}

fn model(folder: &Path) -> PathBuf {
    let model = folder.join("svm-model");
    fs::create_dir_all(&model).expect("a writable folder");
    fs::write(model.join("config.json"), "{\"a\": 1}").expect("a writable folder");
    model
}

#[test]
fn archive_and_folder_are_served_until_ctrl_c() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let folder = model(home.path());
    let archive = home.path().join("model.tar.gz");
    let mut tar = Command::new("tar");
    tar.arg("-czf")
        .arg(&archive)
        .arg("-C")
        .arg(&folder)
        .arg(".");
    run(tar).expect_code(0);
    for path in [&folder, &archive] {
        let _ = fs::remove_file(home.path().join("started"));
        let path = path.to_str().expect("UTF-8");
        let more = ["--model", path, "--port", "1234", "--", "--timeout", "10"];
        let mut running = start(serve(home.path(), &more));
        let until = Instant::now() + Duration::from_secs(30);
        while !home.path().join("started").exists() {
            assert!(Instant::now() < until && !running.ended(), "it starts");
            std::thread::sleep(Duration::from_millis(5));
        }
        running.sigint();
        let outcome = running.finish(Duration::from_secs(30));
        outcome.expect_code(1);
        let expected = "arguments: serve --model-dir --port 1234 --timeout 10\nmodel: {\"a\": 1}\n";
        assert_eq!(outcome.stdout, expected);
        assert!(
            outcome.stderr.contains("the server ended with exit code 7"),
            "{}",
            outcome.stderr
        );
    }
}

fn pack(home: &Path, from: &Path, what: &str) -> PathBuf {
    let archive = home.join("packed.tar.gz");
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(&archive).arg("-C").arg(from).arg(what);
    run(tar).expect_code(0);
    archive
}

/// `tar -czf model.tar.gz FOLDER`, also with folders in folders.
#[test]
fn model_may_be_below_a_folder_of_the_archive() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let outer = home.path().join("from/outer/inner");
    fs::create_dir_all(&outer).expect("a writable folder");
    let folder = model(&outer);
    assert!(folder.is_dir());
    let archive = pack(home.path(), &home.path().join("from"), "outer");
    let mut command = serve(home.path(), &["--model"]);
    // It ends at once.
    fs::write(
        home.path().join("trainer"),
        "#!/bin/sh\necho \"model: $(cat \"$3/config.json\")\"\n",
    )
    .expect("a writable folder");
    command.arg(archive);
    let outcome = run(command);
    outcome.expect_code(0);
    assert_eq!(outcome.stdout, "model: {\"a\": 1}\n");
}

/// The help has no option of `download`, and no folder that is deleted.
#[test]
fn archive_without_a_model_is_refused_with_help() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let from = home.path().join("from");
    fs::create_dir(&from).expect("a writable folder");
    fs::write(from.join("notes.txt"), "x").expect("a writable folder");
    let other = pack(home.path(), &from, "notes.txt");
    let broken = home.path().join("broken.tar.gz");
    fs::write(&broken, "no archive").expect("a writable folder");
    for (archive, expected) in [
        (other, "found no config.json"),
        (broken, "the archive is broken"),
    ] {
        let mut command = serve(home.path(), &["--model"]);
        command.arg(&archive);
        let outcome = run(command);
        outcome.expect_code(1);
        let (found, shown) = (&outcome.stderr, archive.display());
        assert!(found.contains(expected), "{found}");
        assert!(found.contains(&format!("tar -tzf {shown}")), "{found}");
        assert!(!found.contains("--no-unpack"), "{found}");
    }
}

#[test]
fn wrong_options_are_refused() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let folder = model(home.path());
    let folder = folder.to_str().expect("UTF-8");
    for (more, expected) in [
        (
            vec!["--model", folder, "--instance-type", "ml.m5.large"],
            "expected `local-process` or `local`",
        ),
        (
            vec!["--model", folder, "--instance-type", "local"],
            "`--trainer-binary` needs `--instance-type local-process`",
        ),
        (
            vec!["--model", "missing.tar.gz"],
            "cannot read `missing.tar.gz`",
        ),
    ] {
        let outcome = run(serve(home.path(), &more));
        assert_ne!(outcome.code(), Some(0));
        assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
    }
}

/// The model of a job, in the engine as SageMaker starts it. Ctrl-C ends and removes the container.
#[test]
fn model_of_a_job_is_served_in_the_engine() {
    let jobs = Jobs::new("serve", svm_in(true));
    let Backend::Docker(image, binary) = &jobs.backend else {
        panic!("made with an image");
    };
    let archive = trains_svm(&jobs, &[]);
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    command
        .args(["serve", "svm", "--instance-type", "local", "--image"])
        .args([&*image.0, "--port", &*port.to_string(), "--model"])
        .arg(&archive);
    let mut started = Started::new(command, "\"event\":\"loaded\"", &jobs);
    let texts = ["a wonderful film", "dull and much too long", "ä 文字"];
    let body = json!({ "inputs": texts }).to_string();
    let ask = || testkit::post(port, "/invocations", "application/json", &body);
    started.wait_until(|| ask().status == 200);
    let model = jobs.path("model");
    fs::create_dir(&model).expect("a new folder");
    for (name, bytes) in unpacked(&archive) {
        fs::write(model.join(name), bytes).expect("a model has no folders");
    }
    let expected = predicted(binary, &model, &texts);
    assert_eq!(ask().json(), json!(expected));
    started.signal("INT");
    started.finish().expect_code(0);
    assert_eq!(jobs.containers_of_image(), [""; 0]);
    jobs.assert_clean();
}

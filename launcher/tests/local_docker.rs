//! `trainyard train --instance-type local` with a real Docker engine and images of a single binary.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "tests report by panicking"
)]

mod local_kit;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use local_kit::*;
use testkit::{movie_csv, run};

fn toys(test: &str) -> Jobs {
    Jobs::new(test, toy_in(true))
}

#[test]
fn svm_trains_the_same_model_as_a_process() {
    let jobs = Jobs::new("d-svm", svm_in(true));
    let model = trains_svm(&jobs, &["--min-df", "5"]);
    let process = Jobs::new("d-svmp", svm_in(false));
    let other = trains_svm(&process, &["--min-df", "5"]);
    assert_eq!(
        fs::read(model).expect("bytes"),
        fs::read(other).expect("bytes")
    );
    jobs.assert_clean();
}

/// Tags of a repository in the engine, and their image ids.
fn images(repository: &str) -> BTreeSet<(String, String)> {
    let format = "{{.Repository}}:{{.Tag}} {{.ID}}";
    let listed = docker(&["image", "ls", "--no-trunc", "--format", format, repository]);
    let pairs = listed.lines().filter_map(|line| line.split_once(' '));
    pairs
        .filter(|(name, _)| !name.ends_with(":<none>"))
        .map(|(name, id)| (name.to_owned(), id.to_owned()))
        .collect()
}

/// In the repository and without `--image`, the image is built from the current source.
#[test]
fn image_is_built_before_the_run() {
    let before = images("trainyard/svm");
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["train", "svm", "--json", "--instance-type", "local"])
        .args(["--job-name-prefix", "t-d-built", "--trainer-binary"])
        .arg(svm())
        .arg("--data")
        .arg(movie_csv())
        .arg("--output")
        .arg(folder.path());
    let outcome = testkit::run_within(command, std::time::Duration::from_secs(900));
    let answer = outcome.expect_code(0).json();
    // `svm()` has compiled it: cargo prints nothing, unless it waits for another cargo.
    assert!(
        outcome.stderr.contains("Blocking waiting for file lock")
            || !outcome.stderr.contains("cargo rustc") && !outcome.stderr.contains("Finished"),
        "{}",
        outcome.stderr
    );
    // The message names the image; the tag `latest` must be the same image.
    let loaded = outcome.stderr.lines().find_map(|line| {
        let has = line.contains("the Docker engine");
        line.split('`').nth(1).filter(|_| has)
    });
    let reference = loaded.expect("the message names the image");
    let id = |name: &str| docker(&["image", "inspect", "--format", "{{.Id}}", name]);
    assert_eq!(id(reference), id("trainyard/svm:latest"));
    for (name, _) in images("trainyard/svm").difference(&before) {
        if !before.iter().any(|(known, _)| known == name) {
            docker(&["image", "rm", name]);
        }
    }
    // Restores the tags.
    for (name, id) in &before {
        docker(&["tag", id, name]);
    }
    let model = answer["model"].as_str().expect("a path");
    assert!(
        Path::new(model.trim_start_matches("file://")).is_file(),
        "{answer}"
    );
}

#[test]
fn container_is_like_sagemakers() {
    let jobs = toys("d-look");
    let data = jobs.path("größe: & mehr");
    fs::create_dir_all(data.join("sub folder")).expect("a folder");
    fs::write(data.join("sub folder/a b.csv"), "text,label\n").expect("a file");
    let single = format!("one={}", movie_csv().display());
    let outcome = run(jobs.train_on(
        &data,
        &[
            "--channel",
            &single,
            "--env",
            "GREETING=good day",
            "--",
            "--mode",
            "look",
        ],
    ));
    let seen = seen(&outcome.expect_code(0).json());
    assert!(
        outcome.stderr.contains("image `trainyard-test:") && outcome.stderr.contains("` (sha256:"),
        "{}",
        outcome.stderr
    );
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
            "HOSTNAME",
            "PATH",
            "TRAINING_JOB_ARN",
            "TRAINING_JOB_NAME"
        ]
    );
    assert_eq!(variables["HOSTNAME"], "algo-1");
    assert_eq!(seen["arguments"], serde_json::json!(["train"]));
    assert_eq!(seen["pid"], 1);
    assert_eq!(seen["data_is_writable"], false);
    let files = seen["files"].as_array().expect("a list");
    let mut expected = [
        "input/config/hyperparameters.json",
        "input/config/inputdataconfig.json",
        "input/config/resourceconfig.json",
        "input/data/one/movie.csv",
        "input/data/train/sub folder/a b.csv",
    ];
    expected.sort_unstable();
    let mut files: Vec<_> = files.iter().filter_map(|file| file.as_str()).collect();
    files.sort_unstable();
    assert_eq!(files, expected);
    // The user's data is unchanged.
    assert_eq!(
        local_kit::files(&data),
        ["sub folder/", "sub folder/a b.csv"]
    );
    jobs.assert_clean();
}

#[test]
fn network_isolation_keeps_loopback() {
    let jobs = toys("d-net");
    let count = |more: &[&str]| {
        let answer = jobs.toy("look", more).expect_code(0).json();
        seen(&answer)["interfaces"].as_u64().expect("a number")
    };
    assert!(count(&[]) > 1);
    assert_eq!(count(&["--network-isolation"]), 1);
    jobs.assert_clean();
}

#[test]
fn log_is_passed_on() {
    passes_log_on(&toys("d-noise"));
}

#[test]
fn archive_follows_links_inside_folder() {
    follows_links_inside(&toys("d-links"));
}

#[test]
fn two_jobs_at_once() {
    let jobs = toys("d-two");
    let both = [(); 2].map(|()| testkit::start(jobs.toy_command("look", &[])));
    let names = both.map(|running| {
        let answer = running
            .finish(std::time::Duration::from_secs(180))
            .expect_code(0)
            .json();
        answer["name"].as_str().expect("a name").to_owned()
    });
    assert_ne!(names[0], names[1]);
    jobs.assert_clean();
}

/// Group with access to the engine.
fn socket_group() -> String {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let path = host
        .strip_prefix("unix://")
        .unwrap_or("/var/run/docker.sock");
    match fs::metadata(path) {
        Ok(socket) => socket.gid().to_string(),
        Err(error) => panic!("expected the engine's socket `{path}`: {error}"),
    }
}

#[test]
fn files_belong_to_the_user_not_root() {
    const NOBODY: &str = "65534";
    if !rustix::process::geteuid().is_root() {
        return testkit::skip(
            "files_belong_to_the_user_not_root",
            "needs root, to become another user",
        );
    }
    // Other users may lack access to the target folder.
    let shared = tempfile::tempdir().expect("a folder");
    let readable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(shared.path(), readable).expect("own file");
    let checks = shared.path().join("toy");
    fs::copy(toy(), &checks).expect("a copy");
    let backend = Backend::Docker(Image::of(&checks), checks);
    let jobs = Jobs::new("d-user", backend);
    let data = jobs.data();
    let launcher = jobs.path("trainyard");
    fs::copy(env!("CARGO_BIN_EXE_trainyard"), &launcher).expect("a copy");
    let mut chown = Command::new("chown");
    chown.args(["-R", NOBODY]).arg(jobs.folder.path());
    run(chown).expect_code(0);
    let everybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(jobs.folder.path(), everybody).expect("own file");
    let checkpoints = format!("file://{}", jobs.path("kept").display());
    let more = [
        "--checkpoints",
        &checkpoints,
        "--simulate-interruption",
        "5s",
        "--",
        "--mode",
        "steps",
        "--steps",
        "40",
    ];
    let inner = jobs.train_with(&launcher, &data, &more);
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid",
            NOBODY,
            "--regid",
            NOBODY,
            "--groups",
            &socket_group(),
        ])
        .arg(inner.get_program())
        .args(inner.get_args());
    jobs.environment(&mut command);
    let answer = run(command).expect_code(0).json();
    assert!(archive(&answer, "model").is_file());
    for name in files(jobs.folder.path()) {
        let metadata = fs::symlink_metadata(jobs.path(&name)).expect("it is there");
        assert_eq!(metadata.uid().to_string(), NOBODY, "{name}");
    }
    assert_eq!(
        files(&jobs.path("kept")),
        ["more/", "more/state", "step-40"]
    );
    jobs.assert_clean();
}

#[test]
fn image_with_user_may_write() {
    let image = Image::with(&toy(), &["ENTRYPOINT [\"/trainer\"]", "USER 1234:1234"]);
    let jobs = Jobs::new("d-imguser", Backend::Docker(image, toy()));
    let checkpoints = format!("file://{}", jobs.path("kept").display());
    jobs.toy("steps", &["--checkpoints", &checkpoints])
        .expect_code(0);
    assert!(jobs.path("kept/step-20").is_file());
    jobs.assert_clean();
}

#[test]
fn engine_errors_have_help() {
    let none = Image("trainyard-test:none".to_owned());
    let jobs = Jobs::new("d-noimage", Backend::Docker(none, toy()));
    let outcome = jobs.toy("look", &[]);
    outcome.expect_code(2);
    assert!(
        outcome.stderr.contains("no image `trainyard-test:none`")
            && outcome.stderr.contains("trainyard build svm --load"),
        "{}",
        outcome.stderr
    );
    assert_eq!(files(&jobs.path("out")), [""; 0]);

    let image = Image::with(&toy(), &["ENV X=1"]);
    let jobs = Jobs::new("d-noentry", Backend::Docker(image, toy()));
    let outcome = jobs.toy("look", &[]);
    outcome.expect_code(1);
    assert!(
        outcome.stderr.contains("expected an ENTRYPOINT"),
        "{}",
        outcome.stderr
    );
    jobs.assert_clean();
}

/// The container sees only the mounted folder.
#[test]
fn links_out_of_the_data_are_refused() {
    let none = Image("trainyard-test:none".to_owned());
    let jobs = Jobs::new(
        "d-links",
        Backend::Docker(none, Path::new("/bin/true").into()),
    );
    let data = jobs.path("my data");
    fs::create_dir_all(data.join("sub")).expect("a folder");
    fs::write(data.join("a.csv"), "text,label\n").expect("a file");
    fs::write(jobs.path("out.csv"), "text,label\n").expect("a file");
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, data.join(name)).expect("a link");
    };
    let train = |more: &[&str]| run(jobs.train_on(Path::new("my data"), more));
    link("a.csv", "b.csv");
    link("../a.csv", "sub/c.csv");
    // These links are valid: the error is about the image.
    let text = train(&[]).expect_code(2).stderr.clone();
    assert!(text.contains("no image `trainyard-test:none`"), "{text}");
    link("../out.csv", "d.csv");
    link("nowhere.csv", "e.csv");
    link("../../my data/a.csv", "sub/f.csv");
    let inside = data.join("a.csv");
    link(inside.to_str().expect("UTF-8"), "g.csv");
    for more in [&[][..], &["--dry-run"]] {
        let text = train(more).expect_code(2).stderr.clone();
        for part in [
            "channel `train`: not all of `my data` can be sent:",
            "`my data/d.csv` is a link to outside of the folder",
            "`my data/e.csv` is a broken link",
            "`my data/g.csv` is a link whose path leaves the folder",
            "`my data/sub/f.csv` is a link whose path leaves the folder",
            "help: replace links by copies of their targets",
        ] {
            assert!(text.contains(part), "no `{part}` in {text}");
        }
        assert!(
            !text.contains("b.csv` is") && !text.contains("c.csv` is"),
            "{text}"
        );
    }
    assert_eq!(files(&jobs.path("out")), [""; 0]);
    jobs.assert_clean();
}

#[test]
fn missing_engine_error_has_help() {
    let jobs = Jobs::new(
        "d-noengine",
        Backend::Process(Path::new("/bin/true").into()),
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    jobs.environment(&mut command);
    command
        .args([
            "train",
            "svm",
            "--instance-type",
            "local",
            "--image",
            "x",
            "--data",
        ])
        .arg(jobs.data())
        .args(["--output", "out", "--trainer-binary", "/bin/true"])
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let outcome = run(command);
    outcome.expect_code(1);
    assert!(outcome.stderr.contains("help: "), "{}", outcome.stderr);
    assert_eq!(files(&jobs.path("out")), [""; 0]);
}

#[test]
fn gpu_needs_runtime() {
    let runtimes = docker(&["info", "--format", "{{json .Runtimes}}"]);
    if runtimes.contains("nvidia") {
        return testkit::skip("gpu_needs_runtime", "this engine has a GPU runtime");
    }
    let jobs = toys("d-gpu");
    let Backend::Docker(image, _) = &jobs.backend else {
        panic!("made with an image");
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    jobs.environment(&mut command);
    command
        .args([
            "train",
            "svm",
            "--instance-type",
            "local_gpu",
            "--image",
            &image.0,
        ])
        .args([
            "--job-name-prefix",
            &jobs.prefix,
            "--output",
            "out",
            "--data",
        ])
        .arg(jobs.data());
    let outcome = run(command);
    outcome.expect_code(1);
    assert!(
        outcome.stderr.contains("NVIDIA container toolkit"),
        "{}",
        outcome.stderr
    );
    jobs.assert_clean();
}

#[test]
fn dry_run_shows_the_request() {
    let jobs = toys("d-dry");
    let plan = jobs
        .toy("look", &["--dry-run", "--network-isolation"])
        .expect_code(0)
        .json();
    let text = plan.to_string();
    for part in [
        "\"NetworkMode\":\"none\"",
        "\"Cmd\":[\"train\"]",
        "/opt/ml/input/config/hyperparameters.json",
        // Known once the job starts.
        "\"trainyard.launcher\":\"<process>\"",
    ] {
        assert!(text.contains(part), "{part}: {plan:#}");
    }
    assert!(!text.contains("canary"), "{plan:#}");
    assert!(!jobs.path("out").exists());
    jobs.assert_clean();
}

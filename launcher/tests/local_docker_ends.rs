//! Ends of a job in the local Docker engine: failures, signals, limits, interruptions, a full disk.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "tests report by panicking"
)]

mod local_kit;

use std::fs;

use local_kit::*;
use testkit::{movie_csv, run};

fn toys(test: &str) -> Jobs {
    Jobs::new(test, toy_in(true))
}

#[test]
fn failure_is_shown() {
    shows_the_failure(&toys("d-fail"));
}

#[test]
fn failure_reason_names_invalid_hyperparameter() {
    // `/bin/true` passes every check.
    let backend = Backend::Docker(Image::of(&svm()), "/bin/true".into());
    let jobs = Jobs::new("d-hyper", backend);
    let outcome = run(jobs.train_on(&movie_csv(), &["--", "--min-df", "-1"]));
    let answer = outcome.expect_code(3).json();
    let failure = answer["failure_reason"].as_str().expect("a reason");
    assert!(failure.contains("min-df"), "{failure}");
    jobs.assert_clean();
}

#[test]
fn failure_names_users_file() {
    names_users_file(&Jobs::new("d-file", svm_in(true)));
}

#[test]
fn ctrl_c_stops() {
    stops(&toys("d-int"), "INT", 130);
}

#[test]
fn sigterm_stops() {
    stops(&toys("d-term"), "TERM", 4);
}

#[test]
fn sighup_stops() {
    stops(&toys("d-hup"), "HUP", 4);
}

#[test]
fn second_ctrl_c_kills() {
    second_ctrl_c_kills_trainer(&toys("d-kill"));
}

#[test]
fn job_stops_at_max_run() {
    ends_at_max_run(&toys("d-max"));
}

#[test]
fn docker_stop_lets_the_trainer_save() {
    let jobs = toys("d-stop");
    let started = jobs.start_toy("until_stopped", &[]);
    docker(&["stop", &jobs.container()]);
    let answer = started.finish().expect_code(0).json();
    assert_eq!(answer["status"], "Completed");
    assert!(unpacked(archive(&answer, "model")).contains_key("stopped"));
    jobs.assert_clean();
}

#[test]
fn docker_kill_is_reported_as_sigkill() {
    let jobs = toys("d-dkill");
    let started = jobs.start_toy("stubborn", &[]);
    docker(&["kill", &jobs.container()]);
    let answer = started.finish().expect_code(3).json();
    assert_eq!(answer["exit_code"], 137);
    let failure = answer["failure_reason"].as_str().expect("a reason");
    assert!(failure.contains("SIGKILL"), "{failure}");
    jobs.assert_clean();
}

#[test]
fn removed_container_is_an_error() {
    let jobs = toys("d-rm");
    let started = jobs.start_toy("stubborn", &[]);
    docker(&["rm", "--force", "--volumes", &jobs.container()]);
    let outcome = started.finish();
    assert!(matches!(outcome.code(), Some(1 | 3)), "{outcome:?}");
    jobs.assert_clean();
}

#[test]
fn out_of_memory_is_reported() {
    let jobs = toys("d-oom");
    let mut started = jobs.start_toy("memory", &[]);
    started.wait_for("toy: ready");
    let container = jobs.container();
    docker(&[
        "update",
        "--memory",
        "48m",
        "--memory-swap",
        "48m",
        &container,
    ]);
    docker(&["kill", "--signal", "TERM", &container]);
    let answer = started.finish().expect_code(3).json();
    assert_eq!(answer["exit_code"], 137);
    let failure = answer["failure_reason"].as_str().expect("a reason");
    assert!(failure.contains("out of memory"), "{failure}");
    jobs.assert_clean();
}

#[test]
fn interrupted_job_resumes() {
    resumes_after_interruption(&toys("d-spot"));
}

#[test]
fn interrupted_svm_restarts() {
    svm_restarts(&Jobs::new("d-svmspot", svm_in(true)));
}

/// Files that cannot be packed stay in the container, which the message names.
#[test]
fn full_disk_keeps_the_container() {
    if !testkit::small_disk_allowed() {
        return testkit::skip("full_disk_keeps_the_container", "no mount namespaces");
    }
    let jobs = toys("d-full");
    fs::create_dir(jobs.path("out")).expect("a folder");
    let command = jobs.toy_command("large", &[]);
    let disk = testkit::on_small_disk(&command, &jobs.path("out"), 8);
    let error = disk.outcome.expect_code(1).json();
    let text = error.to_string();
    let container = jobs.container();
    assert!(
        text.contains("No space left") && text.contains(&format!("docker cp {container}:/opt/ml")),
        "{error:#}"
    );
    let copy = jobs.path("copy");
    let from = format!("{container}:/opt/ml/model");
    docker(&["cp", &from, &copy.to_string_lossy()]);
    assert_eq!(files(&copy), ["noise"]);
    docker(&["rm", "--volumes", &container]);
    jobs.assert_clean();
}

/// Ctrl-C while the results are packed keeps them.
#[test]
fn ctrl_c_while_packing_keeps_the_container() {
    let jobs = toys("d-cpack");
    let mut started = Started::new(jobs.toy_command("large", &[]), "toy: wrote", &jobs);
    started.wait_until(|| {
        files(&jobs.path("out"))
            .iter()
            .any(|name| name.contains("partial"))
    });
    started.signal("INT");
    let outcome = started.finish();
    let error = outcome.expect_code(130).json();
    let container = jobs.container();
    assert!(
        error
            .to_string()
            .contains(&format!("docker cp {container}:/opt/ml")),
        "{error:#}"
    );
    docker(&["rm", "--volumes", &container]);
    jobs.assert_clean();
    assert_eq!(files(&jobs.path("out")), [""; 0]);
}

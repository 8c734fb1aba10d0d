//! Orphans of a killed launcher, and local jobs in other commands.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "tests report by panicking"
)]

mod local_kit;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use local_kit::*;
use testkit::run;

fn doctor(jobs: &Jobs) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    jobs.environment(&mut command);
    command
        .arg("doctor")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    run(command).stdout
}

#[test]
fn trainer_ends_when_launcher_is_killed() {
    let jobs = Jobs::new("p-orphan", toy_in(false));
    let started = jobs.start_toy("stubborn", &[]);
    // Its folder is not an orphan.
    let second = jobs.toy("look", &[]);
    let log = &second.expect_code(0).stderr;
    assert!(!log.contains("killed launcher"), "{log}");
    let trainer = started.running.only_child().expect("the trainer runs");
    started.signal("KILL");
    let until = Instant::now() + Duration::from_secs(20);
    let gone = || {
        let stat = fs::read_to_string(format!("/proc/{trainer}/stat")).unwrap_or_default();
        // A zombie has ended, too.
        stat.is_empty() || stat.contains(") Z ")
    };
    while !gone() {
        assert!(Instant::now() < until, "the trainer still runs");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(started);

    let left = fs::read_dir(jobs.path("tmp")).expect("own file");
    let left: Vec<_> = left.flatten().map(|entry| entry.path()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let help = format!("help: `rm -r {}`", left[0].display());
    let next = jobs.toy("look", &[]);
    assert!(next.stderr.contains(&help), "{}", next.stderr);
    let doctor = doctor(&jobs);
    assert!(doctor.contains(&help), "{doctor}");
    fs::remove_dir_all(&left[0]).expect("own file");
    jobs.assert_clean();
}

#[test]
fn orphaned_container_is_reported() {
    let jobs = Jobs::new("d-orphan", toy_in(true));
    let started = jobs.start_toy("until_stopped", &[]);
    let container = jobs.container();
    let help = format!("`docker rm --force --volumes {container}`");
    // Its launcher runs.
    let second = jobs.toy("look", &[]);
    let log = &second.expect_code(0).stderr;
    assert!(!log.contains(&container), "{log}");
    assert!(!doctor(&jobs).contains(&container));

    started.signal("KILL");
    drop(started);
    let next = jobs.toy("look", &[]);
    assert!(next.stderr.contains(&help), "{}", next.stderr);
    let doctor = doctor(&jobs);
    assert!(doctor.contains(&help), "{doctor}");
    docker(&["rm", "--force", "--volumes", &container]);
    // No temporary file is left.
    jobs.assert_clean();
}

#[test]
fn commands_report_local_jobs() {
    let moto = testkit::moto();
    let jobs = Jobs::new("d-here", toy_in(true));
    let started = jobs.start_toy("until_stopped", &[]);
    let name = jobs.container();
    let ask = |arguments: &[&str]| {
        let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
        command.args(arguments).env("TRAINYARD_POLL_MS", "100");
        command
    };
    for word in ["status", "describe", "stop", "logs"] {
        let outcome = run(ask(&[word, &name]));
        outcome.expect_code(1);
        let log = &outcome.stderr;
        assert!(
            log.contains("in the local Docker engine, where it runs")
                && log.contains(&format!("`docker logs --follow {name}`"))
                && log.contains(&format!("`docker stop --time 120 {name}`")),
            "{log}"
        );
    }
    let log = run(ask(&["list"])).stderr;
    assert!(
        log.contains(&format!("job `{name}` runs in the local")),
        "{log}"
    );
    assert!(!run(ask(&["list", "--json"])).stderr.contains(&name));

    // Without an engine there is no message about it.
    let mut without = ask(&["status", &name]);
    without.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let outcome = run(without);
    outcome.expect_code(1);
    assert!(
        outcome.stderr.contains("no training job") && !outcome.stderr.contains("Docker"),
        "{}",
        outcome.stderr
    );

    started.signal("INT");
    started.finish().expect_code(130);
    let outcome = run(ask(&["status", &name]));
    assert!(
        outcome.stderr.contains("no training job"),
        "{}",
        outcome.stderr
    );
    jobs.assert_clean();
}

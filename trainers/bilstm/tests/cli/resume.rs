//! A run that was killed, stopped or damaged resumes to the same model.

use std::time::Duration;
use testkit::campaign::Campaign;
use testkit::resume::{Resume, newest_checkpoint};
use testkit::start;

use super::Home;

const FLAGS: [&str; 8] = [
    "--epochs",
    "16",
    "--patience",
    "0",
    "--num-layers",
    "2",
    "--checkpoint-every",
    "3",
];

fn resume<'a>(home: &'a Home, flags: &'a [&'a str]) -> Resume<'a> {
    Resume {
        workspace: home,
        flags,
    }
}

#[test]
fn killed_runs_resume_to_the_same_model() {
    let home = Home::new();
    // With two threads gradients are summed in another order, which gives another model.
    let campaign = Campaign::new("bilstm: four SIGKILLs and resume", 2, 25);
    resume(&home, &FLAGS).kill_repeatedly(campaign, &[&[], &["--threads", "2"]]);
}

#[test]
fn stopped_run_resumes_to_the_same_model() {
    let home = Home::new();
    resume(&home, &["--epochs", "40", "--patience", "0"]).stop_and_resume();
}

#[test]
fn damaged_checkpoint_is_skipped() {
    let home = Home::new();
    resume(&home, &FLAGS).damage_and_resume();
}

#[test]
fn torn_checkpoints_resume_to_the_same_model() {
    let home = Home::new();
    let campaign = Campaign::new("bilstm: torn checkpoints", 2, 40);
    resume(&home, &FLAGS).tear_checkpoints(campaign);
}

#[test]
fn checkpoint_of_another_run_is_refused() {
    let home = Home::new();
    resume(&home, &["--epochs", "1"]).refuse_other_run();
}

/// While libtorch's threads work.
#[test]
fn second_ctrl_c_exits_at_once() {
    let home = Home::new();
    let (rows, chain) = (home.rows(400), home.path("checkpoints"));
    let flags = [
        "--train",
        rows.to_str().unwrap(),
        "--no-report",
        "--epochs",
        "1000",
        "--patience",
        "0",
        "--batch-size",
        "200",
        "--hidden-size",
        "128",
        "--checkpoint-every",
        "1",
        "--checkpoint-dir",
        chain.to_str().unwrap(),
    ];
    let mut running = start(home.command("train", &flags));
    while newest_checkpoint(&chain).is_none() {
        assert!(!running.ended(), "the run ended before it was stopped");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.sigint();
    // Within the step that the first signal waits for.
    std::thread::sleep(Duration::from_millis(30));
    running.sigint();
    let outcome = running.finish(Duration::from_secs(30));
    assert_eq!(outcome.code(), Some(130), "{}", outcome.stderr);
    let message = "Ctrl-C again: exiting without saving";
    assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
}

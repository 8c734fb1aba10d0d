//! A run that was killed, stopped or damaged resumes to the same model.

use testkit::campaign::Campaign;
use testkit::resume::Resume;

use super::Home;

const FLAGS: [&str; 8] = [
    "--epochs",
    "16",
    "--patience",
    "0",
    "--freeze-layers",
    "0",
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
    let campaign = Campaign::new("transformer: four SIGKILLs and resume", 3, 25);
    resume(&home, &FLAGS).kill_repeatedly(campaign, &[&[]]);
}

#[test]
fn stopped_run_resumes_to_the_same_model() {
    let home = Home::new();
    resume(&home, &["--epochs", "300", "--patience", "0"]).stop_and_resume();
}

#[test]
fn damaged_checkpoint_is_skipped() {
    let home = Home::new();
    resume(&home, &FLAGS).damage_and_resume();
}

#[test]
fn torn_checkpoints_resume_to_the_same_model() {
    let home = Home::new();
    let campaign = Campaign::new("transformer: torn checkpoints", 4, 100);
    resume(&home, &FLAGS).tear_checkpoints(campaign);
}

#[test]
fn checkpoint_of_another_run_is_refused() {
    let home = Home::new();
    resume(&home, &["--epochs", "1"]).refuse_other_run();
}

//! Jobs in the cloud: the real binary against moto.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod campaigns;
#[path = "../cloud/mod.rs"]
mod cloud;
mod data;
mod faults;
mod public_reports;
mod refusals;
mod submitting;
mod watching;

use std::time::Duration;

use cloud::train_with;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use testkit::{Moto, Running};

const LIMIT: Duration = Duration::from_secs(120);

fn ctrl_c(running: &Running) {
    let pid = Pid::from_raw(running.pid().cast_signed()).expect("a process id");
    kill_process(pid, Signal::INT).expect("it runs");
}

/// The name in the first line of a text answer, `NAME: STATE`.
fn name_of(text: &str) -> &str {
    text.split([':', '\n']).next().expect("a name")
}

/// Submits a job that follows the script.
#[track_caller]
fn submitted(moto: &Moto, prefix: &str, script: Value) -> String {
    let mut script = script;
    script["prefix"] = json!(prefix);
    moto.job(&script);
    let outcome = train_with(moto, &["--no-wait", "--job-name-prefix", prefix]);
    outcome.expect_code(0).stdout.trim().to_owned()
}

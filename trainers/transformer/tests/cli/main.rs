//! Tests of the `transformer` program: train, resume, predict, explain, read the model in Python.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "helpers of tests, outside of a test function"
)]

mod attacks;
mod hosts;
#[path = "../kit/mod.rs"]
mod kit;
mod model;
mod pretrained;
mod public_reports;
mod resume;
mod training;

use std::ops::Deref;

use testkit::campaign::{Campaign, mutate_model};
use testkit::{Outcome, Workspace, run};

/// A folder for one test, with a narrow pretrained network.
struct Home(Workspace);

impl Home {
    fn new() -> Self {
        let pretrained = kit::pretrained();
        let pretrained = pretrained.to_str().unwrap();
        let flags = ["--pretrained-model", pretrained, "--max-len", "24"];
        Self(Workspace::new(env!("CARGO_BIN_EXE_transformer"), &flags))
    }

    fn transformer(&self, command: &str, arguments: &[&str]) -> Outcome {
        run(self.command(command, arguments))
    }
}

impl Deref for Home {
    type Target = Workspace;

    fn deref(&self) -> &Workspace {
        &self.0
    }
}

#[test]
fn mutated_models_are_refused_or_answer() {
    let home = Home::new();
    let rows = home.rows(40);
    home.train(&rows, &["--epochs", "1"]).expect_code(0);
    let campaign = Campaign::new("transformer: mutated models", 60, 3000);
    mutate_model(&home, campaign);
}

#[test]
fn equal_seeds_give_equal_models() {
    testkit::assert_equal_seeds_give_equal_models(&Home::new());
}

//! Tests of the `bilstm` program: train, resume, predict, explain, read the model in PyTorch.
#![cfg(feature = "libtorch")]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of a test function"
)]

mod attacks;
mod bag;
mod model;
mod multi_label;
mod public_reports;
mod resume;
mod training;

use std::ops::Deref;

use testkit::campaign::{Campaign, mutate_model};
use testkit::{Outcome, Workspace, run};

/// A folder for one test, with a network that trains within a second.
struct Home(Workspace);

impl Home {
    fn new() -> Self {
        let flags = "--emb-size 8 --hidden-size 8 --seq-len 24 --batch-size 16";
        let flags: Vec<&str> = flags.split(' ').collect();
        Self(Workspace::new(env!("CARGO_BIN_EXE_bilstm"), &flags))
    }

    fn bilstm(&self, command: &str, arguments: &[&str]) -> Outcome {
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
    let campaign = Campaign::new("bilstm: mutated models", 10, 400);
    mutate_model(&home, campaign);
}

#[test]
fn equal_seeds_give_equal_models() {
    testkit::assert_equal_seeds_give_equal_models(&Home::new());
}

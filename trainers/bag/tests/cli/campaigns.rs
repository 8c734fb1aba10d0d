//! Many seeded cases; more with `./test --long`.

use testkit::Workspace;
use testkit::campaign::{Campaign, mutate_model};
use testkit::resume::Resume;

const BIN: &str = env!("CARGO_BIN_EXE_bag");

#[test]
fn mutated_models_are_refused_or_answer() {
    let workspace = Workspace::new(BIN, &[]);
    workspace.train(&workspace.rows(120), &[]).expect_code(0);
    mutate_model(&workspace, Campaign::new("bag: mutated models", 150, 5_000));
}

#[test]
fn torn_checkpoints_resume_to_the_same_model() {
    let workspace = Workspace::new(BIN, &[]);
    let flags = ["--epochs", "16", "--dropout", "0.2"];
    Resume {
        workspace: &workspace,
        flags: &flags,
    }
    .tear_checkpoints(Campaign::new("bag: torn checkpoints", 8, 300));
}

//! Helpers of all crates' tests: a fake `/opt/ml`, processes with time limits, small and read-only
//! disks, Python judges, the suite of contract tests that every trainer must pass, and moto as AWS.
//!
//! A trainer's `tests/contract.rs` is a description of the trainer and one line:
//!
//! ```text
//! fn trainer() -> testkit::Trainer { .. }
//! testkit::contract_suite!(trainer());
//! ```
#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a test kit reports by panicking; none of it runs outside of tests"
)]

pub mod campaign;
mod cli_reference;
pub mod contract;
mod data;
mod documented;
mod engine;
mod fake_ml;
mod fault_proxy;
mod judge;
mod messages;
mod moto;
mod process;
mod random;
mod registry;
pub mod resume;
mod sandbox;
mod server;
mod tls;
mod workspace;

pub use cli_reference::{check_cli_reference, check_trainer_reference};
pub use contract::{Trainer, pairs, strings};
pub use data::{
    Row, data_dir, imdb_train, many_class_rows, movie_csv, movie_rows, several_label_rows, to_csv,
    two_label_rows, unsegmented_rows,
};
pub use documented::check_documented_labels;
pub use engine::{Engine, engine};
pub use fake_ml::{FakeMl, fifo};
pub use fault_proxy::{Fault, FaultProxy, Passed, fault_proxy};
pub use judge::{
    chromium, judge, judge_cases, judge_command, python, torch_judge, torch_judge_cases,
};
pub use messages::MessageFixture;
pub use moto::{CANARY_KEY_ID, CANARY_SECRET, Moto, moto};
pub use process::{Outcome, Running, run, run_within, start};
pub use random::SplitMix64;
pub use registry::{REGISTRY_PASSWORD, REGISTRY_USER, Registry, free_port, registry};
pub use sandbox::{
    SmallDisk, as_pid_1, no_network_allowed, on_read_only_folder, on_small_disk, pid_1_allowed,
    read_only_allowed, skip, small_disk_allowed, with_read_only_mount, without_network,
};
pub use server::{Answer, Server, post};
pub use tls::{PythonServer, certificates};
pub use workspace::{Workspace, assert_equal_seeds_give_equal_models};

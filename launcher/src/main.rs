//! `trainyard`: builds, pushes, runs and submits the trainers.
//!
//! A trainer is what it is for SageMaker: an image or a binary with files, arguments, exit codes.

mod aws;
mod build;
mod cli;
mod cloud;
mod commands;
mod context;
mod doctor;
mod ecr;
mod engine;
mod infra;
mod interrupt;
mod job;
mod local;
mod output;
mod pipe;
mod plan;
mod trainer;
mod util;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = local::exec_trainer() {
        return code;
    }
    cli::run()
}

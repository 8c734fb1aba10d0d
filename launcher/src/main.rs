//! `trainyard`: builds, pushes, runs and submits the trainers.
//!
//! It knows a trainer as SageMaker does: an image or a binary, files, arguments, exit codes.

mod aws;
mod cli;
mod cloud;
mod commands;
mod context;
mod doctor;
mod engine;
mod image;
mod infra;
mod interrupt;
mod job;
mod local;
mod output;
mod pipe;
mod plan;
mod retry;
mod size;
mod trainer;
mod transfer;
mod variable;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = local::exec_trainer() {
        return code;
    }
    cli::run()
}

//! What every trainer shares: corpus, split, metrics, report, life cycle and command line.

pub mod checkpoint;
mod command;
pub mod corpus;
pub mod data;
pub mod diagnostic;
mod facts;
mod failure;
pub mod features;
pub mod history;
pub mod memory;
pub mod metrics;
mod page;
mod progress;
pub mod report;
mod run;
mod save;
mod say;
pub mod stop;
mod streams;
mod sums;
pub mod text;
pub mod trainer;

pub use command::{help, run};
pub use failure::Failure;
pub use run::Run;
pub use sums::of_bytes as sha256;
pub use trainer::{Model, NoArgs, Trained, Trainer};

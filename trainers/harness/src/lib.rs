//! What every trainer shares: corpus, split, metrics, report, life cycle and command line.

pub mod checkpoint;
mod command;
pub mod corpus;
pub mod data;
pub mod diagnostic;
mod facts;
mod failure;
pub mod features;
pub mod folder;
pub mod history;
pub mod memory;
pub mod metrics;
mod page;
mod progress;
pub mod range;
pub mod report;
mod run;
mod save;
mod say;
pub mod stop;
mod streams;
mod sums;
pub mod text;
pub mod trainer;
pub mod training;

pub use command::{help, run};
pub use contract::{Env, Paths, shown, vars};
pub use failure::Failure;
pub use run::{Hosts, Run};
pub use sums::{of_bytes as sha256, sha256_of_file};
pub use trainer::{Model, NoArgs, Trained, Trainer};

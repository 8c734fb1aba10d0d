//! What every trainer shares: corpus, split, metrics, report, life cycle and command line.

pub mod corpus;
pub mod data;
pub mod diagnostic;
mod failure;
pub mod metrics;
mod progress;
pub mod report;
mod run;
pub mod stop;
mod streams;
pub mod trainer;

pub use failure::Failure;
pub use run::Run;
pub use trainer::{Model, Trained, Trainer};

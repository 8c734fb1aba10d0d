//! What a trainer gets by implementing [`Trainer`]: command line, life cycle, model folder.

mod command;
pub mod model_dir;

pub mod range;
mod report;
pub mod trainer;

pub use command::{help, run};
pub use trainer::{Model, NoArgs, Trained, Trainer};

//! Command line, life cycle and model folder for types that implement [`Trainer`].

mod analysis;
mod command;
pub mod features;
pub mod model_dir;
pub mod range;
mod report;
pub mod trainer;

pub use analysis::{AnalysisArgs, AnalysisDefaults, TextAnalysis, rows_without_blanks};
pub use command::{help, run};
pub use trainer::{Adapted, Model, Needs, NoArgs, Trained, Trainer};

//! Amazon SageMaker's training contract as types.
//!
//! Shared by trainers, which read these files inside the container, and the launcher, which writes
//! them or requests them from SageMaker. No training and no network access. Environment and paths
//! are arguments, so tests can lay out a container in a temporary folder.
//!
//! | module | contents |
//! |---|---|
//! | [`env_vars`] | all environment variables that are read |
//! | [`paths`] | the `/opt/ml` layout, channels, model and output folders |
//! | [`hyperparameters`] | SageMaker's strings to command line arguments, and back |
//! | [`input_data`], [`resources`] | `inputdataconfig.json`, `resourceconfig.json` |
//! | [`metrics`] | metric lines, and the regular expressions that find them |
//! | [`failure`] | the failure file, and meanings of exit codes |
//! | [`limits`] | limits of SageMaker, checked before a job is submitted |

pub mod env_vars;
pub mod failure;
pub mod hyperparameters;
pub mod input_data;
pub mod limits;
pub mod metrics;
pub mod paths;
pub mod resources;
pub mod trainer_description;

mod decode;
mod error;
mod file;

pub use decode::Value;
pub use env_vars::Env;
pub use error::ContractError;
pub use hyperparameters::Hyperparameter;
pub use input_data::{ChannelConfig, InputDataConfig};
pub use metrics::{Metric, MetricLine};
pub use paths::{Channel, Paths};
pub use resources::ResourceConfig;
pub use trainer_description::{ErrorReport, TrainerDescription};

//! Amazon SageMaker's training contract as types.
//!
//! Both ends share it: a trainer, which runs inside the container and reads the files, and the
//! launcher, which writes the same files or asks SageMaker to. Nothing here trains, and nothing
//! here talks to a network. The environment and every path are arguments, so a test can build a
//! whole container's layout in a temporary folder.
//!
//! | module | what it holds |
//! |---|---|
//! | [`vars`] | every environment variable that is read, once |
//! | [`paths`] | the `/opt/ml` layout, channels, model and output folders |
//! | [`hyperparameters`] | SageMaker's strings to command line arguments, and back |
//! | [`input_data`], [`resources`] | `inputdataconfig.json`, `resourceconfig.json` |
//! | [`metrics`] | metric lines, and the regular expressions that find them |
//! | [`failure`], [`exit`] | how a job says why it failed |
//! | [`describe`] | what a trainer prints for programs: its description, its errors |
//! | [`limits`] | what SageMaker refuses, said before money is spent |

pub mod describe;
pub mod exit;
pub mod failure;
pub mod hyperparameters;
pub mod input_data;
pub mod limits;
pub mod metrics;
pub mod paths;
pub mod resources;
pub mod vars;

mod decode;
mod error;
mod file;

pub use decode::Value;
pub use describe::{ErrorReport, TrainerDescription};
pub use error::Error;
pub use hyperparameters::Hyperparameter;
pub use input_data::{ChannelConfig, InputDataConfig};
pub use metrics::{Metric, MetricLine};
pub use paths::{Channel, Paths};
pub use resources::ResourceConfig;
pub use vars::Env;

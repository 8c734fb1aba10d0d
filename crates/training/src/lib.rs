//! The training run: threads, seed, stop flag, progress and checkpoints; and what iterative
//! trainers share: the training loop, batches, schedules, loss scaling, devices, tensor files.

mod batches;
pub mod checkpoint;
mod class_weight;
mod device;
mod fit;
mod loss_scale;
pub mod memory;
mod plan;
pub mod progress;
pub mod resource_usage;
pub mod run;
mod schedule;
pub mod stop;
mod tensors;
mod train_state;

pub use class_weight::{ClassWeight, ClassWeightArgs, row_weights};
pub use dataset::random::Random;
pub use device::{DeviceChoice, Precision};
pub use fit::{Best, Fitted, Learner, OptimizerStep, fit, read_checkpoint};
pub use loss_scale::LossScale;
pub use plan::{BestMetric, FitParams, TrainPlan};
pub use run::{Hosts, Run};
pub use schedule::Schedule;
pub use tensors::{
    Array, Arrays, Tensor, TensorError, TensorFile, prefixed, read_tensors, write_tensors,
};
pub use train_state::{
    StepOutcome, Throughput, TrainState, clip_coefficient, incompatible_checkpoint, not_finite,
};

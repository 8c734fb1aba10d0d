//! What trainers of networks share: random numbers that a resume need not remember, batches, learning rates, loss scaling,
//! the numbers of a run, tensors in files. Each owns its loop.

mod batches;
pub mod checkpoint;
mod class_weight;
mod train_state;
mod loss_scale;
pub mod memory;
pub mod progress;
pub mod resource_usage;
pub mod run;
mod schedule;
pub mod stop;
mod tensors;

pub use batches::of_epoch;
pub use class_weight::ClassWeight;
pub use train_state::{Counters, Pace, Plan, Verdict, cut, not_finite, strange_checkpoint};
pub use dataset::random::Random;
pub use loss_scale::LossScale;
pub use run::{Hosts, Run};
pub use schedule::Schedule;
pub use tensors::{
    Array, Arrays, Tensor, TensorError, TensorFile, prefixed, read_tensors, write_tensors,
};

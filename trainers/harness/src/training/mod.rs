//! What trainers of networks share: random numbers that a resume need not remember, batches, learning rates, loss scaling,
//! the numbers of a run, tensors in files. Each owns its loop.

mod batches;
mod class_weight;
mod counters;
mod loss_scale;
mod random;
mod schedule;
mod tensors;

pub use batches::of_epoch;
pub use class_weight::ClassWeight;
pub use counters::{Counters, Pace, Plan, Verdict, cut, not_finite, strange_checkpoint};
pub use loss_scale::LossScale;
pub use random::Random;
pub use schedule::Schedule;
pub use tensors::{
    Array, Arrays, Tensor, TensorError, TensorFile, prefixed, read_tensors, write_tensors,
};

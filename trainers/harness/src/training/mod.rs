//! What trainers of networks share: random numbers that a resume need not remember, batches, learning rates, loss scaling.

mod batches;
mod loss_scale;
mod random;
mod schedule;

pub use batches::of_epoch;
pub use loss_scale::LossScale;
pub use random::Random;
pub use schedule::Schedule;

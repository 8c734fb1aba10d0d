//! What the launcher's transfers share: one retry policy, one reader of tar archives.

pub mod retry;
pub mod tar_reader;

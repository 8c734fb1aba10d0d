//! Shared by the launcher's transfers: retry policy and tar reader.

pub mod retry;
pub mod tar_reader;

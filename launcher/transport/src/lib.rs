//! Shared by the launcher's transfers: retry policy, page tokens and tar reader.

pub mod page_tokens;
pub mod retry;
pub mod tar_reader;

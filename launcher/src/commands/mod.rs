//! Commands, one module each: its arguments and its `run` function.

pub(crate) mod build;
pub(crate) mod describe_job;
pub(crate) mod doctor;
pub(crate) mod download;
pub(crate) mod infra;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod push;
pub(crate) mod recommend;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod train;
pub(crate) mod upload;

//! `trainyard logs`

use clap::Args;

use super::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {}

pub(crate) async fn run(_args: LogsArgs, _context: &Context) -> Result<Exit> {
    Err(Failure::new("not built yet"))
}

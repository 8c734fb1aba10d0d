//! `trainyard status`

use clap::Args;

use super::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {}

pub(crate) async fn run(_args: StatusArgs, _context: &Context) -> Result<Exit> {
    Err(Failure::new("not built yet"))
}

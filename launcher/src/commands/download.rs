//! `trainyard download`

use clap::Args;

use super::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

#[derive(Debug, Args)]
pub(crate) struct DownloadArgs {}

pub(crate) async fn run(_args: DownloadArgs, _context: &Context) -> Result<Exit> {
    Err(Failure::new("not built yet"))
}

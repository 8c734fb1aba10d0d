//! `trainyard upload`

use clap::Args;

use super::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

#[derive(Debug, Args)]
pub(crate) struct UploadArgs {}

pub(crate) async fn run(_args: UploadArgs, _context: &Context) -> Result<Exit> {
    Err(Failure::new("not built yet"))
}

//! Local jobs.

use std::path::Path;
use std::time::Duration;

use crate::commands::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::job::Job;

/// Runs the job to its end.
pub(crate) async fn train(
    job: &Job,
    _binary: Option<&Path>,
    _simulate_interruption: Option<Duration>,
    _dry_run: bool,
    _context: &Context,
) -> Result<Exit> {
    Err(Failure::new(format!("`{}` is not built yet", job.instance)))
}

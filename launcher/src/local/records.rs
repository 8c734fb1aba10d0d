//! Records of local jobs, so that commands about SageMaker's jobs can tell where their results are.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::job::Job;
use crate::util::env_var;
use sagemaker::limits::check_job_name;

/// Records older than this are removed.
const MAX_AGE: Duration = Duration::from_secs(90 * 24 * 3600);

/// Returns the folder of the records, in the user's folder for state.
fn folder() -> Option<PathBuf> {
    let state = env_var("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(Path::new(&env_var("HOME")?).join(".local/state")));
    Some(state?.join("trainyard/local-jobs"))
}

/// Records the folder or prefix of a job's results. Best effort: a job needs no record.
pub(super) fn write(job: &Job, results: &str) {
    let create = |folder: &PathBuf| DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let Some(folder) = folder().filter(|folder| create(folder).is_ok()) else {
        return;
    };
    let _ = fs::write(folder.join(job.name.as_str()), results);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|meta| meta.modified());
        let age = modified.ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > MAX_AGE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Returns the folder or prefix of a local job's results.
pub(super) fn read(job: &str) -> Option<String> {
    check_job_name(job).ok()?;
    fs::read_to_string(folder()?.join(job)).ok()
}

//! The checkpoints of a run, and the fingerprint that ties them to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sagemaker::Paths;

use super::super::args::CheckpointArgs;
use crate::Trainer;
use dataset::RowCounts;
use diagnostics::{Error, atomic_dir};
use training::Run;
use training::checkpoint::{Checkpoints, Fingerprint};

/// Arguments that do not change the model: paths, output, timeouts.
const FINGERPRINT_EXCLUDED: [&str; 14] = [
    "train",
    "validation",
    "test",
    "model_dir",
    "output_data_dir",
    "checkpoint_dir",
    "checkpoint_every",
    "threads",
    "host_timeout",
    "near_duplicates",
    "no_report",
    "json",
    "metric_lines",
    "check",
];

/// Begins the names of the data's checksums.
const DATA_SHA256: &str = "sha256 of file";

/// Returns the folder for checkpoints and the steps between two, if the run has checkpoints.
pub(super) fn checkpoint_dir(
    paths: &Paths,
    args: Option<CheckpointArgs>,
    model: &Path,
) -> Result<Option<(PathBuf, u64)>, Error> {
    let Some(args) = args else {
        return Ok(None);
    };
    let dir = match args.checkpoint_dir {
        None if paths.in_container() => paths.checkpoints()?,
        given => given,
    };
    let Some(dir) = dir else {
        return Ok(None);
    };
    let absolute = |dir: &Path| std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    if absolute(&dir) == absolute(model) {
        return Err(Error::usage(format!(
            "expected --checkpoint-dir and --model-dir to differ, found `{}` for both",
            dir.display()
        ))
        .help("choose another --checkpoint-dir"));
    }
    atomic_dir::check_writable(&dir)?;
    Ok(Some((dir, args.checkpoint_every)))
}

/// Returns the inputs of the model: data by checksum, arguments by value.
pub(super) fn fingerprint<T: Trainer>(
    params: &T::Params,
    parameters: &BTreeMap<String, String>,
    counts: &[(&'static str, RowCounts)],
    run: &Run,
) -> Fingerprint {
    let mut fingerprint = BTreeMap::new();
    fingerprint.insert("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    fingerprint.insert("--threads".to_owned(), run.threads().to_string());
    if !run.hosts().names.is_empty() {
        let hosts = run.hosts().names.len().to_string();
        fingerprint.insert("number of hosts".to_owned(), hosts);
    }
    for (name, value) in parameters {
        if !FINGERPRINT_EXCLUDED.contains(&name.as_str()) {
            fingerprint.insert(format!("--{}", name.replace('_', "-")), value.clone());
        }
    }
    for (channel, counts) in counts {
        for (number, file) in (1..).zip(&counts.files) {
            let size = || format!("{} bytes", file.bytes);
            fingerprint.insert(
                format!("{DATA_SHA256} {number} of the {channel} data"),
                file.sha256.clone().unwrap_or_else(size),
            );
        }
    }
    // Last: the trainer replaces entries, such as the path of a file by its checksum.
    fingerprint.extend(T::fingerprint(params));
    Fingerprint(fingerprint)
}

/// Returns the part of a fingerprint that must be the same on all hosts of a job. The data is
/// compared later, by rows.
fn host_arguments(fingerprint: Fingerprint) -> BTreeMap<String, String> {
    let mut arguments = fingerprint.0;
    arguments.retain(|name, _| name != "--threads" && !name.starts_with(DATA_SHA256));
    arguments
}

/// Opens the checkpoints and resumes from the newest valid one. Sets the arguments that the other
/// hosts of a job must have.
pub(super) fn prepare<T: Trainer>(
    checkpoints: Option<(PathBuf, u64)>,
    fingerprint: impl Fn(&Run) -> Fingerprint,
    run: &mut Run,
) -> Result<(), Error> {
    if !run.hosts().names.is_empty() {
        let arguments = host_arguments(fingerprint(run));
        run.set_host_arguments(arguments);
    }
    let Some((dir, every)) = checkpoints else {
        return Ok(());
    };
    let (checkpoints, found) = Checkpoints::open(&dir, every, T::NAME, fingerprint(run))?;
    for warning in found.warnings {
        run.warn(warning);
    }
    run.resume(checkpoints, found.restored, found.history);
    Ok(())
}

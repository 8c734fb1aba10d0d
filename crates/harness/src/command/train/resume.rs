//! Where a run's checkpoints are, and what makes it the run that they belong to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sagemaker::Paths;

use super::super::args::CheckpointArgs;
use crate::Trainer;
use dataset::RowCounts;
use diagnostics::{Error, atomic_dir};
use training::Run;
use training::checkpoint::{Checkpoints, Fingerprint};

/// Arguments that change where files are, what is said or how long is waited, but not the model.
const NO_MATTER: [&str; 12] = [
    "train",
    "validation",
    "test",
    "model_dir",
    "output_data_dir",
    "checkpoint_dir",
    "checkpoint_every",
    "threads",
    "host_timeout",
    "no_report",
    "json",
    "check",
];

/// Where checkpoints go, if they go anywhere, and how often.
pub(super) fn place(
    paths: &Paths,
    args: Option<CheckpointArgs>,
    model: &Path,
) -> Result<Option<(PathBuf, u64)>, Error> {
    let Some(args) = args else {
        return Ok(None);
    };
    let dir = match args.checkpoint_dir {
        None if paths.in_container() => paths.checkpoints()?,
        typed => typed,
    };
    let Some(dir) = dir else {
        return Ok(None);
    };
    let real = |dir: &Path| std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    if real(&dir) == real(model) {
        return Err(Error::usage(format!(
            "expected --checkpoint-dir apart from the model, found `{}` for both",
            dir.display()
        ))
        .help("choose another --checkpoint-dir"));
    }
    atomic_dir::check_writable(&dir)?;
    Ok(Some((dir, args.checkpoint_every)))
}

/// What the result depends on: data by content, parameters by value.
pub(super) fn identity<T: Trainer>(
    params: &T::Params,
    parameters: &BTreeMap<String, String>,
    accounts: &[(&'static str, RowCounts)],
    run: &Run,
) -> Fingerprint {
    let mut identity = BTreeMap::new();
    identity.insert("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    identity.insert("--threads".to_owned(), run.threads().to_string());
    if !run.hosts().names.is_empty() {
        let hosts = run.hosts().names.len().to_string();
        identity.insert("number of hosts".to_owned(), hosts);
    }
    for (name, value) in parameters {
        if !NO_MATTER.contains(&name.as_str()) {
            identity.insert(format!("--{}", name.replace('_', "-")), value.clone());
        }
    }
    for (channel, account) in accounts {
        for (number, file) in (1..).zip(&account.files) {
            let size = || format!("{} bytes", file.bytes);
            identity.insert(
                format!("sha256 of file {number} of the {channel} data"),
                file.sha256.clone().unwrap_or_else(size),
            );
        }
    }
    // Last: the trainer knows better, such as the content of a file instead of its path.
    identity.extend(T::identity(params));
    Fingerprint(identity)
}

/// Finds the checkpoint to go on from.
pub(super) fn open<T: Trainer>(
    (dir, every): (PathBuf, u64),
    identity: Fingerprint,
    run: &mut Run,
) -> Result<(), Error> {
    let (checkpoints, found) = Checkpoints::open(&dir, every, T::NAME, identity)?;
    for warning in found.warnings {
        run.warn(warning);
    }
    run.resume(checkpoints, found.restored, found.history);
    Ok(())
}

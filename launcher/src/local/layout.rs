//! Names and paths of a local job that several modules use.

/// SageMaker's folder in a container.
pub(super) const BASE: &str = "/opt/ml";

/// SageMaker's name for the only host.
pub(super) const HOST: &str = "algo-1";

/// Folders that the trainer may write, below `/opt/ml`.
pub(super) const WRITABLE: [&str; 4] = ["model", "output", "output/data", "checkpoints"];

/// Label of a container: the job's name.
pub(super) const JOB_LABEL: &str = "trainyard.job";

/// Label of a container: the launcher that watches it, as `LauncherId` writes it.
pub(super) const LAUNCHER_LABEL: &str = "trainyard.launcher";

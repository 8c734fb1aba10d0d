//! Trains a trainer on the sample.

use std::path::{Path, PathBuf};
use std::time::Instant;

use sagemaker::{ErrorReport, TrainerDescription, env_vars};
use serde::Deserialize;
use tokio::process::Command;

use super::report::Score;
use super::sample::{FEW_ROWS, MANY_ROWS, Sample, WEIGHT};
use crate::trainer::host_command;
use crate::util::first_line;
use diagnostics::{Error, Result, sanitize};

/// A trainer's binary that describes itself.
pub(super) struct Candidate {
    pub(super) name: String,
    binary: PathBuf,
    description: TrainerDescription,
}

/// Estimated time of a network.
pub(super) struct Cost {
    /// Seconds of an epoch over all rows.
    pub(super) epoch_seconds: f64,
    /// Default number of epochs.
    pub(super) epochs: Option<u64>,
}

/// The object of `train --json`, in part.
#[derive(Deserialize)]
struct Metrics {
    test: TestMetrics,
    peak_rss_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct TestMetrics {
    accuracy: f64,
    macro_f1: f64,
    rows: u64,
}

impl Candidate {
    /// Asks the binary for its description.
    pub(super) async fn new(name: &str, binary: PathBuf) -> Result<Self> {
        let output = command(&binary).args(["describe", "--json"]).output().await;
        let output = output.map_err(|error| cannot_start(&binary, &error))?;
        let description = serde_json::from_slice(&output.stdout).map_err(|_| {
            Error::new(format!(
                "`{} describe --json` gives no description: {}",
                binary.display(),
                first_line(&output.stderr)
            ))
            .help("build it again, or compare others with `--trainer`")
        })?;
        Ok(Self {
            name: name.to_owned(),
            binary,
            description,
        })
    }

    /// True for trainers that can use a GPU, and take long without one.
    pub(super) fn is_network(&self) -> bool {
        self.description.supports.gpu
    }

    /// Scores each row of the sample with a model that was not trained on it.
    pub(super) async fn score(&self, sample: &Sample) -> Result<Score> {
        let (mut rows, mut right, mut f1) = (0, 0.0, 0.0);
        let (mut seconds, mut peak, mut bytes) = (0.0, None, 0);
        let model = sample.model_dir(&self.name);
        let more: &[&str] = match sample.weighted {
            true => &["--weight-column", WEIGHT],
            false => &[],
        };
        for fold in 0..sample.folds {
            let files = ["train", "test"].map(|part| format!("{part}-{fold}"));
            let started = Instant::now();
            let metrics = self.train(sample, [&files[0], &files[1]], &model, more);
            let metrics = metrics.await?;
            seconds += started.elapsed().as_secs_f64();
            let test = metrics.test;
            rows += test.rows;
            right += test.accuracy * test.rows as f64;
            f1 += test.macro_f1 * test.rows as f64;
            peak = peak.max(metrics.peak_rss_bytes);
            bytes = bytes.max(folder_bytes(&model));
        }
        let of_row = |sum: f64| sum / rows as f64;
        Ok(Score {
            name: self.name.clone(),
            accuracy: of_row(right),
            interval: wilson(of_row(right), rows as f64),
            macro_f1: of_row(f1),
            seconds: seconds / f64::from(sample.folds),
            peak_rss_bytes: peak,
            model_bytes: bytes,
        })
    }

    /// Estimates the time of a network: the difference of two runs has no start-up time.
    pub(super) async fn cost(&self, sample: &Sample) -> Result<Cost> {
        let mut options = self.description.hyperparameters.iter();
        let Some(epochs) = options.find(|option| option.name == "epochs") else {
            return Err(Error::new("it has no `--epochs`").help("name it with `--trainer`"));
        };
        let more = ["--epochs", "1", "--validation-split", "0"];
        let mut seconds = Vec::new();
        for name in ["few", "many"] {
            let model = sample.model_dir(&format!("{}-{name}", self.name));
            let started = Instant::now();
            self.train(sample, [name, "few"], &model, &more).await?;
            seconds.push(started.elapsed().as_secs_f64());
        }
        let rows = MANY_ROWS.min(sample.rows).saturating_sub(FEW_ROWS);
        match (&seconds[..], rows) {
            (&[few, many], 1..) if many > few => Ok(Cost {
                epoch_seconds: (many - few) / rows as f64 * sample.all_rows as f64,
                epochs: epochs.default.as_ref().and_then(|text| text.parse().ok()),
            }),
            _ => Err(Error::new("the runs were too short to tell")
                .help("name it with `--trainer` to train it on the whole sample")),
        }
    }

    /// Trains on the first of two files of the sample and scores the second one.
    async fn train(
        &self,
        sample: &Sample,
        [train, test]: [&str; 2],
        model: &Path,
        more: &[&str],
    ) -> Result<Metrics> {
        // Beside the model, so that its size is that of the model alone.
        let results = model.with_extension("results");
        let output = command(&self.binary)
            .args(["--error-format", "json", "train", "--json", "--no-report"])
            .arg("--train")
            .arg(sample.path(train))
            .arg("--test")
            .arg(sample.path(test))
            .arg("--model-dir")
            .arg(model)
            .arg("--output-data-dir")
            .arg(&results)
            .args(sample.multi_label.then_some("--multi-label"))
            .args(more)
            .output()
            .await
            .map_err(|error| cannot_start(&self.binary, &error))?;
        if output.status.success()
            && let Ok(metrics) = serde_json::from_slice(&output.stdout)
        {
            return Ok(metrics);
        }
        let report = ErrorReport::find(&String::from_utf8_lossy(&output.stderr));
        let Some(ErrorReport { error }) = report else {
            let message = format!("`{} train` failed: {}", self.name, output.status);
            return Err(Error::new(message)
                .because(&first_line(&output.stderr))
                .help("leave it out: name the others with `--trainer`"));
        };
        let message = format!("`{} train` failed: {}", self.name, sanitize(&error.message));
        let help = error.help.iter().map(|help| sanitize(help).into_owned());
        Err(help.fold(Error::new(message), Error::help))
    }
}

/// Returns a command of the trainer: nothing of a surrounding job, and no downloads.
fn command(binary: &Path) -> Command {
    let mut command = host_command(binary);
    command
        .env(env_vars::BASE_DIR.name, "/nonexistent")
        .env(env_vars::HF_HUB_OFFLINE.name, "1")
        .env_remove(env_vars::JOB_NAME.name);
    command
}

fn cannot_start(binary: &Path, error: &std::io::Error) -> Error {
    Error::new(format!("cannot start `{}`: {error}", binary.display()))
        .help("build it again, or compare others with `--trainer`")
}

/// Bytes of the files in a folder.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.metadata().ok());
    files
        .filter(|file| file.is_file())
        .map(|file| file.len())
        .sum()
}

/// Returns Wilson's 95 % interval of a share of `rows`.
fn wilson(share: f64, rows: f64) -> (f64, f64) {
    // 0.975 quantile of the normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    let scale = 1.0 + Z * Z / rows;
    let centre = (share + Z * Z / (2.0 * rows)) / scale;
    let half = Z * (share * (1.0 - share) / rows + Z * Z / (4.0 * rows * rows)).sqrt() / scale;
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of `crates/evaluation`, which are scipy's.
    #[test]
    fn interval_is_wilsons() {
        for (part, whole, low, high) in [
            (8.0, 10.0, 0.490_162_471_536_641_8, 0.943_317_848_545_624_8),
            (
                22_950.0,
                25_000.0,
                0.914_534_437_819_665_5,
                0.921_337_123_533_041_5,
            ),
        ] {
            let found = wilson(part / whole, whole);
            assert!((found.0 - low).abs() < 1e-12 && (found.1 - high).abs() < 1e-12);
        }
    }
}

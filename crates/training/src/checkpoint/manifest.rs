//! The manifest of a checkpoint: its files, its run, and the state of the trainer.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Fingerprint;
use diagnostics::checksums::{self, FileChecksum};
use diagnostics::{Error, sha256};
use evaluation::history::EpochReport;

/// File name of the manifest.
pub(super) const NAME: &str = "manifest.json";
const FORMAT: &str = "trainyard-checkpoint";
const VERSION: u32 = 1;

/// The file: the manifest and its SHA-256, because a flipped byte may still be valid JSON.
#[derive(Serialize, Deserialize)]
struct Sealed {
    sha256: String,
    manifest: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Manifest {
    format: String,
    version: u32,
    trainer: String,
    step: u64,
    run: Fingerprint,
    files: BTreeMap<String, FileChecksum>,
    pub(super) state: Value,
    pub(super) history: Vec<EpochReport>,
}

/// The reason why a checkpoint cannot be used.
pub(super) enum Unusable {
    /// It is damaged; the previous one may be valid.
    Damaged(String),
    /// It belongs to another run, or cannot be read.
    Refused(Error),
}

impl Manifest {
    /// Writes the manifest of the files in `dir`.
    pub(super) fn write(
        dir: &Path,
        step: u64,
        trainer: &str,
        run: &Fingerprint,
        state: &Value,
        history: &[EpochReport],
    ) -> Result<(), Error> {
        let path = dir.join(NAME);
        let manifest = Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            trainer: trainer.to_owned(),
            step,
            run: run.clone(),
            files: checksums::of_dir(dir)?,
            state: state.clone(),
            history: history.to_vec(),
        };
        let sealed = serde_json::value::to_raw_value(&manifest).map(|manifest| Sealed {
            sha256: sha256(manifest.get().as_bytes()),
            manifest,
        });
        let text = sealed
            .and_then(|sealed| serde_json::to_vec(&sealed))
            .map_err(|error| Error::io("write", &path)(error.into()))?;
        fs::write(&path, text).map_err(Error::io("write", &path))
    }

    /// Reads the manifest and verifies it and the files.
    pub(super) fn read(
        dir: &Path,
        step: u64,
        trainer: &str,
        run: &Fingerprint,
    ) -> Result<Self, Unusable> {
        let damaged = |why: String| Unusable::Damaged(why);
        let path = dir.join(NAME);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(damaged(format!("`{NAME}` is missing")));
            }
            other => other.map_err(|error| Unusable::Refused(Error::io("read", &path)(error)))?,
        };
        let sealed: Sealed = serde_json::from_slice(&text)
            .map_err(|error| damaged(format!("`{NAME}` is damaged: {error}")))?;
        if sha256(sealed.manifest.get().as_bytes()) != sealed.sha256 {
            return Err(damaged(format!("`{NAME}` does not match its sha256")));
        }
        let manifest: Self = serde_json::from_str(sealed.manifest.get())
            .map_err(|error| Unusable::Refused(incompatible(dir, &error.to_string())))?;
        if (manifest.format.as_str(), manifest.version) != (FORMAT, VERSION) {
            let found = format!("format `{} {}`", manifest.format, manifest.version);
            return Err(Unusable::Refused(incompatible(dir, &found)));
        }
        run.must_be(&manifest.run, (trainer, &manifest.trainer), dir)
            .map_err(Unusable::Refused)?;
        if manifest.step != step {
            return Err(damaged(format!("it belongs to step {}", manifest.step)));
        }
        checksums::verify(dir, &manifest.files).map_err(damaged)?;
        Ok(manifest)
    }
}

/// The checksum is right, but this version does not write this format.
fn incompatible(dir: &Path, found: &str) -> Error {
    Error::new(format!(
        "expected a checkpoint of format `{FORMAT} {VERSION}` in `{}`, found {found}",
        dir.display()
    ))
    .help("use the version that wrote it, or choose another --checkpoint-dir")
}

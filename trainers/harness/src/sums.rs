//! sha256 of files, as checkpoints and model folders have them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Failure;

/// Size and sha256 of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileSum {
    pub(crate) bytes: u64,
    /// In hexadecimal digits.
    pub(crate) sha256: String,
}

/// In hexadecimal digits.
pub(crate) fn hex(digest: impl AsRef<[u8]>) -> String {
    let digits = digest.as_ref().iter();
    digits.map(|byte| format!("{byte:02x}")).collect()
}

/// The sha256 of some bytes.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}

fn of_file(path: &Path) -> io::Result<FileSum> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(FileSum {
        bytes,
        sha256: hex(hasher.finalize()),
    })
}

/// The sums of all files in a folder, which has no folders in it.
pub(crate) fn of_folder(dir: &Path) -> Result<BTreeMap<String, FileSum>, Failure> {
    let failed = |error| Failure::io("read", dir)(error);
    let mut sums = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or(io::ErrorKind::InvalidFilename.into());
        let sum = of_file(&path).map_err(Failure::io("read", &path))?;
        sums.insert(name.map_err(Failure::io("read", &path))?.to_owned(), sum);
    }
    Ok(sums)
}

/// Whether the folder has these files; else what is wrong with which one.
pub(crate) fn check(dir: &Path, sums: &BTreeMap<String, FileSum>) -> Result<(), String> {
    for (name, expected) in sums {
        // Names come from a file that others may have written.
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(format!("`{}` is no file name", contract::shown(name)));
        }
        let found = match of_file(&dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(format!("`{name}` is missing"));
            }
            Err(error) => return Err(format!("`{name}` cannot be read: {error}")),
            Ok(found) => found,
        };
        if found.bytes != expected.bytes {
            return Err(format!(
                "expected `{name}` of {} bytes, found {}",
                expected.bytes, found.bytes
            ));
        }
        if found.sha256 != expected.sha256 {
            return Err(format!("`{name}` does not have its sha256"));
        }
    }
    Ok(())
}

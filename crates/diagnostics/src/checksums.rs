//! sha256 of files, as checkpoints and model folders have them.
//!
//! A model's files belong together: weights of one run with the vocabulary of another would predict, and wrongly. So its
//! `config.json` has the sums of the others.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;

/// Size and sha256 of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChecksum {
    pub bytes: u64,
    /// In hexadecimal digits.
    pub sha256: String,
}

/// In hexadecimal digits.
pub fn hex(digest: impl AsRef<[u8]>) -> String {
    let digits = digest.as_ref().iter();
    digits.map(|byte| format!("{byte:02x}")).collect()
}

/// The sha256 of some bytes.
pub fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}

/// The sha256 of a file, in hexadecimal digits.
pub fn sha256_file(path: &Path) -> Result<String, Error> {
    let sum = of_file(path).map_err(Error::io("read", path))?;
    Ok(sum.sha256)
}

fn of_file(path: &Path) -> io::Result<FileChecksum> {
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
    Ok(FileChecksum {
        bytes,
        sha256: hex(hasher.finalize()),
    })
}

/// The sums of all files in a folder, which has no folders in it.
pub fn of_folder(dir: &Path) -> Result<BTreeMap<String, FileChecksum>, Error> {
    let failed = |error| Error::io("read", dir)(error);
    let mut sums = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or(io::ErrorKind::InvalidFilename.into());
        let sum = of_file(&path).map_err(Error::io("read", &path))?;
        sums.insert(name.map_err(Error::io("read", &path))?.to_owned(), sum);
    }
    Ok(sums)
}

/// Whether the folder has these files; else what is wrong with which one.
pub fn check(dir: &Path, sums: &BTreeMap<String, FileChecksum>) -> Result<(), String> {
    for (name, expected) in sums {
        // Names come from a file that others may have written.
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(format!("`{}` is no file name", crate::sanitize(name)));
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

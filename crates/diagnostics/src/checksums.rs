//! SHA-256 checksums of files, for checkpoints and model folders.
//!
//! The weights of one run with the vocabulary of another would give wrong predictions. So
//! `config.json` has the checksums of the other files of the model.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;

/// Size and SHA-256 of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChecksum {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// Formats a digest in lower-case hexadecimal digits.
pub fn hex(digest: impl AsRef<[u8]>) -> String {
    let digits = digest.as_ref().iter();
    digits.map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the SHA-256 of bytes.
pub fn sha256_bytes(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Returns the SHA-256 of bytes in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}

/// Returns the HMAC-SHA256 (RFC 2104) of bytes in hexadecimal digits.
pub fn hmac_sha256(key: &[u8; 32], bytes: &[u8]) -> String {
    let pad = |pad: u8| {
        let mut block = [pad; 64];
        block.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
        Sha256::new().chain_update(block)
    };
    let inner = pad(0x36).chain_update(bytes).finalize();
    hex(pad(0x5c).chain_update(inner).finalize())
}

/// Returns the SHA-256 of a file in hexadecimal digits.
///
/// # Errors
/// If the file cannot be read.
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

/// Returns the checksums of all files in a folder without subfolders, by name.
///
/// # Errors
/// If the folder or a file cannot be read, or a name is not UTF-8.
pub fn of_dir(dir: &Path) -> Result<BTreeMap<String, FileChecksum>, Error> {
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

/// Checks that the folder has these files.
///
/// # Errors
/// If a file is missing, unreadable or different: a message with its name.
pub fn verify(dir: &Path, sums: &BTreeMap<String, FileChecksum>) -> Result<(), String> {
    for (name, expected) in sums {
        // Names come from a file that others may have written: refuse paths.
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(format!("`{}` is not a file name", crate::sanitize(name)));
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
            return Err(format!("`{name}` does not match its sha256"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test cases 1 and 2 of RFC 4231; short keys are padded with zeros.
    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let key = |bytes: &[u8]| {
            let mut key = [0; 32];
            key[..bytes.len()].copy_from_slice(bytes);
            key
        };
        assert_eq!(
            hmac_sha256(&key(&[0x0b; 20]), b"Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hmac_sha256(&key(b"Jefe"), b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}

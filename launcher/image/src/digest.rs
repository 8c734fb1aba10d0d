//! SHA-256 digests in the form `sha256:HEX`.

use std::io;

use sha2::{Digest as _, Sha256};

/// Hashes and counts the bytes that are written through it.
pub(crate) struct HashingWriter<W> {
    hash: Sha256,
    size: u64,
    to: W,
}

impl<W> HashingWriter<W> {
    pub(crate) fn new(to: W) -> Self {
        let hash = Sha256::new();
        Self { hash, size: 0, to }
    }

    /// Returns the digest, the number of bytes, and the inner writer.
    pub(crate) fn finish(self) -> (String, u64, W) {
        (prefixed(&self.hash.finalize()), self.size, self.to)
    }
}

impl<W: io::Write> io::Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Returns a digest without `sha256:`.
pub(crate) fn hex(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}

/// Returns the digest of `bytes`.
pub(crate) fn digest(bytes: &[u8]) -> String {
    prefixed(&Sha256::digest(bytes))
}

fn prefixed(hash: &[u8]) -> String {
    format!("sha256:{}", diagnostics::hex(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests() {
        // The digest of empty input.
        let nothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest(b""), nothing);
    }
}

//! A layer: a sorted tar without times or owners, gzipped, so that the same files give the same bytes.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};

/// zlib's own choice between time and size.
pub(super) const LEVEL: u32 = 6;

/// What the registry keeps and the engine unpacks.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    /// For people: `binary`, `certificates`.
    pub(crate) what: String,
    /// Of the tar.
    pub(crate) diff_id: String,
    /// Of the gzipped tar.
    pub(crate) digest: String,
    /// The gzipped tar.
    pub(crate) data: Bytes,
}

/// Files and folders of a layer by path, without a leading slash.
#[derive(Debug, Default)]
pub(super) struct Tree<'a>(BTreeMap<String, Node<'a>>);

#[derive(Debug)]
enum Node<'a> {
    Folder { mode: u32 },
    File { mode: u32, bytes: &'a [u8] },
}

impl<'a> Tree<'a> {
    pub(super) fn file(&mut self, path: &str, mode: u32, bytes: &'a [u8]) {
        self.parents(path);
        self.0.insert(path.to_owned(), Node::File { mode, bytes });
    }

    pub(super) fn folder(&mut self, path: &str, mode: u32) {
        self.parents(path);
        self.0.insert(format!("{path}/"), Node::Folder { mode });
    }

    fn parents(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            let folder = format!("{}/", &path[..at]);
            let node = Node::Folder { mode: 0o755 };
            self.0.entry(folder).or_insert(node);
        }
    }

    /// The tar: sorted, everything root's, at the beginning of time.
    pub(super) fn tar(&self) -> io::Result<Vec<u8>> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, node) in &self.0 {
            let mut header = tar::Header::new_ustar();
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            let (mode, kind, bytes) = match node {
                Node::Folder { mode } => (*mode, tar::EntryType::Directory, &[][..]),
                Node::File { mode, bytes } => (*mode, tar::EntryType::Regular, *bytes),
            };
            header.set_mode(mode);
            header.set_entry_type(kind);
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, bytes)?;
        }
        builder.into_inner()
    }
}

impl Layer {
    /// Compresses a tar.
    pub(super) fn compress(what: &str, tar: &[u8]) -> io::Result<Self> {
        // No name, no time, no operating system in the header: `GzEncoder::new` would do today, by default.
        let mut gzip = GzBuilder::new()
            .mtime(0)
            .operating_system(255)
            .write(Vec::with_capacity(tar.len() / 2), Compression::new(LEVEL));
        gzip.write_all(tar)?;
        Ok(Self::new(what, digest(tar), gzip.finish()?))
    }

    /// A layer that is compressed already.
    pub(super) fn new(what: &str, diff_id: String, data: impl Into<Bytes>) -> Self {
        let data = data.into();
        Self {
            what: what.to_owned(),
            diff_id,
            digest: digest(&data),
            data,
        }
    }
}

/// A digest without `sha256:`.
pub(super) fn hex(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}

/// `sha256:` and 64 hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn tree() -> Tree<'static> {
        let mut tree = Tree::default();
        tree.folder("tmp", 0o1777);
        tree.file("usr/local/bin/svm", 0o755, b"binary");
        tree.file("etc/ssl/x.crt", 0o644, b"certificate");
        tree
    }

    #[test]
    fn a_tar_has_every_parent_sorted_and_nothing_of_this_machine() {
        let tar = tree().tar().expect("in memory");
        let mut archive = tar::Archive::new(tar.as_slice());
        let entries: Vec<_> = archive
            .entries()
            .expect("a tar")
            .map(|entry| {
                let entry = entry.expect("an entry");
                let header = entry.header();
                assert_eq!(header.mtime().expect("a number"), 0);
                assert_eq!(header.uid().expect("a number"), 0);
                assert_eq!(header.username().expect("UTF-8"), Some(""));
                let path = entry.path().expect("UTF-8").display().to_string();
                (path, header.mode().expect("a number"))
            })
            .collect();
        let expected = [
            ("etc/", 0o755),
            ("etc/ssl/", 0o755),
            ("etc/ssl/x.crt", 0o644),
            ("tmp/", 0o1777),
            ("usr/", 0o755),
            ("usr/local/", 0o755),
            ("usr/local/bin/", 0o755),
            ("usr/local/bin/svm", 0o755),
        ];
        assert_eq!(
            entries,
            expected.map(|(path, mode)| (path.to_owned(), mode))
        );
    }

    #[test]
    fn the_same_files_are_the_same_bytes() {
        let tar = tree().tar().expect("in memory");
        let once = Layer::compress("x", &tar).expect("in memory");
        let again = Layer::compress("x", &tree().tar().expect("in memory")).expect("in memory");
        assert_eq!(once.data, again.data);
        // The gzip header: no flags, no time.
        assert_eq!(once.data[3..8], [0, 0, 0, 0, 0]);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(once.data.as_ref())
            .read_to_end(&mut unpacked)
            .expect("gzip");
        assert_eq!(unpacked, tar);
        assert_eq!(once.diff_id, digest(&tar));
    }

    #[test]
    fn digests() {
        // The well-known digest of nothing.
        let nothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest(b""), nothing);
    }
}

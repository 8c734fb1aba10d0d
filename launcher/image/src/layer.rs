//! Layers: sorted tars without times and owners, gzipped, so that the same files give the same
//! bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read as _};
use std::path::PathBuf;

use flate2::{Compression, GzBuilder};
use serde::Serialize;

use crate::data::Data;
use crate::digest::HashingWriter;

/// Compression level; zlib's default.
pub(crate) const LEVEL: u32 = 6;

/// A layer of an image.
#[derive(Debug, Clone, Serialize)]
pub struct Layer {
    /// Description, such as `binary`.
    pub what: String,
    /// Digest of the gzipped tar.
    pub digest: String,
    /// Digest of the tar.
    pub diff_id: String,
    /// The gzipped tar; only its size is serialized.
    #[serde(rename = "size")]
    pub data: Data,
}

/// Files and folders of a layer by path, without a leading slash.
#[derive(Debug, Default)]
pub(crate) struct Tree<'a>(BTreeMap<String, Node<'a>>);

#[derive(Debug)]
enum Node<'a> {
    Folder {
        mode: u32,
    },
    File {
        mode: u32,
        bytes: &'a [u8],
    },
    /// A local file, read when needed: libraries may have gigabytes.
    Path {
        mode: u32,
        path: PathBuf,
    },
    /// Another part of the image.
    Data(&'a Data),
    /// A link to a file in the same folder.
    Link {
        target: String,
    },
}

impl<'a> Tree<'a> {
    pub(crate) fn file(&mut self, path: &str, mode: u32, bytes: &'a [u8]) {
        self.parents(path);
        self.0.insert(path.to_owned(), Node::File { mode, bytes });
    }

    pub(crate) fn folder(&mut self, path: &str, mode: u32) {
        self.parents(path);
        self.0.insert(format!("{path}/"), Node::Folder { mode });
    }

    pub(crate) fn path(&mut self, path: &str, mode: u32, from: PathBuf) {
        self.parents(path);
        let node = Node::Path { mode, path: from };
        self.0.insert(path.to_owned(), node);
    }

    pub(crate) fn data(&mut self, path: &str, data: &'a Data) {
        self.parents(path);
        self.0.insert(path.to_owned(), Node::Data(data));
    }

    pub(crate) fn link(&mut self, path: &str, target: String) {
        self.parents(path);
        self.0.insert(path.to_owned(), Node::Link { target });
    }

    fn parents(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            let folder = format!("{}/", &path[..at]);
            let node = Node::Folder { mode: 0o755 };
            self.0.entry(folder).or_insert(node);
        }
    }

    /// Returns the digest of the tar.
    pub(crate) fn diff_id(&self) -> io::Result<String> {
        let mut hashed = HashingWriter::new(io::sink());
        self.write(&mut hashed)?;
        Ok(hashed.finish().0)
    }

    /// Writes the tar: sorted, owned by root, with time 0.
    pub(crate) fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let mut builder = tar::Builder::new(out);
        for (path, node) in &self.0 {
            let mut header = tar::Header::new_ustar();
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_entry_type(tar::EntryType::Regular);
            match node {
                Node::Folder { mode } => {
                    header.set_mode(*mode);
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_size(0);
                    builder.append_data(&mut header, path, io::empty())?;
                }
                Node::File { mode, bytes } => {
                    header.set_mode(*mode);
                    header.set_size(bytes.len() as u64);
                    builder.append_data(&mut header, path, *bytes)?;
                }
                Node::Path { mode, path: from } => {
                    let file = File::open(from)?;
                    let size = file.metadata()?.len();
                    header.set_mode(*mode);
                    header.set_size(size);
                    // A growing file would break the archive.
                    builder.append_data(&mut header, path, file.take(size))?;
                }
                Node::Data(data) => {
                    header.set_mode(0o644);
                    header.set_size(data.size());
                    builder.append_data(&mut header, path, data.reader())?;
                }
                Node::Link { target } => {
                    header.set_mode(0o777);
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_size(0);
                    builder.append_link(&mut header, path, target)?;
                }
            }
        }
        builder.into_inner().map(drop)
    }
}

impl Layer {
    /// Compresses the tree's tar into an empty file.
    pub(crate) fn compress(what: &str, tree: &Tree<'_>, file: File) -> io::Result<Self> {
        // No name, time or operating system in the header. `GzEncoder::new` does the same today,
        // but does not promise it.
        let gzip = GzBuilder::new().mtime(0).operating_system(255).write(
            HashingWriter::new(BufWriter::new(file)),
            Compression::new(LEVEL),
        );
        let mut tar = HashingWriter::new(gzip);
        tree.write(&mut tar)?;
        let (diff_id, _, gzip) = tar.finish();
        let (digest, size, file) = gzip.finish()?.finish();
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Self {
            what: what.to_owned(),
            diff_id,
            digest,
            data: Data::file(file, 0, size),
        })
    }

    /// Makes a layer of compressed data.
    pub(crate) fn new(what: &str, diff_id: String, data: Data) -> io::Result<Self> {
        Ok(Self {
            what: what.to_owned(),
            diff_id,
            digest: data.digest()?,
            data,
        })
    }

    /// Returns the compressed size in bytes.
    pub fn size(&self) -> u64 {
        self.data.size()
    }
}

#[cfg(test)]
mod tests {
    use crate::digest::digest;

    use super::*;

    fn tar(tree: &Tree<'_>) -> Vec<u8> {
        let mut tar = Vec::new();
        tree.write(&mut tar).expect("in memory");
        tar
    }

    fn compressed(tree: &Tree<'_>) -> (Layer, Vec<u8>) {
        let file = tempfile::tempfile().expect("a temporary file");
        let layer = Layer::compress("x", tree, file).expect("a disk with room");
        let mut bytes = Vec::new();
        layer
            .data
            .reader()
            .read_to_end(&mut bytes)
            .expect("just written");
        (layer, bytes)
    }

    fn tree() -> Tree<'static> {
        let mut tree = Tree::default();
        tree.folder("tmp", 0o1777);
        tree.file("usr/local/bin/svm", 0o755, b"binary");
        tree.file("etc/ssl/x.crt", 0o644, b"certificate");
        tree
    }

    #[test]
    fn tar_is_sorted_and_reproducible() {
        let tar = tar(&tree());
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
    fn same_files_give_same_bytes() {
        let (once, bytes) = compressed(&tree());
        assert_eq!(bytes, compressed(&tree()).1);
        // The gzip header: no flags, no time.
        assert_eq!(bytes[3..8], [0, 0, 0, 0, 0]);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_slice())
            .read_to_end(&mut unpacked)
            .expect("gzip");
        assert_eq!(unpacked, tar(&tree()));
        assert_eq!(once.diff_id, digest(&unpacked));
        assert_eq!(once.digest, digest(&bytes));
        assert_eq!(once.data.size(), bytes.len() as u64);
    }

    #[test]
    fn local_file_equals_its_bytes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("binary");
        std::fs::write(&path, b"binary").expect("it can be written");
        let mut other = tree();
        other.path("usr/local/bin/svm", 0o755, path);
        assert_eq!(tar(&other), tar(&tree()));
        assert_eq!(other.diff_id().expect("a file"), digest(&tar(&tree())));
    }
}

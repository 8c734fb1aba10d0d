//! Archives for `docker load` and skopeo's `docker-archive:`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};
use transport::tar_reader::{Kind, TarReader};

use super::digest::{HashingWriter, hex};
use super::layer::{Layer, Tree};
use super::manifest::Config;
use super::{Data, Image};
use diagnostics::atomic_dir::parent;
use diagnostics::{Error, Result};

const INDEX: &str = "manifest.json";

/// Maximum size of a JSON document.
const MAX_DOCUMENT_BYTES: u64 = 8 << 20;

/// Entry of `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

impl Image {
    /// Writes the archive, with the image's names.
    pub fn archive(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let config = format!("{}.json", hex(&self.id()));
        let name = |layer: &Layer| format!("{}.tar.gz", hex(&layer.digest));
        let index = serde_json::to_vec(&[Entry {
            config: config.clone(),
            repo_tags: self.names().to_vec(),
            layers: self.layers.iter().map(name).collect(),
        }])?;
        let mut tree = Tree::default();
        tree.file(&config, 0o644, &self.config);
        tree.file(INDEX, 0o644, &index);
        for layer in &self.layers {
            tree.data(&name(layer), &layer.data);
        }
        tree.write(out)
    }

    /// Writes the archive to a file, completely or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let wrong = |error: io::Error| cannot_write(path, &error);
        // Devices and pipes are written to, not replaced.
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            let mut file = OpenOptions::new().write(true).open(path).map_err(wrong)?;
            return self.archive(&mut file).map_err(wrong);
        }
        let mut file = tempfile::Builder::new()
            .prefix(".trainyard-")
            .permissions(default_permissions())
            .tempfile_in(parent(path))
            .map_err(wrong)?;
        self.archive(&mut file).map_err(wrong)?;
        file.persist(path).map_err(|error| wrong(error.error))?;
        Ok(())
    }

    /// Reads an archive that [`Image::write`] wrote for the trainer.
    pub fn read(path: &Path, trainer: &str) -> Result<Self> {
        let wrong = |found: String| {
            Error::usage(format!(
                "`{}` is not an image of `{trainer}`: {found}",
                path.display()
            ))
            .help(format!(
                "write one with `trainyard build {trainer} --output FILE`"
            ))
        };
        let open = || match File::open(path)? {
            file if file.metadata()?.is_file() => Ok(file),
            // A pipe cannot be rewound.
            mut pipe => {
                let mut file = tempfile::tempfile()?;
                io::copy(&mut pipe, &mut file)?;
                file.rewind().map(|()| file)
            }
        };
        let file = open().map_err(|error: io::Error| {
            Error::usage(format!("cannot read `{}`: {error}", path.display())).help(format!(
                "`trainyard build {trainer} --output FILE` writes an image"
            ))
        })?;
        let files = files(file).map_err(|error| match error.kind() {
            // The reader's message may quote the file, which may be a secret.
            io::ErrorKind::Other | io::ErrorKind::InvalidData => {
                wrong("it is not a tar archive".to_owned())
            }
            _ => wrong(error.to_string()),
        })?;
        parse(&files, trainer).map_err(wrong)
    }
}

/// Checks that an image can be written to `path`, before it is built.
pub fn check_writable(path: &Path) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::usage(format!(
            "cannot write `{}`: {why}",
            diagnostics::sanitize(&path.to_string_lossy())
        ))
        .help("pass an `--output` in a folder that exists and that you may write to"))
    };
    match path.metadata() {
        Ok(found) if found.is_dir() => return refuse("it is a folder, expected a file"),
        // Devices and pipes are written to.
        Ok(found) if !found.is_file() => return Ok(()),
        _ => {}
    }
    let folder = parent(path);
    if !folder.is_dir() {
        return refuse(&format!(
            "there is no folder `{}`",
            diagnostics::sanitize(&folder.to_string_lossy())
        ));
    }
    match rustix::fs::access(folder, rustix::fs::Access::WRITE_OK) {
        Ok(()) => Ok(()),
        Err(error) => refuse(&std::io::Error::from(error).to_string()),
    }
}

pub(crate) fn cannot_write(path: &Path, error: &io::Error) -> Error {
    Error::new(format!("cannot write `{}`: {error}", path.display()))
        .help("pass an `--output` in a folder that exists and that you may write to")
}

/// Permissions of a new file; the umask applies.
fn default_permissions() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::Permissions::from_mode(0o666)
}

/// Returns the range of each file in the archive. As in tar, the last of several with one name
/// counts.
fn files(archive: File) -> io::Result<BTreeMap<String, Data>> {
    let file = Arc::new(archive);
    let mut files = BTreeMap::new();
    let mut tar = TarReader::new(BufReader::with_capacity(1 << 16, file.as_ref()));
    while let Some(entry) = tar.next_entry()? {
        let name = String::from_utf8_lossy(&entry.path).into_owned();
        let data = Data::File {
            file: Arc::clone(&file),
            start: tar.position(),
            size: if entry.kind == Kind::File {
                entry.size
            } else {
                0
            },
        };
        files.insert(name, data);
    }
    Ok(files)
}

/// Reads a document.
fn read_document(data: &Data) -> io::Result<Bytes> {
    if data.size() > MAX_DOCUMENT_BYTES {
        return Err(io::Error::other(format!("{} bytes", data.size())));
    }
    let mut bytes = Vec::new();
    data.reader().read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// True if registries accept the tag.
fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    matches!(text.bytes().next(), Some(first) if word(first))
        && text.len() <= 128
        && text
            .bytes()
            .all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

fn parse(files: &BTreeMap<String, Data>, trainer: &str) -> Result<Image, String> {
    let file = |name: &str| {
        let not_found = || format!("it has no `{}`", diagnostics::sanitize(name));
        files.get(name).ok_or_else(not_found)
    };
    let document = |name: &str| {
        let unread = |error| format!("cannot read its `{}`: {error}", diagnostics::sanitize(name));
        read_document(file(name)?).map_err(unread)
    };
    let index: Vec<Entry> = serde_json::from_slice(&document(INDEX)?)
        .map_err(|error| format!("cannot parse its `{INDEX}`: {error}"))?;
    let [entry] = index.as_slice() else {
        return Err(format!("expected one image in it, found {}", index.len()));
    };
    let prefix = format!("{}:", super::repository(trainer));
    let tag = entry
        .repo_tags
        .iter()
        .find_map(|name| name.strip_prefix(&prefix))
        .ok_or_else(|| format!("none of its names starts with `{prefix}`"))?;
    if !is_tag(tag) {
        return Err(format!(
            "its tag `{}` is invalid: expected at most 128 of `a-z`, `A-Z`, `0-9`, `_`, `.` and `-`, and neither `.` nor `-` first",
            diagnostics::sanitize(tag)
        ));
    }
    let bytes = document(&entry.config)?;
    let config: Config = serde_json::from_slice(&bytes)
        .map_err(|error| format!("cannot parse its configuration: {error}"))?;
    let mut layers = Vec::new();
    for (name, (what, diff_id)) in entry.layers.iter().zip(config.layers()) {
        let unread = |error| format!("the layer `{}`: {error}", diagnostics::sanitize(name));
        let layer = Layer::new(what, diff_id.to_owned(), file(name)?.clone()).map_err(unread)?;
        let mut tar = HashingWriter::new(io::sink());
        io::copy(&mut GzDecoder::new(layer.data.reader()), &mut tar).map_err(unread)?;
        if tar.finish().0 != diff_id {
            return Err(format!(
                "the layer `{}` is damaged",
                diagnostics::sanitize(name)
            ));
        }
        layers.push(layer);
    }
    if layers.is_empty() || layers.len() != entry.layers.len() {
        return Err("its layers are not those of its configuration".to_owned());
    }
    Image::new(trainer, tag, bytes, layers).map_err(|error| error.to_string())
}

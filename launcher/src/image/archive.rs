//! The archive that `docker load` and skopeo's `docker-archive:` read.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Image;
use super::layer::{Layer, Tree, digest, hex};
use super::manifest::Config;
use crate::failure::{Failure, Result};

const INDEX: &str = "manifest.json";

/// An entry of `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

impl Image {
    /// The archive, with the image's names.
    pub(crate) fn archive(&self) -> io::Result<Vec<u8>> {
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
            tree.file(&name(layer), 0o644, &layer.data);
        }
        tree.tar()
    }

    /// Writes the archive, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let wrong = |error: io::Error| {
            Failure::new(format!("cannot write `{}`: {error}", path.display()))
                .help("pass an `--output` in a folder that exists and that you may write to")
        };
        // A device or a pipe is written to: another file in its place would be the end of it.
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            let archive = self.archive().map_err(wrong)?;
            let mut file = OpenOptions::new().write(true).open(path).map_err(wrong)?;
            return file.write_all(&archive).map_err(wrong);
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut file = tempfile::Builder::new()
            .prefix(".trainyard-")
            .permissions(readable())
            .tempfile_in(folder)
            .map_err(wrong)?;
        let archive = self.archive().map_err(wrong)?;
        file.write_all(&archive).map_err(wrong)?;
        file.persist(path).map_err(|error| wrong(error.error))?;
        Ok(())
    }

    /// Reads what [`Image::write`] wrote, for the trainer.
    pub(crate) fn read(path: &Path, trainer: &str) -> Result<Self> {
        let wrong = |found: String| {
            Failure::usage(format!(
                "`{}` is no image of `{trainer}`: {found}",
                path.display()
            ))
            .help(format!(
                "write one with `trainyard build {trainer} --output FILE`"
            ))
        };
        let file = std::fs::File::open(path).map_err(|error| {
            Failure::usage(format!("cannot read `{}`: {error}", path.display())).help(format!(
                "`trainyard build {trainer} --output FILE` writes an image"
            ))
        })?;
        let files = files(file).map_err(|error| match error.kind() {
            // The tar crate quotes what it could not read, and that may be anybody's secret.
            io::ErrorKind::Other | io::ErrorKind::InvalidData => {
                wrong("it is no tar archive".to_owned())
            }
            _ => wrong(error.to_string()),
        })?;
        parse(&files, trainer).map_err(wrong)
    }
}

/// As any new file: what may read it is decided by the user's umask.
fn readable() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::Permissions::from_mode(0o666)
}

fn files(archive: impl io::Read) -> io::Result<BTreeMap<String, Bytes>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        files.insert(name, Bytes::from(bytes));
    }
    Ok(files)
}

fn parse(files: &BTreeMap<String, Bytes>, trainer: &str) -> Result<Image, String> {
    let file = |name: &str| {
        let missing = || format!("it has no `{}`", contract::shown(name));
        files.get(name).cloned().ok_or_else(missing)
    };
    let index: Vec<Entry> = serde_json::from_slice(&file(INDEX)?)
        .map_err(|error| format!("its `{INDEX}` is not understood: {error}"))?;
    let [entry] = index.as_slice() else {
        return Err(format!("expected one image in it, found {}", index.len()));
    };
    let prefix = format!("{}:", super::repository(trainer));
    let tag = entry
        .repo_tags
        .iter()
        .find_map(|name| name.strip_prefix(&prefix))
        .ok_or_else(|| format!("none of its names starts with `{prefix}`"))?;
    let bytes = file(&entry.config)?;
    let config: Config = serde_json::from_slice(&bytes)
        .map_err(|error| format!("its configuration is not understood: {error}"))?;
    let mut layers = Vec::new();
    for (name, (what, diff_id)) in entry.layers.iter().zip(config.layers()) {
        let layer = Layer::new(what, diff_id.to_owned(), file(name)?);
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(layer.data.as_ref())
            .read_to_end(&mut tar)
            .map_err(|error| format!("the layer `{}`: {error}", contract::shown(name)))?;
        if digest(&tar) != diff_id {
            return Err(format!("the layer `{}` is damaged", contract::shown(name)));
        }
        layers.push(layer);
    }
    if layers.is_empty() || layers.len() != entry.layers.len() {
        return Err("its layers are not those of its configuration".to_owned());
    }
    Image::new(trainer, tag, bytes, layers).map_err(|error| error.to_string())
}

//! A trainer's image, written without a Docker daemon: a few layers, a configuration, a manifest.

mod archive;
mod binary;
mod cache;
mod certificates;
mod compile;
mod data;
mod elf;
mod kept;
mod layer;
mod libraries;
mod load;
mod manifest;
pub(crate) mod push;
mod revision;
mod strip;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;

use crate::trainer::{Compiled, Link, Source, Trainer};
use diagnostics::{Error, Result};

pub(crate) use archive::writable;
use binary::check;
use cache::Cache;
use certificates::Certificates;
pub(crate) use compile::Target;
pub(crate) use data::Data;
use layer::Tree;
pub(crate) use layer::{Layer, digest};
use libraries::Libraries;
pub(crate) use load::load;
use manifest::Config;
use revision::Revision;

/// What may be chosen of a build.
#[derive(Debug, Clone, Default)]
pub(crate) struct BuildOptions {
    pub(crate) target: Target,
    /// Used as it is, instead of compiling one.
    pub(crate) binary: Option<PathBuf>,
}

/// An image. Cheap to clone: its layers are in files.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    repository: String,
    tag: String,
    config: Bytes,
    manifest: Bytes,
    layers: Vec<Layer>,
    /// How it came to be; an image from an archive was not built.
    pub(crate) built: Option<Built>,
}

/// Where an image's parts came from, and what they took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Built {
    pub(crate) binary: PathBuf,
    /// The shared ones, as they are on this machine.
    pub(crate) libraries: Vec<PathBuf>,
    pub(crate) certificates: PathBuf,
    pub(crate) compile_seconds: f64,
    pub(crate) image_seconds: f64,
}

/// `trainyard/svm`, in every registry and engine.
pub(crate) fn repository(trainer: &str) -> String {
    format!("trainyard/{trainer}")
}

/// Compiles the trainer, unless there is a binary, and makes the image.
pub(crate) async fn build(trainer: &Trainer, options: &BuildOptions) -> Result<Image> {
    let source = trainer.source()?;
    let created = created(std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())?;
    let start = Instant::now();
    let Compiled { binary, folders } = match &options.binary {
        Some(binary) => Compiled {
            binary: binary.clone(),
            folders: Vec::new(),
        },
        None => compile::compile(trainer, source, options.target).await?,
    };
    let compile_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let certificates = Certificates::find()?;
    check(&binary, source.metadata.link)?;
    let libraries = libraries(source, &binary, &folders)?;
    let environment = environment(&libraries);
    let contents = Contents {
        trainer: trainer.name.clone(),
        target: source.target.clone(),
        binary: binary.clone(),
        libraries: libraries.clone(),
        certificates: certificates.clone(),
    };
    let work = tokio::task::spawn_blocking(move || contents.layers());
    let layers = work
        .await
        .map_err(|error| unwritten(&io::Error::other(error)))?
        .map_err(|error| unwritten(&error))?;
    let revision = Revision::of(&source.workspace).await;
    let labels = labels(trainer, source, revision.as_ref());
    let entrypoint = format!("/{}", in_image(&trainer.name));
    let config = Config::new(&entrypoint, &layers, environment, labels, &created);
    let config = serde_json::to_vec(&config).map_err(|error| unwritten(&error.into()))?;
    let tag = tag(&source.version, revision.as_ref());
    let mut image = Image::new(&trainer.name, &tag, config.into(), layers)
        .map_err(|error| unwritten(&error.into()))?;
    image.built = Some(Built {
        binary,
        libraries: libraries.files.into_values().collect(),
        certificates: certificates.path,
        compile_seconds,
        image_seconds: start.elapsed().as_secs_f64(),
    });
    Ok(image)
}

/// `cargo ...`, as [`build`] would run it.
pub(crate) fn compile_command(trainer: &Trainer, options: &BuildOptions) -> Result<String> {
    let arguments = compile::arguments(trainer, trainer.source()?, options.target);
    Ok(format!("cargo {}", arguments.join(" ")))
}

/// The names that a build would give the image, the versioned one first.
pub(crate) async fn names(trainer: &Trainer) -> Result<[String; 2]> {
    let source = trainer.source()?;
    let revision = Revision::of(&source.workspace).await;
    let repository = repository(&trainer.name);
    let tag = tag(&source.version, revision.as_ref());
    Ok([
        format!("{repository}:{tag}"),
        format!("{repository}:latest"),
    ])
}

/// `org.opencontainers.image.*`, for an image that the engine builds.
pub(crate) async fn image_labels(trainer: &Trainer) -> Result<BTreeMap<String, String>> {
    let source = trainer.source()?;
    let revision = Revision::of(&source.workspace).await;
    Ok(labels(trainer, source, revision.as_ref()))
}

impl Image {
    fn new(
        trainer: &str,
        tag: &str,
        config: Bytes,
        layers: Vec<Layer>,
    ) -> serde_json::Result<Self> {
        let manifest = manifest::manifest(&config, &layers)?.into();
        Ok(Self {
            repository: repository(trainer),
            tag: tag.to_owned(),
            config,
            manifest,
            layers,
            built: None,
        })
    }

    /// The manifest's digest, which a registry knows the image by.
    pub(crate) fn digest(&self) -> String {
        digest(&self.manifest)
    }

    /// The configuration's digest, which an engine knows the image by.
    pub(crate) fn id(&self) -> String {
        digest(&self.config)
    }

    /// What is transferred, in bytes.
    pub(crate) fn size(&self) -> u64 {
        let layers: u64 = self.layers.iter().map(Layer::size).sum();
        layers + (self.config.len() + self.manifest.len()) as u64
    }

    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// `VERSION-COMMIT`.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// `trainyard/svm:VERSION-COMMIT` and `trainyard/svm:latest`.
    pub(crate) fn names(&self) -> [String; 2] {
        [&self.tag, "latest"].map(|tag| format!("{}:{tag}", self.repository))
    }
}

/// The shared libraries of a trainer that has some.
fn libraries(source: &Source, binary: &Path, folders: &[PathBuf]) -> Result<Libraries> {
    match source.metadata.link {
        Link::Static => Ok(Libraries::default()),
        Link::Dynamic => Libraries::find(binary, folders, &source.metadata.opened_libraries),
    }
}

/// Something of this machine, for the image.
#[derive(Debug)]
enum Piece {
    File(PathBuf),
    /// To a file beside it.
    Link(String),
}

/// Where the libraries go, and what of this machine goes there.
fn shared(libraries: &Libraries, target: &Path) -> io::Result<Vec<(String, Piece)>> {
    let mut pieces = Vec::new();
    if let Some(loader) = &libraries.loader {
        let place = loader.to_string_lossy().trim_start_matches('/').to_owned();
        pieces.push((place, Piece::File(loader.clone())));
    }
    let place = |name: &str| format!("{}/{name}", libraries::IN_IMAGE);
    for (name, path) in &libraries.files {
        pieces.push((place(name), Piece::File(strip::stripped(path, target)?)));
    }
    for (name, file) in &libraries.links {
        pieces.push((place(name), Piece::Link(file.clone())));
    }
    Ok(pieces)
}

/// What the loader and NVIDIA's container runtime look for.
fn environment(libraries: &Libraries) -> Vec<String> {
    let mut environment = Vec::new();
    if libraries.loader.is_some() {
        let driver = if libraries.gpu { DRIVER } else { "" };
        let own = libraries::IN_IMAGE;
        environment.push(format!("LD_LIBRARY_PATH=/{own}{driver}"));
    }
    if libraries.gpu {
        environment.push("NVIDIA_VISIBLE_DEVICES=all".to_owned());
        environment.push("NVIDIA_DRIVER_CAPABILITIES=compute,utility".to_owned());
    }
    environment
}

/// Where NVIDIA's runtimes put the driver's libraries: they write a cache for the loader too, but not every one of them,
/// and not into every image.
const DRIVER: &str =
    ":/usr/local/nvidia/lib64:/usr/local/nvidia/lib:/usr/lib64:/usr/lib/x86_64-linux-gnu";

/// What goes into the layers.
struct Contents {
    trainer: String,
    target: PathBuf,
    binary: PathBuf,
    libraries: Libraries,
    certificates: Certificates,
}

impl Contents {
    /// What changes least comes first, so that engines and registries have it already.
    fn layers(self) -> io::Result<Vec<Layer>> {
        let cache = Cache::below(&self.target);
        let mut base = Tree::default();
        base.file(certificates::IN_IMAGE, 0o644, &self.certificates.pem);
        base.folder("tmp", 0o1777);
        let mut layers = vec![cache.layer("certificates and /tmp", &base)?];
        let pieces = shared(&self.libraries, &self.target)?;
        if !pieces.is_empty() {
            let mut tree = Tree::default();
            for (place, piece) in pieces {
                match piece {
                    Piece::File(path) => tree.path(&place, 0o755, path),
                    Piece::Link(file) => tree.link(&place, file),
                }
            }
            layers.push(cache.layer("shared libraries", &tree)?);
        }
        let mut top = Tree::default();
        top.path(&in_image(&self.trainer), 0o755, self.binary);
        layers.push(cache.layer("binary", &top)?);
        Ok(layers)
    }
}

fn in_image(trainer: &str) -> String {
    format!("usr/local/bin/{trainer}")
}

fn labels(
    trainer: &Trainer,
    source: &Source,
    revision: Option<&Revision>,
) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("title", repository(&trainer.name)),
        ("version", source.version.clone()),
    ]);
    if let Some(revision) = revision {
        labels.insert("revision", revision.full());
    }
    labels
        .into_iter()
        .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value))
        .collect()
}

/// A tag has no `+`, which a version may have.
fn tag(version: &str, revision: Option<&Revision>) -> String {
    let version = version.replace('+', "-");
    match revision {
        Some(revision) => format!("{version}-{}", revision.short()),
        None => version,
    }
}

/// When the image says it was made: a fixed time, or the same input would give another digest every second.
fn created(source_date_epoch: Option<&str>) -> Result<String> {
    let text = source_date_epoch
        .filter(|text| !text.is_empty())
        .unwrap_or("0");
    text.parse()
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map(|time| time.to_string())
        .ok_or_else(|| {
            Error::usage(format!(
                "SOURCE_DATE_EPOCH is `{}`",
                diagnostics::sanitize(text)
            ))
            .help(
                "expected seconds since 1970, as in `SOURCE_DATE_EPOCH=$(git log -1 --pretty=%ct)`",
            )
        })
}

fn unwritten(error: &io::Error) -> Error {
    Error::new(format!("cannot write the image: {error}"))
        .help("make room in the target folder, or set TMPDIR to a folder that is there and has space, then build again")
}

#[cfg(test)]
mod tests;

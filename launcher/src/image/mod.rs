//! A trainer's image, written without a Docker daemon: two layers, a configuration, a manifest.

mod archive;
mod binary;
mod cache;
mod certificates;
mod compile;
mod layer;
mod load;
mod manifest;
pub(crate) mod push;
mod revision;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;

use crate::failure::{Failure, Result};
use crate::trainer::{Source, Trainer};

pub(crate) use binary::read as read_binary;
use cache::Cache;
use certificates::Certificates;
pub(crate) use compile::Target;
use layer::Tree;
pub(crate) use layer::{Layer, digest};
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

/// An image, all of it in memory.
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
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => compile::compile(trainer, source, options.target).await?,
    };
    let compile_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let certificates = Certificates::find()?;
    let layers = layers(trainer, source, &binary, &certificates).await?;
    let revision = Revision::of(&source.workspace).await;
    let labels = labels(trainer, source, revision.as_ref());
    let entrypoint = format!("/{}", in_image(trainer));
    let config = Config::new(&entrypoint, &layers, labels, &created);
    let config = serde_json::to_vec(&config).map_err(|error| unwritten(&error.into()))?;
    let tag = tag(&source.version, revision.as_ref());
    let mut image = Image::new(&trainer.name, &tag, config.into(), layers)
        .map_err(|error| unwritten(&error.into()))?;
    image.built = Some(Built {
        binary,
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
    pub(crate) fn size(&self) -> usize {
        let layers: usize = self.layers.iter().map(|layer| layer.data.len()).sum();
        layers + self.config.len() + self.manifest.len()
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

async fn layers(
    trainer: &Trainer,
    source: &Source,
    binary: &Path,
    certificates: &Certificates,
) -> Result<Vec<Layer>> {
    let mut base = Tree::default();
    base.file(certificates::IN_IMAGE, 0o644, &certificates.pem);
    base.folder("tmp", 0o1777);
    let base = base.tar().map_err(|error| unwritten(&error))?;
    let bytes = binary::read(binary)?;
    let mut top = Tree::default();
    top.file(&in_image(trainer), 0o755, &bytes);
    let top = top.tar().map_err(|error| unwritten(&error))?;
    let cache = Cache::below(&source.target);
    let work = tokio::task::spawn_blocking(move || {
        Ok(vec![
            cache.layer("certificates and /tmp", &base)?,
            cache.layer("binary", &top)?,
        ])
    });
    work.await
        .map_err(|error| unwritten(&io::Error::other(error)))?
        .map_err(|error: io::Error| unwritten(&error))
}

fn in_image(trainer: &Trainer) -> String {
    format!("usr/local/bin/{}", trainer.name)
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
            Failure::usage(format!("SOURCE_DATE_EPOCH is `{}`", contract::shown(text))).help(
                "expected seconds since 1970, as in `SOURCE_DATE_EPOCH=$(git log -1 --pretty=%ct)`",
            )
        })
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::new(format!("cannot write the image: {error}"))
        .help("look at this machine's memory and disk, then build again")
}

#[cfg(test)]
mod tests;

//! Container images of trainers without a Docker daemon: a few layers, a configuration, a manifest;
//! and pushing them to registries.

mod archive;
mod binary;
mod cache;
mod certificates;
mod data;
mod digest;
mod elf;
mod layer;
mod libraries;
mod manifest;
mod prune;
pub mod push;
mod revision;
mod strip;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use diagnostics::{Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use archive::check_writable;
use binary::check;
use cache::Cache;
use certificates::Certificates;
use data::Data;
use digest::digest;
pub use layer::Layer;
use layer::Tree;
use libraries::Libraries;
use manifest::Config;
use revision::Revision;

/// Linkage of a binary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// Statically: the image has no other libraries.
    #[default]
    Static,
    /// As shared libraries in the image, including the C library: for libraries that exist only as
    /// shared objects, such as libtorch.
    Dynamic,
}

/// The package whose program the image runs.
#[derive(Debug, Clone)]
pub struct Package {
    /// Name of package and binary.
    pub name: String,
    /// Version of the package.
    pub version: String,
    /// Folder of the workspace, for the commit.
    pub workspace: PathBuf,
    /// cargo's target folder, for caches.
    pub target_dir: PathBuf,
    /// Linkage of the binary.
    pub link: Link,
    /// File names, with `*`, of libraries that the program opens at run time.
    pub opened_libraries: Vec<String>,
}

/// An image; cheap to clone, since its layers are in files.
#[derive(Debug, Clone)]
pub struct Image {
    repository: String,
    tag: String,
    config: Bytes,
    manifest: Bytes,
    layers: Vec<Layer>,
    /// Build details; none for an image from an archive.
    pub built: Option<Built>,
}

/// Sources and build times of an image.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Built {
    /// The binary.
    pub binary: PathBuf,
    /// Shared libraries of this machine.
    pub libraries: Vec<PathBuf>,
    /// File of the CA certificates.
    pub certificates: PathBuf,
    /// Time of compiling.
    #[serde(skip)]
    pub compile_seconds: f64,
    /// Time of writing the image.
    #[serde(skip)]
    pub image_seconds: f64,
}

/// Returns the repository name, such as `trainyard/svm`.
pub fn repository(trainer: &str) -> String {
    format!("trainyard/{trainer}")
}

/// Makes the image of a compiled binary. Shared libraries are searched in `library_dirs` first.
pub async fn build(
    package: &Package,
    binary: PathBuf,
    library_dirs: &[PathBuf],
    created: &str,
    compile_seconds: f64,
) -> Result<Image> {
    let start = Instant::now();
    let certificates = Certificates::find()?;
    check(&binary, package.link)?;
    let libraries = libraries(package, &binary, library_dirs)?;
    let environment = environment(&libraries);
    let work = {
        let (package, binary) = (package.clone(), binary.clone());
        let (libraries, certificates) = (libraries.clone(), certificates.clone());
        move || layers(&package, binary, &libraries, &certificates)
    };
    let layers = tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| write_error(&io::Error::other(error)))?
        .map_err(|error| write_error(&error))?;
    let revision = Revision::of(&package.workspace).await;
    let labels = labels(package, revision.as_ref());
    let entrypoint = format!("/{}", binary_path(&package.name));
    let config = Config::new(&entrypoint, &layers, environment, labels, created);
    let config = serde_json::to_vec(&config).map_err(|error| write_error(&error.into()))?;
    let tag = tag(&package.version, revision.as_ref());
    let mut image = Image::new(&package.name, &tag, config.into(), layers)
        .map_err(|error| write_error(&error.into()))?;
    image.built = Some(Built {
        binary,
        libraries: libraries.files.into_values().collect(),
        certificates: certificates.path,
        compile_seconds,
        image_seconds: start.elapsed().as_secs_f64(),
    });
    Ok(image)
}

/// Returns the names of a new image, the versioned one first.
pub async fn names(package: &Package) -> [String; 2] {
    let revision = Revision::of(&package.workspace).await;
    let repository = repository(&package.name);
    let tag = tag(&package.version, revision.as_ref());
    [tag.as_str(), "latest"].map(|tag| format!("{repository}:{tag}"))
}

/// Returns the labels `org.opencontainers.image.*`, for an image that the engine builds.
pub async fn image_labels(package: &Package) -> BTreeMap<String, String> {
    let revision = Revision::of(&package.workspace).await;
    labels(package, revision.as_ref())
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

    /// Returns the manifest's digest, by which a registry identifies the image.
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }

    /// Returns the configuration's digest, by which an engine identifies the image.
    pub fn id(&self) -> String {
        digest(&self.config)
    }

    /// Returns the size of layers, configuration and manifest in bytes.
    pub fn size(&self) -> u64 {
        let layers: u64 = self.layers.iter().map(Layer::size).sum();
        layers + (self.config.len() + self.manifest.len()) as u64
    }

    /// Returns the layers, in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Returns the tag `VERSION-COMMIT`.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Returns `trainyard/svm:VERSION-COMMIT` and `trainyard/svm:latest`.
    pub fn names(&self) -> [String; 2] {
        [&self.tag, "latest"].map(|tag| format!("{}:{tag}", self.repository))
    }
}

/// Returns the shared libraries of a dynamically linked program.
fn libraries(package: &Package, binary: &Path, library_dirs: &[PathBuf]) -> Result<Libraries> {
    match package.link {
        Link::Static => Ok(Libraries::default()),
        Link::Dynamic => Libraries::find(binary, library_dirs, &package.opened_libraries),
    }
}

/// Returns the files of the layer with libraries; none for a static binary.
fn library_tree(libraries: &Libraries, target: &Path) -> io::Result<Option<Tree<'static>>> {
    if libraries.loader.is_none() && libraries.files.is_empty() {
        return Ok(None);
    }
    let mut tree = Tree::default();
    if let Some(loader) = &libraries.loader {
        let image_path = loader.to_string_lossy();
        tree.path(image_path.trim_start_matches('/'), 0o755, loader.clone());
    }
    let image_path = |name: &str| format!("{}/{name}", libraries::IMAGE_PATH);
    for (name, path) in &libraries.files {
        tree.path(&image_path(name), 0o755, strip::stripped(path, target)?);
    }
    for (name, file) in &libraries.links {
        tree.link(&image_path(name), file.clone());
    }
    Ok(Some(tree))
}

/// Returns the environment for the loader and NVIDIA's container runtime.
fn environment(libraries: &Libraries) -> Vec<String> {
    let mut environment = Vec::new();
    if libraries.loader.is_some() {
        let driver = if libraries.gpu { DRIVER_PATHS } else { "" };
        let own = libraries::IMAGE_PATH;
        environment.push(format!("LD_LIBRARY_PATH=/{own}{driver}"));
    }
    if libraries.gpu {
        environment.push("NVIDIA_VISIBLE_DEVICES=all".to_owned());
        environment.push("NVIDIA_DRIVER_CAPABILITIES=compute,utility".to_owned());
    }
    environment
}

/// Library folders of NVIDIA's runtimes. Some of them also write a cache for the loader, but not
/// all, and not into every image.
const DRIVER_PATHS: &str =
    ":/usr/local/nvidia/lib64:/usr/local/nvidia/lib:/usr/lib64:/usr/lib/x86_64-linux-gnu";

/// Returns the layers. Those that change least come first, so that engines and registries already
/// have them.
fn layers(
    package: &Package,
    binary: PathBuf,
    libraries: &Libraries,
    certificates: &Certificates,
) -> io::Result<Vec<Layer>> {
    let cache = Cache::below(&package.target_dir);
    let mut base = Tree::default();
    base.file(certificates::IMAGE_PATH, 0o644, &certificates.pem);
    base.folder("tmp", 0o1777);
    let mut layers = vec![cache.layer("certificates and /tmp", &base)?];
    if let Some(tree) = library_tree(libraries, &package.target_dir)? {
        layers.push(cache.layer("shared libraries", &tree)?);
    }
    let mut top = Tree::default();
    top.path(&binary_path(&package.name), 0o755, binary);
    layers.push(cache.layer("binary", &top)?);
    Ok(layers)
}

fn binary_path(trainer: &str) -> String {
    format!("usr/local/bin/{trainer}")
}

fn labels(package: &Package, revision: Option<&Revision>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("title", repository(&package.name)),
        ("version", package.version.clone()),
    ]);
    if let Some(revision) = revision {
        labels.insert("revision", revision.full());
    }
    labels
        .into_iter()
        .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value))
        .collect()
}

/// Returns the tag. A version may have a `+`, a tag may not.
fn tag(version: &str, revision: Option<&Revision>) -> String {
    let version = version.replace('+', "-");
    match revision {
        Some(revision) => format!("{version}-{}", revision.short()),
        None => version,
    }
}

/// Returns the creation time of images: SOURCE_DATE_EPOCH, else 1970. The current time would change
/// the digest with every build.
pub fn creation_time() -> Result<String> {
    created(std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())
}

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

/// Converts an error of writing the image.
pub fn write_error(error: &io::Error) -> Error {
    Error::new(format!("cannot write the image: {error}"))
        .help("make room in the target folder, or set TMPDIR to a folder that is there and has space, then build again")
}

#[cfg(test)]
mod tests;

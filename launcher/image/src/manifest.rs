//! The two JSON documents of an image, in Docker's schema 2: parts of SageMaker refuse OCI media
//! types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::digest::digest;
use super::layer::Layer;

pub(crate) const MANIFEST_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG_TYPE: &str = "application/vnd.docker.container.image.v1+json";
const LAYER_TYPE: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// Image configuration. A struct rather than a map: the order of fields affects the digest.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Config {
    architecture: String,
    os: String,
    created: String,
    config: Run,
    rootfs: RootFs,
    history: Vec<History>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Run {
    env: Vec<String>,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
    working_dir: String,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RootFs {
    r#type: String,
    diff_ids: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct History {
    created: String,
    created_by: String,
}

impl Config {
    /// Creates the configuration. SageMaker starts the container with the argument `train`, some
    /// versions of its SDK without.
    pub(crate) fn new(
        entrypoint: &str,
        layers: &[Layer],
        environment: Vec<String>,
        labels: BTreeMap<String, String>,
        created: &str,
    ) -> Self {
        let history = layers.iter().map(|layer| History {
            created: created.to_owned(),
            created_by: format!("trainyard build: {}", layer.what),
        });
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let mut env = vec![path.to_owned()];
        env.extend(environment);
        Self {
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            created: created.to_owned(),
            config: Run {
                env,
                entrypoint: vec![entrypoint.to_owned()],
                cmd: vec!["train".to_owned()],
                working_dir: "/".to_owned(),
                labels,
            },
            rootfs: RootFs {
                r#type: "layers".to_owned(),
                diff_ids: layers.iter().map(|layer| layer.diff_id.clone()).collect(),
            },
            history: history.collect(),
        }
    }

    /// Returns description and diff ID of each layer, in order.
    pub(crate) fn layers(&self) -> impl Iterator<Item = (&str, &str)> {
        let descriptions = self.history.iter().map(|history| {
            let (_, what) = history.created_by.split_once(": ").unwrap_or_default();
            what
        });
        descriptions.zip(self.rootfs.diff_ids.iter().map(String::as_str))
    }
}

/// Image manifest.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u8,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: &'static str,
    size: u64,
    digest: String,
}

/// Returns the manifest's bytes; their digest is the image's.
pub(crate) fn manifest(config: &[u8], layers: &[Layer]) -> serde_json::Result<Vec<u8>> {
    let layers = layers.iter().map(|layer| Descriptor {
        media_type: LAYER_TYPE,
        size: layer.size(),
        digest: layer.digest.clone(),
    });
    serde_json::to_vec(&Manifest {
        schema_version: 2,
        media_type: MANIFEST_TYPE,
        config: Descriptor {
            media_type: CONFIG_TYPE,
            size: config.len() as u64,
            digest: digest(config),
        },
        layers: layers.collect(),
    })
}

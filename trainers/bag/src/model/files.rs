//! The model folder: `model.safetensors`, `config.json`, `vocabulary.txt`. See
//! docs/reference/models/bag.md.

use std::collections::BTreeMap;
use std::path::Path;

use diagnostics::Error;
use harness::model_dir::{
    CONFIG, ProblemType, TENSORS, VOCABULARY, arch, check_ids, check_terms, read_config, tensors,
    terms, unreadable, write, write_config,
};
use text::features::{LazyLookup, Subwords};

use super::{BagModel, FeatureConfig};
use crate::tensors::{net_of, write_nets};

#[derive(serde::Serialize, serde::Deserialize)]
struct Config {
    format: String,
    version: u32,
    arch: String,
    id2label: BTreeMap<u32, String>,
    label2id: BTreeMap<String, u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem_type: Option<ProblemType>,
    emb_size: usize,
    #[serde(flatten)]
    features: FeatureConfig,
}

/// `format` of the config: that of `bilstm`, because `bilstm --arch bag` writes the same folder.
const FORMAT: &str = "trainyard-bilstm";
const VERSION: u32 = 1;

/// Value of `arch` in `config.json`.
pub const ARCH: &str = "bag";

/// Largest `max_ngrams` of a config; more than `--max-ngrams` allows.
const MAX_NGRAMS: usize = 255;

pub(crate) fn save(model: &BagModel, dir: &Path) -> Result<(), Error> {
    let ids = || (0..).zip(model.classes.iter().cloned());
    let config = Config {
        format: FORMAT.to_owned(),
        version: VERSION,
        arch: ARCH.to_owned(),
        id2label: ids().collect(),
        label2id: ids().map(|(id, label)| (label, id)).collect(),
        problem_type: ProblemType::if_multi_label(model.multi_label),
        emb_size: model.net.width,
        features: model.features.clone(),
    };
    write_config(dir, &config)?;
    write(dir, VOCABULARY, model.terms.to_lines().as_bytes())?;
    write_nets(&dir.join(TENSORS), &[("", &model.net)])
}

pub(crate) fn load(dir: &Path) -> Result<BagModel, Error> {
    match arch(dir, FORMAT, VERSION)?.as_str() {
        ARCH => {}
        other => {
            let message = format!("expected the architecture `{ARCH}`, found `{other}`");
            return Err(unreadable(dir, CONFIG, message));
        }
    }
    let config: Config = read_config(dir)?;
    check(&config).map_err(|error| unreadable(dir, CONFIG, error))?;
    let terms = terms(dir)?;
    let mut arrays = tensors(dir)?;
    let buckets = config
        .features
        .subwords
        .map_or(0, |subwords| subwords.bucket as usize);
    let columns = terms.len() + buckets;
    let shape = (columns, config.emb_size, config.id2label.len());
    Ok(BagModel {
        net: net_of(&mut arrays, "", shape).map_err(|error| unreadable(dir, TENSORS, error))?,
        classes: config.id2label.into_values().collect(),
        multi_label: ProblemType::is_multi_label(config.problem_type),
        terms,
        features: config.features,
        lookup: LazyLookup::default(),
    })
}

/// Refuses values that training never writes and that prediction does not support.
fn check(config: &Config) -> Result<(), String> {
    if config.emb_size == 0 {
        return Err("expected `emb_size` above 0, found `0`".to_owned());
    }
    check_terms(&config.features.ngrams)?;
    let is_possible = |subwords: Subwords| {
        subwords.bucket > 0
            && subwords.maxn <= MAX_NGRAMS
            && (1..=subwords.maxn).contains(&subwords.minn)
    };
    if let Some(subwords) = config
        .features
        .subwords
        .filter(|&subwords| !is_possible(subwords))
    {
        return Err(format!(
            "expected `subwords` with 1 <= minn <= maxn <= {MAX_NGRAMS} and buckets, found \
             `{subwords:?}`"
        ));
    }
    check_ids(&config.id2label, &config.label2id)
}

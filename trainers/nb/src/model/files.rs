//! The model folder: `model.safetensors`, `config.json`, `vocabulary.txt`. See
//! docs/reference/models/nb.md.

use std::collections::BTreeMap;
use std::path::Path;

use diagnostics::Error;
use harness::model_dir::arrays::{Array, Arrays, Tensors, write_arrays};
use harness::model_dir::{
    CONFIG, ProblemType, TENSORS, VOCABULARY, check_format, check_ids, check_terms, read,
    read_config, terms, unreadable, write, write_config,
};
use text::features::{LazyLookup, TermFrequency};

use super::{NbModel, WordConfig};
use crate::features::Features;
use crate::naive_bayes::NaiveBayes;
use crate::params::Weighting;

const FORMAT: &str = "trainyard-nb";
const VERSION: u32 = 1;

#[derive(serde::Serialize, serde::Deserialize)]
struct Config {
    format: String,
    version: u32,
    id2label: BTreeMap<u32, String>,
    label2id: BTreeMap<String, u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem_type: Option<ProblemType>,
    #[serde(flatten)]
    words: WordConfig,
    term_frequency: TermFrequency,
    weighting: Weighting,
    temperature: f64,
}

pub(super) fn save(model: &NbModel, dir: &Path) -> Result<(), Error> {
    let NaiveBayes {
        features,
        feature_log_prob,
        class_log_prior,
        temperature,
        multi_label,
    } = &model.naive_bayes;
    let (terms, classes) = (model.terms.len(), model.classes.len());
    let arrays = Arrays::from([
        ("scale", Array::f64(&[terms], &features.scale)),
        (
            "feature_log_prob",
            Array::f64(&[terms, classes], feature_log_prob),
        ),
        ("class_log_prior", Array::f64(&[classes], class_log_prior)),
    ]);
    let ids = || (0..).zip(model.classes.iter().cloned());
    let config = Config {
        format: FORMAT.to_owned(),
        version: VERSION,
        id2label: ids().collect(),
        label2id: ids().map(|(id, label)| (label, id)).collect(),
        problem_type: ProblemType::if_multi_label(*multi_label),
        words: model.words.clone(),
        term_frequency: features.tf,
        weighting: features.weighting,
        temperature: *temperature,
    };
    write_config(dir, &config)?;
    write(dir, VOCABULARY, model.terms.to_lines().as_bytes())?;
    write_arrays(dir, &arrays)
}

pub(super) fn load(dir: &Path) -> Result<NbModel, Error> {
    let config: Config = read_config(dir)?;
    check_format(dir, (FORMAT, VERSION), (&config.format, config.version))?;
    check(&config).map_err(|error| unreadable(dir, CONFIG, error))?;
    let terms = terms(dir)?;
    let file = read(dir, TENSORS)?;
    let tensors = Tensors::new(dir, &file)?;
    let array = |name: &str, shape: &[usize]| {
        let values = tensors.f64(name, shape)?;
        match values.iter().copied().find(|value| !value.is_finite()) {
            None => Ok(values),
            Some(value) => {
                let message = format!("expected finite numbers in `{name}`, found `{value}`");
                Err(unreadable(dir, TENSORS, message))
            }
        }
    };
    let classes = config.id2label.len();
    Ok(NbModel {
        naive_bayes: NaiveBayes {
            features: Features {
                tf: config.term_frequency,
                weighting: config.weighting,
                scale: array("scale", &[terms.len()])?,
            },
            feature_log_prob: array("feature_log_prob", &[terms.len(), classes])?,
            class_log_prior: array("class_log_prior", &[classes])?,
            temperature: config.temperature,
            multi_label: ProblemType::is_multi_label(config.problem_type),
        },
        classes: config.id2label.into_values().collect(),
        terms,
        words: config.words,
        lookup: LazyLookup::default(),
    })
}

/// Refuses values that training never writes and that prediction does not support.
fn check(config: &Config) -> Result<(), String> {
    check_terms(&config.words.ngrams)?;
    if !(config.temperature.is_finite() && config.temperature > 0.0) {
        return Err(format!(
            "expected a `temperature` above 0, found `{}`",
            config.temperature
        ));
    }
    check_ids(&config.id2label, &config.label2id)
}

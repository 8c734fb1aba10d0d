//! The model folder: `model.safetensors`, `config.json`, `vocabulary.txt`. See
//! docs/reference/models/svm.md.

use std::collections::BTreeMap;
use std::path::Path;

use diagnostics::Error;
use harness::model_dir::arrays::{Array, Arrays, Tensors, write_arrays};
use harness::model_dir::{
    CONFIG, ProblemType, TENSORS, VOCABULARY, check_format, check_ids, check_terms, read,
    read_config, terms, unreadable, write, write_config,
};
use text::features::LazyLookup;

use super::{Classifier, FeatureConfig, SvmModel};
use crate::calibrate::Platt;
use crate::kernel::KernelSvm;
use crate::one_vs_rest::outputs;
use crate::params::Kernel;
use crate::weights::OutputWeights;

const FORMAT: &str = "trainyard-svm";
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
    features: FeatureConfig,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kernel: Option<Kernel>,
}

pub(super) fn save(model: &SvmModel, dir: &Path) -> Result<(), Error> {
    let mut arrays = Arrays::new();
    arrays.insert("scale", Array::rows(&model.scale));
    let mut kernel = None;
    match &model.classifier {
        Classifier::Linear {
            coefficients,
            intercepts,
        } => {
            let shape = [
                coefficients.len(),
                coefficients.first().map_or(0, OutputWeights::width),
            ];
            let row = move |row: usize| coefficients[row].dense();
            arrays.insert("coefficients", Array::from_rows(shape, row));
            let shape = [intercepts.len()];
            arrays.insert("intercepts", Array::f32(&shape, intercepts));
        }
        Classifier::Kernel(svm) => kernel = Some(svm.save(&mut arrays)),
    }
    if !model.platt.is_empty() {
        let pairs = model.platt.iter().flat_map(|platt| [platt.a, platt.b]);
        let pairs: Vec<f64> = pairs.collect();
        arrays.insert("platt", Array::f64(&[model.platt.len(), 2], &pairs));
    }
    let ids = || (0..).zip(model.classes.iter().cloned());
    let config = Config {
        format: FORMAT.to_owned(),
        version: VERSION,
        id2label: ids().collect(),
        label2id: ids().map(|(id, label)| (label, id)).collect(),
        problem_type: ProblemType::if_multi_label(model.multi_label),
        features: model.features.clone(),
        kernel,
    };
    write_config(dir, &config)?;
    write(dir, VOCABULARY, model.terms.to_lines().as_bytes())?;
    write_arrays(dir, &arrays)
}

pub(super) fn load(dir: &Path) -> Result<SvmModel, Error> {
    let config: Config = read_config(dir)?;
    check_format(dir, (FORMAT, VERSION), (&config.format, config.version))?;
    check(&config).map_err(|error| unreadable(dir, CONFIG, error))?;
    let classes: Vec<String> = config.id2label.into_values().collect();
    let terms = terms(dir)?;
    let file = read(dir, TENSORS)?;
    let tensors = Tensors::new(dir, &file)?;
    let multi_label = ProblemType::is_multi_label(config.problem_type);
    let outputs = outputs(classes.len(), multi_label);
    let scale = tensors.rows("scale", None, terms.len())?;
    if scale.len() != 1 && scale.len() != outputs {
        return Err(unreadable(
            dir,
            TENSORS,
            "the shape of `scale` does not match the number of classes",
        ));
    }
    let classifier = match &config.kernel {
        Some(kernel) => {
            Classifier::Kernel(KernelSvm::load(kernel, &tensors, outputs, terms.len())?)
        }
        None => Classifier::Linear {
            coefficients: tensors
                .rows("coefficients", Some(outputs), terms.len())?
                .into_iter()
                .map(OutputWeights::Dense)
                .collect(),
            intercepts: tensors.f32("intercepts", &[outputs])?,
        },
    };
    let platt = if tensors.contains("platt") {
        let pairs = tensors.f64("platt", &[outputs, 2])?;
        pairs
            .chunks_exact(2)
            .map(|ab| Platt { a: ab[0], b: ab[1] })
            .collect()
    } else {
        Vec::new()
    };
    Ok(SvmModel {
        classes,
        multi_label,
        terms,
        features: config.features,
        scale,
        classifier,
        platt,
        lookup: LazyLookup::default(),
    })
}

/// Refuses values that training never writes and that prediction does not support.
fn check(config: &Config) -> Result<(), String> {
    check_terms(&config.features.ngrams)?;
    check_ids(&config.id2label, &config.label2id)
}

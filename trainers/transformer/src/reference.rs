//! Test fixtures: small networks, batches, and reference outputs of transformers.

use std::collections::HashMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::json;
use tempfile::TempDir;
use training::Random;

use crate::architecture::{Activation, Architecture, Dropout, Family, Role};
use crate::engine::{AdamWStep, Batch, DropoutKey, LossTarget, Params};

pub(crate) const FAMILIES: [Family; 4] = [
    Family::Bert,
    Family::Roberta,
    Family::DistilBert,
    Family::MpNet,
];

/// Returns a network of a few thousand parameters, with no size a multiple of another.
pub(crate) fn small(family: Family) -> Architecture {
    let roberta = usize::from(family.is_like_roberta());
    Architecture {
        family,
        vocab_size: 23,
        hidden_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 20,
        max_position_embeddings: 11 + 2 * roberta,
        type_vocab_size: match family {
            Family::Bert => 2,
            Family::Roberta => 1,
            Family::DistilBert | Family::MpNet => 0,
        },
        hidden_act: Activation::GeluErf,
        layer_norm_eps: if family == Family::Roberta {
            1e-5
        } else {
            1e-12
        },
        pad_token_id: roberta as u32,
        num_labels: 3,
        dropout: Dropout {
            hidden: 0.3,
            attention: 0.2,
            head: 0.4,
        },
    }
}

/// Returns a network whose rows are longer than any vector register, and not a multiple of it.
pub(crate) fn wide(family: Family) -> Architecture {
    Architecture {
        vocab_size: 60,
        hidden_size: 120,
        intermediate_size: 200,
        max_position_embeddings: 150,
        ..small(family)
    }
}

/// Returns weights large enough that softmax and GELU are far from linear.
pub(crate) fn params(architecture: &Architecture) -> Params {
    let mut random = Random::new(11, &[]);
    let parameters = architecture.parameters();
    let size = 0.4 * (12.0 / architecture.hidden_size as f64).sqrt();
    let values = parameters.iter().map(|parameter| {
        let norm = matches!(parameter.role, Role::EmbeddingNorm(_))
            || parameter.name.contains("LayerNorm.weight");
        let len = parameter.shape.iter().product();
        (0..len)
            .map(|_| (size * random.normal()) as f32 + f32::from(u8::from(norm)))
            .collect()
    });
    values.collect()
}

/// Returns rows of these lengths, without padding ids.
pub(crate) fn batch(architecture: &Architecture, lengths: &[usize]) -> Batch {
    let seq = lengths.iter().copied().max().unwrap();
    let mut random = Random::new(5, &[]);
    let mut ids = Vec::new();
    for &length in lengths {
        let id = |_| 2 + (random.uniform() * (architecture.vocab_size - 2) as f64) as u32;
        ids.extend((0..length).map(id));
        ids.extend(vec![architecture.pad_token_id; seq - length]);
    }
    Batch {
        ids,
        types: Vec::new(),
        lengths: lengths.to_vec(),
        seq,
    }
}

pub(crate) const LENGTHS: [usize; 5] = [7, 3, 1, 5, 11];
/// The same for `wide`.
pub(crate) const LONG_LENGTHS: [usize; 5] = [130, 3, 1, 33, 77];
pub(crate) const LABELS: [u32; 5] = [2, 0, 1, 2, 1];
pub(crate) const CLASS_WEIGHTS: [f32; 3] = [1.0, 0.5, 2.0];

pub(crate) fn target(dropout_key: bool) -> LossTarget<'static> {
    let weight = |&label: &u32| f64::from(CLASS_WEIGHTS[label as usize]);
    LossTarget {
        labels: &LABELS,
        sets: None,
        class_weights: &CLASS_WEIGHTS,
        other_weights: &[],
        row_weights: &[],
        total_weight: LABELS.iter().map(weight).sum(),
        label_smoothing: 0.1,
        dropout_key: dropout_key.then_some(DropoutKey {
            seed: 3,
            step: 9,
            first_row: 0,
        }),
        loss_scale: 1.0,
    }
}

pub(crate) const ADAMW_STEP: AdamWStep = AdamWStep {
    step: 1,
    rate: 1e-2,
    beta_1: 0.9,
    beta_2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.1,
    scale: 1.0,
};

/// Returns the maximum difference relative to the maximum expected value.
pub(crate) fn distance(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let largest = |all: &mut dyn Iterator<Item = f32>| all.fold(0.0, f32::max);
    let scale = largest(&mut theirs.iter().map(|number| number.abs()));
    let differences = &mut ours.iter().zip(theirs).map(|(ours, theirs)| {
        let difference = (ours - theirs).abs();
        if difference.is_nan() {
            f32::INFINITY
        } else {
            difference
        }
    });
    largest(differences) / scale.max(f32::MIN_POSITIVE)
}

/// Reads a file's tensors by name.
pub(crate) fn read(path: &Path) -> HashMap<String, Vec<f32>> {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |view: TensorView<'_>| {
        let (numbers, _) = view.data().as_chunks();
        numbers
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect()
    };
    let all = tensors.tensors().into_iter();
    all.map(|(name, view)| (name, numbers(view))).collect()
}

/// Returns a config.json for transformers.
pub(crate) fn config(architecture: &Architecture) -> serde_json::Value {
    let activation = match architecture.hidden_act {
        Activation::GeluErf => "gelu",
        Activation::GeluTanh => "gelu_new",
        Activation::Relu => "relu",
        Activation::Silu => "silu",
    };
    let Architecture {
        vocab_size,
        hidden_size,
        num_hidden_layers,
        num_attention_heads,
        intermediate_size,
        max_position_embeddings,
        type_vocab_size,
        layer_norm_eps,
        pad_token_id,
        num_labels,
        ..
    } = *architecture;
    if architecture.family == Family::DistilBert {
        return json!({
            "model_type": "distilbert", "vocab_size": vocab_size, "dim": hidden_size,
            "n_layers": num_hidden_layers, "n_heads": num_attention_heads, "hidden_dim": intermediate_size,
            "max_position_embeddings": max_position_embeddings, "pad_token_id": pad_token_id,
            "activation": activation, "num_labels": num_labels,
        });
    }
    json!({
        "model_type": match architecture.family {
            Family::Roberta => "roberta",
            Family::MpNet => "mpnet",
            _ => "bert",
        },
        "vocab_size": vocab_size, "hidden_size": hidden_size, "num_hidden_layers": num_hidden_layers,
        "num_attention_heads": num_attention_heads, "intermediate_size": intermediate_size,
        "max_position_embeddings": max_position_embeddings, "pad_token_id": pad_token_id,
        "type_vocab_size": type_vocab_size, "layer_norm_eps": layer_norm_eps,
        "hidden_act": activation, "num_labels": num_labels,
    })
}

/// A network, its weights, rows and their target.
pub(crate) type ReferenceCase<'a> = (Architecture, Params, Batch, LossTarget<'a>);

/// Returns logits, loss and gradients of transformers for the same weights and rows.
pub(crate) fn reference_outputs(cases: &[ReferenceCase<'_>]) -> Vec<HashMap<String, Vec<f32>>> {
    let with_folder = cases
        .iter()
        .map(|case| (tempfile::tempdir().unwrap(), case));
    let with_folder: Vec<(TempDir, &ReferenceCase<'_>)> = with_folder.collect();
    let arguments = with_folder
        .iter()
        .map(|(folder, case)| judge_case(folder, case));
    let arguments: Vec<Vec<String>> = arguments.collect();
    testkit::torch_judge_cases("transformer_gradients", &arguments);
    let outputs = arguments.iter().map(|paths| read(Path::new(&paths[2])));
    outputs.collect()
}

/// Writes the input of the judge; returns its arguments, of which the third is its output.
fn judge_case(
    folder: &TempDir,
    (architecture, params, batch, target): &ReferenceCase<'_>,
) -> Vec<String> {
    let weights = folder.path().join("weights.safetensors");
    let bytes: Vec<Vec<u8>> = params
        .iter()
        .map(|values| {
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        })
        .collect();
    let parameters = architecture.parameters();
    let views = parameters.iter().zip(&bytes).map(|(parameter, bytes)| {
        let view = TensorView::new(Dtype::F32, parameter.shape.clone(), bytes).unwrap();
        (parameter.name.clone(), view)
    });
    std::fs::write(&weights, safetensors::serialize(views, None).unwrap()).unwrap();
    let rows = batch.ids.chunks(batch.seq).zip(&batch.lengths);
    let rows: Vec<&[u32]> = rows.map(|(row, &length)| &row[..length]).collect();
    let types: Vec<&[u8]> = (0..rows.len()).map(|row| batch.types_of(row)).collect();
    let case = folder.path().join("case.json");
    let text = json!({
        "config": config(architecture), "rows": rows, "types": types, "labels": LABELS,
        "class_weights": CLASS_WEIGHTS,
        "label_smoothing": 0.1,
    });
    std::fs::write(&case, with_sets(text, target).to_string()).unwrap();
    let output = folder.path().join("theirs.safetensors");
    let paths = [&weights, &case, &output];
    paths.map(|path| path.to_str().unwrap().to_owned()).to_vec()
}

/// Adds the sets of a target to the input of the judge.
fn with_sets(mut case: serde_json::Value, target: &LossTarget<'_>) -> serde_json::Value {
    if let Some(sets) = target.sets {
        let sets: Vec<&[u32]> = target.labels.iter().map(|&set| sets.get(set)).collect();
        case["sets"] = json!(sets);
        case["other_weights"] = json!(target.other_weights);
        case["row_weights"] = json!(target.row_weights);
    }
    case
}

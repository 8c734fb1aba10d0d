//! Small networks, their rows and what transformers makes of them: what the engines are tested with.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::json;
use training::Random;

use crate::architecture::{Activation, Architecture, Dropout, Family, Role};
use crate::engine::{Batch, Noise, Target, Update, Values};

pub(crate) const FAMILIES: [Family; 3] = [Family::Bert, Family::Roberta, Family::DistilBert];

/// A network of a few thousand parameters, nothing of which is a multiple of anything.
pub(crate) fn small(family: Family) -> Architecture {
    let roberta = usize::from(family == Family::Roberta);
    Architecture {
        family,
        vocab: 23,
        hidden: 12,
        layers: 2,
        heads: 3,
        intermediate: 20,
        positions: 11 + 2 * roberta,
        types: match family {
            Family::Bert => 2,
            Family::Roberta => 1,
            Family::DistilBert => 0,
        },
        activation: Activation::GeluErf,
        norm_eps: if family == Family::Roberta {
            1e-5
        } else {
            1e-12
        },
        pad: roberta as u32,
        classes: 3,
        dropout: Dropout {
            hidden: 0.3,
            attention: 0.2,
            head: 0.4,
        },
    }
}

/// One whose rows are longer than any vector of a processor, and no multiple of it.
pub(crate) fn wide(family: Family) -> Architecture {
    Architecture {
        vocab: 60,
        hidden: 120,
        intermediate: 200,
        positions: 150,
        ..small(family)
    }
}

/// Weights large enough that softmax and gelu are far from linear.
pub(crate) fn values(architecture: &Architecture) -> Values {
    let mut random = Random::new(11, &[]);
    let parameters = architecture.parameters();
    let size = 0.4 * (12.0 / architecture.hidden as f64).sqrt();
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

/// Rows of these lengths, of all ids but padding.
pub(crate) fn batch(architecture: &Architecture, lengths: &[usize]) -> Batch {
    let seq = lengths.iter().copied().max().unwrap();
    let mut random = Random::new(5, &[]);
    let mut ids = Vec::new();
    for &length in lengths {
        let id = |_| 2 + (random.uniform() * (architecture.vocab - 2) as f64) as u32;
        ids.extend((0..length).map(id));
        ids.extend(vec![architecture.pad; seq - length]);
    }
    Batch {
        ids,
        lengths: lengths.to_vec(),
        seq,
    }
}

pub(crate) const LENGTHS: [usize; 5] = [7, 3, 1, 5, 11];
/// The same for `wide`.
pub(crate) const LONG: [usize; 5] = [130, 3, 1, 33, 77];
pub(crate) const LABELS: [u32; 5] = [2, 0, 1, 2, 1];
pub(crate) const CLASS_WEIGHTS: [f32; 3] = [1.0, 0.5, 2.0];

pub(crate) fn target(noise: bool) -> Target<'static> {
    let weight = |&label: &u32| f64::from(CLASS_WEIGHTS[label as usize]);
    Target {
        labels: &LABELS,
        class_weights: &CLASS_WEIGHTS,
        total_weight: LABELS.iter().map(weight).sum(),
        label_smoothing: 0.1,
        noise: noise.then_some(Noise {
            seed: 3,
            step: 9,
            first_row: 0,
        }),
        loss_scale: 1.0,
    }
}

pub(crate) const UPDATE: Update = Update {
    step: 1,
    rate: 1e-2,
    beta_1: 0.9,
    beta_2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.1,
    scale: 1.0,
};

/// The largest difference, as a share of the largest number expected.
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

/// The files' tensors by name.
pub(crate) fn read(path: &std::path::Path) -> HashMap<String, Vec<f32>> {
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

/// config.json of a network, for transformers.
pub(crate) fn config(architecture: &Architecture) -> serde_json::Value {
    let activation = match architecture.activation {
        Activation::GeluErf => "gelu",
        Activation::GeluTanh => "gelu_new",
        Activation::Relu => "relu",
    };
    let Architecture {
        vocab,
        hidden,
        layers,
        heads,
        intermediate,
        ..
    } = *architecture;
    let (positions, pad, classes) = (
        architecture.positions,
        architecture.pad,
        architecture.classes,
    );
    if architecture.family == Family::DistilBert {
        return json!({
            "model_type": "distilbert", "vocab_size": vocab, "dim": hidden, "n_layers": layers, "n_heads": heads,
            "hidden_dim": intermediate, "max_position_embeddings": positions, "pad_token_id": pad,
            "activation": activation, "num_labels": classes,
        });
    }
    json!({
        "model_type": if architecture.family == Family::Bert { "bert" } else { "roberta" }, "vocab_size": vocab,
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": intermediate, "max_position_embeddings": positions, "pad_token_id": pad,
        "type_vocab_size": architecture.types, "layer_norm_eps": architecture.norm_eps, "hidden_act": activation,
        "num_labels": classes,
    })
}

/// What transformers' classes make of the same weights and rows.
pub(crate) fn judged(
    architecture: &Architecture,
    values: &Values,
    batch: &Batch,
) -> HashMap<String, Vec<f32>> {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights.safetensors");
    let bytes: Vec<Vec<u8>> = values
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
    let case = folder.path().join("case.json");
    let text = json!({
        "config": config(architecture), "rows": rows, "labels": LABELS, "class_weights": CLASS_WEIGHTS,
        "label_smoothing": 0.1,
    });
    std::fs::write(&case, text.to_string()).unwrap();
    let output = folder.path().join("theirs.safetensors");
    testkit::torch_judge("transformer_gradients", &[&weights, &case, &output]);
    read(&output)
}

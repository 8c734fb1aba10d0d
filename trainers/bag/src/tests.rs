//! Properties of the network, and gradients compared with PyTorch.

use crate::net::{Net, NetScratch};
use crate::rows::Row;

const WEIGHTS: [f32; 3] = [0.5, 0.5, 0.707];

/// Twelve terms, three classes, an odd embedding size, so that rows are padded.
fn net() -> Net {
    let numbers = |count: usize, seed: usize| -> Vec<f32> {
        (0..count)
            .map(|at| ((at * 7919 + seed) % 97) as f32 / 97.0 - 0.5)
            .collect()
    };
    Net::from_arrays(5, numbers(60, 1), numbers(15, 2), numbers(3, 3))
}

fn loss(net: &Net, row: Row<'_>, label: usize) -> f64 {
    let mut scratch = NetScratch::default();
    net.forward(row, &mut scratch);
    let sum: f64 = scratch
        .outputs
        .iter()
        .map(|&logit| f64::from(logit).exp())
        .sum();
    sum.ln() - f64::from(scratch.outputs[label])
}

/// Made by
/// ```python
/// E = torch.tensor([[0.5, -0.25]], requires_grad=True)
/// W = torch.tensor([[1.0, 2], [3, -1]], requires_grad=True)
/// b = torch.tensor([0.1, -0.2], requires_grad=True)
/// z = W @ (2 * E[0]) + b
/// weights = {"weight": torch.tensor([0.5, 1]), "pos_weight": torch.tensor([3.0, 2])}
/// L = 1.5 * torch.nn.BCEWithLogitsLoss(reduction="sum", **weights)(z, torch.tensor([0.0, 1]))
/// L.backward(); print(L / 2, [p - 0.1 * p.grad for p in (E, W, b)])
/// ```
#[test]
fn binary_step_is_that_of_pytorch() {
    let arrays = (vec![0.5, -0.25], vec![1.0, 2.0, 3.0, -1.0], vec![0.1, -0.2]);
    let mut net = Net::from_arrays(2, arrays.0, arrays.1, arrays.2);
    let row = Row {
        terms: &[0],
        weights: &[2.0],
    };
    let weights: [&[f32]; 2] = [&[1.5, 2.0], &[0.5, 1.0]];
    let loss = net.binary_step(row, &[1], weights, 1.5, 0.1, &mut NetScratch::default());
    assert!((loss - 0.333_477_65).abs() < 1e-6, "{loss}");
    let [embedding, weight] = net.unpadded();
    let found = [&*embedding, &*weight, net.bias.as_slice()].concat();
    let expected = [
        0.485_281_2,
        -0.428_836_46,
        0.960_626_54,
        2.019_686_7,
        3.010_671_4,
        -1.005_335_7,
        0.060_626_563,
        -0.189_328_66,
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn sgd_step_follows_the_gradient_of_every_tensor() {
    let row = Row {
        terms: &[3, 0, 7],
        weights: &WEIGHTS,
    };
    let (rate, cost) = (1e-3, 1.5);
    let before = net();
    let mut after = before.clone();
    let found = after.sgd_step(row, 1, cost, rate, &mut NetScratch::default());
    assert!((found - 1.5 * loss(&before, row, 1)).abs() < 1e-5);
    let [embedding, weight] = before.unpadded();
    let arrays = [embedding.to_vec(), weight.to_vec(), before.bias.clone()];
    let [embedding, weight] = after.unpadded();
    let changed = [embedding.to_vec(), weight.to_vec(), after.bias.clone()];
    for (which, (array, changed)) in arrays.iter().zip(&changed).enumerate() {
        assert_ne!(array, changed, "array {which}");
        for at in 0..array.len() {
            let nudged = |by: f32| {
                let mut arrays = arrays.clone();
                arrays[which][at] += by;
                let [embedding, weight, bias] = arrays;
                loss(&Net::from_arrays(5, embedding, weight, bias), row, 1)
            };
            let slope = (nudged(5e-3) - nudged(-5e-3)) / 1e-2;
            let step = f64::from(changed[at] - array[at]);
            let expected = -slope * f64::from(rate * cost);
            assert!(
                (step - expected).abs() < 2e-6,
                "array {which}, {at}: {step} {expected}"
            );
        }
    }
}

#[test]
fn logits_and_gradients_match_pytorch() {
    let row = Row {
        terms: &[3, 0, 7],
        weights: &WEIGHTS,
    };
    let net = net();
    let [embedding, weight] = net.unpadded();
    let rows = |values: &[f32]| values.chunks(5).map(<[f32]>::to_vec).collect::<Vec<_>>();
    let case = serde_json::json!({
        "embedding": rows(&embedding), "weight": rows(&weight), "bias": net.bias, "terms": row.terms, "weights": row.weights,
        "label": 1,
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.json");
    std::fs::write(&path, case.to_string()).unwrap();
    let theirs = testkit::torch_judge("bag_gradients", &[&path]);
    let near = |ours: &[f32], theirs: &serde_json::Value| {
        let theirs: Vec<f32> = serde_json::from_value(theirs.clone()).unwrap();
        assert_eq!(ours.len(), theirs.len());
        let mut pairs = ours.iter().zip(&theirs);
        assert!(
            pairs.all(|(a, b)| (a - b).abs() < 1e-6),
            "{ours:?} {theirs:?}"
        );
    };
    let mut scratch = NetScratch::default();
    net.forward(row, &mut scratch);
    near(&scratch.outputs, &theirs["logits"]);
    // With learning rate 1 the change is the gradient.
    let mut after = net.clone();
    let loss = after.sgd_step(row, 1, 1.0, 1.0, &mut scratch);
    assert!((loss - theirs["loss"].as_f64().unwrap()).abs() < 1e-6);
    let [new_embedding, new_weight] = after.unpadded();
    let changes = [
        (embedding, new_embedding),
        (weight, new_weight),
        (net.bias.as_slice().into(), after.bias.clone().into()),
    ];
    for (number, (before, after)) in changes.iter().enumerate() {
        let ours: Vec<f32> = before
            .iter()
            .zip(after.iter())
            .map(|(a, b)| a - b)
            .collect();
        near(&ours, &theirs["gradients"][number]);
    }
}

#[test]
fn overfits_eight_rows_at_every_embedding_size() {
    // Two terms shared with other rows, and one of its own.
    let terms: Vec<[u32; 3]> = (0..8)
        .map(|row| [row % 4, 4 + row / 2 % 2, 6 + row])
        .collect();
    for width in [1, 5, 8, 16, 20, 32, 40, 100] {
        let mut net = Net::new(14, width, 2, 7);
        let mut scratch = NetScratch::default();
        let mut last = f64::MAX;
        for _ in 0..2000 {
            last = 0.0;
            for (row, terms) in terms.iter().enumerate() {
                let row = (
                    Row {
                        terms,
                        weights: &WEIGHTS,
                    },
                    usize::from(row % 3 == 0),
                );
                last += net.sgd_step(row.0, row.1, 1.0, 0.1, &mut scratch);
            }
        }
        assert!(last < 0.1, "width {width}: {last}");
    }
}

#[test]
fn initial_linear_layer_is_orthogonal() {
    for (width, classes) in [(16, 2), (4, 10), (1, 3)] {
        let net = Net::new(1, width, classes, 3);
        let dot = |a: usize, b: usize| -> f32 {
            net.weight(a)
                .iter()
                .zip(net.weight(b))
                .map(|(a, b)| a * b)
                .sum()
        };
        for class in 0..classes {
            assert!((dot(class, class) - 4.0).abs() < 1e-4);
            for other in class / width * width..class {
                assert!(dot(class, other).abs() < 1e-4, "{width} {class} {other}");
            }
        }
        assert!(net.embedding(0).iter().all(|&value| value == 0.0));
    }
}

#[test]
fn logits_of_a_row_without_terms_are_the_biases() {
    let net = net();
    let mut scratch = NetScratch::default();
    net.forward(
        Row {
            terms: &[],
            weights: &[],
        },
        &mut scratch,
    );
    assert_eq!(scratch.outputs, net.bias);
}

#[test]
fn nan_loss_changes_nothing() {
    let row = Row {
        terms: &[3],
        weights: &[f32::NAN],
    };
    let before = net();
    let mut net = before.clone();
    assert!(
        net.sgd_step(row, 1, 1.0, 1.0, &mut NetScratch::default())
            .is_nan()
    );
    assert_eq!(net, before);
}

#[test]
fn reordering_and_padding_are_lossless() {
    let net = net();
    let turned = net
        .clone()
        .reordered(&[11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(turned.embedding(11), net.embedding(0));
    let [embedding, weight] = net.unpadded();
    assert_eq!((embedding.len(), weight.len(), net.terms()), (60, 15, 12));
    let again = Net::from_arrays(5, embedding.to_vec(), weight.to_vec(), net.bias.clone());
    assert_eq!(again, net);
}

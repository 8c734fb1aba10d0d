//! What must hold for a network that learns.

use crate::net::{Net, Room};
use crate::rows::Row;

const WEIGHTS: [f32; 3] = [0.5, 0.5, 0.707];

/// Twelve terms, three classes, an odd width: rows are padded.
fn net() -> Net {
    let numbers = |count: usize, seed: usize| -> Vec<f32> {
        (0..count)
            .map(|at| ((at * 7919 + seed) % 97) as f32 / 97.0 - 0.5)
            .collect()
    };
    Net::from_arrays(5, numbers(60, 1), numbers(15, 2), numbers(3, 3))
}

fn loss(net: &Net, row: Row<'_>, label: usize) -> f64 {
    let mut room = Room::default();
    net.forward(row, &mut room);
    let sum: f64 = room
        .outputs
        .iter()
        .map(|&logit| f64::from(logit).exp())
        .sum();
    sum.ln() - f64::from(room.outputs[label])
}

#[test]
fn a_step_follows_the_gradient_of_every_tensor() {
    let row = Row {
        terms: &[3, 0, 7],
        weights: &WEIGHTS,
    };
    let (rate, cost) = (1e-3, 1.5);
    let before = net();
    let mut after = before.clone();
    let found = after.learn(row, 1, cost, rate, &mut Room::default());
    assert!((found - 1.5 * loss(&before, row, 1)).abs() < 1e-5);
    let [embedding, weight] = before.rows();
    let arrays = [embedding.to_vec(), weight.to_vec(), before.bias.clone()];
    let [embedding, weight] = after.rows();
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
fn logits_and_gradients_are_pytorchs() {
    let row = Row {
        terms: &[3, 0, 7],
        weights: &WEIGHTS,
    };
    let net = net();
    let [embedding, weight] = net.rows();
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
    let mut room = Room::default();
    net.forward(row, &mut room);
    near(&room.outputs, &theirs["logits"]);
    // A step of 1: what it takes away is the gradient.
    let mut after = net.clone();
    let loss = after.learn(row, 1, 1.0, 1.0, &mut room);
    assert!((loss - theirs["loss"].as_f64().unwrap()).abs() < 1e-6);
    let [new_embedding, new_weight] = after.rows();
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
fn eight_rows_can_be_overfitted_at_every_width() {
    // Two terms that other rows have too, and one of its own.
    let terms: Vec<[u32; 3]> = (0..8)
        .map(|row| [row % 4, 4 + row / 2 % 2, 6 + row])
        .collect();
    for width in [1, 5, 8, 16, 20, 32, 40, 100] {
        let mut net = Net::new(14, width, 2, 7);
        let mut room = Room::default();
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
                last += net.learn(row.0, row.1, 1.0, 0.1, &mut room);
            }
        }
        assert!(last < 0.1, "width {width}: {last}");
    }
}

#[test]
fn the_linear_layer_begins_orthogonal() {
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
fn a_row_without_terms_has_the_classes_biases() {
    let net = net();
    let mut room = Room::default();
    net.forward(
        Row {
            terms: &[],
            weights: &[],
        },
        &mut room,
    );
    assert_eq!(room.outputs, net.bias);
}

#[test]
fn a_loss_that_is_no_number_changes_nothing() {
    let row = Row {
        terms: &[3],
        weights: &[f32::NAN],
    };
    let before = net();
    let mut net = before.clone();
    assert!(net.learn(row, 1, 1.0, 1.0, &mut Room::default()).is_nan());
    assert_eq!(net, before);
}

#[test]
fn orders_and_padding_survive_a_copy() {
    let net = net();
    let turned = net
        .clone()
        .reordered(&[11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(turned.embedding(11), net.embedding(0));
    let [embedding, weight] = net.rows();
    assert_eq!((embedding.len(), weight.len(), net.terms()), (60, 15, 12));
    let again = Net::from_arrays(5, embedding.to_vec(), weight.to_vec(), net.bias.clone());
    assert_eq!(again, net);
}

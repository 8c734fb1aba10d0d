use std::path::Path;

use tch::Kind;
use training::{Arrays, OptimizerStep, clip_coefficient, prefixed, read_tensors, write_tensors};

use super::*;
use crate::learner::norm;
use crate::optimizer::Adam;
use crate::replicas::Replicas;
use crate::step::{Step, losses};

const POOLINGS: [Pooling; 4] = [
    Pooling::Last,
    Pooling::Mean,
    Pooling::Max,
    Pooling::Attention,
];

fn shape(pooling: Pooling) -> Shape {
    Shape {
        ids: 30,
        pad: 0,
        emb_size: 5,
        hidden_size: 4,
        num_layers: 2,
        pooling,
        classes: 3,
    }
}

fn one(shape: &Shape) -> Replicas {
    several(shape, 1)
}

fn several(shape: &Shape, count: usize) -> Replicas {
    // For a network this small, libtorch's own threads would only wait for each other.
    tch::set_num_threads(1);
    let devices = vec![Device::Cpu; count];
    Replicas::new(shape, &shape.initial(3), &devices, false)
        .unwrap()
        .unwrap()
}

/// Returns rows of these lengths, with all ids but padding.
fn rows(lengths: &[usize]) -> Vec<Vec<u32>> {
    let mut next = 0;
    let mut id = || {
        next = next % 29 + 1;
        next
    };
    lengths
        .iter()
        .map(|&length| (0..length).map(|_| id()).collect())
        .collect()
}

fn step(rows: Vec<Vec<u32>>, dropout: Option<Dropout>) -> Step {
    let labels = (0..rows.len() as u32).map(|row| row % 3).collect();
    Step {
        rows,
        labels,
        indicators: Vec::new(),
        class_weights: vec![1.0, 0.5, 2.0],
        other_weights: Vec::new(),
        row_weights: Vec::new(),
        dropout,
        loss_scale: 1.0,
    }
}

fn update(update: usize, rate: f64, gradient_scale: f64) -> OptimizerStep {
    OptimizerStep {
        update: update as u64,
        rate,
        gradient_scale,
    }
}

#[track_caller]
fn assert_close(ours: &[f32], theirs: &[f32], tolerance: f32, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            (ours - theirs).abs() <= tolerance,
            "{what}, number {place}: {ours}, expected {theirs}"
        );
    }
}

/// Runs PyTorch's module with the same weights on each step; `more` is for
/// tests/judges/torch_gradients.py.
fn pytorch(cases: &[(Replicas, Step)], more: &serde_json::Value) -> Vec<Arrays> {
    let folder = tempfile::tempdir().unwrap();
    let arguments = cases.iter().enumerate().map(|(number, (net, step))| {
        let paths = ["weights", "case", "theirs"]
            .map(|name| folder.path().join(format!("{number}-{name}")));
        let arrays = net.first().arrays().unwrap();
        write_tensors(&paths[0], &[], prefixed("", &arrays).collect()).unwrap();
        let mut case = serde_json::json!({
            "config": net.first().shape, "rows": step.rows, "labels": step.labels, "class_weights": step.class_weights,
        });
        let more = more.as_object().unwrap().clone();
        case.as_object_mut().unwrap().extend(more);
        std::fs::write(&paths[1], case.to_string()).unwrap();
        paths.map(|path| path.to_str().unwrap().to_owned()).to_vec()
    });
    let arguments: Vec<Vec<String>> = arguments.collect();
    testkit::torch_judge_cases("torch_gradients", &arguments);
    let outputs = arguments
        .iter()
        .map(|paths| read_tensors(Path::new(&paths[2])));
    outputs.map(Result::unwrap).collect()
}

/// Returns a step of rows that may have several classes, with weights of rows and of both sides of
/// the classes.
fn step_of_sets(rows: Vec<Vec<u32>>, dropout: Option<Dropout>) -> Step {
    let count = rows.len();
    let indicators = [1.0, 0.0, 1.0, 0.0, 0.0, 0.0].into_iter().cycle();
    Step {
        indicators: indicators.take(3 * count).collect(),
        other_weights: vec![0.25, 3.0, 1.5],
        ..step_of_weighted_rows(rows, dropout)
    }
}

fn step_of_weighted_rows(rows: Vec<Vec<u32>>, dropout: Option<Dropout>) -> Step {
    let weights = [0.5, 3.0, 0.0, 1.0].into_iter().cycle();
    Step {
        row_weights: weights.take(rows.len()).collect(),
        ..step(rows, dropout)
    }
}

/// Issue 17: weights of rows and classes. Made by
/// ```python
/// logits = torch.tensor([[0.5, -1.0, 2.0], [0.0, 3.0, -2.0]], requires_grad=True)
/// own, other = torch.tensor([1.0, 0.5, 2.0]), torch.tensor([0.25, 3.0, 1.5])
/// rows = torch.tensor([0.5, 3.0])
/// criterion = torch.nn.BCEWithLogitsLoss(reduction="none", weight=other, pos_weight=own / other)
/// losses = criterion(logits, torch.tensor([[1.0, 0, 1], [0, 0, 0]])).mean(1)
/// loss = (losses * rows).sum() / rows.sum()
/// loss.backward(); print(loss, logits.grad); logits.grad = None
/// labels = torch.tensor([2, 0])
/// weights = own[labels] * rows
/// losses = torch.nn.CrossEntropyLoss(reduction="none")(logits, labels)
/// loss = (losses * weights).sum() / weights.sum()
/// loss.backward(); print(loss, logits.grad)
/// ```
#[test]
fn weighted_losses_equal_pytorch() {
    let rows = || vec![vec![1], vec![2]];
    let single = Step {
        labels: vec![2, 0],
        ..step_of_weighted_rows(rows(), None)
    };
    for (step, total, expected, gradient) in [
        (
            step_of_sets(rows(), None),
            3.5,
            2.796_398_2,
            [
                -0.017_978_126,
                0.038_420_204,
                -0.011_352_658,
                0.035_714_287,
                0.816_492_14,
                0.051_086_97,
            ],
        ),
        (
            single,
            4.0,
            2.351_566_8,
            [
                0.043_822_598,
                0.009_778_143,
                -0.053_600_743,
                -0.714_657_4,
                0.709_874_4,
                0.004_783_097,
            ],
        ),
    ] {
        let step = Step {
            loss_scale: 4.0,
            ..step
        };
        assert_eq!(step.total_weight(), total);
        let logits = Tensor::from_slice(&[0.5f32, -1.0, 2.0, 0.0, 3.0, -2.0]);
        let logits = logits.view([2, 3]).set_requires_grad(true);
        let (loss, scaled) = losses(&logits, &step, total).unwrap();
        let loss = loss.double_value(&[]);
        assert!((loss - expected).abs() < 1e-5, "{loss}, not {expected}");
        scaled.backward();
        let found = values(&(logits.grad() / 4.0)).unwrap();
        assert_close(&found, &gradient, 1e-6, "gradient of the logits");
    }
}

/// The mean over rows that all weigh 0 is 0, not NaN.
#[test]
fn rows_without_weight_have_no_gradient() {
    for make in [step_of_weighted_rows, step_of_sets] {
        let step = Step {
            row_weights: vec![0.0; 3],
            ..make(rows(&[4, 2, 6]), None)
        };
        let found = one(&shape(Pooling::Max)).gradients(step).unwrap();
        assert_eq!(found.loss, 0.0);
        for gradient in &found.tensors {
            let gradient = values(gradient).unwrap();
            assert!(gradient.iter().all(|&value| value == 0.0), "{gradient:?}");
        }
    }
}

/// Compares with PyTorch's module of docs/reference/models/bilstm.md, which packs its sequences.
#[test]
fn logits_and_gradients_equal_pytorch() {
    let mut cases = Vec::new();
    for pooling in POOLINGS {
        for lengths in [&[7, 3, 1, 5, 12][..], &[6, 6, 6]] {
            cases.push((one(&shape(pooling)), step(rows(lengths), None)));
        }
    }
    let theirs = pytorch(&cases, &serde_json::json!({}));
    for ((net, step), theirs) in cases.iter().zip(theirs) {
        let shape = &net.first().shape;
        let logits = net.first().logits(&step.rows).unwrap();
        assert_close(&logits, &theirs["logits"].data, 1e-5, "logits");
        // One thread, and one per direction.
        for threads in [1, 2] {
            let ours = several(shape, threads).gradients(step.clone()).unwrap();
            assert!((ours.loss - f64::from(theirs["loss"].data[0])).abs() < 1e-5);
            for ((name, _), gradient) in shape.parameters().iter().zip(&ours.tensors) {
                let what = format!("gradient of {name}, {shape:?}, {threads} threads");
                assert_close(
                    &values(gradient).unwrap(),
                    &theirs[&format!("gradient.{name}")].data,
                    1e-5,
                    &what,
                );
            }
        }
    }
}

/// Compares three steps with PyTorch's Adam and `clip_grad_norm_`, which clips at least one of
/// them.
#[test]
fn steps_equal_pytorch() {
    let (shape, rate, clip) = (shape(Pooling::Max), 0.01, 0.05);
    let mut net = one(&shape);
    let step = step(rows(&[7, 3, 1, 5, 12]), None);
    let more = serde_json::json!({ "steps": 3, "learning_rate": rate, "clip_norm": clip });
    let theirs = pytorch(&[(one(&shape), step.clone())], &more).remove(0);

    let mut adam = Adam::new(net.parameters()).unwrap();
    let mut scales = Vec::new();
    for _ in 0..3 {
        let gradients = net.gradients(step.clone()).unwrap().tensors;
        let scale = clip_coefficient(Some(clip), norm(&gradients).unwrap());
        scales.push(scale);
        adam.step(
            net.parameters(),
            &gradients,
            update(scales.len(), rate, scale),
        )
        .unwrap();
    }
    assert!(scales.iter().any(|&scale| scale < 1.0), "{scales:?}");
    for ((name, _), weight) in shape.parameters().iter().zip(net.parameters()) {
        let theirs = &theirs[&format!("weight.{name}")].data;
        assert_close(&values(weight).unwrap(), theirs, 1e-5, name);
    }
}

#[test]
fn loss_scale_multiplies_gradients_only() {
    let mut net = one(&shape(Pooling::Mean));
    let plain = net.gradients(step(rows(&[4, 2, 6]), None)).unwrap();
    let scaled = Step {
        loss_scale: 1024.0,
        ..step(rows(&[4, 2, 6]), None)
    };
    let scaled = net.gradients(scaled).unwrap();
    assert_eq!(plain.loss, scaled.loss);
    for (plain, scaled) in plain.tensors.iter().zip(&scaled.tensors) {
        let back = values(&(scaled / 1024.0)).unwrap();
        assert_close(&back, &values(plain).unwrap(), 1e-6, "gradient");
    }
}

#[test]
fn logits_do_not_depend_on_padding() {
    for pooling in POOLINGS {
        let net = one(&shape(pooling));
        let rows = rows(&[2, 9, 4, 1]);
        let together = net.first().logits(&rows).unwrap();
        for (row, logits) in rows.iter().zip(together.chunks_exact(3)) {
            let alone = net.first().logits(std::slice::from_ref(row)).unwrap();
            assert_close(&alone, logits, 1e-6, &format!("{pooling:?}"));
        }
    }
}

#[test]
fn every_parameter_has_gradients_and_is_updated() {
    for pooling in POOLINGS {
        let shape = shape(pooling);
        let mut net = one(&shape);
        let before = net.first().arrays().unwrap();
        let gradients = net
            .gradients(step(rows(&[9, 10, 11, 12]), None))
            .unwrap()
            .tensors;
        let mut adam = Adam::new(net.parameters()).unwrap();
        adam.step(net.parameters(), &gradients, update(1, 1e-3, 1.0))
            .unwrap();
        let after = net.first().arrays().unwrap();
        for ((name, _), gradient) in shape.parameters().iter().zip(&gradients) {
            let rows = gradient.size()[0];
            let used = gradient
                .abs()
                .reshape([rows, -1])
                .sum_dim_intlist(1, false, Kind::Float)
                .gt(0.0)
                .sum(Kind::Int64);
            // Padding has no gradient, and stays zero.
            let expected = rows - i64::from(name.starts_with("embedding"));
            assert_eq!(used.int64_value(&[]), expected, "{name} {pooling:?}");
            assert_ne!(before[name], after[name], "{name} {pooling:?}");
        }
        assert!(
            after["embedding.weight"].data[..5]
                .iter()
                .all(|&number| number == 0.0)
        );
    }
}

#[test]
fn eight_rows_can_be_memorised() {
    for pooling in POOLINGS {
        let mut net = one(&shape(pooling));
        let mut adam = Adam::new(net.parameters()).unwrap();
        let step = || step(rows(&[3, 4, 5, 6, 7, 8, 9, 10]), None);
        let mut loss = f64::MAX;
        for number in 1..=300 {
            let gradients = net.gradients(step()).unwrap();
            loss = gradients.loss;
            adam.step(
                net.parameters(),
                &gradients.tensors,
                update(number, 1e-2, 1.0),
            )
            .unwrap();
        }
        assert!(loss < 0.02, "{pooling:?}: {loss}");
    }
}

#[test]
fn replicas_have_the_gradients_of_a_single_network() {
    let dropout = Some(Dropout {
        share: 0.3,
        seed: 5,
        step: 9,
        first_row: 0,
    });
    type Make = fn(Vec<Vec<u32>>, Option<Dropout>) -> Step;
    // Two and four threads: pairs with one direction each of the same rows.
    for (lengths, count, step) in [
        (&[4, 9, 2, 7, 7][..], 2, step as Make),
        (&[4, 4, 4, 4], 3, step),
        (&[5], 2, step),
        (&[4, 9, 2, 7, 7], 4, step),
        (&[5], 4, step),
        (&[4, 9, 2, 7, 7], 3, step_of_sets),
        (&[4, 9, 2, 7, 7], 4, step_of_sets),
        (&[4, 9, 2, 7, 7], 3, step_of_weighted_rows),
    ] {
        let shape = shape(Pooling::Max);
        let alone = one(&shape).gradients(step(rows(lengths), dropout)).unwrap();
        let together = several(&shape, count)
            .gradients(step(rows(lengths), dropout))
            .unwrap();
        assert!((alone.loss - together.loss).abs() < 1e-6);
        for (alone, together) in alone.tensors.iter().zip(&together.tensors) {
            assert_close(
                &values(together).unwrap(),
                &values(alone).unwrap(),
                1e-6,
                "gradient",
            );
        }
    }
}

#[test]
fn dropout_is_a_function_of_seed_and_step() {
    let shape = shape(Pooling::Max);
    let loss = |share, seed, step_number| {
        let dropout = (share > 0.0).then_some(Dropout {
            share,
            seed,
            step: step_number,
            first_row: 0,
        });
        one(&shape)
            .gradients(step(rows(&[4, 9, 2]), dropout))
            .unwrap()
            .loss
    };
    assert_eq!(loss(0.5, 1, 2), loss(0.5, 1, 2));
    assert_ne!(loss(0.5, 1, 2), loss(0.5, 1, 3));
    assert_ne!(loss(0.5, 1, 2), loss(0.5, 2, 2));
    assert_ne!(loss(0.5, 1, 2), loss(0.0, 1, 2));
    // The mean is preserved.
    let mask = Dropout {
        share: 0.3,
        seed: 1,
        step: 1,
        first_row: 0,
    }
    .mask(0, 100, 1000, Device::Cpu)
    .unwrap();
    let mean = mask.mean(Kind::Float).double_value(&[]);
    assert!((mean - 1.0).abs() < 0.01, "{mean}");
}

//! Conformance tests of engines, run for both.

use dataset::LabelSets;
use training::Random;

use crate::architecture::{Activation, Architecture, Dropout, Family, Parameter, Role};
use crate::distributed::tests::run_hosts;
use crate::engine::{AdamWStep, Batch, Engine, LossTarget, Params};
use crate::reference::{
    ADAMW_STEP, FAMILIES, LABELS, LENGTHS, LONG_LENGTHS, ReferenceCase, batch, distance, params,
    reference_outputs, small, target, wide,
};

/// Creates an engine with these parameters; `true` marks trained ones.
pub(crate) type MakeEngine<'a> =
    &'a (dyn Fn(&Architecture, &Params, &[bool]) -> Box<dyn Engine> + Sync);

/// Defines tests of these names, each of which passes the check of its name to `$run`; without
/// names, the tests common to all engines.
macro_rules! tests {
    ($run:ident: $($name:ident)*) => {
        $(#[test]
        fn $name() {
            $run($crate::conformance::$name);
        })*
    };
    ($run:ident) => {
        $crate::conformance::tests! { $run:
            logits_are_independent_of_padding_and_batch
            all_parameters_have_gradients_and_are_updated
            gradients_with_dropout_match_finite_differences
            frozen_parameters_are_unchanged_others_get_same_gradients
            restored_engine_is_bit_identical
            optimizer_step_matches_adamw
            overfits_eight_rows
            weights_of_rows_count_rows
            ids_and_lengths_out_of_range_are_errors
        }
    };
}
pub(crate) use tests;

fn all(architecture: &Architecture) -> Vec<bool> {
    vec![true; architecture.parameters().len()]
}

fn engine(make: MakeEngine<'_>, architecture: &Architecture) -> Box<dyn Engine> {
    make(architecture, &params(architecture), &all(architecture))
}

/// One class per row, in all families and activations.
fn cases<'a>() -> Vec<ReferenceCase<'a>> {
    let mut cases = Vec::new();
    for (mut architecture, activation) in [
        (small(Family::Bert), Activation::GeluErf),
        (wide(Family::Bert), Activation::GeluErf),
        (small(Family::Bert), Activation::GeluTanh),
        (wide(Family::Roberta), Activation::GeluTanh),
        (small(Family::Roberta), Activation::GeluErf),
        (small(Family::DistilBert), Activation::Relu),
        (small(Family::Bert), Activation::Silu),
        (wide(Family::DistilBert), Activation::GeluErf),
        (small(Family::MpNet), Activation::GeluErf),
        (wide(Family::MpNet), Activation::GeluErf),
    ] {
        architecture.hidden_act = activation;
        let lengths = if architecture.max_position_embeddings > 100 {
            LONG_LENGTHS
        } else {
            LENGTHS
        };
        let (params, mut batch) = (params(&architecture), batch(&architecture, &lengths));
        // A text may contain the padding token, which has no gradient. transformers' RoBERTa gives
        // it no position and shifts the others.
        if !architecture.family.is_like_roberta() {
            batch.ids[2] = architecture.pad_token_id;
        }
        // As of the second text of a pair.
        if architecture.type_vocab_size > 1 && activation != Activation::GeluTanh {
            let types = (0..batch.ids.len()).map(|token| u8::from(token % 3 == 1));
            batch.types = types.collect();
        }
        cases.push((architecture, params, batch, target(false)));
    }
    cases
}

pub(crate) fn logits_and_gradients_match_transformers(make: MakeEngine<'_>) {
    let mut cases = cases();
    // Rows with several classes or none, weights of rows and of both sides of each class.
    let architecture = small(Family::Bert);
    let mut sets = LabelSets::default();
    let labels = [vec![0, 2], vec![], vec![1], vec![0, 1, 2], vec![2]].map(|set| sets.push(set));
    let target = LossTarget {
        labels: &labels,
        sets: Some(&sets),
        other_weights: &[0.25, 3.0, 1.5],
        row_weights: &[0.5, 3.0, 1.0, 0.0, 2.0],
        total_weight: 6.5,
        ..target(false)
    };
    let (params, batch) = (params(&architecture), batch(&architecture, &LENGTHS));
    cases.push((architecture, params, batch, target));
    let expected = reference_outputs(&cases);
    for ((architecture, params, batch, target), expected) in cases.into_iter().zip(expected) {
        let mut engine = make(&architecture, &params, &all(&architecture));

        let logits = engine.logits(&batch).unwrap();
        let off = logits
            .iter()
            .zip(&expected["logits"])
            .map(|(a, b)| (a - b).abs());
        assert!(
            off.fold(0.0, f32::max) < 1e-4,
            "{logits:?} {:?}",
            expected["logits"]
        );
        let loss = engine.accumulate(&batch, &target).unwrap();
        assert!((loss - f64::from(expected["loss"][0])).abs() < 1e-4);
        let gradients = engine.gradients().unwrap();
        let parameters = architecture.parameters();
        assert_eq!(expected.len(), parameters.len() + 2);
        for (parameter, ours) in parameters.iter().zip(&gradients) {
            let expected = &expected[&format!("gradient.{}", parameter.name)];
            let of_keys = ["key.bias", "k_lin.bias", "attn.k.bias"];
            if of_keys.iter().any(|name| parameter.name.ends_with(name)) {
                // A constant added to all keys has no effect: the gradient is rounding noise.
                assert!(
                    ours.iter()
                        .chain(expected)
                        .all(|gradient| gradient.abs() < 1e-6)
                );
                continue;
            }
            let off = distance(ours, expected);
            assert!(off < 1e-3, "{}: {off}", parameter.name);
        }
    }
}

/// A row of weight 2 counts as two rows, and a row of weight 0 as none.
pub(crate) fn weights_of_rows_count_rows(make: MakeEngine<'_>) {
    let architecture = small(Family::Bert);
    let once = batch(&architecture, &LENGTHS);
    let mut twice = once.clone();
    twice.ids.copy_within(..once.seq, once.seq);
    twice.lengths[1] = once.lengths[0];
    let [first, _, others @ ..] = LABELS;
    let labels = [&[first, first][..], &others].concat();
    let gradients = |batch: &Batch, target: LossTarget<'_>| {
        let mut engine = engine(make, &architecture);
        let loss = engine.accumulate(batch, &target).unwrap();
        (loss, engine.gradients().unwrap().concat())
    };
    let weighted = LossTarget {
        row_weights: &[2.0, 0.0, 1.0, 1.0, 1.0],
        ..target(false)
    };
    let repeated = LossTarget {
        labels: &labels,
        ..target(false)
    };
    let (weighted, repeated) = (gradients(&once, weighted), gradients(&twice, repeated));
    assert!((weighted.0 - repeated.0).abs() < 1e-6);
    assert!(distance(&weighted.1, &repeated.1) < 1e-5);
}

pub(crate) fn logits_are_independent_of_padding_and_batch(make: MakeEngine<'_>) {
    for family in FAMILIES {
        let architecture = small(family);
        let mut engine = engine(make, &architecture);
        let all = batch(&architecture, &LENGTHS);
        let together = engine.logits(&all).unwrap();
        for (row, &length) in LENGTHS.iter().enumerate() {
            for padding in [0, 2] {
                let mut ids = all.ids[row * all.seq..][..length].to_vec();
                // Padding ids are ignored, even invalid ones.
                ids.extend(vec![u32::MAX; padding]);
                let seq = ids.len();
                let alone = Batch {
                    ids,
                    types: Vec::new(),
                    lengths: vec![length],
                    seq,
                };
                let alone = engine.logits(&alone).unwrap();
                assert!(
                    distance(&alone, &together[row * 3..][..3]) < 1e-5,
                    "{family:?}"
                );
            }
        }
    }
}

pub(crate) fn all_parameters_have_gradients_and_are_updated(make: MakeEngine<'_>) {
    for family in FAMILIES {
        let architecture = small(family);
        let before = params(&architecture);
        let mut engine = engine(make, &architecture);
        let batch = batch(&architecture, &LENGTHS);
        engine.accumulate(&batch, &target(true)).unwrap();
        let gradients = engine.gradients().unwrap();
        engine.optimizer_step(&ADAMW_STEP).unwrap();
        let after = engine.weights().unwrap();
        for (number, parameter) in architecture.parameters().iter().enumerate() {
            let learns = gradients[number].iter().any(|&gradient| gradient != 0.0);
            assert!(learns, "{} has no gradient", parameter.name);
            assert_ne!(before[number], after[number], "{}", parameter.name);
        }
        let gradients = engine.gradients().unwrap();
        assert!(gradients.concat().iter().all(|&gradient| gradient == 0.0));
    }
}

/// Directional derivative of the loss, with dropout, whose masks must be the same in both passes.
pub(crate) fn gradients_with_dropout_match_finite_differences(make: MakeEngine<'_>) {
    for family in FAMILIES {
        let architecture = small(family);
        let (params, batch) = (params(&architecture), batch(&architecture, &LENGTHS));
        let mut random = Random::new(8, &[]);
        let moved = |by: f32, direction: &Params| {
            let moved = |(params, along): (&Vec<f32>, &Vec<f32>)| {
                params.iter().zip(along).map(|(v, d)| v + by * d).collect()
            };
            let params: Params = params.iter().zip(direction).map(moved).collect();
            let mut engine = make(&architecture, &params, &all(&architecture));
            let loss = engine.accumulate(&batch, &target(true)).unwrap();
            (loss, engine.gradients().unwrap())
        };
        let direction: Params = params
            .iter()
            .map(|params| params.iter().map(|_| random.normal() as f32).collect())
            .collect();
        let (_, gradients) = moved(0.0, &direction);
        let (gradients, flat) = (gradients.concat(), direction.concat());
        let along: f64 = gradients
            .iter()
            .zip(flat)
            .map(|(g, d)| f64::from(g * d))
            .sum();
        let by = 2e-4;
        let slope = (moved(by, &direction).0 - moved(-by, &direction).0) / (2.0 * f64::from(by));
        assert!(
            (slope - along).abs() < 0.02 * along.abs().max(0.1),
            "{family:?}: {slope} {along}"
        );
    }
}

pub(crate) fn micro_batches_do_not_change_gradients(make: MakeEngine<'_>) {
    for family in FAMILIES {
        let architecture = small(family);
        let all = batch(&architecture, &LENGTHS);
        let mut single = engine(make, &architecture);
        let loss = single.accumulate(&all, &target(true)).unwrap();
        let expected = single.gradients().unwrap().concat();
        let mut engine = engine(make, &architecture);
        let mut sum = 0.0;
        for (first, end) in [(0, 3), (3, 5)] {
            let (part, target) = part(&all, first, end);
            sum += engine.accumulate(&part, &target).unwrap();
            // In between, to check that the sum is not counted twice.
            engine.gradient_norm().unwrap();
        }
        assert!((sum - loss).abs() < 1e-6);
        let off = distance(&engine.gradients().unwrap().concat(), &expected);
        assert!(off < 1e-5, "{family:?}: {off}");
    }
}

/// Returns some rows of the batch of `LENGTHS` as a micro-batch of its step.
fn part(all: &Batch, first: usize, end: usize) -> (Batch, LossTarget<'static>) {
    (all.part(first..end), target(true).part(first..end))
}

/// Two hosts with a micro-batch each compute the same step as one host with both.
pub(crate) fn two_hosts_match_one_host(make: MakeEngine<'_>) {
    for (family, head_alone) in FAMILIES
        .into_iter()
        .flat_map(|family| [(family, false), (family, true)])
    {
        let architecture = small(family);
        let learns = |parameter: &Parameter| {
            !head_alone || matches!(parameter.role, Role::HeadDense(_) | Role::HeadOut(_))
        };
        let trained: Vec<bool> = architecture.parameters().iter().map(learns).collect();
        let engine = || make(&architecture, &params(&architecture), &trained);
        let rows = batch(&architecture, &LENGTHS);
        let mut single = engine();
        single.accumulate(&rows, &target(true)).unwrap();
        let norm = single.gradient_norm().unwrap();
        let expected = single.gradients().unwrap().concat();
        let found = run_hosts(2, |mut group| {
            let (first, end) = [(0, 3), (3, 5)][group.rank_and_size().0];
            let (part, target) = part(&rows, first, end);
            let mut engine = engine();
            engine.accumulate(&part, &target).unwrap();
            engine.all_reduce(&mut group).unwrap();
            let norm = engine.gradient_norm().unwrap();
            let gradients = engine.gradients().unwrap().concat();
            engine.optimizer_step(&ADAMW_STEP).unwrap();
            (norm, gradients, engine.weights().unwrap())
        });
        assert_eq!(found[0].2, found[1].2, "{family:?}: the same to the bit");
        assert!((found[0].0 / norm - 1.0).abs() < 1e-5, "{family:?}");
        assert!(distance(&found[0].1, &expected) < 1e-5, "{family:?}");
    }
}

pub(crate) fn frozen_parameters_are_unchanged_others_get_same_gradients(make: MakeEngine<'_>) {
    let architecture = small(Family::Bert);
    let (params, batch) = (params(&architecture), batch(&architecture, &LENGTHS));
    let mut all = engine(make, &architecture);
    all.accumulate(&batch, &target(false)).unwrap();
    let expected = all.gradients().unwrap();
    let parameters = architecture.parameters();
    let trained: Vec<bool> = parameters
        .iter()
        .map(|parameter| {
            matches!(
                parameter.role,
                Role::Layer(1, _) | Role::HeadDense(_) | Role::HeadOut(_)
            )
        })
        .collect();
    let mut engine = make(&architecture, &params, &trained);
    engine.accumulate(&batch, &target(false)).unwrap();
    let gradients = engine.gradients().unwrap();
    let norm = engine.gradient_norm().unwrap();
    engine.optimizer_step(&ADAMW_STEP).unwrap();
    let (weights, saved) = (engine.weights().unwrap(), engine.save().unwrap());
    let mut squares = 0.0;
    for (number, &learns) in trained.iter().enumerate() {
        assert_eq!(
            weights[number] != params[number],
            learns,
            "{}",
            parameters[number].name
        );
        assert_eq!(saved.first[number].is_empty(), !learns);
        if learns {
            assert!(distance(&gradients[number], &expected[number]) < 1e-6);
            squares += gradients[number]
                .iter()
                .map(|&g| f64::from(g).powi(2))
                .sum::<f64>();
        }
    }
    assert!(
        (norm / squares.sqrt() - 1.0).abs() < 1e-5,
        "{norm} {squares}"
    );
}

pub(crate) fn restored_engine_is_bit_identical(make: MakeEngine<'_>) {
    let architecture = small(Family::Roberta);
    let batch = batch(&architecture, &LENGTHS);
    let step = |engine: &mut dyn Engine, step| {
        let mut target = target(true);
        target.dropout_key.as_mut().unwrap().step = step;
        engine.accumulate(&batch, &target).unwrap();
        engine
            .optimizer_step(&AdamWStep { step, ..ADAMW_STEP })
            .unwrap();
    };
    let mut single = engine(make, &architecture);
    (1..=4).for_each(|number| step(&mut *single, number));
    let mut first = engine(make, &architecture);
    (1..=2).for_each(|number| step(&mut *first, number));
    let mut second = engine(make, &architecture);
    second.restore(&first.save().unwrap()).unwrap();
    (3..=4).for_each(|number| step(&mut *second, number));
    assert_eq!(single.weights().unwrap(), second.weights().unwrap());
}

pub(crate) fn optimizer_step_matches_adamw(make: MakeEngine<'_>) {
    let architecture = small(Family::DistilBert);
    let batch = batch(&architecture, &LENGTHS);
    let mut engine = engine(make, &architecture);
    let parameters = architecture.parameters();
    let zeros = || -> Vec<Vec<f64>> {
        let sizes = parameters
            .iter()
            .map(|parameter| parameter.shape.iter().product());
        sizes.map(|size| vec![0.0; size]).collect()
    };
    let (mut first, mut second) = (zeros(), zeros());
    for step in 1..=3 {
        engine.accumulate(&batch, &target(false)).unwrap();
        let (weights, gradients) = (engine.weights().unwrap(), engine.gradients().unwrap());
        let update = AdamWStep {
            step,
            scale: 0.5,
            ..ADAMW_STEP
        };
        engine.optimizer_step(&update).unwrap();
        let after = engine.weights().unwrap();
        let correct = |beta: f64| 1.0 - beta.powi(step as i32);
        for (number, parameter) in parameters.iter().enumerate() {
            let decay = if parameter.role.decays() {
                update.weight_decay
            } else {
                0.0
            };
            for (place, &gradient) in gradients[number].iter().enumerate() {
                // As in PyTorch's documentation of AdamW.
                let gradient = f64::from(gradient) * update.scale;
                let (m, v) = (&mut first[number][place], &mut second[number][place]);
                *m = update.beta_1 * *m + (1.0 - update.beta_1) * gradient;
                *v = update.beta_2 * *v + (1.0 - update.beta_2) * gradient * gradient;
                let weight = f64::from(weights[number][place]) * (1.0 - update.rate * decay);
                let root = (*v / correct(update.beta_2)).sqrt() + update.epsilon;
                let expected = weight - update.rate * *m / correct(update.beta_1) / root;
                let ours = f64::from(after[number][place]);
                assert!(
                    (ours - expected).abs() < 1e-5,
                    "{}: {ours}, expected {expected}",
                    parameter.name
                );
            }
        }
    }
}

pub(crate) fn overfits_eight_rows(make: MakeEngine<'_>) {
    let mut architecture = small(Family::Bert);
    architecture.dropout = Dropout {
        hidden: 0.0,
        attention: 0.0,
        head: 0.0,
    };
    let lengths = [3, 4, 5, 6, 7, 8, 9, 10];
    let batch = batch(&architecture, &lengths);
    let labels = [0, 1, 2, 0, 1, 2, 0, 1];
    let target = LossTarget {
        labels: &labels,
        sets: None,
        class_weights: &[1.0; 3],
        other_weights: &[],
        row_weights: &[],
        total_weight: 8.0,
        label_smoothing: 0.0,
        dropout_key: None,
        loss_scale: 1.0,
    };
    let mut engine = engine(make, &architecture);
    let mut last = f64::INFINITY;
    for step in 1..=60 {
        last = engine.accumulate(&batch, &target).unwrap();
        engine
            .optimizer_step(&AdamWStep { step, ..ADAMW_STEP })
            .unwrap();
    }
    assert!(last < 0.05, "{last}");
}

pub(crate) fn ids_and_lengths_out_of_range_are_errors(make: MakeEngine<'_>) {
    let mut engine = engine(make, &small(Family::Bert));
    let mut refused = |ids: Vec<u32>, length: usize| {
        let seq = ids.len();
        let batch = Batch {
            ids,
            types: Vec::new(),
            lengths: vec![length],
            seq,
        };
        let mut target = target(false);
        target.labels = &LABELS[..1];
        let accumulated = engine.accumulate(&batch, &target);
        assert_eq!(engine.logits(&batch).is_err(), accumulated.is_err());
        accumulated.is_err()
    };
    assert!(!refused(vec![22, 22], 2));
    assert!(refused(vec![22, 23], 2), "an id beyond the vocabulary");
    assert!(!refused(vec![22, 23], 1), "but padding is never looked at");
    assert!(
        refused(vec![1; 12], 12),
        "more positions than the network has"
    );
    assert!(refused(vec![1; 2], 0), "no token");
    let mut batch = batch(&small(Family::Bert), &LENGTHS);
    batch.types = vec![1; batch.ids.len()];
    assert!(engine.logits(&batch).is_ok());
    batch.types[0] = 2;
    assert!(
        engine.logits(&batch).is_err(),
        "a type beyond the network's"
    );
    batch.types = vec![1; 3];
    assert!(engine.logits(&batch).is_err(), "fewer types than ids");
}

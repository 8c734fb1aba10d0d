use harness::training::Random;

use super::*;
use crate::architecture::{Activation, Dropout, Family, Role};
use crate::judge::{
    FAMILIES, LABELS, LENGTHS, UPDATE, batch, distance, judged, small, target, values,
};

fn engine_of(architecture: &Architecture, values: &Values, threads: usize) -> CpuEngine {
    let frozen = vec![false; architecture.parameters().len()];
    CpuEngine::new(architecture, values, threads, &frozen).unwrap()
}

fn engine(architecture: &Architecture) -> CpuEngine {
    engine_of(architecture, &values(architecture), 2)
}

#[test]
fn logits_and_gradients_are_those_of_transformers() {
    for (family, activation) in [
        (Family::Bert, Activation::GeluErf),
        (Family::Bert, Activation::GeluTanh),
        (Family::Roberta, Activation::GeluErf),
        (Family::DistilBert, Activation::Relu),
        (Family::DistilBert, Activation::GeluErf),
    ] {
        let mut architecture = small(family);
        architecture.activation = activation;
        let (values, batch) = (values(&architecture), batch(&architecture, &LENGTHS));
        let theirs = judged(&architecture, &values, &batch);
        let mut engine = engine_of(&architecture, &values, 2);

        let logits = engine.logits(&batch).unwrap();
        let off = logits
            .iter()
            .zip(&theirs["logits"])
            .map(|(a, b)| (a - b).abs());
        assert!(
            off.fold(0.0, f32::max) < 1e-4,
            "{logits:?} {:?}",
            theirs["logits"]
        );
        let loss = engine.accumulate(&batch, &target(false)).unwrap();
        assert!((loss - f64::from(theirs["loss"][0])).abs() < 1e-4);
        let gradients = engine.gradients().unwrap();
        let parameters = architecture.parameters();
        assert_eq!(theirs.len(), parameters.len() + 2);
        for (parameter, ours) in parameters.iter().zip(&gradients) {
            let theirs = &theirs[&format!("gradient.{}", parameter.name)];
            if parameter.name.ends_with("key.bias") || parameter.name.ends_with("k_lin.bias") {
                // A constant that is added to all keys changes nothing: what is there is rounding.
                assert!(
                    ours.iter()
                        .chain(theirs)
                        .all(|gradient| gradient.abs() < 1e-6)
                );
                continue;
            }
            let off = distance(ours, theirs);
            assert!(off < 1e-3, "{}: {off}", parameter.name);
        }
    }
}

#[test]
fn neither_padding_nor_company_changes_logits() {
    for family in FAMILIES {
        let architecture = small(family);
        let mut engine = engine(&architecture);
        let all = batch(&architecture, &LENGTHS);
        let together = engine.logits(&all).unwrap();
        for (row, &length) in LENGTHS.iter().enumerate() {
            let alone = Batch {
                ids: all.ids[row * all.seq..][..length].to_vec(),
                lengths: vec![length],
                seq: length,
            };
            let alone = engine.logits(&alone).unwrap();
            assert!(
                distance(&alone, &together[row * 3..][..3]) < 1e-5,
                "{family:?}"
            );
        }
    }
}

#[test]
fn every_parameter_has_a_gradient_and_changes() {
    for family in FAMILIES {
        let architecture = small(family);
        let before = values(&architecture);
        let mut engine = engine(&architecture);
        let batch = batch(&architecture, &LENGTHS);
        engine.accumulate(&batch, &target(true)).unwrap();
        let gradients = engine.gradients().unwrap();
        engine.update(&UPDATE).unwrap();
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

/// Along a random direction, the loss rises as the gradients say; with dropout, whose masks have to be the same in both
/// passes.
#[test]
fn gradients_with_dropout_are_the_slope_of_the_loss() {
    for family in FAMILIES {
        let architecture = small(family);
        let (values, batch) = (values(&architecture), batch(&architecture, &LENGTHS));
        let mut random = Random::new(8, &[]);
        let moved = |by: f32, direction: &Values| {
            let values: Values = values
                .iter()
                .zip(direction)
                .map(|(values, along)| values.iter().zip(along).map(|(v, d)| v + by * d).collect())
                .collect();
            let mut engine = engine_of(&architecture, &values, 2);
            let loss = engine.accumulate(&batch, &target(true)).unwrap();
            (loss, engine.gradients().unwrap())
        };
        let direction: Values = values
            .iter()
            .map(|values| values.iter().map(|_| random.normal() as f32).collect())
            .collect();
        let (_, gradients) = moved(0.0, &direction);
        let along = gradients
            .concat()
            .iter()
            .zip(direction.concat())
            .map(|(g, d)| f64::from(g * d))
            .sum::<f64>();
        let by = 2e-4;
        let slope = (moved(by, &direction).0 - moved(-by, &direction).0) / (2.0 * f64::from(by));
        assert!(
            (slope - along).abs() < 0.02 * along.abs().max(0.1),
            "{family:?}: {slope} {along}"
        );
    }
}

#[test]
fn micro_batches_and_threads_do_not_change_gradients() {
    for family in FAMILIES {
        let architecture = small(family);
        let all = batch(&architecture, &LENGTHS);
        let mut whole = engine(&architecture);
        let loss = whole.accumulate(&all, &target(true)).unwrap();
        let expected = whole.gradients().unwrap().concat();

        let values = values(&architecture);
        for threads in [1, 2, 3, 7] {
            let mut engine = engine_of(&architecture, &values, threads);
            let mut sum = 0.0;
            for (first, end) in [(0, 3), (3, 5)] {
                let part = Batch {
                    ids: all.ids[first * all.seq..end * all.seq].to_vec(),
                    lengths: LENGTHS[first..end].to_vec(),
                    seq: all.seq,
                };
                let mut target = target(true);
                target.labels = &LABELS[first..end];
                target.noise.as_mut().unwrap().first_row = first as u64;
                sum += engine.accumulate(&part, &target).unwrap();
                // Asked for in between, the sum must not be counted twice.
                engine.gradient_norm().unwrap();
            }
            assert!((sum - loss).abs() < 1e-6);
            let off = distance(&engine.gradients().unwrap().concat(), &expected);
            assert!(off < 1e-5, "{family:?}, {threads} threads: {off}");
        }
    }
}

#[test]
fn what_is_frozen_stays_and_the_rest_learns_the_same() {
    let architecture = small(Family::Bert);
    let (values, batch) = (values(&architecture), batch(&architecture, &LENGTHS));
    let mut all = engine(&architecture);
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
    let frozen: Vec<bool> = trained.iter().map(|trained| !trained).collect();
    let mut engine = CpuEngine::new(&architecture, &values, 2, &frozen).unwrap();
    engine.accumulate(&batch, &target(false)).unwrap();
    let gradients = engine.gradients().unwrap();
    let norm = engine.gradient_norm().unwrap();
    engine.update(&UPDATE).unwrap();
    let (weights, saved) = (engine.weights().unwrap(), engine.save().unwrap());
    let mut squares = 0.0;
    for (number, &learns) in trained.iter().enumerate() {
        assert_eq!(
            weights[number] != values[number],
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

#[test]
fn a_restored_engine_goes_on_bit_for_bit() {
    let architecture = small(Family::Roberta);
    let batch = batch(&architecture, &LENGTHS);
    let step = |engine: &mut CpuEngine, step| {
        let mut target = target(true);
        target.noise.as_mut().unwrap().step = step;
        engine.accumulate(&batch, &target).unwrap();
        engine.update(&Update { step, ..UPDATE }).unwrap();
    };
    let mut whole = engine(&architecture);
    (1..=4).for_each(|number| step(&mut whole, number));
    let mut first = engine(&architecture);
    (1..=2).for_each(|number| step(&mut first, number));
    let mut second = engine(&architecture);
    second.restore(&first.save().unwrap()).unwrap();
    (3..=4).for_each(|number| step(&mut second, number));
    assert_eq!(whole.weights().unwrap(), second.weights().unwrap());
}

#[test]
fn a_step_is_adamw() {
    let architecture = small(Family::DistilBert);
    let batch = batch(&architecture, &LENGTHS);
    let mut engine = engine(&architecture);
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
        let update = Update {
            step,
            scale: 0.5,
            ..UPDATE
        };
        engine.update(&update).unwrap();
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

#[test]
fn eight_rows_are_learnt_by_heart() {
    let mut architecture = small(Family::Bert);
    architecture.dropout = Dropout {
        hidden: 0.0,
        attention: 0.0,
        head: 0.0,
    };
    let lengths = [3, 4, 5, 6, 7, 8, 9, 10];
    let batch = batch(&architecture, &lengths);
    let labels = [0, 1, 2, 0, 1, 2, 0, 1];
    let target = Target {
        labels: &labels,
        class_weights: &[1.0; 3],
        total_weight: 8.0,
        label_smoothing: 0.0,
        noise: None,
        loss_scale: 1.0,
    };
    let mut engine = engine(&architecture);
    let mut last = f64::INFINITY;
    for step in 1..=60 {
        last = engine.accumulate(&batch, &target).unwrap();
        engine.update(&Update { step, ..UPDATE }).unwrap();
    }
    assert!(last < 0.05, "{last}");
}

#[test]
fn the_same_steps_give_the_same_bits() {
    let architecture = small(Family::Bert);
    let batch = batch(&architecture, &LENGTHS);
    let run = || {
        let mut engine = engine(&architecture);
        for step in 1..=3 {
            engine.accumulate(&batch, &target(true)).unwrap();
            engine.update(&Update { step, ..UPDATE }).unwrap();
        }
        engine.weights().unwrap()
    };
    assert_eq!(run(), run());
}

/// Two hosts with a micro-batch each learn what one host learns from both.
#[test]
fn two_hosts_learn_as_one_with_the_double_batch() {
    use crate::meeting::tests::meet;
    for family in FAMILIES {
        let architecture = small(family);
        let all = batch(&architecture, &LENGTHS);
        let part = |first: usize, end: usize| Batch {
            ids: all.ids[first * all.seq..end * all.seq].to_vec(),
            lengths: LENGTHS[first..end].to_vec(),
            seq: all.seq,
        };
        let mut whole = engine(&architecture);
        whole.accumulate(&all, &target(true)).unwrap();
        let norm = whole.gradient_norm().unwrap();
        let expected = whole.gradients().unwrap();
        let found = meet(2, |mut meeting| {
            let (first, end) = [(0, 3), (3, 5)][meeting.rank_of().0];
            let mut engine = engine(&architecture);
            let mut target = target(true);
            target.labels = &LABELS[first..end];
            target.noise.as_mut().unwrap().first_row = first as u64;
            engine.accumulate(&part(first, end), &target).unwrap();
            engine.reduce(&mut meeting).unwrap();
            let norm = engine.gradient_norm().unwrap();
            let gradients = engine.gradients().unwrap();
            engine.update(&UPDATE).unwrap();
            (norm, engine.weights().unwrap(), gradients)
        });
        assert_eq!(found[0].1, found[1].1, "{family:?}: the same to the bit");
        assert!((found[0].0 / norm - 1.0).abs() < 1e-5, "{family:?}");
        let off = distance(&found[0].2.concat(), &expected.concat());
        assert!(off < 1e-5, "{family:?}: {off}");
    }
}

#[test]
fn what_does_not_fit_the_network_is_refused() {
    let architecture = small(Family::Bert);
    let mut engine = engine(&architecture);
    let one = |ids: Vec<u32>| Batch {
        lengths: vec![ids.len()],
        seq: ids.len(),
        ids,
    };
    for bad in [one(vec![23]), one(vec![1; 12]), one(Vec::new())] {
        let said = engine.logits(&bad).unwrap_err().to_string();
        assert!(said.contains("does not fit the network"), "{said}");
    }
    let short: Values = values(&architecture).into_iter().skip(1).collect();
    let frozen = vec![false; short.len()];
    assert!(CpuEngine::new(&architecture, &short, 1, &frozen).is_err());
}

use super::*;
use crate::architecture::Family;
use crate::conformance;
use crate::reference::{FAMILIES, LENGTHS, UPDATE, batch, small, target, values};

fn threads(threads: usize) -> impl Fn(&Architecture, &Values, &[bool]) -> Box<dyn Engine> + Sync {
    move |architecture, values, trained| {
        let frozen: Vec<bool> = trained.iter().map(|&trained| !trained).collect();
        Box::new(CpuEngine::new(architecture, values.clone(), threads, &frozen).unwrap())
    }
}

fn on_some_threads(check: fn(conformance::Make<'_>)) {
    for number in [1, 2, 3, 7] {
        check(&threads(number));
    }
}

fn on_two_threads(check: fn(conformance::Make<'_>)) {
    check(&threads(2));
}

conformance::tests! { on_some_threads }
conformance::tests! { on_some_threads:
    micro_batches_do_not_change_gradients
    two_hosts_learn_as_one
}
conformance::tests! { on_two_threads: logits_and_gradients_are_those_of_transformers }

#[test]
fn the_same_run_ends_with_the_same_bits() {
    for family in FAMILIES {
        let architecture = small(family);
        let batch = batch(&architecture, &LENGTHS);
        let run = || {
            let trained = vec![true; architecture.parameters().len()];
            let mut engine = threads(3)(&architecture, &values(&architecture), &trained);
            for step in 1..=5 {
                engine.accumulate(&batch, &target(true)).unwrap();
                engine.update(&Update { step, ..UPDATE }).unwrap();
            }
            engine.weights().unwrap()
        };
        assert_eq!(run(), run());
    }
}

#[test]
fn weights_that_do_not_fit_the_network_are_refused() {
    let architecture = small(Family::Bert);
    let short: Values = values(&architecture).into_iter().skip(1).collect();
    let frozen = vec![false; short.len()];
    assert!(CpuEngine::new(&architecture, short, 1, &frozen).is_err());
}

#[test]
fn a_gradient_that_is_not_finite_shows_in_the_norm() {
    let architecture = small(Family::Bert);
    let trained = vec![true; architecture.parameters().len()];
    let mut engine = threads(2)(&architecture, &values(&architecture), &trained);
    let mut scaled = target(true);
    scaled.loss_scale = f64::from(f32::MAX);
    engine
        .accumulate(&batch(&architecture, &LENGTHS), &scaled)
        .unwrap();
    assert!(!engine.gradient_norm().unwrap().is_finite());
    engine.discard().unwrap();
    assert_eq!(engine.gradient_norm().unwrap(), 0.0);
}

use super::*;
use crate::architecture::Family;
use crate::conformance;
use crate::reference::{ADAMW_STEP, FAMILIES, LENGTHS, batch, params, small, target};

fn threads(threads: usize) -> impl Fn(&Architecture, &Params, &[bool]) -> Box<dyn Engine> + Sync {
    move |architecture, params, trained| {
        let frozen: Vec<bool> = trained.iter().map(|&trained| !trained).collect();
        Box::new(CpuEngine::new(architecture, params.clone(), threads, &frozen).unwrap())
    }
}

fn on_some_threads(check: fn(conformance::MakeEngine<'_>)) {
    for number in [1, 2, 3, 7] {
        check(&threads(number));
    }
}

fn on_two_threads(check: fn(conformance::MakeEngine<'_>)) {
    check(&threads(2));
}

conformance::tests! { on_some_threads }
conformance::tests! { on_some_threads:
    micro_batches_do_not_change_gradients
    two_hosts_match_one_host
}
conformance::tests! { on_two_threads: logits_and_gradients_match_transformers }

#[test]
fn training_is_deterministic() {
    for family in FAMILIES {
        let architecture = small(family);
        let batch = batch(&architecture, &LENGTHS);
        let run = || {
            let trained = vec![true; architecture.parameters().len()];
            let mut engine = threads(3)(&architecture, &params(&architecture), &trained);
            for step in 1..=5 {
                engine.accumulate(&batch, &target(true)).unwrap();
                engine
                    .optimizer_step(&AdamWStep { step, ..ADAMW_STEP })
                    .unwrap();
            }
            engine.weights().unwrap()
        };
        assert_eq!(run(), run());
    }
}

#[test]
fn weights_of_wrong_size_are_errors() {
    let architecture = small(Family::Bert);
    let short: Params = params(&architecture).into_iter().skip(1).collect();
    let frozen = vec![false; short.len()];
    assert!(CpuEngine::new(&architecture, short, 1, &frozen).is_err());
}

#[test]
fn non_finite_gradient_is_in_norm() {
    let architecture = small(Family::Bert);
    let trained = vec![true; architecture.parameters().len()];
    let mut engine = threads(2)(&architecture, &params(&architecture), &trained);
    let mut scaled = target(true);
    scaled.loss_scale = f64::from(f32::MAX);
    engine
        .accumulate(&batch(&architecture, &LENGTHS), &scaled)
        .unwrap();
    assert!(!engine.gradient_norm().unwrap().is_finite());
    engine.zero_grad().unwrap();
    assert_eq!(engine.gradient_norm().unwrap(), 0.0);
}

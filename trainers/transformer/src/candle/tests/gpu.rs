//! The same on a GPU. The tests are skipped if there is none, and fail if it is unusable.
//!
//! GPUs draw dropout masks per batch, so comparisons of different batches have no dropout here.

use super::*;

/// The first GPU, in f32.
fn first() -> Option<Device> {
    if !std::path::Path::new("/dev/nvidia0").exists() {
        eprintln!("skipped: no NVIDIA GPU, /dev/nvidia0 is missing");
        return None;
    }
    Some(open_gpu(0, Some(Precision::Full)).unwrap().0)
}

fn on_gpu(check: fn(conformance::MakeEngine<'_>)) {
    let Some(device) = first() else { return };
    check(&|architecture, params, trained| {
        let devices = [(device.clone(), DType::F32)];
        Box::new(on(architecture, params, trained, &devices))
    });
}

conformance::tests! { on_gpu }
conformance::tests! { on_gpu: logits_and_gradients_match_transformers }

#[test]
fn half_precision_is_close() {
    let Some(device) = first() else { return };
    let architecture = small(Family::Bert);
    let (params, batch) = (params(&architecture), batch(&architecture, &LENGTHS));
    let trained = vec![true; architecture.parameters().len()];
    let gradients = |device: &Device, dtype| {
        let mut engine = on(&architecture, &params, &trained, &[(device.clone(), dtype)]);
        engine.accumulate(&batch, &target(false)).unwrap();
        engine.gradients().unwrap().concat()
    };
    let expected = gradients(&Device::Cpu, DType::F32);
    // 11 and 8 bits of mantissa, a few dozen operations in sequence.
    let (_, half) = open_gpu(0, None).unwrap();
    for (dtype, most) in [(DType::F16, 0.02), (DType::BF16, 0.1)] {
        if dtype == DType::BF16 && half != dtype {
            continue;
        }
        let off = distance(&gradients(&device, dtype), &expected);
        assert!(off < most, "{dtype:?}: {off}");
    }
}

/// Replicas with own streams on one GPU, synchronized through host memory.
#[test]
fn replicas_match_single_device() {
    if first().is_none() {
        return;
    }
    let architecture = small(Family::Bert);
    let (params, batch) = (params(&architecture), batch(&architecture, &LENGTHS));
    let trained = vec![true; architecture.parameters().len()];
    let net = || {
        let device = first().unwrap();
        let engine = on(&architecture, &params, &trained, &[(device, DType::F32)]);
        engine.nets.into_iter().next().unwrap()
    };
    let mut found = Vec::new();
    for count in [1, 3] {
        let mut engine = CandleEngine {
            nets: (0..count).map(|_| net()).collect(),
            grad_sync: GradSync::Host,
            synced: false,
        };
        let loss = engine.accumulate(&batch, &target(false));
        let gradients = engine.gradients().unwrap().concat();
        engine.optimizer_step(&ADAMW_STEP).unwrap();
        let weights = engine.nets.iter().map(|net| net.weights.to_vec1::<f32>());
        let weights: Vec<_> = weights.map(Result::unwrap).collect();
        assert!(weights.iter().all(|other| *other == weights[0]));
        found.push((loss.unwrap(), gradients));
    }
    assert!((found[0].0 - found[1].0).abs() < 1e-6);
    let off = distance(&found[1].1, &found[0].1);
    assert!(off < 1e-5, "{off}");
}

/// NCCL refuses two ranks on one GPU. With a single one this tests that the library loads, that
/// both ways to create a communicator work, and that a sum of one is the identity.
#[cfg(feature = "nccl")]
#[test]
fn nccl_sums() {
    let Some(device) = first() else { return };
    for world in crate::candle::nccl::groups(&device) {
        let params = [1.5_f32, -2.0, 0.25];
        let vector = Tensor::new(&params, &device).unwrap(); // (3) f32
        let doubled = (&vector * 2.0).unwrap(); // (3) f32, not yet computed when the sum starts
        world.sum(&[&doubled]).unwrap();
        assert_eq!(doubled.to_vec1::<f32>().unwrap(), [3.0, -4.0, 0.5]);
    }
}

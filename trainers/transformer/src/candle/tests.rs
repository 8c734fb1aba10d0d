#[cfg(feature = "cuda")]
mod gpu;

use super::*;
use crate::architecture::Family;
use crate::conformance;
use crate::reference::{
    ADAMW_STEP, FAMILIES, LABELS, LENGTHS, batch, distance, params, small, target,
};

fn on(
    architecture: &Architecture,
    params: &Params,
    trained: &[bool],
    devices: &[(Device, DType)],
) -> CandleEngine {
    let options = EngineOptions {
        gpus: Vec::new(),
        precision: None,
        trained,
        hosts: None,
    };
    CandleEngine::on(architecture, params, devices, options).unwrap()
}

fn several(architecture: &Architecture, params: &Params, devices: &[DType]) -> CandleEngine {
    let trained = vec![true; architecture.parameters().len()];
    let devices: Vec<_> = devices.iter().map(|&dtype| (Device::Cpu, dtype)).collect();
    on(architecture, params, &trained, &devices)
}

fn engine(architecture: &Architecture) -> CandleEngine {
    several(architecture, &params(architecture), &[DType::F32])
}

fn boxed(architecture: &Architecture, params: &Params, trained: &[bool]) -> Box<dyn Engine> {
    Box::new(on(
        architecture,
        params,
        trained,
        &[(Device::Cpu, DType::F32)],
    ))
}

fn on_cpu(check: fn(conformance::MakeEngine<'_>)) {
    check(&boxed);
}

conformance::tests! { on_cpu }
conformance::tests! { on_cpu:
    logits_and_gradients_match_transformers
    two_hosts_match_one_host
}

#[test]
fn half_dtype_needs_support_of_gpu_and_program() {
    for (capability, built, expected) in [
        (70, "70", DType::F16),
        (75, "", DType::F16),
        (90, "70", DType::F16),
        (80, "75", DType::F16),
        (80, "80", DType::BF16),
        (90, "90a", DType::BF16),
        (89, "8.6", DType::BF16),
        (90, "", DType::BF16),
    ] {
        assert_eq!(
            half_dtype(capability, built),
            expected,
            "{capability} {built}"
        );
    }
}

#[test]
fn micro_batches_and_replicas_do_not_change_gradients() {
    for family in FAMILIES {
        let architecture = small(family);
        let mut all = batch(&architecture, &LENGTHS);
        if architecture.type_vocab_size > 1 {
            // The first rows have one type only.
            let types = (0..all.ids.len()).map(|token| u8::from(token > 40));
            all.types = types.collect();
        }
        let mut whole = engine(&architecture);
        let loss = whole.accumulate(&all, &target(true)).unwrap();
        let expected = whole.gradients().unwrap().concat();

        let params = params(&architecture);
        for replicas in [1, 2, 3, 7] {
            let mut engine = several(&architecture, &params, &vec![DType::F32; replicas]);
            let mut sum = 0.0;
            for (first, end) in [(0, 3), (3, 5)] {
                let part = all.part(first..end);
                let mut target = target(true);
                target.labels = &LABELS[first..end];
                target.dropout_key.as_mut().unwrap().first_row = first as u64;
                sum += engine.accumulate(&part, &target).unwrap();
                // In between, to check that the sum is not counted twice.
                engine.gradient_norm().unwrap();
            }
            assert!((sum - loss).abs() < 1e-6);
            let off = distance(&engine.gradients().unwrap().concat(), &expected);
            assert!(off < 1e-5, "{family:?}, {replicas} replicas: {off}");
            engine.optimizer_step(&ADAMW_STEP).unwrap();
            let weights: Vec<_> = engine
                .nets
                .iter()
                .map(|net| net.weights.to_vec1::<f32>().unwrap())
                .collect();
            assert!(weights.iter().all(|other| *other == weights[0]));
        }
    }
}

#[test]
fn half_precision_is_close_and_overflow_is_detected() {
    let architecture = small(Family::Bert);
    let (params, batch) = (params(&architecture), batch(&architecture, &LENGTHS));
    let mut full = several(&architecture, &params, &[DType::F32]);
    full.accumulate(&batch, &target(true)).unwrap();
    let expected = full.gradients().unwrap();
    let mut half = several(&architecture, &params, &[DType::F16]);
    assert_eq!(half.device(), "cpu (f16)");
    let mut scaled = target(true);
    scaled.loss_scale = 1024.0;
    half.accumulate(&batch, &scaled).unwrap();
    let gradients = half.gradients().unwrap().concat();
    let gradients: Vec<f32> = gradients.iter().map(|gradient| gradient / 1024.0).collect();
    let off = distance(&gradients, &expected.concat());
    // 11 bits of mantissa, a few dozen operations in sequence.
    assert!(off < 0.02, "{off}");
    assert!(half.gradient_norm().unwrap().is_finite());

    half.optimizer_step(&AdamWStep {
        scale: 1.0 / 1024.0,
        ..ADAMW_STEP
    })
    .unwrap();
    full.optimizer_step(&ADAMW_STEP).unwrap();
    let off = distance(&half.logits(&batch).unwrap(), &full.logits(&batch).unwrap());
    assert!(off < 0.05, "the copy of the weights follows them: {off}");

    scaled.loss_scale = 1e9;
    half.accumulate(&batch, &scaled).unwrap();
    assert!(!half.gradient_norm().unwrap().is_finite());
    half.zero_grad().unwrap();
    assert_eq!(half.gradient_norm().unwrap(), 0.0);
}

#[test]
fn queries_are_scaled_before_scores_overflow() {
    let architecture = small(Family::Bert);
    let engine = several(&architecture, &params(&architecture), &[DType::F16]);
    let net = &engine.nets[0];
    let tokens = net.tokens(&batch(&architecture, &[2])).unwrap();
    let all = |number: f64| {
        let ones = Tensor::ones((1, 3, 2, 4), DType::F16, &Device::Cpu); // (rows, heads, seq, width) f16
        (ones.unwrap() * number).unwrap()
    };
    // 4 * 150 * 150 exceeds 65,504, half of it does not.
    let qkv = vec![all(150.0), all(150.0), all(3.0)];
    let (context, _) = net.attention(qkv, &tokens, None, None, 0).unwrap(); // (tokens, hidden) f16
    let context = context.to_dtype(DType::F32).unwrap();
    let context = context.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(context, [3.0; 24]);
}

#[test]
fn inference_has_no_training_buffers() {
    let architecture = small(Family::Bert);
    let (params, batch) = (params(&architecture), batch(&architecture, &LENGTHS));
    let frozen = vec![false; architecture.parameters().len()];
    let mut frozen = on(
        &architecture,
        &params,
        &frozen,
        &[(Device::Cpu, DType::F32)],
    );
    assert!(frozen.nets[0].buffers().is_err());
    let expected = engine(&architecture).logits(&batch).unwrap();
    assert_eq!(frozen.logits(&batch).unwrap(), expected);
    assert!(frozen.accumulate(&batch, &target(false)).is_err());
}

//! Times training steps of the CPU engine; bench/compare_transformer.py compares them with
//! PyTorch's.
//!
//!     cargo run --release -p transformer --example step_speed -- \
//!         model.safetensors THREADS ROWS TOKENS STEPS
//!
//! `model.safetensors` is a BERT of MiniLM's shape (6 layers of 384); missing tensors (the
//! classifier) are random. Prints a JSON object: the seconds of each step, the last loss, and
//! `peak_bytes`, the maximum memory of the process.
// The engine is not public: its sources are compiled into the example.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

#[path = "../src/architecture.rs"]
mod architecture;
#[path = "../src/cpu/mod.rs"]
mod cpu;
#[path = "../src/engine.rs"]
mod engine;

use std::time::Instant;

use architecture::{Activation, Architecture, Dropout, Family};
use engine::{AdamWStep, Batch, DropoutKey, Engine, LossTarget};
use safetensors::SafeTensors;
use training::Random;

fn mini_lm() -> Architecture {
    Architecture {
        family: Family::Bert,
        vocab_size: 30_522,
        hidden_size: 384,
        num_hidden_layers: 6,
        num_attention_heads: 12,
        intermediate_size: 1536,
        max_position_embeddings: 512,
        type_vocab_size: 2,
        hidden_act: Activation::GeluErf,
        layer_norm_eps: 1e-12,
        pad_token_id: 0,
        num_labels: 2,
        dropout: Dropout {
            hidden: 0.1,
            attention: 0.1,
            head: 0.1,
        },
    }
}

fn weights(architecture: &Architecture, path: &str) -> engine::Params {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut random = Random::new(1, &[]);
    let parameters = architecture.parameters();
    let values = parameters.iter().map(|parameter| {
        let bare = parameter.name.trim_start_matches("bert.");
        let found = tensors
            .tensor(&parameter.name)
            .or_else(|_| tensors.tensor(bare));
        if let Ok(tensor) = found {
            let (numbers, _) = tensor.data().as_chunks();
            return numbers
                .iter()
                .map(|&bytes| f32::from_le_bytes(bytes))
                .collect();
        }
        let size = parameter.shape.iter().product();
        (0..size).map(|_| (0.02 * random.normal()) as f32).collect()
    });
    values.collect()
}

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| arguments[place].parse::<usize>().unwrap();
    let (threads, rows, tokens, steps) = (number(1), number(2), number(3), number(4));
    let architecture = mini_lm();
    let values = weights(&architecture, &arguments[0]);
    let frozen = vec![false; values.len()];
    let mut engine = cpu::CpuEngine::new(&architecture, values, threads, &frozen).unwrap();
    let mut random = Random::new(2, &[]);
    let mut seconds = Vec::new();
    let mut last = 0.0;
    for step in 1..=steps as u64 {
        let id = |_| 1000 + (random.uniform() * 29_000.0) as u32;
        let batch = Batch {
            ids: (0..rows * tokens).map(id).collect(),
            types: Vec::new(),
            lengths: vec![tokens; rows],
            seq: tokens,
        };
        let labels: Vec<u32> = (0..rows as u32).map(|row| row % 2).collect();
        let dropout_key = DropoutKey {
            seed: 3,
            step,
            first_row: 0,
        };
        let target = LossTarget {
            labels: &labels,
            sets: None,
            class_weights: &[1.0, 1.0],
            other_weights: &[],
            row_weights: &[],
            total_weight: rows as f64,
            label_smoothing: 0.0,
            dropout_key: Some(dropout_key),
            loss_scale: 1.0,
        };
        let began = Instant::now();
        last = engine.accumulate(&batch, &target).unwrap();
        let norm = engine.gradient_norm().unwrap();
        let update = AdamWStep {
            step,
            rate: 5e-5,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
            scale: (1.0 / norm).min(1.0),
        };
        engine.optimizer_step(&update).unwrap();
        seconds.push(began.elapsed().as_secs_f64());
    }
    let answer =
        serde_json::json!({ "seconds": seconds, "loss": last, "peak_bytes": peak_bytes() });
    println!("{answer}");
}

//! Dropout masks.
//!
//! On a CPU they are a function of seed, step, site, row and element, so that neither batches nor
//! padding change them. GPUs use cuRAND, seeded per batch: the same rows in the same batches have
//! the same masks in every run, also after a resume.

use candle_core::{DType, Device, Result, Tensor};
use training::Random;

use crate::engine::DropoutKey;

/// Shape of a mask: for each row of a batch `dims` elements, numbered with `strides`, which do not
/// depend on the batch's padding.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaskShape {
    pub(super) rows: usize,
    pub(super) dims: [usize; 3],
    pub(super) strides: [usize; 2],
}

/// Returns the mask of a site, the index of a dropout layer: the factor of each element,
/// (rows, dims[0], dims[1], dims[2]) f32 on the device.
pub(super) fn mask(
    dropout_key: DropoutKey,
    site: u64,
    p: f64,
    shape: MaskShape,
    device: &Device,
) -> Result<Tensor> {
    match device {
        Device::Cpu => factors(dropout_key, site, p, shape),
        gpu => factors_of_device(p, shape, gpu),
    }
}

/// Returns the factor of kept elements.
fn factor(p: f64) -> f32 {
    (1.0 / (1.0 - p)) as f32
}

/// Computes the factors on the CPU.
fn factors(dropout_key: DropoutKey, site: u64, p: f64, shape: MaskShape) -> Result<Tensor> {
    let MaskShape {
        rows,
        dims: [a, b, c],
        strides,
    } = shape;
    // Smallest hash of a kept element.
    let threshold = (p * 2f64.powi(32)) as u32;
    let mut all = Vec::with_capacity(rows * a * b * c);
    for row in 0..rows as u64 {
        let counters = [dropout_key.step, site, dropout_key.first_row + row];
        let bits = Random::new(dropout_key.seed, &counters).bits();
        for (i, j) in (0..a).flat_map(|i| (0..b).map(move |j| (i, j))) {
            let first = i * strides[0] + j * strides[1];
            all.extend((first..first + c).map(|element| {
                let kept = hash(element as u32, bits as u32, (bits >> 32) as u32) >= threshold;
                if kept { factor(p) } else { 0.0 }
            }));
        }
    }
    Tensor::from_vec(all, (rows, a, b, c), &Device::Cpu)
}

/// Draws the factors with the device's generator, which is faster than copying them; see
/// `device_seed`.
fn factors_of_device(p: f64, shape: MaskShape, device: &Device) -> Result<Tensor> {
    let MaskShape { rows, dims, .. } = shape;
    let shape = (rows, dims[0], dims[1], dims[2]);
    let kept = Tensor::rand(0f32, 1f32, shape, device)?.ge(p as f32)?;
    kept.to_dtype(DType::F32)? * f64::from(factor(p))
}

/// Returns the generator's seed for a batch: different for each step, micro-batch and GPU.
pub(super) fn device_seed(dropout_key: DropoutKey) -> u64 {
    Random::new(dropout_key.seed, &[dropout_key.step, dropout_key.first_row]).bits()
}

/// MurmurHash3's finaliser (Appleby 2011).
fn mix(mut hash: u32) -> u32 {
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// Returns 32 random bits.
fn hash(element: u32, first: u32, second: u32) -> u32 {
    mix(mix(element ^ first) ^ second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(seed: u64, first_row: u64, rows: usize, seq: usize) -> Vec<f32> {
        let dropout_key = DropoutKey {
            seed,
            step: 7,
            first_row,
        };
        let shape = MaskShape {
            rows,
            dims: [1, seq, 384],
            strides: [0, 384],
        };
        let factors = super::factors(dropout_key, 3, 0.1, shape).unwrap();
        factors.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn drop_rate_is_p_and_neighbours_are_independent() {
        let all = factors(1, 0, 8, 64);
        let dropped = all.iter().filter(|&&factor| factor == 0.0).count() as f64;
        let (n, expected) = (all.len() as f64, 0.1);
        // Five standard deviations.
        let tolerance = 5.0 * (expected * (1.0 - expected) / n).sqrt();
        assert!(
            (dropped / n - expected).abs() < tolerance,
            "{dropped} of {n}"
        );
        for lag in [1, 2, 384, 64 * 384] {
            let both = all
                .iter()
                .zip(&all[lag..])
                .filter(|(a, b)| **a == 0.0 && **b == 0.0);
            let share = both.count() as f64 / (all.len() - lag) as f64;
            assert!((share - 0.01).abs() < 0.001, "lag {lag}: {share}");
        }
        assert_ne!(all, factors(2, 0, 8, 64));
    }

    #[test]
    fn batches_have_different_seeds() {
        let of = |seed, step, first_row| {
            device_seed(DropoutKey {
                seed,
                step,
                first_row,
            })
        };
        assert_eq!(of(1, 2, 16), of(1, 2, 16));
        let all = [of(1, 2, 16), of(2, 2, 16), of(1, 3, 16), of(1, 2, 0)];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn mask_of_row_is_independent_of_batch_and_padding() {
        let all = factors(1, 0, 8, 64);
        let row = 64 * 384;
        assert_eq!(factors(1, 3, 1, 64), all[3 * row..4 * row]);
        assert_eq!(factors(1, 3, 1, 20), all[3 * row..3 * row + 20 * 384]);
    }
}

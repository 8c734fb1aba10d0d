//! Activations, softmax and column sums.

use linalg::simd::{exp, max, normal_cdf, sigmoid, sum, sum2, tanh, vectorized};

use super::dropout::Mask;
use crate::architecture::Activation;

/// sqrt(2 / pi) and the cubic term of the approximation (Hendrycks and Gimpel 2016).
const TANH: (f32, f32) = (0.797_884_6, 0.044_715);
/// 1 / sqrt(2 pi)
const INV_SQRT_2_PI: f32 = 0.398_942_3;

/// Returns value and derivative at `x`.
#[inline(always)]
fn gelu_erf(x: f32) -> (f32, f32) {
    let (below, density) = normal_cdf(x);
    (x * below, below + x * INV_SQRT_2_PI * density)
}

#[inline(always)]
fn gelu_tanh(x: f32) -> (f32, f32) {
    let inner = TANH.0 * (x + TANH.1 * x * x * x);
    let tanh = tanh(inner);
    let slope = TANH.0 * (1.0 + 3.0 * TANH.1 * x * x);
    let half = 0.5 * (1.0 + tanh);
    (x * half, half + 0.5 * x * (1.0 - tanh * tanh) * slope)
}

#[inline(always)]
fn relu(x: f32) -> (f32, f32) {
    // Not `max`, which hides NaN.
    if x < 0.0 { (0.0, 0.0) } else { (x, 1.0) }
}

#[inline(always)]
fn silu(x: f32) -> (f32, f32) {
    let share = sigmoid(x);
    (x * share, share + x * share * (1.0 - share))
}

#[inline(always)]
fn map_biased(x: &mut [f32], bias: &[f32], value: &mut [f32], of: impl Fn(f32) -> (f32, f32)) {
    let width = bias.len();
    for (x, value) in x.chunks_exact_mut(width).zip(value.chunks_exact_mut(width)) {
        let (x, value) = (&mut x[..width], &mut value[..width]);
        for i in 0..width {
            (value[i], x[i]) = of(x[i] + bias[i]);
        }
    }
}

/// (tokens, width): `value` becomes the activation of `x` + `bias`, `x` its derivative.
pub(super) fn activate(kind: Activation, x: &mut [f32], bias: &[f32], value: &mut [f32]) {
    match kind {
        Activation::GeluErf => vectorized(
            #[inline(always)]
            || map_biased(x, bias, value, gelu_erf),
        ),
        Activation::GeluTanh => vectorized(
            #[inline(always)]
            || map_biased(x, bias, value, gelu_tanh),
        ),
        Activation::Relu => vectorized(
            #[inline(always)]
            || map_biased(x, bias, value, relu),
        ),
        Activation::Silu => vectorized(
            #[inline(always)]
            || map_biased(x, bias, value, silu),
        ),
    }
}

/// (tokens, width): multiplies `gradient` by `slope` and adds it to the bias's gradient.
pub(super) fn activate_backward(gradient: &mut [f32], slope: &[f32], bias: &mut [f32]) {
    let width = bias.len();
    vectorized(
        #[inline(always)]
        || {
            let tokens = gradient
                .chunks_exact_mut(width)
                .zip(slope.chunks_exact(width));
            for (gradient, slope) in tokens {
                for i in 0..width {
                    gradient[i] *= slope[i];
                    bias[i] += gradient[i];
                }
            }
        },
    );
}

/// Adds the rows of `gradient` (tokens, width) to the bias's gradient.
pub(super) fn bias_backward(gradient: &[f32], bias: &mut [f32]) {
    let width = bias.len();
    vectorized(
        #[inline(always)]
        || {
            for gradient in gradient.chunks_exact(width) {
                for i in 0..width {
                    bias[i] += gradient[i];
                }
            }
        },
    );
}

/// Sets all rows of `out` (tokens, width) to the bias.
pub(super) fn fill(out: &mut [f32], bias: &[f32]) {
    for row in out.chunks_exact_mut(bias.len()) {
        row.copy_from_slice(bias);
    }
}

/// Softmax of each row of `scores` (queries, keys), in place. Dropped probabilities get a minus
/// sign, so that the backward pass need not compute the mask again; `dropped` receives the
/// probabilities after dropout.
pub(super) fn softmax(
    scores: &mut [f32],
    keys: usize,
    mask: Option<Mask>,
    first: usize,
    dropped: &mut [f32],
) {
    vectorized(
        #[inline(always)]
        || {
            for (query, scores) in scores.chunks_exact_mut(keys).enumerate() {
                let peak = max(scores);
                for score in &mut *scores {
                    *score = exp(*score - peak);
                }
                let share = 1.0 / sum(scores, |x| x);
                let Some(mask) = mask else {
                    for score in &mut *scores {
                        *score *= share;
                    }
                    continue;
                };
                let (dropped, scores) = (&mut dropped[query * keys..][..keys], &mut scores[..keys]);
                let element = (first + query * keys) as u32;
                for key in 0..keys {
                    let probability = scores[key] * share;
                    let keeps = mask.keeps(element.wrapping_add(key as u32));
                    scores[key] = if keeps { probability } else { -probability };
                    dropped[key] = if keeps {
                        probability * mask.factor
                    } else {
                        0.0
                    };
                }
            }
        },
    );
}

/// Turns `gradient` (queries, keys) of the dropped probabilities into that of the scores; `dropped`
/// receives the dropped probabilities again. `row_dots` is the sum of gradient x dropped
/// probability per query.
pub(super) fn softmax_backward(
    gradient: &mut [f32],
    probabilities: &[f32],
    keys: usize,
    factor: f32,
    row_dots: &[f32],
    dropped: &mut [f32],
) {
    vectorized(
        #[inline(always)]
        || {
            let rows = gradient
                .chunks_exact_mut(keys)
                .zip(probabilities.chunks_exact(keys));
            for (((gradient, marked), dropped), &out) in
                rows.zip(dropped.chunks_exact_mut(keys)).zip(row_dots)
            {
                for key in 0..keys {
                    let keeps = !marked[key].is_sign_negative();
                    let probability = marked[key].abs();
                    let (kept, slope) = if keeps {
                        (probability * factor, gradient[key] * factor)
                    } else {
                        (0.0, 0.0)
                    };
                    dropped[key] = kept;
                    gradient[key] = probability * (slope - out);
                }
            }
        },
    );
}

/// Dot products of vectors of `width` numbers, `stride` apart, in `a` and `b`.
pub(super) fn dot_rows(a: &[f32], b: &[f32], (width, stride): (usize, usize), out: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (number, out) in out.iter_mut().enumerate() {
                let range = number * stride..number * stride + width;
                *out = sum2(&a[range.clone()], &b[range], |a, b| a * b);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_match_finite_differences() {
        for of in [gelu_erf, gelu_tanh] {
            for step in -60..60 {
                let x = step as f32 / 10.0;
                let rise = (of(x + 1e-2).0 - of(x - 1e-2).0) / 2e-2;
                assert!((rise - of(x).1).abs() < 1e-4, "{x}");
            }
            assert!(of(f32::NAN).0.is_nan());
            assert!((of(-30.0).0, of(30.0).0) == (-0.0, 30.0));
        }
        assert!(relu(f32::NAN).0.is_nan() && silu(f32::NAN).0.is_nan());
        for step in -60..60 {
            let x = step as f32 / 10.0;
            let rise = (silu(x + 1e-2).0 - silu(x - 1e-2).0) / 2e-2;
            assert!((rise - silu(x).1).abs() < 1e-4, "{x}");
        }
    }

    #[test]
    fn probabilities_sum_to_one_and_nan_is_not_hidden() {
        let mut scores: Vec<f32> = (0..90).map(|n| (n * 37 % 90) as f32 * 0.3).collect();
        softmax(&mut scores, 45, None, 0, &mut []);
        for row in scores.chunks(45) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        scores[7] = f32::NAN;
        softmax(&mut scores, 45, None, 0, &mut []);
        assert!(scores[0].is_nan() && !scores[50].is_nan());
    }
}

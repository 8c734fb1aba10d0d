//! Layer norm (Ba, Kiros and Hinton 2016), fused with bias, dropout and residual: one pass over a
//! token's numbers while they are in the L1 cache.

use linalg::simd::{sum, sum2, vectorized};

use super::dropout::Mask;

/// Parameters of a layer norm, (hidden) each.
#[derive(Clone, Copy)]
pub(super) struct Affine<'a> {
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) eps: f32,
}

/// Values for the backward pass.
pub(super) struct Normalized<'a> {
    /// (tokens, hidden), of mean 0 and variance 1
    pub(super) values: &'a mut [f32],
    /// (tokens), 1 / standard deviation
    pub(super) rstd: &'a mut [f32],
}

/// Gradients of the parameters, (hidden) each.
pub(super) struct AffineGradient<'a> {
    pub(super) weight: &'a mut [f32],
    pub(super) bias: &'a mut [f32],
}

/// Normalizes `values`. Returns 1 / standard deviation.
#[inline(always)]
fn normalise(values: &mut [f32], out: &mut [f32], affine: Affine<'_>) -> f32 {
    let width = values.len();
    let mean = sum(values, |x| x) / width as f32;
    let variance = sum(values, |x| (x - mean) * (x - mean)) / width as f32;
    let rstd = 1.0 / (variance + affine.eps).sqrt();
    let (out, weight, bias) = (
        &mut out[..width],
        &affine.weight[..width],
        &affine.bias[..width],
    );
    for i in 0..width {
        values[i] = (values[i] - mean) * rstd;
        out[i] = values[i] * weight[i] + bias[i];
    }
    rstd
}

/// Turns the gradient of the output into that of the input.
#[inline(always)]
fn backward(
    gradient: &mut [f32],
    normal: &[f32],
    rstd: f32,
    weight: &[f32],
    sums: &mut AffineGradient<'_>,
) {
    let width = gradient.len();
    let (normal, weight) = (&normal[..width], &weight[..width]);
    let (weight_sum, bias_sum) = (&mut sums.weight[..width], &mut sums.bias[..width]);
    for i in 0..width {
        weight_sum[i] += gradient[i] * normal[i];
        bias_sum[i] += gradient[i];
        gradient[i] *= weight[i];
    }
    let mean = sum(gradient, |x| x) / width as f32;
    let slope = sum2(gradient, normal, |x, y| x * y) / width as f32;
    for i in 0..width {
        gradient[i] = rstd * (gradient[i] - mean - normal[i] * slope);
    }
}

/// out = norm(residual + dropout(added + bias)), for the tokens of a row
pub(super) fn norm_sum(
    added: &[f32],
    bias: &[f32],
    residual: &[f32],
    mask: Option<Mask>,
    affine: Affine<'_>,
    normal: &mut Normalized<'_>,
    out: &mut [f32],
) {
    let width = bias.len();
    vectorized(
        #[inline(always)]
        || {
            let tokens = added.chunks_exact(width).zip(residual.chunks_exact(width));
            let places = normal
                .values
                .chunks_exact_mut(width)
                .zip(normal.rstd.iter_mut());
            let outs = out.chunks_exact_mut(width);
            for (token, (((added, residual), (sum, rstd)), out)) in
                tokens.zip(places).zip(outs).enumerate()
            {
                let (added, residual, sum) =
                    (&added[..width], &residual[..width], &mut sum[..width]);
                if let Some(mask) = mask {
                    let first = (token * width) as u32;
                    for i in 0..width {
                        let kept = mask.factor_of(first.wrapping_add(i as u32));
                        sum[i] = residual[i] + (added[i] + bias[i]) * kept;
                    }
                } else {
                    for i in 0..width {
                        sum[i] = residual[i] + (added[i] + bias[i]);
                    }
                }
                *rstd = normalise(sum, out, affine);
            }
        },
    );
}

/// Backward pass of `norm_sum`: `gradient` of the output becomes that of `residual`, `added`
/// receives that of `added`, and `bias` accumulates that of the bias.
pub(super) fn norm_sum_backward(
    gradient: &mut [f32],
    (values, rstds): (&[f32], &[f32]),
    weight: &[f32],
    mask: Option<Mask>,
    sums: &mut AffineGradient<'_>,
    added: &mut [f32],
    bias: &mut [f32],
) {
    let width = weight.len();
    vectorized(
        #[inline(always)]
        || {
            let tokens = values.chunks_exact(width).zip(rstds);
            let gradients = gradient
                .chunks_exact_mut(width)
                .zip(added.chunks_exact_mut(width));
            for (token, ((gradient, added), (normal, rstd))) in gradients.zip(tokens).enumerate() {
                backward(gradient, normal, *rstd, weight, sums);
                let (added, bias) = (&mut added[..width], &mut bias[..width]);
                if let Some(mask) = mask {
                    let first = (token * width) as u32;
                    for i in 0..width {
                        let kept = mask.factor_of(first.wrapping_add(i as u32));
                        added[i] = gradient[i] * kept;
                        bias[i] += added[i];
                    }
                } else {
                    added.copy_from_slice(gradient);
                    for i in 0..width {
                        bias[i] += gradient[i];
                    }
                }
            }
        },
    );
}

/// Normalizes the tokens in `normal.values`.
pub(super) fn norm_tokens(affine: Affine<'_>, normal: &mut Normalized<'_>, out: &mut [f32]) {
    let width = affine.weight.len();
    vectorized(
        #[inline(always)]
        || {
            let tokens = normal
                .values
                .chunks_exact_mut(width)
                .zip(normal.rstd.iter_mut());
            for ((values, rstd), out) in tokens.zip(out.chunks_exact_mut(width)) {
                *rstd = normalise(values, out, affine);
            }
        },
    );
}

/// Backward pass of `norm_tokens`, in place.
pub(super) fn norm_tokens_backward(
    gradient: &mut [f32],
    normal: &Normalized<'_>,
    weight: &[f32],
    sums: &mut AffineGradient<'_>,
) {
    let width = weight.len();
    vectorized(
        #[inline(always)]
        || {
            let tokens = normal.values.chunks_exact(width).zip(normal.rstd.iter());
            for (gradient, (normal, rstd)) in gradient.chunks_exact_mut(width).zip(tokens) {
                backward(gradient, normal, *rstd, weight, sums);
            }
        },
    );
}

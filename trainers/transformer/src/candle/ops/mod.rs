//! Operations of forward and backward pass besides matrix products.
//!
//! Tensors are contiguous. D is the dtype of activations: f32, or bf16 or f16 on GPUs. Long sums
//! are computed in f32.

mod relative_bias;
mod scatter_add;

use candle_core::{D, DType, Device, Result, Tensor};

pub(super) use self::relative_bias::distances;
use self::scatter_add::ScatterAdd;
use crate::architecture::Activation;
use crate::engine::AdamWStep;

/// The tokens of a batch.
pub(super) struct TokenBatch {
    pub(super) rows: usize,
    pub(super) seq: usize,
    /// Position id of the first token.
    pub(super) first_position: usize,
    /// The padding token, whose embedding is not trained.
    pub(super) pad: usize,
    /// Tokens of each row without padding.
    pub(super) lengths: Vec<usize>,
    /// rows * seq
    pub(super) ids: Vec<u32>,
    /// The same on the device, (rows * seq) u32.
    pub(super) ids_on_device: Tensor,
    /// (types, rows * seq) f32: 1 for the type of each token; `None` if all have type 0.
    pub(super) types: Option<Tensor>,
    /// See `distances`; `None` without a relative bias.
    pub(super) distances: Option<Tensor>,
}

/// Embeddings, or their gradients.
pub(super) struct EmbeddingTables {
    /// (vocab, hidden) f32
    pub(super) words: Tensor,
    /// (positions, hidden) f32
    pub(super) positions: Tensor,
    /// (types, hidden) f32
    pub(super) types: Option<Tensor>,
}

/// Parameters of a linear layer or of a layer norm, or their gradients.
pub(super) struct WeightAndBias {
    /// (outputs, inputs), or (hidden) f32
    pub(super) weight: Tensor,
    /// (outputs) or (hidden), f32
    pub(super) bias: Tensor,
}

/// Input of a layer norm: `residual + dropout(x + bias)`.
pub(super) struct NormInput<'a> {
    /// (tokens, hidden) D
    pub(super) x: &'a Tensor,
    /// (hidden) f32
    pub(super) bias: Option<&'a Tensor>,
    /// (tokens, hidden) D
    pub(super) residual: Option<&'a Tensor>,
    pub(super) mask: Option<&'a Tensor>,
}

/// Gradients of a layer norm.
pub(super) struct NormGradients {
    /// Gradient of the sum, equal to that of the residual (tokens, hidden) D.
    pub(super) sum: Tensor,
    /// Gradient of x (tokens, hidden) D.
    pub(super) x: Tensor,
    /// Gradient of the weight, not yet summed over tokens (tokens, hidden) D.
    pub(super) weight: Tensor,
}

/// Shape of multi-head attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    pub(super) rows: usize,
    pub(super) heads: usize,
    pub(super) seq: usize,
    /// Width of a head.
    pub(super) width: usize,
}

/// The vectors of an AdamW step, (len) f32 each.
pub(super) struct AdamWVectors<'a> {
    pub(super) weights: &'a Tensor,
    pub(super) gradients: &'a Tensor,
    pub(super) first: &'a Tensor,
    pub(super) second: &'a Tensor,
}

/// Operations on a device, composed of candle's own: several kernels and passes over memory each.
pub(super) struct CandleOps(pub(super) Device);

fn f32(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(DType::F32)
}

/// Returns x f32 (any shape of the mask's elements) times the factors.
fn masked(x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    match mask {
        Some(factors) => x.mul(&factors.reshape(x.shape())?),
        None => Ok(x.clone()),
    }
}

/// Returns (x - mean) / std and 1 / std: (tokens, hidden) and (tokens, 1) f32.
fn normalised(sum: &Tensor, eps: f64) -> Result<(Tensor, Tensor)> {
    let sum = f32(sum)?;
    let centred = sum.broadcast_sub(&sum.mean_keepdim(1)?)?;
    let deviation = (centred.sqr()?.mean_keepdim(1)? + eps)?.sqrt()?;
    Ok((centred.broadcast_div(&deviation)?, deviation.recip()?))
}

/// Returns the activation's factor of x, such as GELU's Phi(x), and its derivative, for x f32.
fn phi(x: &Tensor, activation: Activation) -> Result<(Tensor, Tensor)> {
    use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};
    match activation {
        Activation::GeluErf => {
            let phi = (((x * FRAC_1_SQRT_2)?.erf()? + 1.0)? * 0.5)?;
            let density = ((x.sqr()? * -0.5)?.exp()? * (1.0 / (2.0 * PI).sqrt()))?;
            Ok((phi, density))
        }
        Activation::GeluTanh => {
            // Hendrycks and Gimpel 2016
            let (a, b) = (FRAC_2_SQRT_PI * FRAC_1_SQRT_2, 0.044_715);
            let square = x.sqr()?;
            let tanh = ((x * ((&square * b)? + 1.0)?)? * a)?.tanh()?;
            let slope = (((&square * (3.0 * b))? + 1.0)? * a)?;
            let density = (tanh.sqr()?.affine(-0.5, 0.5)? * slope)?;
            Ok((((tanh + 1.0)? * 0.5)?, density))
        }
        Activation::Relu => {
            let phi = f32(&x.gt(0.0)?)?;
            let density = phi.zeros_like()?;
            Ok((phi, density))
        }
        Activation::Silu => {
            let phi = (x.neg()?.exp()? + 1.0)?.recip()?;
            let density = (&phi * phi.affine(-1.0, 1.0)?)?;
            Ok((phi, density))
        }
    }
}

/// Returns (rows, 1, 1, seq) f32: 0, and -inf for padding.
fn padding(tokens: &TokenBatch, device: &Device) -> Result<Tensor> {
    let ends = tokens.lengths.iter();
    let all: Vec<f32> = ends
        .flat_map(|&end| {
            (0..tokens.seq).map(move |at| if at < end { 0.0 } else { f32::NEG_INFINITY })
        })
        .collect();
    Tensor::from_vec(all, (tokens.rows, 1, 1, tokens.seq), device)
}

/// Overwrites a part of a vector.
fn assign(part: &Tensor, values: &Tensor) -> Result<()> {
    part.slice_set(&values.contiguous()?, 0, 0)
}

impl CandleOps {
    /// Applies dropout to x (any shape of the mask's elements).
    pub(super) fn dropout(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        masked(&f32(x)?, Some(mask))?.to_dtype(x.dtype())
    }

    /// Returns the sum of the embeddings of each token (tokens, hidden) in this dtype.
    pub(super) fn embed(
        &self,
        tables: &EmbeddingTables,
        tokens: &TokenBatch,
        dtype: DType,
    ) -> Result<Tensor> {
        let words = tables.words.index_select(&tokens.ids_on_device, 0)?; // (tokens, hidden) f32
        let hidden = words.dim(1)?;
        let positions = tables
            .positions
            .narrow(0, tokens.first_position, tokens.seq)?; // (seq, hidden) f32
        let mut sum = words
            .reshape((tokens.rows, tokens.seq, hidden))?
            .broadcast_add(&positions)?; // (rows, seq, hidden) f32
        match (&tables.types, &tokens.types) {
            (None, _) => {}
            (Some(types), None) => {
                sum = sum.broadcast_add(&types.narrow(0, 0, 1)?)?; // (rows, seq, hidden) f32
            }
            (Some(types), Some(one_hot)) => {
                let used = types.narrow(0, 0, one_hot.dim(0)?)?; // (types, hidden) f32
                let of_types = one_hot.t()?.contiguous()?.matmul(&used)?; // (tokens, hidden) f32
                sum = (&sum + of_types.reshape(sum.shape())?)?; // (rows, seq, hidden) f32
            }
        }
        sum.reshape((tokens.rows * tokens.seq, hidden))?
            .to_dtype(dtype)
    }

    /// Adds the gradient (tokens, hidden) D of the embeddings' sum to the tables'. It is zero for
    /// padding; the padding token has none even within a text, as with PyTorch's `padding_idx`.
    pub(super) fn embed_backward(
        &self,
        gradient: &Tensor,
        tokens: &TokenBatch,
        tables: &EmbeddingTables,
    ) -> Result<()> {
        let gradient = f32(gradient)?; // (tokens, hidden) f32
        let scatter = ScatterAdd::new(&tokens.ids, tables.words.dim(0)?, tokens.pad);
        self.add(&tables.words, &scatter.sum(&gradient)?)?; // (vocab, hidden) f32
        let by_row = gradient.reshape((tokens.rows, tokens.seq, ()))?; // (rows, seq, hidden) f32
        let positions = by_row.sum(0)?; // (seq, hidden) f32
        self.add(
            &tables
                .positions
                .narrow(0, tokens.first_position, tokens.seq)?,
            &positions,
        )?;
        match (&tables.types, &tokens.types) {
            (None, _) => Ok(()),
            // (1, hidden) f32
            (Some(types), None) => self.add(&types.narrow(0, 0, 1)?, &positions.sum_keepdim(0)?),
            (Some(types), Some(one_hot)) => {
                let used = types.narrow(0, 0, one_hot.dim(0)?)?; // (types, hidden) f32
                self.add(&used, &one_hot.matmul(&gradient)?)
            }
        }
    }

    /// Returns the layer norm of the sum, and the sum: (tokens, hidden) D each.
    pub(super) fn norm(
        &self,
        sum: &NormInput<'_>,
        norm: &WeightAndBias,
        eps: f64,
    ) -> Result<(Tensor, Tensor)> {
        let dtype = sum.x.dtype();
        let mut z = f32(sum.x)?; // (tokens, hidden) f32
        if let Some(bias) = sum.bias {
            z = z.broadcast_add(bias)?;
        }
        z = masked(&z, sum.mask)?;
        if let Some(residual) = sum.residual {
            z = (z + f32(residual)?)?;
        }
        let z = z.to_dtype(dtype)?; // (tokens, hidden) D
        let (x, _) = normalised(&z, eps)?; // (tokens, hidden) f32
        let y = x.broadcast_mul(&norm.weight)?.broadcast_add(&norm.bias)?; // (tokens, hidden) f32
        Ok((y.to_dtype(dtype)?, z))
    }

    /// Returns gradients from that of the output of `norm` (tokens, hidden) D and the sum.
    pub(super) fn norm_backward(
        &self,
        gradient: &Tensor,
        sum: &Tensor,
        norm: &WeightAndBias,
        mask: Option<&Tensor>,
        eps: f64,
    ) -> Result<NormGradients> {
        let dtype = sum.dtype();
        let (x, scale) = normalised(sum, eps)?; // (tokens, hidden), (tokens, 1) f32
        let gradient = f32(gradient)?; // (tokens, hidden) f32
        let weighted = gradient.broadcast_mul(&norm.weight)?; // (tokens, hidden) f32
        let mean = weighted.mean_keepdim(1)?; // (tokens, 1) f32
        let along = (&weighted * &x)?.mean_keepdim(1)?; // (tokens, 1) f32
        let across = weighted
            .broadcast_sub(&mean)?
            .sub(&x.broadcast_mul(&along)?)?; // (tokens, hidden) f32
        let of_sum = across.broadcast_mul(&scale)?; // (tokens, hidden) f32
        Ok(NormGradients {
            x: masked(&of_sum, mask)?.to_dtype(dtype)?,
            sum: of_sum.to_dtype(dtype)?,
            weight: (gradient * x)?.to_dtype(dtype)?,
        })
    }

    /// Splits (tokens, parts * hidden) D plus the bias (parts * hidden) f32 into `parts` tensors
    /// (rows, heads, seq, width) D.
    pub(super) fn split(
        &self,
        x: &Tensor,
        bias: Option<&Tensor>,
        heads: Heads,
        parts: usize,
    ) -> Result<Vec<Tensor>> {
        let x = match bias {
            Some(bias) => x.broadcast_add(&bias.to_dtype(x.dtype())?)?, // (tokens, parts * hidden) D
            None => x.clone(),
        };
        let Heads {
            rows,
            heads,
            seq,
            width,
        } = heads;
        let x = x.reshape((rows, seq, parts, heads, width))?;
        let part = |part| {
            x.narrow(2, part, 1)?
                .squeeze(2)?
                .transpose(1, 2)?
                .contiguous()
        }; // (rows, heads, seq, width) D
        (0..parts).map(part).collect()
    }

    /// Joins tensors (rows, heads, seq, width) D to (tokens, parts * hidden) D.
    pub(super) fn merge(&self, parts: &[&Tensor], heads: Heads) -> Result<Tensor> {
        let hidden = heads.heads * heads.width;
        let flat = parts.iter().map(|part| {
            let by_token = part.transpose(1, 2)?.contiguous()?; // (rows, seq, heads, width) D
            by_token.reshape((heads.rows * heads.seq, hidden))
        });
        Tensor::cat(&flat.collect::<Result<Vec<_>>>()?, 1)?.contiguous() // (tokens, parts * hidden) D
    }

    /// Returns the probabilities of scores (rows, heads, seq, seq) D plus bias (heads, seq, seq) f32
    /// without padding, before and after dropout.
    pub(super) fn softmax(
        &self,
        scores: &Tensor,
        tokens: &TokenBatch,
        bias: Option<&Tensor>,
        mask: Option<&Tensor>,
    ) -> Result<(Tensor, Tensor)> {
        let dtype = scores.dtype();
        let mut scores = f32(scores)?.broadcast_add(&padding(tokens, &self.0)?)?; // (rows, heads, seq, seq) f32
        if let Some(bias) = bias {
            scores = scores.broadcast_add(bias)?;
        }
        let exponentials = scores
            .broadcast_sub(&scores.max_keepdim(D::Minus1)?)?
            .exp()?;
        let all = exponentials.broadcast_div(&exponentials.sum_keepdim(D::Minus1)?)?;
        let dropped = masked(&all, mask)?.to_dtype(dtype)?; // (rows, heads, seq, seq) D
        Ok((all.to_dtype(dtype)?, dropped))
    }

    /// Returns the gradient of the scores, from that of the dropped probabilities and the
    /// probabilities (rows, heads, seq, seq) D.
    pub(super) fn softmax_backward(
        &self,
        gradient: &Tensor,
        probabilities: &Tensor,
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        let p = f32(probabilities)?; // (rows, heads, seq, seq) f32
        let gradient = masked(&f32(gradient)?, mask)?; // (rows, heads, seq, seq) f32
        let along = (&gradient * &p)?.sum_keepdim(D::Minus1)?; // (rows, heads, seq, 1) f32
        let of_scores = (gradient.broadcast_sub(&along)? * p)?; // (rows, heads, seq, seq) f32
        of_scores.to_dtype(probabilities.dtype())
    }

    /// Returns activation(x + bias), (tokens, intermediate) D.
    pub(super) fn activate(
        &self,
        x: &Tensor,
        bias: &Tensor,
        activation: Activation,
    ) -> Result<Tensor> {
        let sum = f32(x)?.broadcast_add(bias)?; // (tokens, intermediate) f32
        let (phi, _) = phi(&sum, activation)?;
        (sum * phi)?.to_dtype(x.dtype())
    }

    /// Returns the gradient of x.
    pub(super) fn activate_backward(
        &self,
        gradient: &Tensor,
        x: &Tensor,
        bias: &Tensor,
        activation: Activation,
    ) -> Result<Tensor> {
        let sum = f32(x)?.broadcast_add(bias)?; // (tokens, intermediate) f32
        let (phi, density) = phi(&sum, activation)?;
        let slope = (phi + (sum * density)?)?; // (tokens, intermediate) f32
        (f32(gradient)? * slope)?.to_dtype(x.dtype())
    }

    /// Adds a gradient of D or f32 to a part of an f32 vector, in place.
    pub(super) fn add(&self, sum: &Tensor, gradient: &Tensor) -> Result<()> {
        assign(sum, &(sum + f32(gradient)?)?)
    }

    /// Applies AdamW to `len` elements from `start`; `decay` is their weight decay.
    pub(super) fn adamw(
        &self,
        vectors: &AdamWVectors<'_>,
        (start, len): (usize, usize),
        adamw: &AdamWStep,
        decay: f64,
    ) -> Result<()> {
        let part = |vector: &Tensor| vector.narrow(0, start, len); // (len) f32
        // The bias correction, folded into two factors.
        let step = adamw.step as f64;
        let rate = adamw.rate / (1.0 - adamw.beta_1.powf(step));
        let root = 1.0 / (1.0 - adamw.beta_2.powf(step)).sqrt();
        let gradient = (part(vectors.gradients)? * adamw.scale)?;
        let first = part(vectors.first)?;
        let first_new = ((&first * adamw.beta_1)? + (&gradient * (1.0 - adamw.beta_1))?)?;
        let second = part(vectors.second)?;
        let second_new = ((&second * adamw.beta_2)? + (gradient.sqr()? * (1.0 - adamw.beta_2))?)?;
        let deviation = ((second_new.sqrt()? * root)? + adamw.epsilon)?;
        let weights = part(vectors.weights)?;
        let weights_new =
            ((&weights * (1.0 - adamw.rate * decay))? - (first_new.div(&deviation)? * rate)?)?;
        assign(&first, &first_new)?;
        assign(&second, &second_new)?;
        assign(&weights, &weights_new)
    }
}

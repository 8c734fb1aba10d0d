//! Operations of forward and backward pass besides matrix products.
//!
//! Tensors are contiguous. D is the dtype of activations: f32, or bf16 or f16 on GPUs. Long sums
//! are computed in f32.

mod composite;
mod scatter_add;

use candle_core::{DType, Result, Tensor};

use super::dropout::{Mask, MaskShape};
use crate::architecture::Activation;
use crate::engine::{AdamWStep, DropoutKey};

pub(super) use composite::CandleOps;

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

/// A layer norm's parameters, or their gradients.
pub(super) struct Norm {
    /// (hidden) f32
    pub(super) weight: Tensor,
    /// (hidden) f32
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
    pub(super) mask: Option<&'a Mask>,
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

/// Operations on a device.
pub(super) trait Ops: Send + Sync {
    /// Draws a mask.
    fn mask(&self, dropout_key: DropoutKey, site: u64, p: f64, shape: MaskShape) -> Result<Mask>;

    /// Applies dropout to x (any shape of the mask's elements).
    fn dropout(&self, x: &Tensor, mask: &Mask) -> Result<Tensor>;

    /// Returns the sum of the embeddings of each token (tokens, hidden) in this dtype.
    fn embed(&self, tables: &EmbeddingTables, tokens: &TokenBatch, dtype: DType) -> Result<Tensor>;

    /// Adds the gradient (tokens, hidden) D of the embeddings' sum to the tables'. It is zero for
    /// padding; the padding token has none even within a text, as with PyTorch's `padding_idx`.
    fn embed_backward(
        &self,
        gradient: &Tensor,
        tokens: &TokenBatch,
        tables: &EmbeddingTables,
    ) -> Result<()>;

    /// Returns the layer norm of the sum, and the sum: (tokens, hidden) D each.
    fn norm(&self, sum: &NormInput<'_>, norm: &Norm, eps: f64) -> Result<(Tensor, Tensor)>;

    /// Returns gradients from that of the output of `norm` (tokens, hidden) D and the sum.
    fn norm_backward(
        &self,
        gradient: &Tensor,
        sum: &Tensor,
        norm: &Norm,
        mask: Option<&Mask>,
        eps: f64,
    ) -> Result<NormGradients>;

    /// Splits (tokens, parts * hidden) D plus the bias (parts * hidden) f32 into `parts` tensors
    /// (rows, heads, seq, width) D.
    fn split(
        &self,
        x: &Tensor,
        bias: Option<&Tensor>,
        heads: Heads,
        parts: usize,
    ) -> Result<Vec<Tensor>>;

    /// Joins tensors (rows, heads, seq, width) D to (tokens, parts * hidden) D.
    fn merge(&self, parts: &[&Tensor], heads: Heads) -> Result<Tensor>;

    /// Returns the probabilities of scores (rows, heads, seq, seq) D without padding, before and
    /// after dropout.
    fn softmax(
        &self,
        scores: &Tensor,
        tokens: &TokenBatch,
        mask: Option<&Mask>,
    ) -> Result<(Tensor, Tensor)>;

    /// Returns the gradient of the scores, from that of the dropped probabilities and the
    /// probabilities (rows, heads, seq, seq) D.
    fn softmax_backward(
        &self,
        gradient: &Tensor,
        probabilities: &Tensor,
        mask: Option<&Mask>,
    ) -> Result<Tensor>;

    /// Returns activation(x + bias), (tokens, intermediate) D.
    fn activate(&self, x: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor>;

    /// Returns the gradient of x.
    fn activate_backward(
        &self,
        gradient: &Tensor,
        x: &Tensor,
        bias: &Tensor,
        activation: Activation,
    ) -> Result<Tensor>;

    /// Adds a gradient of D or f32 to a part of an f32 vector, in place.
    fn add(&self, sum: &Tensor, gradient: &Tensor) -> Result<()>;

    /// Applies AdamW to `len` elements from `start`; `decay` is their weight decay.
    fn adamw(
        &self,
        vectors: &AdamWVectors<'_>,
        range: (usize, usize),
        adamw: &AdamWStep,
        decay: f64,
    ) -> Result<()>;
}

/// AdamW's bias correction, folded into two factors.
pub(super) struct BiasCorrection {
    /// Of first moment / sqrt(second moment).
    pub(super) rate: f64,
    /// Of sqrt(second moment).
    pub(super) root: f64,
}

fn bias_correction(adamw: &AdamWStep) -> BiasCorrection {
    let step = adamw.step as f64;
    BiasCorrection {
        rate: adamw.rate / (1.0 - adamw.beta_1.powf(step)),
        root: 1.0 / (1.0 - adamw.beta_2.powf(step)).sqrt(),
    }
}

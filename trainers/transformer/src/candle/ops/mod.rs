//! What the passes are made of besides matrix products, of candle's own operations (`CandleOps`) on every device.
//!
//! Tensors are contiguous. D is the activations' type: f32, or bf16 or f16 on GPUs. What adds up many numbers does so in
//! f32.

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
    /// Row of the position embeddings for the first token.
    pub(super) first_position: usize,
    /// The token for padding, whose embedding does not learn.
    pub(super) pad: usize,
    /// Tokens of each row that are no padding.
    pub(super) lengths: Vec<usize>,
    /// rows * seq
    pub(super) ids: Vec<u32>,
    /// The same on the device (rows * seq) u32.
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

/// What goes into a layer norm: `residual + dropout(x + bias)`.
pub(super) struct NormInput<'a> {
    /// (tokens, hidden) D
    pub(super) x: &'a Tensor,
    /// (hidden) f32
    pub(super) bias: Option<&'a Tensor>,
    /// (tokens, hidden) D
    pub(super) residual: Option<&'a Tensor>,
    pub(super) mask: Option<&'a Mask>,
}

/// What a layer norm hands back.
pub(super) struct NormGradients {
    /// Of the sum, and so of the residual (tokens, hidden) D.
    pub(super) sum: Tensor,
    /// Of x (tokens, hidden) D.
    pub(super) x: Tensor,
    /// Of the weight, before it is summed over tokens (tokens, hidden) D.
    pub(super) weight: Tensor,
}

/// The heads of an attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    pub(super) rows: usize,
    pub(super) heads: usize,
    pub(super) seq: usize,
    /// Width of a head.
    pub(super) width: usize,
}

/// The vectors that a step changes, (len) f32 each.
pub(super) struct AdamWVectors<'a> {
    pub(super) weights: &'a Tensor,
    pub(super) gradients: &'a Tensor,
    pub(super) first: &'a Tensor,
    pub(super) second: &'a Tensor,
}

/// See the module.
pub(super) trait Ops: Send + Sync {
    /// Draws a mask.
    fn mask(&self, dropout_key: DropoutKey, site: u64, p: f64, shape: MaskShape) -> Result<Mask>;

    /// x with the mask's elements dropped (.., any shape of the grid's elements).
    fn dropout(&self, x: &Tensor, mask: &Mask) -> Result<Tensor>;

    /// The sum of all embeddings of each token (tokens, hidden) of this type.
    fn embed(&self, tables: &EmbeddingTables, tokens: &TokenBatch, dtype: DType) -> Result<Tensor>;

    /// Adds the gradient (tokens, hidden) D of the embeddings' sum to the tables'. That of padding is zero;
    /// the token for padding has none even where a text holds it, as with PyTorch's `padding_idx`.
    fn embed_backward(
        &self,
        gradient: &Tensor,
        tokens: &TokenBatch,
        tables: &EmbeddingTables,
    ) -> Result<()>;

    /// The layer norm of the sum, and the sum: (tokens, hidden) D each.
    fn norm(&self, sum: &NormInput<'_>, norm: &Norm, eps: f64) -> Result<(Tensor, Tensor)>;

    /// From the gradient (tokens, hidden) D of what `norm` gave, and the sum.
    fn norm_backward(
        &self,
        gradient: &Tensor,
        sum: &Tensor,
        norm: &Norm,
        mask: Option<&Mask>,
        eps: f64,
    ) -> Result<NormGradients>;

    /// (tokens, parts * hidden) D plus the bias (parts * hidden) f32, as `parts` tensors (rows, heads, seq, width) D.
    fn split(
        &self,
        x: &Tensor,
        bias: Option<&Tensor>,
        heads: Heads,
        parts: usize,
    ) -> Result<Vec<Tensor>>;

    /// Tensors (rows, heads, seq, width) D as one (tokens, parts * hidden) D.
    fn merge(&self, parts: &[&Tensor], heads: Heads) -> Result<Tensor>;

    /// Probabilities of scores (rows, heads, seq, seq) D over what is no padding; as they are, and with dropout.
    fn softmax(
        &self,
        scores: &Tensor,
        tokens: &TokenBatch,
        mask: Option<&Mask>,
    ) -> Result<(Tensor, Tensor)>;

    /// The gradient of the scores, from that of the dropped probabilities and the probabilities (rows, heads, seq, seq) D.
    fn softmax_backward(
        &self,
        gradient: &Tensor,
        probabilities: &Tensor,
        mask: Option<&Mask>,
    ) -> Result<Tensor>;

    /// activation(x + bias), (tokens, intermediate) D.
    fn activate(&self, x: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor>;

    /// The gradient of x.
    fn activate_backward(
        &self,
        gradient: &Tensor,
        x: &Tensor,
        bias: &Tensor,
        activation: Activation,
    ) -> Result<Tensor>;

    /// Adds a gradient of D or f32 to this part of a vector, f32 of the same shape.
    fn add(&self, sum: &Tensor, gradient: &Tensor) -> Result<()>;

    /// AdamW on `len` elements from `start` on; `decay` is the weight decay of these.
    fn adamw(
        &self,
        vectors: &AdamWVectors<'_>,
        range: (usize, usize),
        adamw: &AdamWStep,
        decay: f64,
    ) -> Result<()>;
}

/// AdamW's step with the corrections of its moments, which start at 0, taken in.
pub(super) struct BiasCorrection {
    /// Of the first moment over the root of the second.
    pub(super) rate: f64,
    /// What the root of the second moment is multiplied by.
    pub(super) root: f64,
}

fn bias_correction(adamw: &AdamWStep) -> BiasCorrection {
    let step = adamw.step as f64;
    BiasCorrection {
        rate: adamw.rate / (1.0 - adamw.beta_1.powf(step)),
        root: 1.0 / (1.0 - adamw.beta_2.powf(step)).sqrt(),
    }
}

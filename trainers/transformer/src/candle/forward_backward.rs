//! Forward and backward pass of the network.

use candle_core::{DType, Result, Tensor};

use super::attention::AttentionTape;
use super::dropout::{self, MaskShape, device_seed};
use super::net::{Layer, Net};
use super::ops::{NormGradients, NormInput, TokenBatch, WeightAndBias};
use crate::architecture::Family;
use crate::engine::DropoutKey;

/// Offsets of the dropout sites in a layer, and their number.
const ATTENTION: u64 = 0;
const ATTENTION_OUT: u64 = 1;
const OUT: u64 = 2;
const SITES: u64 = 3;

/// Tensors saved for the backward pass.
pub(super) struct Tape {
    /// Sum of the embeddings (tokens, hidden) D
    sum: Tensor,
    mask: Option<Tensor>,
    layers: Vec<LayerTape>,
    head: HeadTape,
}

struct LayerTape {
    /// (tokens, hidden) D
    x: Tensor,
    attention: AttentionTape,
    /// (tokens, hidden) D
    context: Tensor,
    /// Inputs of the layer norms (tokens, hidden) D
    attention_sum: Tensor,
    out_sum: Tensor,
    /// (tokens, hidden) D
    middle: Tensor,
    /// Before and after the activation (tokens, intermediate) D
    up: Tensor,
    active: Tensor,
    attention_out_mask: Option<Tensor>,
    out_mask: Option<Tensor>,
}

struct HeadTape {
    /// Input of the dense layer (rows, hidden) f32
    first: Tensor,
    first_mask: Option<Tensor>,
    /// After tanh or relu (rows, hidden) f32
    dense: Tensor,
    /// Input of the last layer (rows, hidden) f32
    dropped: Tensor,
    mask: Option<Tensor>,
}

/// Returns x (n, inputs) times the transposed weight: (n, outputs), without bias.
fn matmul_t(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.matmul(&weight.t()?)
}

impl Net {
    pub(super) fn mask(
        &self,
        dropout_key: Option<DropoutKey>,
        site: u64,
        p: f64,
        rows: usize,
        dims: [usize; 3],
        strides: [usize; 2],
    ) -> Result<Option<Tensor>> {
        let Some(dropout_key) = dropout_key.filter(|_| p > 0.0) else {
            return Ok(None);
        };
        let grid = MaskShape {
            rows,
            dims,
            strides,
        };
        dropout::mask(dropout_key, site, p, grid, &self.device).map(Some)
    }

    /// Returns a mask of (tokens, hidden).
    fn hidden_mask(
        &self,
        dropout_key: Option<DropoutKey>,
        site: u64,
        tokens: &TokenBatch,
    ) -> Result<Option<Tensor>> {
        let p = self.architecture.dropout.hidden;
        let hidden = self.architecture.hidden_size;
        let dims = [1, tokens.seq, hidden];
        self.mask(dropout_key, site, p, tokens.rows, dims, [0, hidden])
    }

    /// Returns a mask of (rows, hidden).
    fn head_mask(
        &self,
        dropout_key: Option<DropoutKey>,
        site: u64,
        rows: usize,
    ) -> Result<Option<Tensor>> {
        let p = self.architecture.dropout.head;
        let hidden = self.architecture.hidden_size;
        self.mask(dropout_key, site, p, rows, [1, 1, hidden], [0, 0])
    }

    fn dropped(&self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        match mask {
            Some(mask) => self.ops.dropout(x, mask),
            None => Ok(x.clone()),
        }
    }

    /// Returns logits (rows, classes) f32; the tape contains the layers only if `keep`.
    pub(super) fn forward(
        &self,
        tokens: &TokenBatch,
        dropout_key: Option<DropoutKey>,
        keep: bool,
    ) -> Result<(Tensor, Tape)> {
        // candle's CPU device has no seed; its masks are computed here.
        if let Some(dropout_key) = dropout_key.filter(|_| !self.device.is_cpu()) {
            self.device.set_seed(device_seed(dropout_key))?;
        }
        let (weights, eps) = (&self.parameters, self.architecture.layer_norm_eps);
        let sum = self.ops.embed(&weights.tables, tokens, self.dtype)?; // (tokens, hidden) D
        let plain = NormInput {
            x: &sum,
            bias: None,
            residual: None,
            mask: None,
        };
        let (x, sum) = self.ops.norm(&plain, &weights.norm, eps)?; // (tokens, hidden) D
        let site = self.architecture.num_hidden_layers as u64 * SITES;
        let mask = self.hidden_mask(dropout_key, site, tokens)?;
        let mut x = self.dropped(&x, mask.as_ref())?; // (tokens, hidden) D
        let table = weights.relative_bias.as_ref();
        let bias = self.ops.relative_bias(table, tokens)?; // (heads, seq, seq) f32
        let mut layers = Vec::with_capacity(weights.layers.len());
        for (number, layer) in weights.layers.iter().enumerate() {
            let (bias, site) = (bias.as_ref(), number as u64 * SITES);
            let (y, tape) = self.layer(layer, x, tokens, bias, dropout_key, site)?;
            if keep {
                layers.push(tape);
            }
            x = y; // (tokens, hidden) D
        }
        let (logits, head) = self.head(&x, tokens, dropout_key, site)?; // (rows, classes) f32
        let tape = Tape {
            sum,
            mask,
            layers,
            head,
        };
        Ok((logits, tape))
    }

    /// Returns the layer's output (tokens, hidden) D.
    fn layer(
        &self,
        layer: &Layer,
        x: Tensor,
        tokens: &TokenBatch,
        bias: Option<&Tensor>,
        dropout_key: Option<DropoutKey>,
        site: u64,
    ) -> Result<(Tensor, LayerTape)> {
        let (ops, architecture) = (&self.ops, &self.architecture);
        let projected = matmul_t(&x, &layer.qkv.weight)?; // (tokens, 3 * hidden) D
        let qkv = ops.split(&projected, Some(&layer.qkv.bias), self.heads(tokens), 3)?;
        let (context, attention) =
            self.attention(qkv, tokens, bias, dropout_key, site + ATTENTION)?; // (tokens, hidden) D
        // DistilBERT has no dropout here.
        let here = dropout_key.filter(|_| architecture.family != Family::DistilBert);
        let attention_out_mask = self.hidden_mask(here, site + ATTENTION_OUT, tokens)?;
        let attention_in = NormInput {
            x: &matmul_t(&context, &layer.out.weight)?, // (tokens, hidden) D
            bias: Some(&layer.out.bias),
            residual: Some(&x),
            mask: attention_out_mask.as_ref(),
        };
        let eps = architecture.layer_norm_eps;
        let (middle, attention_sum) = ops.norm(&attention_in, &layer.attention_norm, eps)?; // (tokens, hidden) D
        let up = matmul_t(&middle, &layer.up.weight)?; // (tokens, intermediate) D
        let active = ops.activate(&up, &layer.up.bias, architecture.hidden_act)?; // (tokens, intermediate) D
        let out_mask = self.hidden_mask(dropout_key, site + OUT, tokens)?;
        let out = NormInput {
            x: &matmul_t(&active, &layer.down.weight)?, // (tokens, hidden) D
            bias: Some(&layer.down.bias),
            residual: Some(&middle),
            mask: out_mask.as_ref(),
        };
        let (y, out_sum) = ops.norm(&out, &layer.out_norm, eps)?; // (tokens, hidden) D
        let tape = LayerTape {
            x,
            attention,
            context,
            attention_sum,
            out_sum,
            middle,
            up,
            active,
            attention_out_mask,
            out_mask,
        };
        Ok((y, tape))
    }

    /// Returns logits (rows, classes) f32.
    fn head(
        &self,
        x: &Tensor,
        tokens: &TokenBatch,
        dropout_key: Option<DropoutKey>,
        site: u64,
    ) -> Result<(Tensor, HeadTape)> {
        let (family, weights) = (self.architecture.family, &self.parameters);
        let x = x.reshape((tokens.rows, tokens.seq, ()))?; // (rows, seq, hidden) D
        let first = x.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?; // (rows, hidden) D
        let first = first.to_dtype(DType::F32)?;
        let roberta = dropout_key.filter(|_| family.is_like_roberta());
        let first_mask = self.head_mask(roberta, site + 1, tokens.rows)?;
        let first = self.dropped(&first, first_mask.as_ref())?; // (rows, hidden) f32
        let dense = matmul_t(&first, &weights.dense.weight)?.broadcast_add(&weights.dense.bias)?; // (rows, hidden) f32
        let dense = match family {
            Family::DistilBert => dense.relu()?,
            Family::Bert | Family::Roberta | Family::MpNet => dense.tanh()?,
        };
        let mask = self.head_mask(dropout_key, site + 2, tokens.rows)?;
        let dropped = self.dropped(&dense, mask.as_ref())?; // (rows, hidden) f32
        let logits = matmul_t(&dropped, &weights.out.weight)?.broadcast_add(&weights.out.bias)?; // (rows, classes) f32
        let tape = HeadTape {
            first,
            first_mask,
            dense,
            dropped,
            mask,
        };
        Ok((logits, tape))
    }

    /// Accumulates gradients, from that of the logits (rows, classes) f32.
    pub(super) fn backward(&self, tokens: &TokenBatch, tape: Tape, logits: &Tensor) -> Result<()> {
        let (first_trained, sums) = (self.first_trained_layer(), &self.buffers()?.gradient_views);
        let mut gradient = self.head_backward(tokens, &tape.head, logits)?; // (tokens, hidden) D
        let ones = Tensor::ones((1, gradient.dim(0)?), self.dtype, &self.device)?; // (1, tokens) D
        for (number, layer) in tape.layers.into_iter().enumerate().rev() {
            if first_trained.is_some_and(|first_trained| number < first_trained) {
                return Ok(());
            }
            gradient = self.layer_backward(number, &layer, tokens, &gradient, &ones)?; // (tokens, hidden) D
        }
        if first_trained.is_some() {
            return Ok(());
        }
        let gradient = self.dropped(&gradient, tape.mask.as_ref())?; // (tokens, hidden) D
        let (norm, eps) = (&self.parameters.norm, self.architecture.layer_norm_eps);
        let parts = self
            .ops
            .norm_backward(&gradient, &tape.sum, norm, None, eps)?;
        self.add_columns(&sums.norm.weight, &ones, &parts.weight)?;
        self.add_columns(&sums.norm.bias, &ones, &gradient)?;
        self.ops.embed_backward(&parts.sum, tokens, &sums.tables)
    }

    /// Adds the sum of `gradient` (tokens, outputs) D over tokens to a bias's gradient (outputs)
    /// f32. As a matrix product: candle's sum over the first dimension has strided reads on a GPU.
    fn add_columns(&self, sum: &Tensor, ones: &Tensor, gradient: &Tensor) -> Result<()> {
        self.ops.add(sum, &ones.matmul(gradient)?.squeeze(0)?) // (outputs) D
    }

    /// Accumulates a linear layer's gradients, from that of its output (n, outputs) and its input
    /// (n, inputs).
    fn add_linear(
        &self,
        sums: &WeightAndBias,
        ones: &Tensor,
        gradient: &Tensor,
        x: &Tensor,
    ) -> Result<()> {
        self.ops.add(&sums.weight, &gradient.t()?.matmul(x)?)?; // (outputs, inputs)
        self.add_columns(&sums.bias, ones, gradient)
    }

    /// Returns the gradient of the last layer's output (tokens, hidden) D.
    fn head_backward(
        &self,
        tokens: &TokenBatch,
        tape: &HeadTape,
        logits: &Tensor,
    ) -> Result<Tensor> {
        let (weights, sums) = (&self.parameters, &self.buffers()?.gradient_views);
        let ones = Tensor::ones((1, tokens.rows), DType::F32, &self.device)?; // (1, rows) f32
        self.add_linear(&sums.out, &ones, logits, &tape.dropped)?;
        let dropped = logits.matmul(&weights.out.weight)?; // (rows, hidden) f32
        let dense = self.dropped(&dropped, tape.mask.as_ref())?; // (rows, hidden) f32
        let slope = match self.architecture.family {
            Family::DistilBert => tape.dense.gt(0.0)?.to_dtype(DType::F32)?,
            Family::Bert | Family::Roberta | Family::MpNet => {
                tape.dense.sqr()?.affine(-1.0, 1.0)?
            }
        };
        let dense = (dense * slope)?; // (rows, hidden) f32
        self.add_linear(&sums.dense, &ones, &dense, &tape.first)?;
        let first = dense.matmul(&weights.dense.weight)?; // (rows, hidden) f32
        let first = self
            .dropped(&first, tape.first_mask.as_ref())?
            .to_dtype(self.dtype)?;
        let all = first.unsqueeze(1)?.pad_with_zeros(1, 0, tokens.seq - 1)?; // (rows, seq, hidden) D
        all.reshape((tokens.rows * tokens.seq, ()))?.contiguous()
    }

    /// Returns the gradient of the layer's input (tokens, hidden) D.
    fn layer_backward(
        &self,
        number: usize,
        tape: &LayerTape,
        tokens: &TokenBatch,
        gradient: &Tensor,
        ones: &Tensor,
    ) -> Result<Tensor> {
        let (layer, sums) = (
            &self.parameters.layers[number],
            &self.buffers()?.gradient_views.layers[number],
        );
        let (ops, activation) = (&self.ops, self.architecture.hidden_act);
        let norm =
            |gradient: &Tensor, sum, norm, to: &WeightAndBias, mask| -> Result<NormGradients> {
                let eps = self.architecture.layer_norm_eps;
                let parts = ops.norm_backward(gradient, sum, norm, mask, eps)?;
                self.add_columns(&to.weight, ones, &parts.weight)?;
                self.add_columns(&to.bias, ones, gradient)?;
                Ok(parts)
            };

        let out = norm(
            gradient,
            &tape.out_sum,
            &layer.out_norm,
            &sums.out_norm,
            tape.out_mask.as_ref(),
        )?;
        self.add_linear(&sums.down, ones, &out.x, &tape.active)?;
        let active = out.x.matmul(&layer.down.weight)?; // (tokens, intermediate) D
        let up = ops.activate_backward(&active, &tape.up, &layer.up.bias, activation)?; // (tokens, intermediate) D
        self.add_linear(&sums.up, ones, &up, &tape.middle)?;
        let middle = (out.sum + up.matmul(&layer.up.weight)?)?; // (tokens, hidden) D

        let mask = tape.attention_out_mask.as_ref();
        let attention = norm(
            &middle,
            &tape.attention_sum,
            &layer.attention_norm,
            &sums.attention_norm,
            mask,
        )?;
        self.add_linear(&sums.out, ones, &attention.x, &tape.context)?;
        let context = attention.x.matmul(&layer.out.weight)?; // (tokens, hidden) D
        let qkv = self.attention_backward(&tape.attention, tokens, &context)?; // (tokens, 3 * hidden) D
        self.add_linear(&sums.qkv, ones, &qkv, &tape.x)?;
        attention.sum + qkv.matmul(&layer.qkv.weight)? // (tokens, hidden) D
    }
}

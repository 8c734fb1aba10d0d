//! Backward pass of a layer.

use std::ops::Range;

use linalg::Accumulate::{Add, Replace};

use super::{LayerBuffers, Scratch, split};
use crate::cpu::attention::{self, QkvLayout, SavedForBackward};
use crate::cpu::chunk::{Pass, Queries, sized};
use crate::cpu::dropout::Site;
use crate::cpu::elementwise::activate_backward;
use crate::cpu::gradient::Gradient;
use crate::cpu::layout::ParamRanges;
use crate::cpu::norm::{AffineGradient, Normalized, norm_sum_backward};

/// Backward pass of `add_dropout_norm`, in place in `gradient`; `added` receives the gradient of
/// the added branch.
fn add_dropout_norm_backward(
    pass: &Pass<'_>,
    (layer_queries, site): (Queries, Site),
    (at, bias): (&ParamRanges, &Range<usize>),
    gradient: &mut [f32],
    normal: &Normalized<'_>,
    to: &mut Gradient,
    added: &mut [f32],
) {
    let hidden = pass.architecture().hidden_size;
    let [weight_sum, bias_sum, added_bias] = to.parts([&at.weight, &at.bias, bias]);
    let mut sums = AffineGradient {
        weight: weight_sum,
        bias: bias_sum,
    };
    for (row, range) in pass.chunk.queries(layer_queries) {
        let place = range.start * hidden..range.end * hidden;
        let normal = (&normal.values[place.clone()], &normal.rstd[range]);
        let mask = pass.mask(row, site);
        let (gradient, added) = (&mut gradient[place.clone()], &mut added[place]);
        let weight = pass.weights(&at.weight);
        norm_sum_backward(gradient, normal, weight, mask, &mut sums, added, added_bias);
    }
}

/// Inputs and outputs of a layer's backward pass besides its buffers.
pub(in crate::cpu) struct BackwardContext<'a> {
    /// (tokens, hidden), the layer's input
    pub(in crate::cpu) input: &'a [f32],
    pub(in crate::cpu) to: &'a mut Gradient,
    pub(in crate::cpu) scratch: &'a mut Scratch,
    /// True if parameters below this layer are trained.
    pub(in crate::cpu) input_grad: bool,
}

/// Accumulates gradients of a layer's parameters. `gradient` (queries, hidden) of its output
/// becomes that of its input; for the last layer that is `gradient_in` (tokens, hidden).
pub(in crate::cpu) fn backward(
    pass: &Pass<'_>,
    layer: usize,
    buffers: &mut LayerBuffers,
    ctx: &mut BackwardContext<'_>,
    gradient: &mut [f32],
    gradient_in: &mut Vec<f32>,
) {
    feed_forward_backward(pass, layer, buffers, ctx, gradient);
    attention_out_backward(pass, layer, buffers, ctx, gradient);
    match pass.queries(layer) {
        Queries::All => all_backward(pass, layer, buffers, ctx, gradient),
        Queries::First => first_backward(pass, layer, buffers, ctx, gradient, gradient_in),
    }
}

/// Backward pass of the feed-forward block; `gradient` becomes that of the block's input.
#[inline]
fn feed_forward_backward(
    pass: &Pass<'_>,
    layer: usize,
    buffers: &mut LayerBuffers,
    ctx: &mut BackwardContext<'_>,
    gradient: &mut [f32],
) {
    let (architecture, layout) = (pass.architecture(), &pass.net.layout);
    let (hidden, wide) = (architecture.hidden_size, architecture.intermediate_size);
    let at = &layout.layers[layer];
    let queries = pass.queries(layer);
    let (tokens, num_queries) = (pass.chunk.tokens, pass.chunk.num_queries(queries));
    let BackwardContext { to, scratch, .. } = ctx;

    let added = &mut sized(&mut scratch.hidden, tokens * hidden)[..num_queries * hidden];
    let normal = buffers.out_norm.sized(num_queries, hidden);
    let norm = (&at.out_norm, &at.down.bias);
    add_dropout_norm_backward(
        pass,
        (queries, Site::Out(layer)),
        norm,
        gradient,
        &normal,
        to,
        added,
    );
    let active = &buffers.active[..num_queries * wide];
    to.linear(layout, &at.down.weight, added, active, num_queries);
    let inner = sized(&mut scratch.wide, num_queries * wide);
    pass.linear_backward(inner, Replace, added, &at.down.weight, num_queries);
    activate_backward(
        inner,
        &buffers.slope[..num_queries * wide],
        &mut to.dense[at.up.bias.clone()],
    );
    let middle = &buffers.middle[..num_queries * hidden];
    to.linear(layout, &at.up.weight, inner, middle, num_queries);
    pass.linear_backward(gradient, Add, inner, &at.up.weight, num_queries);
}

/// Backward pass of the attention norm and the output projection; `scratch.wide` receives the
/// gradient of the context.
#[inline]
fn attention_out_backward(
    pass: &Pass<'_>,
    layer: usize,
    buffers: &mut LayerBuffers,
    ctx: &mut BackwardContext<'_>,
    gradient: &mut [f32],
) {
    let (architecture, layout) = (pass.architecture(), &pass.net.layout);
    let (hidden, wide) = (architecture.hidden_size, architecture.intermediate_size);
    let at = &layout.layers[layer];
    let queries = pass.queries(layer);
    let num_queries = pass.chunk.num_queries(queries);
    let BackwardContext { to, scratch, .. } = ctx;
    let added = &mut sized(&mut scratch.hidden, pass.chunk.tokens * hidden)[..num_queries * hidden];
    let normal = buffers.attention_norm.sized(num_queries, hidden);
    let norm = (&at.attention_norm, &at.attention_out.bias);
    let site = (queries, Site::AttentionOut(layer));
    add_dropout_norm_backward(pass, site, norm, gradient, &normal, to, added);
    let context = &buffers.context[..num_queries * hidden];
    let weight = &at.attention_out.weight;
    to.linear(layout, weight, added, context, num_queries);
    // The gradient of the context reuses the buffer of the feed-forward block.
    let inner =
        &mut sized(&mut scratch.wide, num_queries * wide.max(hidden))[..num_queries * hidden];
    pass.linear_backward(inner, Replace, added, weight, num_queries);
}

/// Backward pass from the context's gradient, `scratch.wide`, with queries of all tokens.
fn all_backward(
    pass: &Pass<'_>,
    layer: usize,
    buffers: &LayerBuffers,
    ctx: &mut BackwardContext<'_>,
    gradient: &mut [f32],
) {
    let (layout, hidden) = (&pass.net.layout, pass.architecture().hidden_size);
    let (at, tokens) = (&layout.layers[layer].qkv, pass.chunk.tokens);
    let BackwardContext { to, scratch, .. } = ctx;
    let saved = SavedForBackward {
        queries: &buffers.qkv,
        qkv: &buffers.qkv,
        probs: &buffers.probs,
        context: &buffers.context,
        gradient: &scratch.wide,
    };
    let qkv = sized(&mut scratch.qkv, tokens * 3 * hidden);
    let qkv_layout = QkvLayout::new(Queries::All, hidden);
    attention::backward(
        pass,
        layer,
        qkv_layout,
        &saved,
        &mut scratch.head,
        (qkv, None),
        to.of_trained(layout, &layout.relative_bias),
    );
    to.linear_with_bias(layout, at, qkv, ctx.input, tokens);
    if ctx.input_grad {
        pass.linear_backward(gradient, Add, qkv, &at.weight, tokens);
    }
}

/// The same with queries of first tokens only; `gradient_in` receives the gradient of all inputs.
fn first_backward(
    pass: &Pass<'_>,
    layer: usize,
    buffers: &LayerBuffers,
    ctx: &mut BackwardContext<'_>,
    gradient: &mut [f32],
    gradient_in: &mut Vec<f32>,
) {
    let (layout, hidden) = (&pass.net.layout, pass.architecture().hidden_size);
    let (at, tokens, rows) = (
        &layout.layers[layer].qkv,
        pass.chunk.tokens,
        &pass.chunk.rows,
    );
    let BackwardContext { to, scratch, .. } = ctx;
    let saved = SavedForBackward {
        queries: &buffers.queries,
        qkv: &buffers.qkv,
        probs: &buffers.probs,
        context: &buffers.context,
        gradient: &scratch.wide,
    };
    let num_queries = rows.len() * hidden;
    let qkv = sized(&mut scratch.qkv, tokens * 2 * hidden);
    let queries = sized(&mut scratch.queries, num_queries);
    let qkv_layout = QkvLayout::new(Queries::First, hidden);
    let parts = (&mut *queries, Some(&mut *qkv));
    attention::backward(
        pass,
        layer,
        qkv_layout,
        &saved,
        &mut scratch.head,
        parts,
        to.of_trained(layout, &layout.relative_bias),
    );
    let (of_queries, others) = split(at);
    let inputs = &buffers.inputs[..num_queries];
    to.linear_with_bias(layout, &of_queries, queries, inputs, rows.len());
    to.linear_with_bias(layout, &others, qkv, ctx.input, tokens);
    if !ctx.input_grad {
        return;
    }
    let gradient_in = sized(gradient_in, tokens * hidden);
    pass.linear_backward(gradient_in, Replace, qkv, &others.weight, tokens);
    pass.linear_backward(gradient, Add, queries, &of_queries.weight, rows.len());
    for (row, gradient) in rows.iter().zip(gradient.chunks_exact(hidden)) {
        let first = &mut gradient_in[row.first * hidden..][..hidden];
        for (sum, gradient) in first.iter_mut().zip(gradient) {
            *sum += gradient;
        }
    }
}

//! A transformer layer: attention, norm, feed-forward block, norm.

mod backward;

use super::attention::{self, HeadScratch, QkvLayout};
use super::chunk::{Pass, Queries, sized};
use super::dropout::Site;
use super::elementwise::activate;
use super::embed::NormBuffers;
use super::layout::ParamRanges;
use super::norm::{Affine, Normalized, norm_sum};
pub(super) use backward::{BackwardContext, backward};

/// Values saved for the backward pass. `queries` is the number of query tokens.
#[derive(Debug, Default)]
pub(super) struct LayerBuffers {
    /// Queries, keys and values, (tokens, 3 hidden); in the last layer keys and values, (tokens, 2
    /// hidden)
    qkv: Vec<f32>,
    /// Last layer only: (queries, hidden)
    queries: Vec<f32>,
    /// Last layer only: inputs of the queries, (queries, hidden)
    inputs: Vec<f32>,
    /// Row by row, (heads, queries of the row, length)
    probs: Vec<f32>,
    /// (queries, hidden)
    context: Vec<f32>,
    attention_norm: NormBuffers,
    /// Output of the attention norm, (queries, hidden)
    middle: Vec<f32>,
    /// (queries, intermediate), and the derivative
    active: Vec<f32>,
    slope: Vec<f32>,
    out_norm: NormBuffers,
}

/// Buffers shared by all layers.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// (tokens, hidden)
    hidden: Vec<f32>,
    /// (queries, intermediate)
    wide: Vec<f32>,
    /// (tokens, 3 hidden)
    qkv: Vec<f32>,
    /// (queries, hidden)
    queries: Vec<f32>,
    head: HeadScratch,
}

/// Splits the joint projection: queries, and keys with values.
fn split(qkv: &ParamRanges) -> (ParamRanges, ParamRanges) {
    let ParamRanges { weight, bias } = qkv;
    let (first_weight, first_bias) = (
        weight.start..weight.start + weight.len() / 3,
        bias.start..bias.start + bias.len() / 3,
    );
    let others = ParamRanges {
        weight: first_weight.end..weight.end,
        bias: first_bias.end..bias.end,
    };
    let queries = ParamRanges {
        weight: first_weight,
        bias: first_bias,
    };
    (queries, others)
}

/// Computes `out` (queries, hidden) from `input` (tokens, hidden).
pub(super) fn forward(
    pass: &Pass<'_>,
    layer: usize,
    input: &[f32],
    buffers: &mut LayerBuffers,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    project(pass, layer, input, buffers);
    attention_block(pass, layer, input, buffers, scratch);
    feed_forward_block(pass, layer, buffers, scratch, out);
}

/// Computes `buffers.middle`: attention, output projection and norm.
#[inline]
fn attention_block(
    pass: &Pass<'_>,
    layer: usize,
    input: &[f32],
    buffers: &mut LayerBuffers,
    scratch: &mut Scratch,
) {
    let at = &pass.net.layout.layers[layer];
    let hidden = pass.architecture().hidden_size;
    let queries = pass.queries(layer);
    let (tokens, num_queries) = (pass.chunk.tokens, pass.chunk.num_queries(queries));
    let qkv = &buffers.qkv[..];
    let (asking, residual) = match queries {
        Queries::All => (qkv, input),
        Queries::First => (
            &buffers.queries[..],
            &buffers.inputs[..num_queries * hidden],
        ),
    };
    let context = sized(&mut buffers.context, num_queries * hidden);
    let probs = sized(&mut buffers.probs, attention::num_probs(pass, queries));
    let qkv_layout = QkvLayout::new(queries, hidden);
    attention::forward(
        pass,
        layer,
        qkv_layout,
        (asking, qkv),
        probs,
        &mut scratch.head,
        context,
    );

    let added = sized(&mut scratch.hidden, tokens * hidden);
    let added = &mut added[..num_queries * hidden];
    pass.linear(added, context, &at.attention_out.weight, num_queries);
    let middle = sized(&mut buffers.middle, num_queries * hidden);
    let mut normal = buffers.attention_norm.sized(num_queries, hidden);
    let bias = pass.weights(&at.attention_out.bias);
    let site = Site::AttentionOut(layer);
    add_dropout_norm(
        pass,
        queries,
        site,
        &at.attention_norm,
        (added, bias, residual),
        &mut normal,
        middle,
    );
}

/// Computes `out` from `buffers.middle`: two linear layers with the activation between, and norm.
#[inline]
fn feed_forward_block(
    pass: &Pass<'_>,
    layer: usize,
    buffers: &mut LayerBuffers,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let (architecture, at) = (pass.architecture(), &pass.net.layout.layers[layer]);
    let (hidden, wide) = (architecture.hidden_size, architecture.intermediate_size);
    let queries = pass.queries(layer);
    let num_queries = pass.chunk.num_queries(queries);
    let middle = &buffers.middle[..num_queries * hidden];
    let slope = sized(&mut buffers.slope, num_queries * wide);
    pass.linear(slope, middle, &at.up.weight, num_queries);
    let active = sized(&mut buffers.active, num_queries * wide);
    activate(
        architecture.hidden_act,
        slope,
        pass.weights(&at.up.bias),
        active,
    );
    let added = &mut sized(&mut scratch.hidden, pass.chunk.tokens * hidden)[..num_queries * hidden];
    pass.linear(added, active, &at.down.weight, num_queries);
    let mut normal = buffers.out_norm.sized(num_queries, hidden);
    let bias = pass.weights(&at.down.bias);
    add_dropout_norm(
        pass,
        queries,
        Site::Out(layer),
        &at.out_norm,
        (added, bias, middle),
        &mut normal,
        out,
    );
}

/// Computes queries, keys and values.
fn project(pass: &Pass<'_>, layer: usize, input: &[f32], buffers: &mut LayerBuffers) {
    let at = &pass.net.layout.layers[layer].qkv;
    let hidden = pass.architecture().hidden_size;
    let tokens = pass.chunk.tokens;
    if pass.queries(layer) == Queries::All {
        let qkv = sized(&mut buffers.qkv, tokens * 3 * hidden);
        pass.linear_with_bias(qkv, input, at, tokens);
        return;
    }
    let rows = pass.chunk.rows.len();
    let (of_queries, others) = split(at);
    let qkv = sized(&mut buffers.qkv, tokens * 2 * hidden);
    pass.linear_with_bias(qkv, input, &others, tokens);
    let inputs = sized(&mut buffers.inputs, rows * hidden);
    for (to, row) in inputs.chunks_exact_mut(hidden).zip(&pass.chunk.rows) {
        to.copy_from_slice(&input[row.first * hidden..][..hidden]);
    }
    let queries = sized(&mut buffers.queries, rows * hidden);
    pass.linear_with_bias(queries, inputs, &of_queries, rows);
}

/// Layer norm of residual + dropout(added + bias), row by row: each row has its own mask.
fn add_dropout_norm(
    pass: &Pass<'_>,
    queries: Queries,
    site: Site,
    at: &ParamRanges,
    (added, bias, residual): (&[f32], &[f32], &[f32]),
    normal: &mut Normalized<'_>,
    out: &mut [f32],
) {
    let hidden = pass.architecture().hidden_size;
    let affine = Affine {
        weight: pass.weights(&at.weight),
        bias: pass.weights(&at.bias),
        eps: pass.architecture().layer_norm_eps as f32,
    };
    for (row, range) in pass.chunk.queries(queries) {
        let place = range.start * hidden..range.end * hidden;
        let mut normal = Normalized {
            values: &mut normal.values[place.clone()],
            rstd: &mut normal.rstd[range],
        };
        let (added, residual) = (&added[place.clone()], &residual[place.clone()]);
        let mask = pass.mask(row, site);
        norm_sum(
            added,
            bias,
            residual,
            mask,
            affine,
            &mut normal,
            &mut out[place],
        );
    }
}

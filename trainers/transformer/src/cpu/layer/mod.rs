//! A layer: attention, norm, feed-forward part, norm.

mod backward;

use std::ops::Range;

use super::attention::{self, HeadScratch, Places};
use super::chunk::{Pass, Queries, sized};
use super::dropout::Site;
use super::elementwise::{activate, fill};
use super::embed::NormBuffers;
use super::layout::NormAt;
use super::matmul::{To, linear};
use super::norm::{Affine, Normal, of_sum};
pub(super) use backward::{Back, backward};

/// What the backward pass needs of a layer. `asked` is the number of tokens that the output is needed of.
#[derive(Debug, Default)]
pub(super) struct LayerBuffers {
    /// Queries, keys and values, (tokens, 3 hidden); of the last layer keys and values, (tokens, 2 hidden)
    pairs: Vec<f32>,
    /// Of the last layer: (asked, hidden)
    queries: Vec<f32>,
    /// Of the last layer: the inputs that are asked, (asked, hidden)
    inputs: Vec<f32>,
    /// Row by row, (heads, asked of the row, length)
    kept: Vec<f32>,
    /// (asked, hidden)
    context: Vec<f32>,
    attention_norm: NormBuffers,
    /// Its output, (asked, hidden)
    middle: Vec<f32>,
    /// (asked, intermediate), and its slope
    active: Vec<f32>,
    slope: Vec<f32>,
    out_norm: NormBuffers,
}

/// Buffers that no layer needs longer than its turn.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// (tokens, hidden)
    hidden: Vec<f32>,
    /// (asked, intermediate)
    wide: Vec<f32>,
    /// (tokens, 3 hidden)
    pairs: Vec<f32>,
    /// (asked, hidden)
    queries: Vec<f32>,
    head: HeadScratch,
}

/// Parts of the joint weight and bias of queries, keys and values: those of the queries, those of the others.
fn split(range: &Range<usize>) -> (Range<usize>, Range<usize>) {
    let third = range.len() / 3;
    (
        range.start..range.start + third,
        range.start + third..range.end,
    )
}

/// `out` (asked, hidden) from `input` (tokens, hidden)
pub(super) fn forward(
    pass: &Pass<'_>,
    layer: usize,
    input: &[f32],
    buffers: &mut LayerBuffers,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let (architecture, at) = (pass.architecture(), &pass.net.layout.layers[layer]);
    let (hidden, wide) = (architecture.hidden, architecture.intermediate);
    let queries = pass.queries(layer);
    let (tokens, asked) = (pass.chunk.tokens, pass.chunk.asked(queries));

    project(pass, layer, input, buffers);
    let pairs = &buffers.pairs[..];
    let (asking, residual) = match queries {
        Queries::All => (pairs, input),
        Queries::First => (&buffers.queries[..], &buffers.inputs[..asked * hidden]),
    };
    let context = sized(&mut buffers.context, asked * hidden);
    let kept = sized(&mut buffers.kept, attention::probabilities(pass, queries));
    let places = Places::new(queries, hidden);
    attention::forward(
        pass,
        layer,
        places,
        (asking, pairs),
        kept,
        &mut scratch.head,
        context,
    );

    let added = sized(&mut scratch.hidden, tokens * hidden);
    let added = &mut added[..asked * hidden];
    linear(
        added,
        To::Replace,
        context,
        pass.weights(&at.attention_out.weight),
        asked,
    );
    let middle = sized(&mut buffers.middle, asked * hidden);
    let mut normal = buffers.attention_norm.sized(asked, hidden);
    let bias = pass.weights(&at.attention_out.bias);
    let site = Site::AttentionOut(layer);
    normed(
        pass,
        queries,
        site,
        &at.attention_norm,
        (added, bias, residual),
        &mut normal,
        middle,
    );

    let slope = sized(&mut buffers.slope, asked * wide);
    linear(
        slope,
        To::Replace,
        middle,
        pass.weights(&at.up.weight),
        asked,
    );
    let active = sized(&mut buffers.active, asked * wide);
    activate(
        architecture.activation,
        slope,
        pass.weights(&at.up.bias),
        active,
    );
    linear(
        added,
        To::Replace,
        active,
        pass.weights(&at.down.weight),
        asked,
    );
    let mut normal = buffers.out_norm.sized(asked, hidden);
    let bias = pass.weights(&at.down.bias);
    normed(
        pass,
        queries,
        Site::Out(layer),
        &at.out_norm,
        (added, bias, middle),
        &mut normal,
        out,
    );
}

/// Queries, keys and values.
fn project(pass: &Pass<'_>, layer: usize, input: &[f32], buffers: &mut LayerBuffers) {
    let (at, hidden) = (
        &pass.net.layout.layers[layer].qkv,
        pass.architecture().hidden,
    );
    let tokens = pass.chunk.tokens;
    if pass.queries(layer) == Queries::All {
        let pairs = sized(&mut buffers.pairs, tokens * 3 * hidden);
        fill(pairs, pass.weights(&at.bias));
        linear(pairs, To::Add, input, pass.weights(&at.weight), tokens);
        return;
    }
    let rows = pass.chunk.rows.len();
    let ((query_weight, weight), (query_bias, bias)) = (split(&at.weight), split(&at.bias));
    let pairs = sized(&mut buffers.pairs, tokens * 2 * hidden);
    fill(pairs, pass.weights(&bias));
    linear(pairs, To::Add, input, pass.weights(&weight), tokens);
    let inputs = sized(&mut buffers.inputs, rows * hidden);
    for (to, row) in inputs.chunks_exact_mut(hidden).zip(&pass.chunk.rows) {
        to.copy_from_slice(&input[row.first * hidden..][..hidden]);
    }
    let queries = sized(&mut buffers.queries, rows * hidden);
    fill(queries, pass.weights(&query_bias));
    linear(queries, To::Add, inputs, pass.weights(&query_weight), rows);
}

/// Norm of the residual sum, row by row: each has a mask of its own.
fn normed(
    pass: &Pass<'_>,
    queries: Queries,
    site: Site,
    at: &NormAt,
    (added, bias, residual): (&[f32], &[f32], &[f32]),
    normal: &mut Normal<'_>,
    out: &mut [f32],
) {
    let hidden = pass.architecture().hidden;
    let affine = Affine {
        weight: pass.weights(&at.weight),
        bias: pass.weights(&at.bias),
        eps: pass.architecture().norm_eps as f32,
    };
    for (row, asked) in pass.chunk.queries(queries) {
        let place = asked.start * hidden..asked.end * hidden;
        let mut normal = Normal {
            values: &mut normal.values[place.clone()],
            inverse: &mut normal.inverse[asked],
        };
        let (added, residual) = (&added[place.clone()], &residual[place.clone()]);
        let mask = pass.mask(row, site);
        of_sum(
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

//! Layer norm of the sum of word, position and type embeddings.

use super::chunk::{Pass, Queries, sized};
use super::dropout::Site;
use super::gradient::{Gradient, TouchedRows};
use super::norm::{Affine, AffineGradient, Normalized, norm_tokens, norm_tokens_backward};

/// Values of a layer norm, saved for the backward pass.
#[derive(Debug, Default)]
pub(super) struct NormBuffers {
    /// (tokens, hidden)
    values: Vec<f32>,
    /// (tokens)
    rstd: Vec<f32>,
}

impl NormBuffers {
    /// Returns the buffers for a number of tokens.
    pub(super) fn sized(&mut self, tokens: usize, hidden: usize) -> Normalized<'_> {
        Normalized {
            values: sized(&mut self.values, tokens * hidden),
            rstd: sized(&mut self.rstd, tokens),
        }
    }
}

/// Computes `out` (tokens, hidden).
pub(super) fn forward(pass: &Pass<'_>, buffers: &mut NormBuffers, out: &mut [f32]) {
    let (architecture, layout) = (pass.architecture(), &pass.net.layout);
    let hidden = architecture.hidden_size;
    let mut normal = buffers.sized(pass.chunk.tokens, hidden);
    let positions = pass.weights(&layout.positions);
    let positions = &positions[architecture.first_position() * hidden..];
    let of_types = pass.weights(&layout.types);
    for row in &pass.chunk.rows {
        let types = pass.batch.types_of(row.number);
        let ids = &pass.batch.ids[row.number * pass.batch.seq..][..row.length];
        let tokens = normal.values[row.first * hidden..].chunks_exact_mut(hidden);
        let places = ids.iter().zip(positions.chunks_exact(hidden)).enumerate();
        for (sum, (token, (&id, position))) in tokens.zip(places) {
            let word = &pass.net.words[id as usize * hidden..][..hidden];
            for i in 0..hidden {
                sum[i] = word[i] + position[i];
            }
            // Empty where the family has none.
            let of_type = of_types.get(type_at(types, token) * hidden..);
            add_assign(sum, of_type.unwrap_or_default());
        }
    }
    let affine = Affine {
        weight: pass.weights(&layout.embedding_norm.weight),
        bias: pass.weights(&layout.embedding_norm.bias),
        eps: architecture.layer_norm_eps as f32,
    };
    norm_tokens(affine, &mut normal, out);
    pass.drop_rows(Queries::All, Site::Embeddings, out);
}

/// Accumulates the embeddings' gradients, from that of the output.
pub(super) fn backward(
    pass: &Pass<'_>,
    buffers: &mut NormBuffers,
    gradient: &mut [f32],
    to: &mut Gradient,
    touched: &TouchedRows,
) {
    let (architecture, layout) = (pass.architecture(), &pass.net.layout);
    let hidden = architecture.hidden_size;
    pass.drop_rows(Queries::All, Site::Embeddings, gradient);
    let normal = buffers.sized(pass.chunk.tokens, hidden);
    let norm = &layout.embedding_norm;
    let [weight, bias] = to.parts([&norm.weight, &norm.bias]);
    let mut sums = AffineGradient { weight, bias };
    norm_tokens_backward(gradient, &normal, pass.weights(&norm.weight), &mut sums);
    let first = layout.positions.start + architecture.first_position() * hidden;
    for row in &pass.chunk.rows {
        let types = pass.batch.types_of(row.number);
        let ids = &pass.batch.ids[row.number * pass.batch.seq..][..row.length];
        let tokens = gradient[row.first * hidden..].chunks_exact(hidden);
        for ((token, gradient), &id) in tokens.take(row.length).enumerate().zip(ids) {
            add_assign(&mut to.dense[first + token * hidden..][..hidden], gradient);
            if !layout.types.is_empty() {
                let first = layout.types.start + type_at(types, token) * hidden;
                add_assign(&mut to.dense[first..][..hidden], gradient);
            }
            if let Some(slot) = touched.slot(id as usize) {
                add_assign(&mut to.words[slot * hidden..][..hidden], gradient);
            }
        }
    }
}

/// Returns the type of a token.
fn type_at(types: &[u8], token: usize) -> usize {
    types.get(token).copied().unwrap_or(0).into()
}

fn add_assign(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

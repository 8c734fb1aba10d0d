//! Attention, forward and backward.

use candle_core::{Error, Result, Tensor};

use super::net::Net;
use super::ops::{Heads, TokenBatch};
use crate::engine::DropoutKey;

/// Tensors saved for the backward pass.
pub(super) struct AttentionTape {
    /// (rows, heads, seq, width) D each; the queries are already scaled
    query: Tensor,
    key: Tensor,
    value: Tensor,
    /// (rows, heads, seq, seq) D
    probabilities: Tensor,
    /// After dropout, (rows, heads, seq, seq) D
    dropped: Tensor,
    mask: Option<Tensor>,
}

impl Net {
    pub(super) fn heads(&self, tokens: &TokenBatch) -> Heads {
        let heads = self.architecture.num_attention_heads;
        Heads {
            rows: tokens.rows,
            heads,
            seq: tokens.seq,
            width: self.architecture.hidden_size / heads,
        }
    }

    /// Scale of the queries. Scores of wide heads may exceed f16 before scaling, so the queries are
    /// scaled instead.
    fn scale(&self) -> f64 {
        1.0 / ((self.architecture.hidden_size / self.architecture.num_attention_heads) as f64)
            .sqrt()
    }

    /// Computes attention from queries, keys and values (rows, heads, seq, width) D and the bias of
    /// the scores (heads, seq, seq) f32: (tokens, hidden) D.
    pub(super) fn attention(
        &self,
        qkv: Vec<Tensor>,
        tokens: &TokenBatch,
        bias: Option<&Tensor>,
        dropout_key: Option<DropoutKey>,
        site: u64,
    ) -> Result<(Tensor, AttentionTape)> {
        let [query, key, value] = <[Tensor; 3]>::try_from(qkv)
            .map_err(|_| Error::Msg("expected three parts".to_owned()))?;
        let query = (query * self.scale())?; // (rows, heads, seq, width) D
        let scores = query.matmul(&key.t()?)?; // (rows, heads, seq, seq) D
        let heads = self.heads(tokens);
        let max_len = self.architecture.max_position_embeddings;
        let mask = self.mask(
            dropout_key,
            site,
            self.architecture.dropout.attention,
            tokens.rows,
            [heads.heads, tokens.seq, tokens.seq],
            [max_len * max_len, max_len],
        )?;
        let (probabilities, dropped) = self.ops.softmax(&scores, tokens, bias, mask.as_ref())?; // (rows, heads, seq, seq) D
        let context = self.ops.merge(&[&dropped.matmul(&value)?], heads)?; // (tokens, hidden) D
        let tape = AttentionTape {
            query,
            key,
            value,
            probabilities,
            dropped,
            mask,
        };
        Ok((context, tape))
    }

    /// Returns the gradient of queries, keys and values (tokens, 3 * hidden) D, from that of the
    /// output (tokens, hidden) D.
    pub(super) fn attention_backward(
        &self,
        tape: &AttentionTape,
        tokens: &TokenBatch,
        context: &Tensor,
    ) -> Result<Tensor> {
        let heads = self.heads(tokens);
        let context = &self.ops.split(context, None, heads, 1)?[0]; // (rows, heads, seq, width) D
        let value = tape.dropped.t()?.matmul(context)?; // (rows, heads, seq, width) D
        let dropped = context.matmul(&tape.value.t()?)?; // (rows, heads, seq, seq) D
        let scores =
            self.ops
                .softmax_backward(&dropped, &tape.probabilities, tape.mask.as_ref())?; // (rows, heads, seq, seq) D
        let table = self.buffers()?.gradient_views.relative_bias.as_ref();
        self.ops.relative_bias_backward(&scores, tokens, table)?;
        let query = (scores.matmul(&tape.key)? * self.scale())?; // (rows, heads, seq, width) D
        let key = scores.t()?.matmul(&tape.query)?; // (rows, heads, seq, width) D
        self.ops.merge(&[&query, &key, &value], heads)
    }
}

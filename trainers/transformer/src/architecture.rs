//! Network architecture by a checkpoint's `config.json`, and its parameters by the names of Hugging
//! Face's `*ForSequenceClassification` classes.
//!
//! All families are encoders with post-layer-norm. They differ in names, in the embeddings and in
//! the head.

/// Model family of transformers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Token types; pooler (dense, tanh) and `classifier`. MiniLM is one too.
    Bert,
    /// Positions count from the id of padding + 1; head of `classifier.dense`, tanh,
    /// `classifier.out_proj`.
    Roberta,
    /// No token types; no dropout after attention; head of `pre_classifier`, relu, `classifier`.
    DistilBert,
    /// RoBERTa's positions and head, without token types; a bias of the attention scores by the
    /// distance between query and key, shared by all layers.
    MpNet,
}

impl Family {
    /// True for families with RoBERTa's positions and head.
    pub(crate) fn is_like_roberta(self) -> bool {
        matches!(self, Self::Roberta | Self::MpNet)
    }
}

/// Rows of the table of relative biases.
pub(crate) const RELATIVE_BUCKETS: usize = 32;

/// Returns the row of the table for a distance, key - query: one each up to 7 tokens, then by the
/// logarithm. Half of the rows are for keys after the query.
pub(crate) fn relative_bucket(distance: isize) -> usize {
    // From 8 on there are two rows for each doubling; the others start at these distances.
    const EXACT: usize = 8;
    const STARTS: [usize; 7] = [12, 16, 23, 32, 46, 64, 91];
    let tokens = distance.unsigned_abs();
    let within = tokens.min(EXACT) + STARTS.partition_point(|&start| start <= tokens);
    match distance > 0 {
        true => RELATIVE_BUCKETS / 2 + within,
        false => within,
    }
}

/// Activation of the feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x * Phi(x), `gelu` or `gelu_python` in config.json.
    GeluErf,
    /// tanh approximation of GELU, `gelu_new`, `gelu_fast` or `gelu_pytorch_tanh`.
    GeluTanh,
    /// max(x, 0)
    Relu,
    /// x / (1 + e^-x), `silu` or `swish`.
    Silu,
}

/// Sizes and constants of a network, named as in config.json.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Architecture {
    pub(crate) family: Family,
    /// Rows of the word embeddings.
    pub(crate) vocab_size: usize,
    pub(crate) hidden_size: usize,
    pub(crate) num_hidden_layers: usize,
    /// Divides `hidden_size`.
    pub(crate) num_attention_heads: usize,
    /// Width of the feed-forward block.
    pub(crate) intermediate_size: usize,
    /// Rows of the position embeddings.
    pub(crate) max_position_embeddings: usize,
    /// Rows of the token type embeddings (all texts have type 0); 0 if the family has none.
    pub(crate) type_vocab_size: usize,
    pub(crate) hidden_act: Activation,
    pub(crate) layer_norm_eps: f64,
    /// Id of the padding token.
    pub(crate) pad_token_id: u32,
    pub(crate) num_labels: usize,
    pub(crate) dropout: Dropout,
}

/// Dropout probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Dropout {
    /// For embeddings and residual branches.
    pub(crate) hidden: f64,
    /// For attention probabilities.
    pub(crate) attention: f64,
    /// For the input of the last linear layer (RoBERTa, MPNet: of the last two).
    pub(crate) head: f64,
}

/// A trainable tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) role: Role,
}

/// Role of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// (vocab, hidden)
    WordEmbeddings,
    /// (positions, hidden)
    PositionEmbeddings,
    /// (types, hidden)
    TokenTypeEmbeddings,
    /// Layer norm after the embeddings: weight and bias, (hidden) each.
    EmbeddingNorm(Part),
    /// (buckets, heads): see `relative_bucket`.
    RelativeBias,
    /// Parameter of the layer with this index.
    Layer(usize, LayerParam),
    /// The head's first linear layer, (hidden, hidden) and (hidden).
    HeadDense(Part),
    /// The head's last linear layer, (classes, hidden) and (classes).
    HeadOut(Part),
}

/// Role of a parameter within a layer. Weights are (outputs, inputs), as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerParam {
    Query(Part),
    Key(Part),
    Value(Part),
    /// Output projection, (hidden, hidden)
    AttentionOut(Part),
    AttentionNorm(Part),
    /// (intermediate, hidden)
    Up(Part),
    /// (hidden, intermediate)
    Down(Part),
    OutNorm(Part),
}

/// Part of a linear layer or of a layer norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Weight,
    Bias,
}

impl Role {
    /// True for parameters with weight decay: not biases and layer norms (as in transformers'
    /// Trainer).
    pub(crate) fn decays(self) -> bool {
        use LayerParam::{AttentionNorm, AttentionOut, Down, Key, OutNorm, Query, Up, Value};
        match self {
            Self::WordEmbeddings | Self::PositionEmbeddings | Self::TokenTypeEmbeddings => true,
            Self::EmbeddingNorm(_)
            | Self::RelativeBias
            | Self::Layer(_, AttentionNorm(_) | OutNorm(_)) => false,
            Self::HeadDense(part) | Self::HeadOut(part) => part == Part::Weight,
            Self::Layer(
                _,
                Query(part) | Key(part) | Value(part) | AttentionOut(part) | Up(part) | Down(part),
            ) => part == Part::Weight,
        }
    }
}

/// Names of a family's modules.
struct Names {
    embeddings: &'static str,
    embedding_norm: &'static str,
    layer: &'static str,
    query: &'static str,
    key: &'static str,
    value: &'static str,
    attention_out: &'static str,
    attention_norm: &'static str,
    up: &'static str,
    down: &'static str,
    out_norm: &'static str,
    head_dense: &'static str,
    head_out: &'static str,
}

const BERT: Names = Names {
    embeddings: "bert.embeddings",
    embedding_norm: "LayerNorm",
    layer: "bert.encoder.layer",
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention_out: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    out_norm: "output.LayerNorm",
    head_dense: "bert.pooler.dense",
    head_out: "classifier",
};

const ROBERTA: Names = Names {
    embeddings: "roberta.embeddings",
    layer: "roberta.encoder.layer",
    head_dense: "classifier.dense",
    head_out: "classifier.out_proj",
    ..BERT
};

const MPNET: Names = Names {
    embeddings: "mpnet.embeddings",
    layer: "mpnet.encoder.layer",
    query: "attention.attn.q",
    key: "attention.attn.k",
    value: "attention.attn.v",
    attention_out: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    ..ROBERTA
};

const DISTILBERT: Names = Names {
    embeddings: "distilbert.embeddings",
    layer: "distilbert.transformer.layer",
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    attention_out: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    up: "ffn.lin1",
    down: "ffn.lin2",
    out_norm: "output_layer_norm",
    head_dense: "pre_classifier",
    ..BERT
};

impl Architecture {
    /// Returns all parameters in a fixed order: embeddings, layers, head.
    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        let names = match self.family {
            Family::Bert => &BERT,
            Family::Roberta => &ROBERTA,
            Family::DistilBert => &DISTILBERT,
            Family::MpNet => &MPNET,
        };
        let mut all = Vec::new();
        let mut add = |name: String, shape: &[usize], role| {
            let shape = shape.to_vec();
            all.push(Parameter { name, shape, role });
        };
        let (hidden, wide) = (self.hidden_size, self.intermediate_size);
        let at = names.embeddings;
        let table = |name: &str| format!("{at}.{name}_embeddings.weight");
        add(
            table("word"),
            &[self.vocab_size, hidden],
            Role::WordEmbeddings,
        );
        add(
            table("position"),
            &[self.max_position_embeddings, hidden],
            Role::PositionEmbeddings,
        );
        if self.type_vocab_size > 0 {
            add(
                table("token_type"),
                &[self.type_vocab_size, hidden],
                Role::TokenTypeEmbeddings,
            );
        }
        let norm = format!("{at}.{}", names.embedding_norm);
        for part in [Part::Weight, Part::Bias] {
            add(part.name(&norm), &[hidden], Role::EmbeddingNorm(part));
        }
        if self.family == Family::MpNet {
            let name = "mpnet.encoder.relative_attention_bias.weight".to_owned();
            let shape = [RELATIVE_BUCKETS, self.num_attention_heads];
            add(name, &shape, Role::RelativeBias);
        }
        for layer in 0..self.num_hidden_layers {
            for (name, shape, role) in layer_params(names, hidden, wide) {
                let name = format!("{}.{layer}.{name}", names.layer);
                add(name, &shape, Role::Layer(layer, role));
            }
        }
        for (part, dense, out) in [
            (
                Part::Weight,
                vec![hidden, hidden],
                vec![self.num_labels, hidden],
            ),
            (Part::Bias, vec![hidden], vec![self.num_labels]),
        ] {
            add(part.name(names.head_dense), &dense, Role::HeadDense(part));
            add(part.name(names.head_out), &out, Role::HeadOut(part));
        }
        all
    }

    /// Returns the position id of the first token.
    pub(crate) fn first_position(&self) -> usize {
        match self.family.is_like_roberta() {
            true => self.pad_token_id as usize + 1,
            false => 0,
        }
    }

    /// Returns the maximum number of tokens of a text.
    pub(crate) fn max_tokens(&self) -> usize {
        self.max_position_embeddings - self.first_position()
    }
}

impl Part {
    /// Returns the parameter's name in the module of this name.
    fn name(self, module: &str) -> String {
        match self {
            Self::Weight => format!("{module}.weight"),
            Self::Bias => format!("{module}.bias"),
        }
    }
}

/// Returns name, shape and role of each parameter of a layer.
fn layer_params(
    names: &Names,
    hidden: usize,
    wide: usize,
) -> Vec<(String, Vec<usize>, LayerParam)> {
    use LayerParam::{AttentionNorm, AttentionOut, Down, Key, OutNorm, Query, Up, Value};
    let mut all = Vec::new();
    let mut add = |name: &str, weight: &[usize], role: fn(Part) -> LayerParam| {
        // A bias has one number per output.
        for (part, shape) in [(Part::Weight, weight), (Part::Bias, &weight[..1])] {
            all.push((part.name(name), shape.to_vec(), role(part)));
        }
    };
    add(names.query, &[hidden, hidden], Query);
    add(names.key, &[hidden, hidden], Key);
    add(names.value, &[hidden, hidden], Value);
    add(names.attention_out, &[hidden, hidden], AttentionOut);
    add(names.up, &[wide, hidden], Up);
    add(names.down, &[hidden, wide], Down);
    add(names.attention_norm, &[hidden], AttentionNorm);
    add(names.out_norm, &[hidden], OutNorm);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are those of transformers.
    #[test]
    fn distances_have_buckets_of_logarithmic_size() {
        let before = [
            (0, 0),
            (7, 7),
            (8, 8),
            (11, 8),
            (12, 9),
            (15, 9),
            (16, 10),
            (22, 10),
            (23, 11),
            (31, 11),
            (32, 12),
            (45, 12),
            (46, 13),
            (63, 13),
            (64, 14),
            (90, 14),
            (91, 15),
            (500, 15),
        ];
        for (tokens, bucket) in before {
            assert_eq!(relative_bucket(-tokens), bucket, "{tokens} tokens before");
            if tokens > 0 {
                assert_eq!(
                    relative_bucket(tokens),
                    bucket + 16,
                    "{tokens} tokens after"
                );
            }
        }
    }
}

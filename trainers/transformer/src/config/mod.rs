//! config.json of pretrained and trained models.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;

use diagnostics::{Error, sanitize};
use serde_json::{Map, Value, json};

use crate::architecture::{Activation, Architecture, Dropout, Family};

pub(crate) const CONFIG: &str = "config.json";
/// Key of this program's own settings.
const OWN_KEY: &str = "trainyard";
/// Marks folders that may be overwritten.
const FORMAT: &str = "trainyard-transformer";

/// A config.json.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    json: Map<String, Value>,
    family: Family,
}

/// Limit on rows of a table: untrusted files must not exhaust memory.
const MAX_ROWS: usize = 10_000_000;
/// Limit on the width of matrices.
const MAX_WIDTH: usize = 65_536;
/// Limit on layers.
const MAX_LAYERS: usize = 1024;

const FAMILIES: [(&str, Family, &str); 5] = [
    ("bert", Family::Bert, "BertForSequenceClassification"),
    (
        "roberta",
        Family::Roberta,
        "RobertaForSequenceClassification",
    ),
    (
        "xlm-roberta",
        Family::Roberta,
        "XLMRobertaForSequenceClassification",
    ),
    (
        "camembert",
        Family::Roberta,
        "CamembertForSequenceClassification",
    ),
    (
        "distilbert",
        Family::DistilBert,
        "DistilBertForSequenceClassification",
    ),
];

const ACTIVATIONS: [(&str, Activation); 4] = [
    ("gelu", Activation::GeluErf),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("relu", Activation::Relu),
];

impl Config {
    /// Reads a config.json; refuses unsupported networks.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(Error::io("read", path))?;
        Self::parse(&text).map_err(|(message, help)| {
            Error::new(format!("`{}`: {message}", path.display())).help(help)
        })
    }

    fn parse(text: &[u8]) -> Result<Self, (String, String)> {
        let damaged = |error: String| (error, "copy or download the model again".to_owned());
        let json: Map<String, Value> =
            serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
        let help = || "choose a pretrained model of these families; MiniLM is a `bert`".to_owned();
        let found = json.get("model_type").and_then(Value::as_str);
        let known = FAMILIES.iter().find(|(name, ..)| Some(*name) == found);
        let Some(&(_, family, _)) = known else {
            let names = FAMILIES.map(|(name, ..)| format!("`{name}`")).join(", ");
            let found = match found {
                Some(found) => format!("`{}`", sanitize(found)),
                None => "none".to_owned(),
            };
            let message = format!("expected a `model_type` of {names}, found {found}");
            return Err((message, help()));
        };
        let config = Self { json, family };
        config.supported().map_err(|message| (message, help()))?;
        config.architecture(2, None).map_err(damaged)?;
        Ok(config)
    }

    /// Refuses options that change the network.
    fn supported(&self) -> Result<(), String> {
        let expected = |key: &str, expected: &str, found: &Value| {
            let found = sanitize(&found.to_string()).into_owned();
            Err(format!(
                "expected `{key}` to be {expected}, found `{found}`"
            ))
        };
        for key in ["is_decoder", "add_cross_attention", "sinusoidal_pos_embds"] {
            match self.json.get(key) {
                None | Some(Value::Bool(false) | Value::Null) => {}
                Some(found) => return expected(key, "false", found),
            }
        }
        match self.json.get("position_embedding_type") {
            None | Some(Value::Null) => {}
            Some(Value::String(kind)) if kind == "absolute" => {}
            Some(found) => return expected("position_embedding_type", "`absolute`", found),
        }
        let empty = |value: &Value| value.as_object().is_none_or(Map::is_empty);
        for key in ["pruned_heads", "quantization_config"] {
            match self.json.get(key).filter(|value| !empty(value)) {
                None => {}
                Some(found) => return expected(key, "empty", found),
            }
        }
        self.activation().map(|_| ())
    }

    fn activation(&self) -> Result<Activation, String> {
        let key = match self.family {
            Family::DistilBert => "activation",
            Family::Bert | Family::Roberta => "hidden_act",
        };
        let found = self.json.get(key).and_then(Value::as_str).unwrap_or("gelu");
        let known = ACTIVATIONS.iter().find(|(name, _)| *name == found);
        known.map(|&(_, activation)| activation).ok_or_else(|| {
            let names: Vec<&str> = ACTIVATIONS.iter().map(|&(name, _)| name).collect();
            let names = names.join("`, `");
            format!(
                "expected `{key}` among `{names}`, found `{}`",
                sanitize(found)
            )
        })
    }

    /// Returns the network for a number of classes; `dropout` overrides the file's probabilities.
    pub(crate) fn architecture(
        &self,
        classes: usize,
        dropout: Option<f64>,
    ) -> Result<Architecture, String> {
        let distil = self.family == Family::DistilBert;
        let size = |key: &str, max: usize| self.size(key, max);
        let [hidden, layers, heads, intermediate] = match distil {
            true => ["dim", "n_layers", "n_heads", "hidden_dim"],
            false => [
                "hidden_size",
                "num_hidden_layers",
                "num_attention_heads",
                "intermediate_size",
            ],
        };
        let vocab_size = size("vocab_size", MAX_ROWS)?;
        let architecture = Architecture {
            family: self.family,
            vocab_size,
            hidden_size: size(hidden, MAX_WIDTH)?,
            num_hidden_layers: size(layers, MAX_LAYERS)?,
            num_attention_heads: size(heads, MAX_WIDTH)?,
            intermediate_size: size(intermediate, MAX_WIDTH)?,
            max_position_embeddings: size("max_position_embeddings", MAX_ROWS)?,
            type_vocab_size: if distil {
                0
            } else {
                size("type_vocab_size", MAX_WIDTH)?
            },
            hidden_act: self.activation()?,
            layer_norm_eps: if distil { 1e-12 } else { self.epsilon()? },
            pad_token_id: self.pad_token_id(vocab_size)?,
            num_labels: classes,
            dropout: match dropout {
                Some(share) => Dropout {
                    hidden: share,
                    attention: share,
                    head: share,
                },
                None => self.dropout()?,
            },
        };
        if !architecture
            .hidden_size
            .is_multiple_of(architecture.num_attention_heads)
        {
            return Err(format!(
                "expected `{hidden}` to be a multiple of `{heads}`, found `{}` and `{}`",
                architecture.hidden_size, architecture.num_attention_heads
            ));
        }
        if architecture.max_position_embeddings <= architecture.first_position() + 2 {
            return Err(format!(
                "expected `max_position_embeddings` large enough for a text, found `{}`",
                architecture.max_position_embeddings
            ));
        }
        Ok(architecture)
    }

    fn pad_token_id(&self, vocab_size: usize) -> Result<u32, String> {
        let default = u32::from(self.family == Family::Roberta);
        match self.json.get("pad_token_id") {
            None | Some(Value::Null) => Ok(default),
            Some(found) => {
                let pad = found.as_u64().and_then(|id| u32::try_from(id).ok());
                pad.filter(|&pad| (pad as usize) < vocab_size)
                    .ok_or_else(|| {
                        format!("expected `pad_token_id` below `{vocab_size}`, found `{found}`")
                    })
            }
        }
    }

    /// Returns the file's probabilities, with transformers' defaults.
    fn dropout(&self) -> Result<Dropout, String> {
        let share = |key: &str, default: f64| {
            let share = self.number(key, default)?;
            match (0.0..1.0).contains(&share) {
                true => Ok(share),
                false => Err(format!(
                    "expected `{key}` from 0 to below 1, found `{share}`"
                )),
            }
        };
        if self.family == Family::DistilBert {
            return Ok(Dropout {
                hidden: share("dropout", 0.1)?,
                attention: share("attention_dropout", 0.1)?,
                head: share("seq_classif_dropout", 0.2)?,
            });
        }
        let hidden = share("hidden_dropout_prob", 0.1)?;
        Ok(Dropout {
            hidden,
            attention: share("attention_probs_dropout_prob", 0.1)?,
            head: share("classifier_dropout", hidden)?,
        })
    }

    fn epsilon(&self) -> Result<f64, String> {
        let key = "layer_norm_eps";
        let found = self.number(key, 1e-12)?;
        match found > 0.0 && found < 1.0 {
            true => Ok(found),
            false => Err(format!(
                "expected `{key}` above 0 and below 1, found `{found}`"
            )),
        }
    }

    fn size(&self, key: &str, max: usize) -> Result<usize, String> {
        let found = self.json.get(key);
        let size = found.and_then(Value::as_u64).map(|size| size as usize);
        size.filter(|size| (1..=max).contains(size)).ok_or_else(|| {
            let found = found.map_or_else(|| "none".to_owned(), |found| format!("`{found}`"));
            format!(
                "expected `{key}` from 1 to `{max}`, found {}",
                sanitize(&found)
            )
        })
    }

    fn number(&self, key: &str, default: f64) -> Result<f64, String> {
        match self.json.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(found) => found.as_f64().ok_or_else(|| {
                format!(
                    "expected a number for `{key}`, found `{}`",
                    sanitize(&found.to_string())
                )
            }),
        }
    }

    /// Returns the standard deviation of initial weights (0.02: Devlin et al. 2019, as in
    /// transformers).
    pub(crate) fn initializer_range(&self) -> f64 {
        let found = self.number("initializer_range", 0.02).unwrap_or(0.02);
        if (0.0..=1.0).contains(&found) {
            found
        } else {
            0.02
        }
    }

    /// Returns the labels in `id2label`, if they count from 0 and are distinct.
    pub(crate) fn labels(&self) -> Option<Vec<String>> {
        let names = self.json.get("id2label")?.as_object()?;
        let label = |id: usize| Some(names.get(&id.to_string())?.as_str()?.to_owned());
        let labels: Vec<String> = (0..names.len()).map(label).collect::<Option<_>>()?;
        let different: BTreeSet<&String> = labels.iter().collect();
        (different.len() == labels.len()).then_some(labels)
    }

    /// Returns the token limit of the trained model, 0 if invalid; `None` for pretrained models.
    pub(crate) fn max_len(&self) -> Option<usize> {
        let found = self.json.get(OWN_KEY)?.get("max_len")?;
        Some(found.as_u64().unwrap_or(0) as usize)
    }

    /// Returns the configuration of a trained model: all other keys are kept.
    pub(crate) fn trained(&self, classes: &[String], max_len: usize) -> Self {
        let mut json = self.json.clone();
        for stale in [
            "_num_labels",
            "num_labels",
            "files",
            "torch_dtype",
            "finetuning_task",
        ] {
            json.remove(stale);
        }
        let kind = json.get("model_type").and_then(Value::as_str);
        let class = FAMILIES.iter().find(|(name, ..)| Some(*name) == kind);
        let class = class.map_or("", |(_, _, class)| class);
        let ids = || classes.iter().enumerate();
        let id2label: Map<String, Value> = ids()
            .map(|(id, label)| (id.to_string(), json!(label)))
            .collect();
        let label2id: Map<String, Value> = ids()
            .map(|(id, label)| (label.clone(), json!(id)))
            .collect();
        for (key, value) in [
            ("architectures", json!([class])),
            ("dtype", json!("float32")),
            ("problem_type", json!("single_label_classification")),
            ("id2label", json!(id2label)),
            ("label2id", json!(label2id)),
            ("format", json!(FORMAT)),
            (OWN_KEY, json!({ "max_len": max_len })),
        ] {
            json.insert(key.to_owned(), value);
        }
        Self {
            json,
            family: self.family,
        }
    }

    /// Returns the JSON text.
    pub(crate) fn text(&self) -> String {
        format!("{:#}\n", Value::Object(self.json.clone()))
    }
}

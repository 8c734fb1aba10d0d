//! config.json of pretrained and trained models.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use diagnostics::{Error, sanitize};
use harness::model_dir::check_labels;
use serde_json::{Map, Value, json};

use crate::architecture::{Activation, Architecture, Dropout, Family, RELATIVE_BUCKETS};

pub(crate) const CONFIG: &str = "config.json";
/// Key of this program's own settings.
const OWN_KEY: &str = "trainyard";
/// The setting of models of pairs of texts.
const TEXT_PAIR: &str = "text_pair";
/// Marks folders that may be overwritten.
const FORMAT: &str = "trainyard-transformer";

/// A config.json.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    json: Map<String, Value>,
    family: Family,
}

/// The start of transformers' default labels.
const DEFAULT_LABEL: &str = "LABEL_";
/// Limit on rows of a table: untrusted files must not exhaust memory.
const MAX_ROWS: usize = 10_000_000;
/// Limit on the width of matrices.
const MAX_WIDTH: usize = 65_536;
/// Limit on layers.
const MAX_LAYERS: usize = 1024;

const FAMILIES: [(&str, Family, &str); 6] = [
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
    ("mpnet", Family::MpNet, "MPNetForSequenceClassification"),
];

const ACTIVATIONS: [(&str, Activation); 8] = [
    ("gelu", Activation::GeluErf),
    ("gelu_python", Activation::GeluErf),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("relu", Activation::Relu),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
];

/// The end of the class names of classifiers, as in `architectures`.
const CLASSIFIER: &str = "ForSequenceClassification";
/// Values of `problem_type`.
const SINGLE_LABEL: &str = "single_label_classification";
const MULTI_LABEL: &str = "multi_label_classification";
/// The key with transformers' version, in every config.json that it writes.
const TRANSFORMERS: &str = "transformers_version";

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
        let mut json: Map<String, Value> =
            serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
        if json.get("model_type").is_none_or(Value::is_null)
            && let Some(kind) = model_type_of_class(&json)
        {
            json.insert("model_type".to_owned(), kind.into());
        }
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
        if self.family == Family::MpNet {
            // transformers' MPNet uses no others, whatever the file says.
            for (key, only) in [
                ("relative_attention_num_buckets", RELATIVE_BUCKETS),
                ("pad_token_id", 1),
            ] {
                match self.json.get(key) {
                    None | Some(Value::Null) => {}
                    Some(found) if found.as_u64() == Some(only as u64) => {}
                    Some(found) => return expected(key, &format!("`{only}`"), found),
                }
            }
        }
        self.activation().map(|_| ())
    }

    fn activation(&self) -> Result<Activation, String> {
        let key = match self.family {
            Family::DistilBert => "activation",
            Family::Bert | Family::Roberta | Family::MpNet => "hidden_act",
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
        let size = |key: &str, max: usize, default| self.size(key, max, default);
        let [hidden, layers, heads, intermediate] = match distil {
            true => ["dim", "n_layers", "n_heads", "hidden_dim"],
            false => [
                "hidden_size",
                "num_hidden_layers",
                "num_attention_heads",
                "intermediate_size",
            ],
        };
        let default = match self.json.get("model_type").and_then(Value::as_str) {
            Some("roberta") => 50_265,
            Some("mpnet") => 30_527,
            _ => 30_522,
        };
        let vocab_size = size("vocab_size", MAX_ROWS, default)?;
        let architecture = Architecture {
            family: self.family,
            vocab_size,
            hidden_size: size(hidden, MAX_WIDTH, 768)?,
            num_hidden_layers: size(layers, MAX_LAYERS, if distil { 6 } else { 12 })?,
            num_attention_heads: size(heads, MAX_WIDTH, 12)?,
            intermediate_size: size(intermediate, MAX_WIDTH, 3072)?,
            max_position_embeddings: size("max_position_embeddings", MAX_ROWS, 512)?,
            type_vocab_size: match self.family {
                Family::DistilBert | Family::MpNet => 0,
                Family::Bert | Family::Roberta => size("type_vocab_size", MAX_WIDTH, 2)?,
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
        let default = u32::from(self.family.is_like_roberta());
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
            head: match self.family {
                Family::MpNet => hidden,
                _ => share("classifier_dropout", hidden)?,
            },
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

    /// Returns a size; transformers' default if the key is missing.
    fn size(&self, key: &str, max: usize, default: usize) -> Result<usize, String> {
        let Some(found) = self.json.get(key) else {
            return Ok(default);
        };
        let size = found.as_u64().map(|size| size as usize);
        size.filter(|size| (1..=max).contains(size)).ok_or_else(|| {
            let found = found.to_string();
            format!(
                "expected `{key}` from 1 to `{max}`, found `{}`",
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

    /// Returns the labels as transformers reads them: `id2label`, else `LABEL_0` and so on.
    ///
    /// # Errors
    ///
    /// Ids do not count from 0, or a label occurs twice; in a trained model also if a label is
    /// empty or has another id in `label2id`.
    pub(crate) fn labels(&self) -> Result<Vec<String>, String> {
        let Some(found) = self.json.get("id2label").filter(|found| !found.is_null()) else {
            let count = self.json.get("num_labels").and_then(Value::as_u64);
            let count = count.unwrap_or(2).min(MAX_WIDTH as u64);
            return Ok((0..count)
                .map(|id| format!("{DEFAULT_LABEL}{id}"))
                .collect());
        };
        let names = found
            .as_object()
            .ok_or("expected `id2label` to be an object")?;
        let label = |id: usize| match names.get(&id.to_string()) {
            Some(Value::String(label)) => Ok(label.clone()),
            Some(label @ (Value::Number(_) | Value::Bool(_))) => Ok(label.to_string()),
            _ => Err(format!("expected a label for the id `{id}` in `id2label`")),
        };
        let labels: Vec<String> = (0..names.len()).map(label).collect::<Result<_, _>>()?;
        let mut seen = BTreeSet::new();
        match labels.iter().find(|label| !seen.insert(*label)) {
            Some(twice) => Err(format!(
                "expected different labels in `id2label`, found `{}` twice",
                sanitize(twice)
            )),
            None => self.check_trained(&labels).map(|()| labels),
        }
    }

    /// Checks the labels of a model as it was trained. transformers does not read `label2id`, so
    /// that of other models may have other names.
    fn check_trained(&self, labels: &[String]) -> Result<(), String> {
        let is_trained = self.max_len().is_some() && !self.json.contains_key(TRANSFORMERS);
        let ids = self.json.get("label2id").and_then(Value::as_object);
        match ids.filter(|_| is_trained) {
            Some(ids) => check_labels(labels.iter(), |label| ids.get(label)?.as_u64()),
            None => Ok(()),
        }
    }

    /// Returns the row of the head for each of the classes, by name; `None` for a class that it
    /// does not have. `LABEL_3`, a default name, is the class `3`. Case and blanks around a name do
    /// not count, unless names differ in them only.
    pub(crate) fn head_rows(&self, classes: &[String]) -> Vec<Option<usize>> {
        fn name(label: &str) -> &str {
            let number = label.strip_prefix(DEFAULT_LABEL);
            number
                .filter(|text| text.parse::<u32>().is_ok())
                .unwrap_or(label)
        }
        let labels = self.labels().unwrap_or_default();
        let rows = |key: &dyn Fn(&String) -> String| -> Option<Vec<Option<usize>>> {
            let place: BTreeMap<String, usize> = labels.iter().map(key).zip(0..).collect();
            let keys: Vec<String> = classes.iter().map(key).collect();
            let different = keys.iter().collect::<BTreeSet<_>>().len();
            let unique = place.len() == labels.len() && different == classes.len();
            unique.then(|| keys.iter().map(|key| place.get(key).copied()).collect())
        };
        rows(&|label| name(label).trim().to_lowercase())
            .or_else(|| rows(&|label| name(label).to_owned()))
            .unwrap_or_else(|| vec![None; classes.len()])
    }

    /// Returns true for a classifier that may give a text several labels, or none.
    ///
    /// # Errors
    ///
    /// It is not a classifier.
    pub(crate) fn is_multi_label(&self) -> Result<bool, String> {
        match self.json.get("problem_type") {
            None | Some(Value::Null) => Ok(false),
            Some(Value::String(kind)) if kind == SINGLE_LABEL => Ok(false),
            Some(Value::String(kind)) if kind == MULTI_LABEL => Ok(true),
            Some(found) => Err(format!(
                "expected `problem_type` to be `{SINGLE_LABEL}` or `{MULTI_LABEL}`, found `{}`",
                sanitize(&found.to_string())
            )),
        }
    }

    /// Marks the configuration of a trained model as that of texts with several labels.
    pub(crate) fn multi_label(mut self) -> Self {
        let kind = json!(MULTI_LABEL);
        self.json.insert("problem_type".to_owned(), kind);
        self
    }

    /// True for a trained model of pairs of texts.
    pub(crate) fn is_text_pair(&self) -> bool {
        let own = self.json.get(OWN_KEY);
        let found = own.and_then(|own| own.get(TEXT_PAIR)?.as_bool());
        found.unwrap_or(false)
    }

    /// Marks the configuration of a trained model as that of pairs of texts.
    pub(crate) fn text_pair(mut self) -> Self {
        if let Some(own) = self.json.get_mut(OWN_KEY) {
            own[TEXT_PAIR] = json!(true);
        }
        self
    }

    /// True if transformers wrote this file: trained models do not have its version.
    pub(crate) fn is_of_transformers(text: &[u8]) -> bool {
        let json: Result<Map<String, Value>, _> = serde_json::from_slice(text);
        json.is_ok_and(|json| json.contains_key(TRANSFORMERS))
    }

    /// Returns the name of the trainer of another layout that wrote a folder.
    pub(crate) fn other_trainer(dir: &Path) -> Option<String> {
        let text = std::fs::read(dir.join(CONFIG)).ok()?;
        let json: Map<String, Value> = serde_json::from_slice(&text).ok()?;
        let format = json
            .get("format")?
            .as_str()
            .filter(|format| *format != FORMAT)?;
        Some(sanitize(format.strip_prefix("trainyard-")?).into_owned())
    }

    /// Returns the class of transformers that loads a folder with its head, if it has one.
    pub(crate) fn auto_class(dir: &Path) -> &'static str {
        let text = std::fs::read(dir.join(CONFIG)).unwrap_or_default();
        let json: Map<String, Value> = serde_json::from_slice(&text).unwrap_or_default();
        match class_name(&json).is_some_and(|name| name.ends_with(CLASSIFIER)) {
            true => "AutoModelForSequenceClassification",
            false => "AutoModel",
        }
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
            // Added to the trained model by the harness.
            "columns",
            "thresholds",
            // Checksums of the pretrained model.
            "files",
            "checksums_sha256",
            "torch_dtype",
            "finetuning_task",
            // tokenizer_config.json has it.
            "tokenizer_class",
            "auto_map",
            TRANSFORMERS,
            // Python would not load the model with these, or not run it.
            "return_dict",
            "chunk_size_feed_forward",
            "attn_implementation",
            "_attn_implementation",
            "quantization_config",
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
            ("problem_type", json!(SINGLE_LABEL)),
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

    /// Returns the family.
    pub(crate) fn family(&self) -> Family {
        self.family
    }

    /// Returns the JSON text.
    pub(crate) fn text(&self) -> String {
        format!("{:#}\n", Value::Object(self.json.clone()))
    }
}

/// Returns the first class in `architectures`.
fn class_name(json: &Map<String, Value>) -> Option<&str> {
    json.get("architectures")?.get(0)?.as_str()
}

/// Returns the `model_type` of the class in `architectures`, such as `BertForMaskedLM`.
fn model_type_of_class(json: &Map<String, Value>) -> Option<&'static str> {
    let class = class_name(json)?;
    let of_class = FAMILIES.iter().find(|(_, _, classifier)| {
        let rest = class.strip_prefix(classifier.trim_end_matches(CLASSIFIER));
        rest.is_some_and(|rest| rest.starts_with("For") || rest.starts_with("Model"))
    });
    of_class.map(|(kind, ..)| *kind)
}

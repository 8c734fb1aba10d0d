//! The model folder: `model.safetensors`, `config.json`, and `vocabulary.txt` or `tokenizer.json`.
//! The format is described in docs/reference/models/bilstm.md.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use diagnostics::Error;
use harness::model_dir::{
    CONFIG, ProblemType, TENSORS, VOCABULARY, check_ids, read_config, tensors, unreadable,
    vocabulary, write, write_config,
};
use tch::Device;
use training::{prefixed, write_tensors};

use super::lstm::LstmModel;
use crate::forward::Recurrent;
use crate::net::Shape;
use crate::tokenizer::{FileTokenizer, Tokenizer};

/// `format` and `version` of the config.
const FORMAT: &str = "trainyard-bilstm";
const VERSION: u32 = 1;
/// `arch` of the config.
pub(super) const ARCH: &str = "bilstm";
const TOKENIZER: &str = "tokenizer.json";

#[derive(serde::Serialize, serde::Deserialize)]
struct Config {
    format: String,
    version: u32,
    arch: String,
    id2label: BTreeMap<u32, String>,
    label2id: BTreeMap<String, u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem_type: Option<ProblemType>,
    seq_len: usize,
    unknown: u32,
    #[serde(flatten)]
    shape: Shape,
}

/// Reads the architecture of the model in a folder.
pub(super) fn arch(dir: &Path) -> Result<String, Error> {
    harness::model_dir::arch(dir, FORMAT, VERSION)
}

pub(super) fn unknown_arch(dir: &Path, arch: &str) -> Error {
    unreadable(
        dir,
        CONFIG,
        format!(
            "expected the arch `{ARCH}` or `{}`, found `{arch}`",
            bag::ARCH
        ),
    )
}

impl LstmModel {
    /// Writes the model folder.
    pub(super) fn save(&self, dir: &Path) -> Result<(), Error> {
        let ids = || (0..).zip(self.classes.iter().cloned());
        let config = Config {
            format: FORMAT.to_owned(),
            version: VERSION,
            arch: ARCH.to_owned(),
            id2label: ids().collect(),
            label2id: ids().map(|(id, label)| (label, id)).collect(),
            problem_type: ProblemType::if_multi_label(self.multi_label),
            seq_len: self.seq_len,
            unknown: self.tokenizer.unknown(),
            shape: self.shape.clone(),
        };
        write_config(dir, &config)?;
        match &self.tokenizer {
            Tokenizer::Words { words, .. } => {
                let mut text = words.join("\n");
                text.push('\n');
                write(dir, VOCABULARY, text.as_bytes())?;
            }
            Tokenizer::File(file) => write(dir, TOKENIZER, &file.json)?,
        }
        let tensors = prefixed("", &self.arrays).collect();
        write_tensors(&dir.join(TENSORS), &[], tensors)
    }

    /// Reads a model folder.
    pub(super) fn load(dir: &Path) -> Result<Self, Error> {
        let config: Config = read_config(dir)?;
        check(&config).map_err(|error| unreadable(dir, CONFIG, error))?;
        let tokenizer = if dir.join(TOKENIZER).exists() {
            Tokenizer::File(Arc::new(FileTokenizer::read(&dir.join(TOKENIZER))?))
        } else {
            let text = vocabulary(dir)?;
            let duplicate =
                || unreadable(dir, VOCABULARY, "expected every word once, found one twice");
            Tokenizer::of_words(text.lines().map(str::to_owned).collect()).ok_or_else(duplicate)?
        };
        let Shape { ids, pad, .. } = config.shape;
        for (name, expected, found) in [
            ("ids", tokenizer.ids(), ids),
            ("pad", tokenizer.pad() as usize, pad as usize),
            (
                "unknown",
                tokenizer.unknown() as usize,
                config.unknown as usize,
            ),
        ] {
            if expected != found {
                let message = format!(
                    "expected `{name}` to be `{expected}` as in the vocabulary, found `{found}`"
                );
                return Err(unreadable(dir, CONFIG, message));
            }
        }
        let arrays = tensors(dir)?;
        for (name, shape) in config.shape.parameters() {
            let found = arrays.get(&name).map(|array| &array.shape);
            if found != Some(&shape) {
                let found =
                    found.map_or_else(|| "none".to_owned(), |found| format!("shape {found:?}"));
                return Err(unreadable(
                    dir,
                    TENSORS,
                    format!("expected `{name}` of shape {shape:?}, found {found}"),
                ));
            }
        }
        Ok(Self {
            classes: config.id2label.into_values().collect(),
            multi_label: ProblemType::is_multi_label(config.problem_type),
            tokenizer,
            seq_len: config.seq_len,
            shape: config.shape,
            arrays,
            devices: vec![Device::Cpu],
            next_device: AtomicUsize::default(),
            recurrent: Recurrent::new(),
        })
    }
}

/// Refuses a config that training does not write.
fn check(config: &Config) -> Result<(), String> {
    let Shape {
        ids,
        emb_size,
        hidden_size,
        num_layers,
        classes,
        ..
    } = config.shape;
    let sizes = [
        ("ids", ids),
        ("emb_size", emb_size),
        ("hidden_size", hidden_size),
        ("num_layers", num_layers),
        ("seq_len", config.seq_len),
    ];
    if let Some((name, _)) = sizes.into_iter().find(|&(_, size)| size == 0) {
        return Err(format!("expected `{name}` above 0, found `0`"));
    }
    // The limits of `params`: the file is untrusted.
    let limits = [
        ("emb_size", emb_size, 65_536),
        ("hidden_size", hidden_size, 65_536),
        ("num_layers", num_layers, 64),
    ];
    if let Some((name, found, max)) = limits.into_iter().find(|(_, size, max)| size > max) {
        return Err(format!(
            "expected `{name}` of at most `{max}`, found `{found}`"
        ));
    }
    if classes < 2 || classes != config.id2label.len() {
        return Err(format!(
            "expected `{classes}` entries of `id2label`, at least 2, found `{}`",
            config.id2label.len()
        ));
    }
    check_ids(&config.id2label, &config.label2id)
}

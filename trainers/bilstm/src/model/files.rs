//! The model folder: `model.safetensors`, `config.json`, and `vocabulary.txt` or `tokenizer.json`. No pickle;
//! docs/bilstm-model.md reads it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use diagnostics::Error;
use harness::model_dir::{
    CONFIG, TENSORS, VOCABULARY, check_ids, read, tensors, unreadable, write,
};
use tch::Device;
use training::{prefixed, write_tensors};

use super::lstm::LstmModel;
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
    seq_len: usize,
    unknown: u32,
    #[serde(flatten)]
    shape: Shape,
}

/// The architecture of the model in a folder.
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

pub(super) fn save(model: &LstmModel, dir: &Path) -> Result<(), Error> {
    let ids = || (0..).zip(model.classes.iter().cloned());
    let config = Config {
        format: FORMAT.to_owned(),
        version: VERSION,
        arch: ARCH.to_owned(),
        id2label: ids().collect(),
        label2id: ids().map(|(id, label)| (label, id)).collect(),
        seq_len: model.seq_len,
        unknown: model.reader.unknown(),
        shape: model.shape.clone(),
    };
    let mut json =
        serde_json::to_string_pretty(&config).map_err(|error| unreadable(dir, CONFIG, error))?;
    json.push('\n');
    write(dir, CONFIG, json.as_bytes())?;
    match &model.reader {
        Tokenizer::Words { words, .. } => {
            let mut text = words.join("\n");
            text.push('\n');
            write(dir, VOCABULARY, text.as_bytes())?;
        }
        Tokenizer::File(pieces) => write(dir, TOKENIZER, &pieces.json)?,
    }
    let tensors = prefixed("", &model.arrays).collect();
    write_tensors(&dir.join(TENSORS), &[], tensors)
}

pub(super) fn load(dir: &Path) -> Result<LstmModel, Error> {
    let config: Config = serde_json::from_slice(&read(dir, CONFIG)?)
        .map_err(|error| unreadable(dir, CONFIG, error))?;
    check(&config).map_err(|error| unreadable(dir, CONFIG, error))?;
    let reader = if dir.join(TOKENIZER).exists() {
        Tokenizer::File(Arc::new(FileTokenizer::read(&dir.join(TOKENIZER))?))
    } else {
        let text = String::from_utf8(read(dir, VOCABULARY)?)
            .map_err(|error| unreadable(dir, VOCABULARY, error))?;
        let twice = || unreadable(dir, VOCABULARY, "expected every word once, found one twice");
        Tokenizer::of_words(text.lines().map(str::to_owned).collect()).ok_or_else(twice)?
    };
    let Shape { ids, pad, .. } = config.shape;
    for (name, expected, found) in [
        ("ids", reader.ids(), ids),
        ("pad", reader.pad() as usize, pad as usize),
        (
            "unknown",
            reader.unknown() as usize,
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
            let found = found.map_or_else(|| "none".to_owned(), |found| format!("shape {found:?}"));
            return Err(unreadable(
                dir,
                TENSORS,
                format!("expected `{name}` of shape {shape:?}, found {found}"),
            ));
        }
    }
    Ok(LstmModel {
        classes: config.id2label.into_values().collect(),
        reader,
        seq_len: config.seq_len,
        shape: config.shape,
        arrays,
        devices: vec![Device::Cpu],
        turn: AtomicUsize::default(),
    })
}

/// Refuses what training never writes and predicting could not do.
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
    // As in `params`: a file must not ask for layers without end.
    let widest = [
        ("emb_size", emb_size, 65_536),
        ("hidden_size", hidden_size, 65_536),
        ("num_layers", num_layers, 64),
    ];
    if let Some((name, found, most)) = widest.into_iter().find(|(_, size, most)| size > most) {
        return Err(format!(
            "expected `{name}` of at most `{most}`, found `{found}`"
        ));
    }
    if classes < 2 || classes != config.id2label.len() {
        return Err(format!(
            "expected `{classes}` entries of `id2label`, at least 2, found `{}`",
            config.id2label.len()
        ));
    }
    check_ids(&config.id2label)
}

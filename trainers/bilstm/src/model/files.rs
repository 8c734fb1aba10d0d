//! The model folder: `model.safetensors`, `config.json`, and `vocabulary.txt` or `tokenizer.json`. No pickle;
//! docs/bilstm-model.md reads it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use harness::Failure;
use harness::training::{Arrays, TensorError, prefixed, read_tensors, write_tensors};
use tch::Device;

use super::lstm::LstmModel;
use crate::net::Shape;
use crate::reader::{PieceReader, Reader};

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const TENSORS: &str = "model.safetensors";
pub(crate) const VOCABULARY: &str = "vocabulary.txt";
const TOKENIZER: &str = "tokenizer.json";
pub(crate) const FORMAT: &str = "trainyard-bilstm";
pub(crate) const VERSION: u32 = 1;

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

/// What all architectures' `config.json` begin with.
#[derive(serde::Deserialize)]
struct Head {
    format: String,
    version: u32,
    arch: String,
}

/// The architecture of the model in a folder.
pub(super) fn arch(dir: &Path) -> Result<String, Failure> {
    let head: Head = serde_json::from_slice(&read(dir, CONFIG)?)
        .map_err(|error| unreadable(dir, CONFIG, error))?;
    if head.format != FORMAT || head.version != VERSION {
        let found = format!("{} {}", head.format, head.version);
        let message = format!("expected format `{FORMAT} {VERSION}`, found `{found}`");
        return Err(unreadable(dir, CONFIG, message));
    }
    Ok(head.arch)
}

pub(super) fn unknown_arch(dir: &Path, arch: &str) -> Failure {
    unreadable(
        dir,
        CONFIG,
        format!("expected the arch `bilstm` or `bag`, found `{arch}`"),
    )
}

pub(super) fn save(model: &LstmModel, dir: &Path) -> Result<(), Failure> {
    let ids = || (0..).zip(model.classes.iter().cloned());
    let config = Config {
        format: FORMAT.to_owned(),
        version: VERSION,
        arch: "bilstm".to_owned(),
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
        Reader::Words { words, .. } => {
            let mut text = words.join("\n");
            text.push('\n');
            write(dir, VOCABULARY, text.as_bytes())?;
        }
        Reader::Pieces(pieces) => write(dir, TOKENIZER, &pieces.json)?,
    }
    let tensors = prefixed("", &model.arrays).collect();
    write_tensors(&dir.join(TENSORS), &[], tensors)
}

pub(super) fn load(dir: &Path) -> Result<LstmModel, Failure> {
    let config: Config = serde_json::from_slice(&read(dir, CONFIG)?)
        .map_err(|error| unreadable(dir, CONFIG, error))?;
    check(&config).map_err(|error| unreadable(dir, CONFIG, error))?;
    let reader = if dir.join(TOKENIZER).exists() {
        Reader::Pieces(Arc::new(PieceReader::read(&dir.join(TOKENIZER))?))
    } else {
        let text = String::from_utf8(read(dir, VOCABULARY)?)
            .map_err(|error| unreadable(dir, VOCABULARY, error))?;
        let twice = || unreadable(dir, VOCABULARY, "expected every word once, found one twice");
        Reader::of_words(text.lines().map(str::to_owned).collect()).ok_or_else(twice)?
    };
    let Shape { ids, pad, .. } = config.shape;
    if (reader.ids(), reader.pad(), reader.unknown()) != (ids, pad, config.unknown) {
        let message = format!(
            "expected `{ids}` ids, found `{}` in the vocabulary",
            reader.ids()
        );
        return Err(unreadable(dir, CONFIG, message));
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
        pad,
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
    if pad as usize >= ids || config.unknown as usize >= ids {
        return Err(format!("expected `pad` and `unknown` below `{ids}`"));
    }
    if classes < 2 || classes != config.id2label.len() {
        return Err(format!(
            "expected `{classes}` entries of `id2label`, at least 2, found `{}`",
            config.id2label.len()
        ));
    }
    check_ids(&config.id2label)
}

/// Refuses ids that do not count from 0.
pub(crate) fn check_ids(id2label: &BTreeMap<u32, String>) -> Result<(), String> {
    match (0..).zip(id2label.keys()).find(|(id, key)| id != *key) {
        Some((id, key)) => Err(format!(
            "expected the ids of `id2label` to count from 0, found `{key}` in place of `{id}`"
        )),
        None if id2label.len() < 2 => Err("expected at least 2 entries of `id2label`".to_owned()),
        None => Ok(()),
    }
}

/// The tensors of a model folder.
pub(crate) fn tensors(dir: &Path) -> Result<Arrays, Failure> {
    let path = dir.join(TENSORS);
    read_tensors(&path).map_err(|error| match error {
        TensorError::Io(error) => Failure::io("read", &path)(error),
        TensorError::Format(why) => unreadable(dir, TENSORS, why),
    })
}

pub(crate) fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let path = dir.join(name);
    fs::write(&path, bytes).map_err(Failure::io("write", &path))
}

pub(crate) fn read(dir: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    let path = dir.join(name);
    fs::read(&path).map_err(Failure::io("read", &path))
}

pub(crate) fn unreadable(dir: &Path, name: &str, error: impl ToString) -> Failure {
    let path = dir.join(name);
    let message = format!(
        "`{}` is not a model file of this program: {}",
        path.display(),
        error.to_string()
    );
    Failure::other(
        message,
        "train again, or point --model-dir at a folder that `bilstm train` wrote",
    )
}

//! The model folder: `model.safetensors`, `config.json` and `vocabulary.txt`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use diagnostics::Error;
use harness::model_dir::{
    CONFIG, TENSORS, VOCABULARY, arch, check_ids, read, tensors, unreadable, write,
};
use safetensors::tensor::{Dtype, View};
use text::features::Terms;
use training::Arrays;

use crate::net::Net;
use crate::{BagModel, MIN_WORD_LENGTH};

#[derive(serde::Serialize, serde::Deserialize)]
struct Config {
    format: String,
    version: u32,
    arch: String,
    id2label: BTreeMap<u32, String>,
    label2id: BTreeMap<String, u32>,
    emb_size: usize,
    max_ngrams: usize,
    min_word_length: u8,
}

/// `format` and `version` of the config: `bilstm`'s, whose architecture the bag was first; each reads the other's folders.
const FORMAT: &str = "trainyard-bilstm";
const VERSION: u32 = 1;

/// `arch` of the config.
pub const ARCH: &str = "bag";

/// Most that a folder may claim: `--max-ngrams` has less, and nothing is read that far.
const MOST_NGRAMS: usize = 255;

pub(crate) fn save(model: &BagModel, dir: &Path) -> Result<(), Error> {
    let ids = || (0..).zip(model.classes.iter().cloned());
    let config = Config {
        format: FORMAT.to_owned(),
        version: VERSION,
        arch: ARCH.to_owned(),
        id2label: ids().collect(),
        label2id: ids().map(|(id, label)| (label, id)).collect(),
        emb_size: model.net.width,
        max_ngrams: model.max_ngrams,
        min_word_length: MIN_WORD_LENGTH,
    };
    let mut json =
        serde_json::to_string_pretty(&config).map_err(|error| unreadable(dir, CONFIG, error))?;
    json.push('\n');
    write(dir, CONFIG, json.as_bytes())?;
    write(dir, VOCABULARY, model.terms.as_lines().as_bytes())?;
    let mut tensors = Tensors::default();
    tensors.add("", &model.net);
    tensors.write(&dir.join(TENSORS))
}

pub(crate) fn load(dir: &Path) -> Result<BagModel, Error> {
    match arch(dir, FORMAT, VERSION)?.as_str() {
        ARCH => {}
        "bilstm" => {
            return Err(Error::new(format!(
                "expected a model of the arch `{ARCH}`, found `bilstm` in `{}`",
                dir.join(CONFIG).display()
            ))
            .help("the command `bilstm` reads it"));
        }
        other => {
            let message = format!("expected the arch `{ARCH}`, found `{other}`");
            return Err(unreadable(dir, CONFIG, message));
        }
    }
    let config: Config = serde_json::from_slice(&read(dir, CONFIG)?)
        .map_err(|error| unreadable(dir, CONFIG, error))?;
    check(&config).map_err(|error| unreadable(dir, CONFIG, error))?;
    let text = String::from_utf8(read(dir, VOCABULARY)?)
        .map_err(|error| unreadable(dir, VOCABULARY, error))?;
    let terms = Terms::parse(text);
    if !terms.is_sorted() {
        let message = "expected one term per line in code point order, found another order";
        return Err(unreadable(dir, VOCABULARY, message));
    }
    let mut arrays = tensors(dir)?;
    let shape = (terms.len(), config.emb_size, config.id2label.len());
    Ok(BagModel {
        net: net_of(&mut arrays, "", shape).map_err(|error| unreadable(dir, TENSORS, error))?,
        classes: config.id2label.into_values().collect(),
        terms,
        max_ngrams: config.max_ngrams,
        lookup: OnceLock::new(),
    })
}

/// Refuses what training never writes and predicting could not do.
fn check(config: &Config) -> Result<(), String> {
    if config.emb_size == 0 {
        return Err("expected `emb_size` above 0, found `0`".to_owned());
    }
    if !(1..=MOST_NGRAMS).contains(&config.max_ngrams) {
        return Err(format!(
            "expected `max_ngrams` from 1 to {MOST_NGRAMS}, found `{}`",
            config.max_ngrams
        ));
    }
    if config.min_word_length != MIN_WORD_LENGTH {
        return Err(format!(
            "expected `min_word_length` {MIN_WORD_LENGTH}, found `{}`",
            config.min_word_length
        ));
    }
    check_ids(&config.id2label)
}

/// The network of the arrays whose names begin with `prefix`, for a shape of (terms, width, classes).
pub(crate) fn net_of(
    arrays: &mut Arrays,
    prefix: &str,
    shape: (usize, usize, usize),
) -> Result<Net, String> {
    let (terms, width, classes) = shape;
    let mut take = |name: &str, shape: &[usize]| {
        let name = format!("{prefix}{name}");
        let array = arrays
            .remove(&name)
            .ok_or_else(|| format!("expected `{name}`, found none"))?;
        if array.shape != shape {
            return Err(format!(
                "expected `{name}` of shape {shape:?}, found {:?}",
                array.shape
            ));
        }
        Ok(array.data)
    };
    let embedding = take("embedding.weight", &[terms, width])?;
    let weight = take("linear.weight", &[classes, width])?;
    let bias = take("linear.bias", &[classes])?;
    Ok(Net::from_arrays(width, embedding, weight, bias))
}

/// Named arrays on their way into a file: one at a time becomes bytes.
#[derive(Default)]
pub(crate) struct Tensors<'a>(Vec<(String, Tensor<'a>)>);

struct Tensor<'a> {
    shape: [usize; 2],
    rank: usize,
    data: Cow<'a, [f32]>,
}

impl<'a> Tensors<'a> {
    pub(crate) fn add(&mut self, prefix: &str, net: &'a Net) {
        let (terms, width, classes) = (net.terms(), net.width, net.bias.len());
        let [embedding, weight] = net.rows();
        for (name, shape, rank, data) in [
            ("embedding.weight", [terms, width], 2, embedding),
            ("linear.weight", [classes, width], 2, weight),
            (
                "linear.bias",
                [classes, 0],
                1,
                Cow::Borrowed(net.bias.as_slice()),
            ),
        ] {
            self.0
                .push((format!("{prefix}{name}"), Tensor { shape, rank, data }));
        }
    }

    pub(crate) fn write(self, path: &Path) -> Result<(), Error> {
        // Not by safetensors' own file: that one is for its owner alone.
        let bytes = safetensors::serialize(self.0, None).map_err(|error| {
            Error::new(format!("cannot write `{}`: {error}", path.display()))
                .help("please report it")
        })?;
        std::fs::write(path, bytes).map_err(Error::io("write", path))
    }
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape[..self.rank]
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = vec![0; self.data_len()];
        for (bytes, value) in bytes
            .as_chunks_mut::<4>()
            .0
            .iter_mut()
            .zip(self.data.iter())
        {
            *bytes = value.to_le_bytes();
        }
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        size_of_val(&*self.data)
    }
}

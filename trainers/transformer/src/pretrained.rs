//! The pretrained model: a folder in Hugging Face's layout, the channel `model`, or a model of the
//! hub.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Error, sanitize};
use sagemaker::Paths;
use serde_json::{Map, Value};

use crate::architecture::Architecture;
use crate::config::{CONFIG, Config};
use crate::hub;
use crate::tokenizer::{TOKENIZER, TOKENIZER_CONFIG, TextTokenizer, optional_files};
use crate::weights::{self, HeadInit, INDEX, Loaded, PICKLE, WEIGHTS, refuse_pickle};

/// The channel of the pretrained model.
pub(crate) const CHANNEL: &str = "model";

/// A pretrained model. Weights are not loaded yet.
#[derive(Clone, Debug)]
pub(crate) struct Pretrained {
    /// Folder or id, as given.
    name: String,
    pub(crate) config: Config,
    pub(crate) tokens: Arc<TextTokenizer>,
    /// Maximum tokens of a text.
    pub(crate) max_len: usize,
    /// Further files of the tokenizer.
    extras: Vec<(String, Vec<u8>)>,
    files: Vec<PathBuf>,
}

impl Pretrained {
    /// Finds the given model, or that of the channel.
    pub(crate) fn find(
        given: Option<&str>,
        paths: &Paths,
        max_len: Option<u32>,
    ) -> Result<Self, Error> {
        let (name, dir) = match given {
            Some(name) => (name.to_owned(), resolve_dir(name, paths)?),
            None => {
                let dir = paths.channel(CHANNEL).ok_or_else(none_given)?;
                (dir.display().to_string(), dir)
            }
        };
        Self::read(name, &dir, max_len)
    }

    fn read(name: String, dir: &Path, max_len: Option<u32>) -> Result<Self, Error> {
        check_files(dir)?;
        let config = Config::read(&dir.join(CONFIG))?;
        let longest = config
            .architecture(2, None)
            .map_or(0, |found| found.max_tokens());
        let max_len = match max_len.map(|len| len as usize) {
            Some(len) if len > longest => {
                return Err(Error::usage(format!(
                        "expected --max-len of at most `{longest}`, the positions of `{}`, found `{len}`",
                        sanitize(&name)
                    )).help(format!("use --max-len {longest}")));
            }
            Some(len) => len,
            None => DEFAULT_MAX_LEN.min(longest),
        };
        let tokens = TextTokenizer::read(&dir.join(TOKENIZER), max_len)?;
        check_ids(dir, &tokens, &config)?;
        Ok(Self {
            extras: optional_files(dir)?,
            files: weights::files(dir)?,
            name,
            config,
            tokens: Arc::new(tokens),
            max_len,
        })
    }

    /// Returns the network for a number of classes.
    pub(crate) fn architecture(
        &self,
        classes: usize,
        dropout: Option<f64>,
    ) -> Result<Architecture, Error> {
        self.config
            .architecture(classes, dropout)
            .map_err(|why| Error::new(why).help("choose another pretrained model"))
    }

    /// Loads the weights; a head for other classes is initialized.
    pub(crate) fn load(
        &self,
        architecture: &Architecture,
        classes: &[String],
        seed: u64,
        threads: usize,
    ) -> Result<Loaded, Error> {
        let head = HeadInit {
            keep: self.config.labels().is_some_and(|labels| labels == classes),
            initializer_range: self.config.initializer_range(),
            seed,
        };
        weights::load(&self.files, architecture, head, threads)
    }

    /// Returns further tokenizer files for the trained model, with its token limit for Python.
    pub(crate) fn extras(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut extras = self.extras.clone();
        if !extras.iter().any(|(name, _)| name == TOKENIZER_CONFIG) {
            extras.push((TOKENIZER_CONFIG.to_owned(), b"{}".to_vec()));
        }
        for (name, bytes) in &mut extras {
            if name == TOKENIZER_CONFIG {
                let json: Result<Map<String, Value>, _> = serde_json::from_slice(bytes);
                let mut json = json.map_err(|error| {
                    Error::new(format!(
                        "`{name}` of `{}` cannot be used: {error}",
                        sanitize(&self.name)
                    ))
                    .help("copy or download the model again, or remove the file")
                })?;
                json.insert("model_max_length".to_owned(), self.max_len.into());
                *bytes = format!("{:#}\n", Value::Object(json)).into_bytes();
            }
        }
        Ok(extras)
    }

    /// Returns the folder or id, as given.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns checksums of the content, for checkpoints.
    pub(crate) fn fingerprint(&self) -> BTreeMap<String, String> {
        let mut sums = vec![
            diagnostics::sha256(self.config.text().as_bytes()),
            self.tokens.sha256(),
        ];
        for path in &self.files {
            // An unreadable file fails later, with its error.
            sums.push(diagnostics::sha256_file(path).unwrap_or_default());
        }
        let sum = diagnostics::sha256(sums.join(" ").as_bytes());
        BTreeMap::from([
            ("--pretrained-model".to_owned(), sum),
            ("--max-len".to_owned(), self.max_len.to_string()),
        ])
    }
}

/// The setting of this project's benchmarks: three quarters of IMDB's reviews have more than 128
/// tokens, and attention costs the square of the length. Short texts are not padded to it.
const DEFAULT_MAX_LEN: usize = 256;

fn resolve_dir(name: &str, paths: &Paths) -> Result<PathBuf, Error> {
    let path = PathBuf::from(name);
    if path.is_dir() {
        return Ok(path);
    }
    if path.is_file() {
        return Err(Error::usage(format!(
            "expected a folder for --pretrained-model, found the file `{}`",
            sanitize(name)
        ))
        .help("give the folder with config.json, model.safetensors and tokenizer.json"));
    }
    if hub::is_id(name) {
        return hub::fetch(name, paths.env());
    }
    Err(Error::usage(format!(
            "expected a folder or a model of the hub for --pretrained-model, found neither by the name `{}`",
            sanitize(name)
        )).help("check the path; ids of the hub look like sentence-transformers/all-MiniLM-L6-v2"))
}

fn none_given() -> Error {
    Error::usage("expected a pretrained model, found neither --pretrained-model nor a channel `model`").help("pass --pretrained-model a folder in Hugging Face's layout or the id of a model of the hub, such as \
         sentence-transformers/all-MiniLM-L6-v2")
}

/// Refuses an incomplete folder.
fn check_files(dir: &Path) -> Result<(), Error> {
    let lacks = |name: &str, help: &str| {
        Err(Error::new(format!(
            "expected `{name}` in `{}`, found none",
            dir.display()
        ))
        .help(help.to_owned()))
    };
    if !dir.join(CONFIG).exists() {
        let packed = dir.join("model.tar.gz").exists();
        return match packed {
            true => lacks(
                CONFIG,
                "unpack `model.tar.gz`: the folder must hold its files",
            ),
            false => lacks(
                CONFIG,
                "give a folder in Hugging Face's layout, as `save_pretrained` writes it",
            ),
        };
    }
    if !dir.join(WEIGHTS).exists() && !dir.join(INDEX).exists() {
        let pickle = dir.join(PICKLE);
        if pickle.exists() || dir.join("pytorch_model.bin.index.json").exists() {
            return Err(refuse_pickle(&pickle, &dir.display().to_string()));
        }
        return lacks(
            WEIGHTS,
            "save the model with `save_pretrained`, which writes it",
        );
    }
    if !dir.join(TOKENIZER).exists() {
        return lacks(
            TOKENIZER,
            "write it in Python: `AutoTokenizer.from_pretrained(FOLDER, use_fast=True).save_pretrained(FOLDER)`",
        );
    }
    Ok(())
}

/// Refuses a tokenizer with ids that have no embeddings.
pub(crate) fn check_ids(dir: &Path, tokens: &TextTokenizer, config: &Config) -> Result<(), Error> {
    let vocab = config
        .architecture(2, None)
        .map_or(0, |found| found.vocab_size);
    if (tokens.max_id as usize) < vocab {
        return Ok(());
    }
    Err(Error::new(format!(
        "expected ids below `{vocab}`, the `vocab_size` of `{CONFIG}`, found `{}` in `{}`",
        tokens.max_id,
        dir.join(TOKENIZER).display()
    ))
    .help("take tokenizer and weights from the same model"))
}

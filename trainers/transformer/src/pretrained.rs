//! The pretrained model: a folder in Hugging Face's layout, the channel `model`, or a model of the
//! hub.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Error, listed, sanitize};
use sagemaker::Paths;

use crate::architecture::Architecture;
use crate::config::{CONFIG, Config};
use crate::hub;
use crate::tokenizer::{TOKENIZER, TextTokenizer, TokenizerSettings};
use crate::weights::{self, HeadInit, INDEX, LastLayer, Loaded, PICKLE, WEIGHTS, refuse_pickle};

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
    settings: TokenizerSettings,
    files: Vec<PathBuf>,
}

impl Pretrained {
    /// Finds the given model, or that of the channel. `text_pair`: its texts are pairs.
    pub(crate) fn find(
        given: Option<&str>,
        paths: &Paths,
        max_len: Option<u32>,
        text_pair: bool,
    ) -> Result<Self, Error> {
        let (name, dir) = match given {
            Some(name) => (name.to_owned(), resolve_dir(name, paths)?),
            None => {
                let dir = paths.channel(CHANNEL).ok_or_else(none_given)?;
                (dir.display().to_string(), dir)
            }
        };
        Self::read(name, &dir, max_len, text_pair)
    }

    fn read(
        name: String,
        dir: &Path,
        max_len: Option<u32>,
        text_pair: bool,
    ) -> Result<Self, Error> {
        check_files(dir)?;
        let config = Config::read(&dir.join(CONFIG))?;
        let settings = TokenizerSettings::read(dir)?;
        let (longest, types) = config
            .architecture(2, None)
            .map_or((0, 0), |found| (found.max_tokens(), found.type_vocab_size));
        let max_len = match max_len.map(|len| len as usize) {
            Some(len) if len > longest => {
                return Err(Error::usage(format!(
                        "expected --max-len of at most `{longest}`, the positions of `{}`, found `{len}`",
                        sanitize(&name)
                    )).help(format!("use --max-len {longest}")));
            }
            Some(len) => len,
            None => {
                let of_folder = settings.max_len().map_or(longest, |len| len.max(4));
                DEFAULT_MAX_LEN.min(longest).min(of_folder)
            }
        };
        let pair = text_pair.then_some(types);
        let tokens = TextTokenizer::read(dir, &settings, max_len, pair)?;
        check_ids(dir, &tokens, &settings, &config)?;
        Ok(Self {
            settings,
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
            rows: self.config.head_rows(classes),
            labels: self.config.labels().map_or(0, |labels| labels.len()),
            initializer_range: self.config.initializer_range(),
            seed,
        };
        weights::load(&self.files, architecture, &head, threads)
    }

    /// Returns the warning that the head of the checkpoint is not used, or not for all labels.
    pub(crate) fn head_warning(&self, classes: &[String], last_layer: LastLayer) -> Option<String> {
        let count = |labels: &[String]| match labels {
            [_] => format!("one label, {}", listed(labels, MAX_LISTED)),
            _ => format!("the {} labels {}", labels.len(), listed(labels, MAX_LISTED)),
        };
        let rows = self.config.head_rows(classes);
        let kept = classes.iter().zip(&rows).filter(|(_, row)| row.is_some());
        let kept: Vec<String> = kept.map(|(class, _)| class.clone()).collect();
        let labels = self.config.labels();
        let all = |labels: &Vec<String>| labels.len() == kept.len() && kept.len() == classes.len();
        let what = match last_layer {
            LastLayer::Missing => return None,
            LastLayer::Used if labels.as_ref().is_ok_and(all) => return None,
            LastLayer::Used => format!(
                "is used for {} only, the rest is new",
                listed(&kept, MAX_LISTED)
            ),
            LastLayer::Unused => "is not used, a new one is trained".to_owned(),
        };
        let has = match labels {
            Ok(labels) => format!("it has {}", count(&labels)),
            Err(why) => format!("its labels cannot be used ({why})"),
        };
        Some(format!(
            "the classification head of `{}` {what}: {has}; the data has {}\n  help: to train its \
             head further, use its labels in the data",
            sanitize(&self.name),
            count(classes)
        ))
    }

    /// Returns the tokenizer_config.json of the trained model.
    pub(crate) fn tokenizer_config(&self) -> Vec<u8> {
        self.settings.trained(&self.tokens, self.max_len)
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
/// Labels of a side to list in a warning.
const MAX_LISTED: usize = 5;

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
    if hub::is_name(name) {
        return hub::fetch(name, paths.env()).map_err(|error| {
            error.context(&format!(
                "there is no folder `{name}`, and as a model of the hub it cannot be used"
            ))
        });
    }
    let message = format!(
        "expected a folder or a model of the hub for --pretrained-model, found neither by the name `{}`",
        sanitize(name)
    );
    Err(Error::usage(message).help(
        "check the path; ids of the hub look like sentence-transformers/all-MiniLM-L6-v2, and a branch, \
         tag or commit may follow after `@`",
    ))
}

fn none_given() -> Error {
    Error::usage("expected a pretrained model, found neither --pretrained-model nor a channel `model`").help("pass --pretrained-model a folder in Hugging Face's layout or the id of a model of the hub, such as \
         sentence-transformers/all-MiniLM-L6-v2")
}

/// Weights of a LoRA adapter, without those of the model that it changes.
const ADAPTER: &str = "adapter_config.json";
/// The index of pickled weights in several files.
const PICKLE_INDEX: &str = "pytorch_model.bin.index.json";
/// Weights of other frameworks.
const FOREIGN: [&str; 4] = [
    "tf_model.h5",
    "flax_model.msgpack",
    "model.onnx",
    "onnx/model.onnx",
];
/// The start of a file that Git has not replaced by its content.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The folder of the model in models of old versions of sentence-transformers.
const SENTENCE_TRANSFORMERS: &str = "0_Transformer";

fn lacks(dir: &Path, name: &str, help: String) -> Error {
    let dir = dir.display();
    Error::new(format!("expected `{name}` in `{dir}`, found none")).help(help)
}

/// Explains a folder whose files are those of an adapter, or in another folder; `None` for others.
pub(crate) fn other_layout(dir: &Path) -> Option<Error> {
    let has = |name: &str| dir.join(name).exists();
    let has_weights = [WEIGHTS, INDEX, PICKLE, PICKLE_INDEX].into_iter().any(has);
    if !has_weights && has(ADAPTER) {
        return Some(adapter_alone(dir));
    }
    if has(CONFIG) && has_weights {
        return None;
    }
    let name = if has(CONFIG) { WEIGHTS } else { CONFIG };
    if let Some(newest) = newest_checkpoint(dir) {
        let help = format!("give the newest checkpoint in it, `{}`", newest.display());
        return Some(lacks(dir, name, help));
    }
    let inner = dir.join(SENTENCE_TRANSFORMERS);
    if inner.join(CONFIG).exists() {
        let help = format!("give the folder in it, `{}`", inner.display());
        return Some(lacks(dir, name, help));
    }
    (!has(CONFIG) && has("model.tar.gz")).then(|| {
        let help = "unpack `model.tar.gz`: the folder must hold its files";
        lacks(dir, name, help.to_owned())
    })
}

/// Refuses an incomplete folder.
pub(crate) fn check_files(dir: &Path) -> Result<(), Error> {
    if let Some(error) = other_layout(dir) {
        return Err(error);
    }
    let has = |name: &str| dir.join(name).exists();
    if !has(CONFIG) {
        let help = "give a folder in Hugging Face's layout, as `save_pretrained` writes it";
        return Err(lacks(dir, CONFIG, help.to_owned()));
    }
    if let Some(trainer) = Config::other_trainer(dir) {
        let message = format!(
            "expected a model in Hugging Face's layout, found one of `{trainer}` in `{}`",
            dir.display()
        );
        return Err(Error::new(message).help("give another folder, as `save_pretrained` writes it"));
    }
    if !has(WEIGHTS) && !has(INDEX) {
        return Err(no_weights(dir));
    }
    if !has(TOKENIZER) {
        let dir_name = dir.display();
        let help = format!(
            "write it, in Python: `from transformers import AutoTokenizer; \
             AutoTokenizer.from_pretrained(\"{dir_name}\").save_pretrained(\"{dir_name}\")`"
        );
        return Err(lacks(dir, TOKENIZER, help));
    }
    let shards = weights::files(dir)?;
    if let Some(shard) = shards.iter().find(|path| !path.exists()) {
        let name = shard.file_name().unwrap_or_default().to_string_lossy();
        let help = format!("`{INDEX}` names it: copy or download the model again");
        return Err(lacks(dir, &sanitize(&name), help));
    }
    let others = [CONFIG, TOKENIZER].map(|name| dir.join(name));
    match shards
        .iter()
        .chain(&others)
        .find(|path| is_lfs_pointer(path))
    {
        Some(path) => Err(Error::new(format!(
            "expected the content of `{}`, found a pointer of Git LFS",
            path.display()
        ))
        .help(format!("run `git lfs pull` in `{}`", dir.display()))),
        None => Ok(()),
    }
}

/// Returns the error for a folder without weights in safetensors files of the usual names.
fn no_weights(dir: &Path) -> Error {
    let has = |name: &&str| dir.join(name).exists();
    if let Some(pickle) = [PICKLE, PICKLE_INDEX].iter().copied().find(has) {
        let class = Config::auto_class(dir);
        let model = dir.display().to_string();
        return refuse_pickle(&dir.join(pickle), (&model, None), class);
    }
    if let Some(found) = FOREIGN.iter().copied().find(has) {
        return Error::new(format!(
            "expected weights of PyTorch in `{WEIGHTS}`, found only `{}`",
            dir.join(found).display()
        ))
        .help("take the model that was converted to this file, or one with `model.safetensors`");
    }
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut variants: Vec<String> = names
        .filter(|name| name.ends_with(".safetensors"))
        .collect();
    variants.sort();
    let help = match &variants[..] {
        [variant] => format!(
            "if `{}` has the weights of the whole model, rename it to `{WEIGHTS}`",
            sanitize(variant)
        ),
        _ => "save the model with `save_pretrained`, which writes it".to_owned(),
    };
    lacks(dir, WEIGHTS, help)
}

fn is_lfs_pointer(path: &Path) -> bool {
    let mut start = [0; LFS_POINTER.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == LFS_POINTER
}

/// Returns the folder of the newest checkpoint that transformers' Trainer wrote.
fn newest_checkpoint(dir: &Path) -> Option<PathBuf> {
    let step = |path: &PathBuf| -> Option<u64> {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("checkpoint-")?.parse().ok()
    };
    let entries = std::fs::read_dir(dir).ok()?.filter_map(Result::ok);
    let paths = entries.map(|entry| entry.path());
    let checkpoints = paths.filter(|path| step(path).is_some() && path.join(CONFIG).exists());
    checkpoints.max_by_key(step)
}

fn adapter_alone(dir: &Path) -> Error {
    let dir = dir.display();
    Error::new(format!(
        "expected the weights of a whole model in `{dir}`, found a LoRA adapter (`{ADAPTER}`)"
    ))
    .help(format!(
        "merge it, in Python: `from peft import AutoPeftModelForSequenceClassification; \
         AutoPeftModelForSequenceClassification.from_pretrained(\"{dir}\").merge_and_unload()\
         .save_pretrained(\"merged\")`, copy the tokenizer's files into the folder `merged`, and \
         use it"
    ))
}

/// Refuses a tokenizer with ids that have no embeddings, or with another padding token than the
/// network.
pub(crate) fn check_ids(
    dir: &Path,
    tokens: &TextTokenizer,
    settings: &TokenizerSettings,
    config: &Config,
) -> Result<(), Error> {
    let Ok(architecture) = config.architecture(2, None) else {
        return Ok(());
    };
    let (vocab, pad) = (architecture.vocab_size, architecture.pad_token_id);
    if (tokens.max_id as usize) >= vocab {
        return Err(Error::new(format!(
            "expected ids below `{vocab}`, the `vocab_size` of `{CONFIG}`, found `{}` in `{}`",
            tokens.max_id,
            dir.join(TOKENIZER).display()
        ))
        .help(
            "take tokenizer and weights from the same model; if tokens were added, give them \
             embeddings, in Python: `model.resize_token_embeddings(len(tokenizer))`, and save both",
        ));
    }
    let around = tokens.around.contains(&pad);
    let padding = settings.padding(tokens);
    // RoBERTa and MPNet count positions from this id, and skip it in a text.
    let differs =
        config.family().is_like_roberta() && padding.as_ref().is_some_and(|(_, id)| *id != pad);
    if !around && !differs {
        return Ok(());
    }
    let which = match around {
        true => format!("which `{TOKENIZER}` adds to every text"),
        false => format!("which is not the padding token of `{TOKENIZER}`"),
    };
    let help = match padding.filter(|(_, id)| !tokens.around.contains(id)) {
        Some((name, id)) => format!(
            "set `pad_token_id` in `{CONFIG}` to `{id}`, the id of `{}`, if the model was trained \
             with it",
            sanitize(&name)
        ),
        None => "take configuration and tokenizer from the same model".to_owned(),
    };
    Err(Error::new(format!(
        "expected the id of the padding token as `pad_token_id` of `{}`, found `{pad}`, {which}",
        dir.join(CONFIG).display()
    ))
    .help(help))
}

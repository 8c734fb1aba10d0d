//! A trained model and its folder in Hugging Face's layout: see
//! docs/reference/models/transformer.md.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diagnostics::Error;
use evaluation::metrics::Scores;
use evaluation::report::ClassFeatures;
use harness::Model;
use harness::model_dir::write;
use training::{Tensor, write_tensors};

use crate::architecture::Architecture;
use crate::config::{CONFIG, Config};
use crate::device::Setup;
use crate::engine::{Engine, Params};
use crate::predict;
use crate::pretrained::{check_files, check_ids, other_layout};
use crate::tokenizer::token_cache::TokenCache;
use crate::tokenizer::{TOKENIZER, TOKENIZER_CONFIG, TextTokenizer, TokenizerSettings};
use crate::weights::{self, HeadInit, LastLayer, WEIGHTS};

/// A trained model.
pub struct TransformerModel {
    pub(crate) classes: Vec<String>,
    /// True if a text may have several labels, or none.
    pub(crate) multi_label: bool,
    pub(crate) config: Config,
    pub(crate) architecture: Architecture,
    pub(crate) tokens: Arc<TextTokenizer>,
    /// The content of tokenizer_config.json.
    pub(crate) tokenizer_config: Vec<u8>,
    pub(crate) params: Params,
    /// Shared by all threads: it already uses all cores, and weights are large. Other threads
    /// tokenize meanwhile.
    pub(crate) engine: Mutex<Option<Box<dyn Engine>>>,
}

impl TransformerModel {
    /// Moves the weights into an engine.
    pub(crate) fn prepare(&mut self, setup: Setup) -> Result<(), Error> {
        let params = std::mem::take(&mut self.params);
        let frozen = vec![true; params.len()];
        let engine = setup.engine(&self.architecture, params, &frozen, None)?;
        self.engine = Mutex::new(Some(engine));
        Ok(())
    }

    fn engine(&self) -> MutexGuard<'_, Option<Box<dyn Engine>>> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shape(&self) -> (u32, usize) {
        (self.architecture.pad_token_id, self.architecture.num_labels)
    }
}

fn unprepared() -> Error {
    Error::new("the model is not loaded to a device").help("please report it")
}

impl Model for TransformerModel {
    type Scratch = TokenCache;

    /// Rows are sorted by length within a block: large enough for that, small enough that several
    /// threads tokenize.
    const BLOCK_BYTES: usize = 2 * 1024 * 1024;

    const SEPARATE_CHECKSUMS: bool = true;

    fn is_resaved(dir: &Path) -> bool {
        let config = std::fs::read(dir.join(CONFIG)).unwrap_or_default();
        Config::is_of_transformers(&config) || TokenizerSettings::is_of_transformers(dir)
    }

    fn other_layout(dir: &Path) -> Option<Error> {
        other_layout(dir)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn is_multi_label(&self) -> bool {
        self.multi_label
    }

    fn is_text_pair(&self) -> bool {
        self.config.is_text_pair()
    }

    fn save(&self, dir: &Path) -> Result<(), Error> {
        write(dir, CONFIG, self.config.text().as_bytes())?;
        write(dir, TOKENIZER, &self.tokens.trained_json()?)?;
        write(dir, TOKENIZER_CONFIG, &self.tokenizer_config)?;
        let parameters = self.architecture.parameters();
        let tensors = parameters
            .iter()
            .zip(&self.params)
            .map(|(parameter, data)| Tensor {
                name: parameter.name.clone(),
                shape: &parameter.shape,
                data,
            });
        // transformers refuses a file without its framework's format.
        write_tensors(&dir.join(WEIGHTS), &[("format", "pt")], tensors.collect())
    }

    fn load(dir: &Path) -> Result<Self, Error> {
        check_files(dir)?;
        let config = Config::read(&dir.join(CONFIG))?;
        let no_model = |why: &str| {
            Error::new(format!(
                "`{}` is not the model of a classifier: {why}",
                dir.display()
            ))
            .help(
                "point --model-dir at a folder that `transformer train` wrote; to fine-tune this \
                 model, pass it to `train` as --pretrained-model",
            )
        };
        let multi_label = config.is_multi_label().map_err(|why| no_model(&why))?;
        let classes = config.labels().map_err(|why| no_model(&why))?;
        if classes.len() < 2 {
            return Err(no_model(&format!(
                "expected two or more labels in `id2label`, found `{}`",
                classes.len()
            )));
        }
        let architecture = config
            .architecture(classes.len(), None)
            .map_err(|why| no_model(&why))?;
        let settings = TokenizerSettings::read(dir)?;
        let of_folder = settings
            .max_len()
            .filter(|&len| len <= architecture.max_tokens());
        let max_len = of_folder.or(config.max_len());
        let max_len = max_len.unwrap_or(architecture.max_tokens());
        if !(3..=architecture.max_tokens()).contains(&max_len) {
            return Err(no_model(&format!(
                "expected texts of 3 to `{}` tokens, found a `max_len` of `{max_len}`",
                architecture.max_tokens()
            )));
        }
        let pair = config
            .is_text_pair()
            .then_some(architecture.type_vocab_size);
        let tokens = TextTokenizer::read(dir, &settings, max_len, pair)?;
        check_ids(dir, &tokens, &settings, &config)?;
        let head = HeadInit {
            rows: (0..classes.len()).map(Some).collect(),
            labels: classes.len(),
            initializer_range: 0.0,
            seed: 0,
        };
        let loaded = weights::load(&weights::files(dir)?, &architecture, &head, 2)?;
        if loaded.last_layer == LastLayer::Unused {
            return Err(no_model(&format!(
                "expected a head for the `{}` labels of `{CONFIG}`, found one of another size",
                classes.len()
            )));
        }
        if let Some(name) = loaded.initialized.first() {
            return Err(no_model(&format!(
                "expected the weights `{name}`, found none"
            )));
        }
        Ok(Self {
            classes,
            multi_label,
            config,
            architecture,
            tokenizer_config: settings.trained(&tokens, max_len),
            tokens: Arc::new(tokens),
            params: loaded.params,
            engine: Mutex::new(None),
        })
    }

    fn scratch(&self) -> TokenCache {
        TokenCache::default()
    }

    fn predict(&self, cache: &mut TokenCache, texts: &[&str]) -> Result<Scores, Error> {
        let rows = texts.iter().map(|text| self.tokens.encode(text, cache));
        let rows = rows.collect::<Result<Vec<_>, Error>>()?;
        let mut engine = self.engine();
        let engine = engine.as_mut().ok_or_else(unprepared)?;
        let found = predict::logits(engine.as_mut(), &rows, self.shape(), &|| false)?;
        let (logits, classes) = (found.unwrap_or_default(), self.classes.len());
        Ok(Scores::from_logits(logits, classes, self.multi_label))
    }

    fn explain(&self, text: Option<&str>, top: usize) -> Result<Vec<ClassFeatures>, Error> {
        let text = text.ok_or_else(|| {
            Error::usage(
                "expected a text, found none: words have no weights of their own in a transformer",
            )
            .help("try `explain --model-dir DIR \"some text\"`")
        })?;
        let (tokens, words) = self.tokens.encode_words(text)?;
        let mut engine = self.engine();
        let engine = engine.as_mut().ok_or_else(unprepared)?;
        let weights = predict::explain(engine.as_mut(), &tokens, &words, self.shape())?;
        Ok(ClassFeatures::strongest(&self.classes, weights, top))
    }
}

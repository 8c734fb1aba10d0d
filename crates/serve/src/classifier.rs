//! The model as the server sees it.

use std::path::Path;
use std::sync::Arc;

use dataset::join_texts;
use diagnostics::Error;
use evaluation::metrics::Scores;
use evaluation::report::ClassFeatures;

/// Scores texts, in order, with working memory of its own: one per thread.
pub type Scorer = Box<dyn FnMut(&[&str]) -> Result<Scores, Error> + Send>;

/// Loads the model of a folder.
pub type Load = Arc<dyn Fn(&Path) -> Result<Arc<dyn Classifier>, Error> + Send + Sync>;

/// A loaded model.
pub trait Classifier: Send + Sync + 'static {
    /// Returns the description of the model.
    fn info(&self) -> &ModelInfo;

    /// Returns a scorer for one thread.
    fn scorer(self: Arc<Self>) -> Scorer;

    /// Returns the strongest features of a text, per class.
    ///
    /// # Errors
    /// The model cannot explain.
    fn explain(&self, text: &str, top: usize) -> Result<Vec<ClassFeatures>, Error>;
}

/// Properties of a model that the server needs.
#[derive(Clone, Debug, Default)]
pub struct ModelInfo {
    /// Name of the trainer, such as `svm`.
    pub program: String,
    /// Version of the program.
    pub version: String,
    /// The labels, by class number.
    pub classes: Vec<String>,
    /// True if a text may have several labels, or none.
    pub multi_label: bool,
    /// True if the texts are pairs.
    pub text_pair: bool,
    /// Names of the columns with the text.
    pub text_columns: Vec<String>,
    /// True if the names are numbers, because the data has no header.
    pub no_header: bool,
    /// Text between the labels in a CSV field; `None` for lists in JSON.
    pub label_separator: Option<String>,
    /// Bytes of texts that are scored at once, at most.
    pub max_batch_bytes: usize,
}

impl ModelInfo {
    /// Number of texts in a record: 2 for pairs, else the number of columns.
    pub(crate) fn texts(&self) -> usize {
        match self.text_pair {
            true => 2,
            false => self.text_columns.len().max(1),
        }
    }

    /// Returns names that may replace those of the text columns: Hugging Face's.
    pub(crate) fn other_columns(&self) -> &'static [&'static [&'static str]] {
        const PAIRS: &[&[&str]] = &[&["text", "text_pair"]];
        const TEXTS: &[&[&str]] = &[&["text"], &["inputs"]];
        match self.text_pair {
            true => PAIRS,
            false => TEXTS,
        }
    }

    /// Joins the texts of a record as the training data was joined.
    pub(crate) fn join(&self, texts: &[&str]) -> String {
        match texts {
            [text] if !self.text_pair => (*text).to_owned(),
            texts => join_texts(texts.iter().map(|text| Some(*text)), self.text_pair),
        }
    }
}

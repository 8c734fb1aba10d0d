//! The option or value that an unknown name probably means.

/// Names of options elsewhere (scikit-learn, Hugging Face, fastText, Keras), and the options that
/// are meant, best first. With none: no trainer has such an option, however similar a name is.
const SYNONYMS: &[(&[&str], &[&str])] = &[
    (
        &["ngram-range", "word-ngrams", "wordngrams"],
        &["max-ngrams"],
    ),
    (&["mincount", "min-count", "min-freq"], &["min-df"]),
    (
        &[
            "sep",
            "separator",
            "delim",
            "field-delimiter",
            "csv-delimiter",
        ],
        &["delimiter"],
    ),
    (&["quotechar", "quote-char", "quote"], &["quoting"]),
    (&["escapechar", "escape-char"], &["escape"]),
    (
        &[
            "on-bad-lines",
            "error-bad-lines",
            "skip-bad-lines",
            "ignore-errors",
        ],
        &["drop-malformed"],
    ),
    (&["dropna", "drop-na"], &["drop-missing"]),
    (&["charset", "file-encoding"], &["encoding"]),
    (
        &["max-vocab", "max-vocab-size", "num-words"],
        &["vocab-size", "max-features"],
    ),
    (&["sublinear"], &["sublinear-tf"]),
    (&["lowercase"], &["no-lowercase"]),
    (&["reg-lambda", "regularization"], &["alpha"]),
    (&["fit-prior"], &["no-fit-prior"]),
    (
        &[
            "epoch",
            "num-train-epochs",
            "num-epochs",
            "n-epochs",
            "epochs",
            "n-iter",
            "max-iter",
        ],
        &["epochs", "max-iter"],
    ),
    (
        &[
            "train-batch-size",
            "per-device-train-batch-size",
            "per-gpu-train-batch-size",
        ],
        &["batch-size"],
    ),
    (
        &["gradient-accumulation-steps", "accumulation-steps"],
        &["accumulate"],
    ),
    (
        &[
            "model-name-or-path",
            "model-name",
            "model-id",
            "pretrained-model-name-or-path",
            "base-model",
        ],
        &["pretrained-model"],
    ),
    (&["tokenizer-name"], &["tokenizer", "pretrained-model"]),
    (
        &[
            "max-seq-length",
            "max-seq-len",
            "max-length",
            "model-max-length",
        ],
        &["max-len", "seq-len"],
    ),
    (
        &["warmup-ratio", "warmup-proportion", "warmup-steps"],
        &["warm-up"],
    ),
    (&["lr", "eta", "eta0"], &["learning-rate"]),
    (&["lr-scheduler-type", "lr-scheduler"], &["schedule"]),
    (&["wd", "weight-decay-rate"], &["weight-decay"]),
    (&["max-grad-norm", "gradient-clip-val"], &["clip-norm"]),
    (&["label-smoothing-factor"], &["label-smoothing"]),
    (&["early-stopping-patience"], &["patience"]),
    (&["metric-for-best-model", "monitor"], &["best-metric"]),
    (
        &["hidden-dropout-prob", "classifier-dropout", "dropout-rate"],
        &["dropout"],
    ),
    (&["resume-from-checkpoint"], &["checkpoint-dir"]),
    (&["embedding-dim", "embedding-size", "dim"], &["emb-size"]),
    (&["hidden-dim", "units"], &["hidden-size"]),
    (&["n-layers", "num-hidden-layers"], &["num-layers"]),
    (&["fp16", "bf16", "amp"], &["precision"]),
    (&["save-steps"], &["checkpoint-every"]),
    (&["cv", "n-splits"], &["folds"]),
    (&["param-grid", "param-distributions", "grid"], &["search"]),
    (
        &["id-column", "keep-column", "keep-cols"],
        &["keep-columns"],
    ),
    (
        &["sample-weight", "weight-col", "weights-column"],
        &["weight-column"],
    ),
    (&["n-trials", "n-iter-search"], &["tune-trials"]),
    (&["probability"], &["calibration"]),
    (&["random-state", "random-seed"], &["seed"]),
    (
        &["n-jobs", "num-workers", "dataloader-num-workers", "thread"],
        &["threads"],
    ),
    (
        &["test-size", "validation-fraction", "val-split"],
        &["validation-split"],
    ),
    (
        &["output-dir", "model", "save-dir"],
        &["model-dir", "output"],
    ),
    (&["train-file", "train-data", "training-data"], &["train"]),
    (&["validation-file", "eval-file", "valid"], &["validation"]),
    (&["test-file", "test-data"], &["test"]),
    (
        &["text-column-name", "text-col", "text-field"],
        &["text-column"],
    ),
    (
        &[
            "label-column-name",
            "label-col",
            "label-field",
            "label",
            "target",
            "target-column",
        ],
        &["label-column"],
    ),
    (
        &["data", "input", "file", "path"],
        &["input", "data", "train"],
    ),
    (&["json", "output-format"], &["format jsonl", "json"]),
    (&["proba", "predict-proba"], &["all-classes"]),
    (
        &["gpu", "gpus", "cuda", "use-cuda", "no-cuda", "use-cpu"],
        &["device"],
    ),
    (&["dev", "dev-file", "eval-data"], &["validation"]),
    (
        &[
            "penalty",
            "l1-ratio",
            "dual",
            "fit-intercept",
            "intercept-scaling",
            "use-idf",
            "smooth-idf",
            "norm",
            "analyzer",
            "strip-accents",
            "token-pattern",
            "minn",
            "maxn",
            "bucket",
            "shrinking",
            "cache-size",
            "decision-function-shape",
            "verbose",
            "batch-size",
            "c",
            "eval-batch-size",
            "per-device-eval-batch-size",
            "logging-steps",
            "eval-strategy",
            "evaluation-strategy",
            "save-total-limit",
            "save-strategy",
            "logging-strategy",
            "logging-dir",
            "report-to",
            "do-train",
            "do-eval",
            "overwrite-output-dir",
            "load-best-model-at-end",
            "max-steps",
            "adam-epsilon",
            "gradient-checkpointing",
            "push-to-hub",
            "optimizer",
            "optim",
            "loss",
            "weight-column",
        ],
        &[],
    ),
];

/// Options elsewhere that are not needed here, and why.
const NOT_NEEDED: &[(&[&str], &str)] = &[
    (
        &["header", "names", "skiprows", "index-col"],
        "the first line of a CSV or TSV file names the columns, unless --no-header is given",
    ),
    (
        &["usecols", "columns", "feature-columns"],
        "only the text and label columns are read",
    ),
    (&["doublequote"], "a quote within a quoted field is doubled"),
    (
        &["na-values", "keep-default-na", "na-filter"],
        "only an empty field is missing",
    ),
    (
        &["compression", "file-type", "file-format", "data-format"],
        "name and content of a file show its format",
    ),
    (
        &["chunksize", "low-memory", "nrows", "streaming"],
        "files are read in blocks",
    ),
    (
        &["lineterminator", "skip-blank-lines"],
        "all line ends are read",
    ),
    (
        &["stratify", "shuffle"],
        "rows are split at random within each class",
    ),
];

/// An answer to an unknown name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Suggestion {
    /// This name is meant.
    Name(String),
    /// There is nothing like it.
    Unavailable,
    /// It is not needed, for this reason.
    NotNeeded(&'static str),
    /// The name is not known from anywhere.
    Unknown,
}

/// Finds the option that `name` means, without leading dashes, among the `known` ones.
pub(super) fn option<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Suggestion {
    let name = name.to_lowercase().replace('_', "-");
    if let Some(same) = known.clone().find(|known| known.to_lowercase() == name) {
        return Suggestion::Name(same.to_owned());
    }
    let exists = |option: &&&str| {
        let option = option.split(' ').next();
        known.clone().any(|known| Some(known) == option)
    };
    if let Some((_, options)) = SYNONYMS
        .iter()
        .find(|(names, _)| names.contains(&name.as_str()))
    {
        let option = options.iter().find(exists);
        return option.map_or(Suggestion::Unavailable, |option| {
            Suggestion::Name((*option).to_owned())
        });
    }
    let needless = NOT_NEEDED
        .iter()
        .find(|(names, _)| names.contains(&name.as_str()));
    if let Some((_, why)) = needless {
        return Suggestion::NotNeeded(why);
    }
    nearest(&name, known).map_or(Suggestion::Unknown, Suggestion::Name)
}

/// Returns the known name with the same words in another order, or at a small edit distance: one
/// edit for each five characters.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    const CHARS_PER_EDIT: usize = 5;
    const MAX_CHARS: usize = 64;
    let words = |name: &str| {
        let mut words: Vec<String> = name.split(['-', '_']).map(str::to_lowercase).collect();
        words.sort_unstable();
        words
    };
    let length = name.chars().count();
    if !(2..=MAX_CHARS).contains(&length) {
        return None;
    }
    let distance = |known: &str| match words(known) == words(name) {
        true => 0,
        false => strsim::damerau_levenshtein(known, name),
    };
    let near = known
        .filter(|known| known.len() > 1)
        .map(|known| (distance(known), known));
    let near =
        near.filter(|(distance, _)| *distance <= length.div_ceil(CHARS_PER_EDIT).min(length / 2));
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SVM: [&str; 8] = [
        "max-ngrams",
        "min-df",
        "c",
        "learning-rate",
        "seed",
        "threads",
        "model-dir",
        "max-iter",
    ];

    /// USER 10: the names of `pandas.read_csv`, of which the nearest one may be another option.
    #[test]
    fn names_of_pandas_are_known() {
        let options = [
            "delimiter",
            "quoting",
            "escape",
            "encoding",
            "drop-malformed",
            "drop-missing",
        ];
        for (given, expected) in [
            ("sep", "delimiter"),
            ("separator", "delimiter"),
            ("quotechar", "quoting"),
            ("escapechar", "escape"),
            ("Encoding", "encoding"),
            ("on_bad_lines", "drop-malformed"),
            ("dropna", "drop-missing"),
        ] {
            let expected = Suggestion::Name(expected.to_owned());
            assert_eq!(option(given, options.into_iter()), expected, "{given}");
        }
        for given in [
            "header",
            "index_col",
            "usecols",
            "doublequote",
            "na_values",
            "shuffle",
        ] {
            let found = option(given, options.into_iter());
            assert!(
                matches!(found, Suggestion::NotNeeded(_)),
                "{given}: {found:?}"
            );
        }
    }

    #[test]
    fn no_name_is_listed_twice() {
        let mut names: Vec<&str> = SYNONYMS
            .iter()
            .flat_map(|(names, _)| *names)
            .copied()
            .collect();
        names.extend(NOT_NEEDED.iter().flat_map(|(names, _)| *names));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn known_names_small_distances_and_nothing_else() {
        let of = |name: &str| match option(name, SVM.into_iter()) {
            Suggestion::Name(name) => name,
            other => format!("{other:?}"),
        };
        for (given, expected) in [
            ("ngram_range", "max-ngrams"),
            ("C", "c"),
            ("num_train_epochs", "max-iter"),
            ("output_dir", "model-dir"),
            ("random_state", "seed"),
            ("min_fd", "min-df"),
            ("rate_learning", "learning-rate"),
            ("learning_rat", "learning-rate"),
            ("batch_size", "Unavailable"),
            ("use_idf", "Unavailable"),
            ("penalty", "Unavailable"),
            ("per_device_train_batch_size", "Unavailable"),
            ("gradient_accumulation_steps", "Unavailable"),
            ("sep", "Unavailable"),
            ("sample_weight", "Unavailable"),
            ("weight_column", "Unavailable"),
            ("colour", "Unknown"),
            ("x", "Unknown"),
        ] {
            assert_eq!(of(given), expected, "{given}");
        }
    }
}

//! A pretrained model that trains within a second: a BERT of two narrow layers with random weights,
//! and a tokenizer with the words of the sample.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

pub(crate) const HIDDEN: usize = 16;
const LAYERS: usize = 2;
const WIDE: usize = 32;
pub(crate) const POSITIONS: usize = 64;

/// Returns the most frequent words of the sample.
fn words() -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in testkit::movie_rows() {
        let text = row.text.to_lowercase();
        for word in text.split(|letter: char| !letter.is_alphanumeric()) {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
    }
    let mut words: Vec<(String, usize)> = counts
        .into_iter()
        .filter(|(word, _)| !word.is_empty())
        .collect();
    words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    words.truncate(1500);
    words.into_iter().map(|(word, _)| word).collect()
}

pub(crate) fn config(vocab: usize) -> Value {
    json!({
        "architectures": ["BertModel"], "model_type": "bert", "vocab_size": vocab, "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": WIDE,
        "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "initializer_range": 0.02,
        "layer_norm_eps": 1e-12, "pad_token_id": 0,
    })
}

/// Returns name and shape of each tensor of a `BertModel` without pooler, as in
/// sentence-transformers checkpoints.
pub(crate) fn tensors(vocab: usize) -> Vec<(String, Vec<usize>)> {
    let mut all = Vec::new();
    let mut add = |name: String, shape: &[usize]| all.push((name, shape.to_vec()));
    let norm = |add: &mut dyn FnMut(String, &[usize]), at: &str| {
        add(format!("{at}.LayerNorm.weight"), &[HIDDEN]);
        add(format!("{at}.LayerNorm.bias"), &[HIDDEN]);
    };
    for (name, rows) in [("word", vocab), ("position", POSITIONS), ("token_type", 2)] {
        add(
            format!("embeddings.{name}_embeddings.weight"),
            &[rows, HIDDEN],
        );
    }
    norm(&mut add, "embeddings");
    for layer in 0..LAYERS {
        let at = |name: &str| format!("encoder.layer.{layer}.{name}");
        for (name, outputs, inputs) in [
            ("attention.self.query", HIDDEN, HIDDEN),
            ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN),
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", WIDE, HIDDEN),
            ("output.dense", HIDDEN, WIDE),
        ] {
            add(at(&format!("{name}.weight")), &[outputs, inputs]);
            add(at(&format!("{name}.bias")), &[outputs]);
        }
        norm(&mut add, &at("attention.output"));
        norm(&mut add, &at("output"));
    }
    all
}

/// Writes the folder.
pub(crate) fn write(dir: &Path) {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];
    let vocab = vocabulary(&special);
    let settings = json!({ "tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]",
        "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]" });
    let files = [
        ("config.json", config(vocab.len())),
        ("tokenizer.json", tokenizer(&special, &vocab)),
        ("tokenizer_config.json", settings),
    ];
    write_files(dir, &files, tensors(vocab.len()));
}

/// Writes the folder of an MPNet, as sentence-transformers saves it.
pub(crate) fn write_mpnet(dir: &Path) {
    let special = ["<s>", "<pad>", "</s>", "[UNK]"];
    let vocab = vocabulary(&special);
    let mut config = config(vocab.len());
    for (key, value) in [
        ("architectures", json!(["MPNetModel"])),
        ("model_type", json!("mpnet")),
        ("relative_attention_num_buckets", json!(32)),
        ("pad_token_id", json!(1)),
    ] {
        config[key] = value;
    }
    let mut tokenizer = tokenizer(&special, &vocab);
    tokenizer["normalizer"] = json!({ "type": "BertNormalizer", "clean_text": true,
        "handle_chinese_chars": true, "strip_accents": null, "lowercase": true });
    tokenizer["post_processor"] = json!({ "type": "RobertaProcessing", "sep": ["</s>", 2],
        "cls": ["<s>", 0], "trim_offsets": true, "add_prefix_space": false });
    let settings = json!({ "tokenizer_class": "MPNetTokenizer", "do_lower_case": true,
        "bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>",
        "pad_token": "<pad>", "unk_token": "[UNK]" });
    let mut tensors = tensors(vocab.len());
    tensors.retain(|(name, _)| !name.contains("token_type"));
    for (name, _) in &mut tensors {
        for (of_bert, own) in [
            ("attention.self.query", "attention.attn.q"),
            ("attention.self.key", "attention.attn.k"),
            ("attention.self.value", "attention.attn.v"),
            ("attention.output.dense", "attention.attn.o"),
            ("attention.output.LayerNorm", "attention.LayerNorm"),
        ] {
            *name = name.replace(of_bert, own);
        }
    }
    tensors.push((
        "encoder.relative_attention_bias.weight".to_owned(),
        vec![32, 2],
    ));
    let files = [
        ("config.json", config),
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", settings),
    ];
    write_files(dir, &files, tensors);
}

/// Returns the ids of the special tokens and of the words.
fn vocabulary(special: &[&str]) -> serde_json::Map<String, Value> {
    let names = special.iter().map(|name| (*name).to_owned()).chain(words());
    names
        .enumerate()
        .map(|(id, name)| (name, id.into()))
        .collect()
}

/// Writes the files of a folder, with random weights.
fn write_files(dir: &Path, files: &[(&str, Value)], tensors: Vec<(String, Vec<usize>)>) {
    std::fs::create_dir_all(dir).unwrap();
    for (name, content) in files {
        std::fs::write(dir.join(name), content.to_string()).unwrap();
    }
    let mut random = testkit::SplitMix64(5);
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape)| {
            let middle = f64::from(u8::from(name.ends_with("LayerNorm.weight")));
            let count: usize = shape.iter().product();
            let value = |_| (middle + 0.4 * (random.uniform() - 0.5)) as f32;
            let bytes = (0..count).map(value).flat_map(f32::to_le_bytes).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        (
            name.as_str(),
            TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    std::fs::write(
        dir.join("model.safetensors"),
        safetensors::serialize(views, None).unwrap(),
    )
    .unwrap();
}

fn tokenizer(special: &[&str], vocab: &serde_json::Map<String, Value>) -> Value {
    let added: Vec<Value> = special
        .iter()
        .enumerate()
        .map(|(id, name)| {
            json!({ "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
        })
        .collect();
    let token = |id: &str| json!({ "SpecialToken": { "id": id, "type_id": 0 } });
    let text = |id: &str, kind: u32| json!({ "Sequence": { "id": id, "type_id": kind } });
    let single = json!([token("[CLS]"), text("A", 0), token("[SEP]")]);
    let end = json!({ "SpecialToken": { "id": "[SEP]", "type_id": 1 } });
    let pair = json!([
        token("[CLS]"),
        text("A", 0),
        token("[SEP]"),
        text("B", 1),
        end
    ]);
    let of = |id: &str, number: u32| json!({ "id": id, "ids": [number], "tokens": [id] });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": { "type": "Lowercase" }, "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": { "type": "TemplateProcessing", "single": single, "pair": pair,
            "special_tokens": { "[CLS]": of("[CLS]", 2), "[SEP]": of("[SEP]", 3) } },
        "decoder": null,
        "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab },
    })
}

/// Returns the folder, created once for all tests of a build.
pub(crate) fn pretrained() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("narrow-bert-of-pairs");
    if !dir.join("config.json").exists() {
        let new = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        write(&new.path().join("m"));
        // Another test may have created the same folder meanwhile.
        let _ = std::fs::rename(new.path().join("m"), &dir);
    }
    dir
}

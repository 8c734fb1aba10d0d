//! Faults that users of this and other programs have reported; the numbers are those of the lists
//! NEURAL and USER.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::{Outcome, movie_csv, torch_judge};

use super::model::{compare, compare_all, compare_sets};
use super::{Home, kit};

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Changes the members of a JSON file; null removes one.
fn change(path: &Path, members: &Value) {
    let mut json = match path.exists() {
        true => read(path),
        false => json!({}),
    };
    for (key, value) in members.as_object().unwrap() {
        json[key] = value.clone();
        if value.is_null() {
            json.as_object_mut().unwrap().remove(key);
        }
    }
    std::fs::write(path, json.to_string()).unwrap();
}

/// Returns a copy of the pretrained folder to modify.
fn pretrained(home: &Home) -> PathBuf {
    let dir = home.path("pretrained");
    kit::write(&dir);
    dir
}

/// Starts from another pretrained model.
fn run_from(home: &Home, pretrained: &Path, rows: &Path, more: &[&str]) -> Outcome {
    let fixed = [
        "--no-report",
        "--threads",
        "1",
        "--max-len",
        "24",
        "--train",
    ];
    let from = [
        rows.to_str().unwrap(),
        "--pretrained-model",
        pretrained.to_str().unwrap(),
    ];
    home.transformer("train", &[&fixed[..], &from, more].concat())
}

#[track_caller]
fn train_from(home: &Home, pretrained: &Path, rows: &Path, more: &[&str]) {
    run_from(home, pretrained, rows, more).expect_code(0);
}

/// Fails with these words, and a help line.
#[track_caller]
fn refused(outcome: &Outcome, expected: &[&str]) {
    assert!(matches!(outcome.code(), Some(1 | 2)), "{}", outcome.stderr);
    for expected in expected.iter().chain(&["  help: "]) {
        let found = outcome.stderr.contains(expected);
        assert!(found, "no `{expected}` in {}", outcome.stderr);
    }
}

/// Writes rows of a text and a label.
fn csv(home: &Home, rows: impl Iterator<Item = (String, String)>) -> PathBuf {
    let path = home.path("made.csv");
    let rows: String = rows
        .map(|(text, label)| format!("{text},{label}\n"))
        .collect();
    std::fs::write(&path, format!("text,label\n{rows}")).unwrap();
    path
}

const QUICK: [&str; 6] = [
    "--epochs",
    "1",
    "--learning-rate",
    "0.003",
    "--patience",
    "0",
];
/// Leaves the weights as they are.
const STILL: [&str; 4] = ["--epochs", "1", "--learning-rate", "1e-9"];

/// NEURAL A1: transformers#7198.
#[test]
fn model_saved_again_by_transformers_is_usable() {
    let home = Home::new();
    home.train(&home.rows(200), &QUICK).expect_code(0);
    let model = home.path("model");
    assert!(read(&model.join("config.json")).get("files").is_none());
    assert!(model.join("checksums.json").exists());
    let before = home.path("before");
    std::fs::rename(&model, &before).unwrap();
    let rows = home.rows(40);
    for (kind, in_place) in [
        ("float32", false),
        ("float16", false),
        ("float32", true),
        ("tokenizer", true),
    ] {
        let _ = std::fs::remove_dir_all(&model);
        if in_place {
            std::fs::create_dir(&model).unwrap();
            for entry in std::fs::read_dir(&before).unwrap() {
                let path = entry.unwrap().path();
                std::fs::copy(&path, model.join(path.file_name().unwrap())).unwrap();
            }
        }
        let source = if in_place { &model } else { &before };
        let arguments = [source.as_path(), &model, Path::new(kind)];
        let files = torch_judge("resave_transformer", &arguments);
        let sums = files["files"]
            .as_array()
            .unwrap()
            .contains(&"checksums.json".into());
        assert_eq!(sums, in_place, "transformers does not copy it");
        if kind == "float16" {
            home.transformer("predict", &["a film"]).expect_code(0);
        } else {
            compare(&home, &rows);
        }
    }
}

/// NEURAL A1: files of two runs are still refused, and folders of older versions load.
#[test]
fn mixed_files_are_refused_with_either_place_of_checksums() {
    let home = Home::new();
    home.train(&home.rows(60), &QUICK).expect_code(0);
    let model = home.path("model");
    let config = model.join("config.json");
    let text = std::fs::read(&config).unwrap();
    let sums = read(&model.join("checksums.json"));
    let predict = || home.transformer("predict", &["a film"]);
    change(&model.join("checksums.json"), &json!({ "files": {} }));
    refused(
        &predict(),
        &["do not belong to one model", "remove `checksums.json`"],
    );
    std::fs::remove_file(model.join("checksums.json")).unwrap();
    predict().expect_code(0);
    std::fs::write(&config, text).unwrap();
    change(
        &config,
        &json!({ "checksums_sha256": null, "files": sums["files"] }),
    );
    predict().expect_code(0);
    let tokenizer = model.join("tokenizer.json");
    let mut bytes = std::fs::read(&tokenizer).unwrap();
    bytes.push(b'\n');
    std::fs::write(&tokenizer, bytes).unwrap();
    refused(
        &predict(),
        &["do not belong to one model", "tokenizer.json"],
    );
}

/// NEURAL A2: transformers#13298, #14218.
#[test]
fn trained_head_is_kept_by_name_and_a_new_one_is_told() {
    let home = Home::new();
    let rows = movie_csv();
    let flags = [
        "--epochs",
        "6",
        "--learning-rate",
        "0.003",
        "--patience",
        "0",
    ];
    home.train(&rows, &flags).expect_code(0);
    let first = home.metrics();
    let before = home.path("before");
    std::fs::rename(home.path("model"), &before).unwrap();
    let further = |labels: Value| {
        let label = json!({ "id2label": labels, "label2id": null });
        change(&before.join("config.json"), &label);
        train_from(&home, &before, &rows, &STILL);
        home.metrics()
    };
    let number = |metrics: &Value, name: &str| metrics[name].as_f64().unwrap();
    for labels in [json!(null), json!({ "0": 0, "1": 1 })] {
        let kept = further(labels);
        assert_eq!(kept["details"]["initialised"], json!([]));
        let off = number(&kept, "log_loss") - number(&first, "log_loss");
        assert!(off.abs() < 1e-3, "{off}");
    }
    // The first row of the head is now that of `1`: every answer is the other one.
    let swapped = further(json!({ "0": "1", "1": "0" }));
    let sum = number(&swapped, "accuracy") + number(&first, "accuracy");
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    // Rows of some classes: the head is smaller or larger than the data's.
    for (labels, kept) in [
        (json!({ "0": "LABEL_0", "1": "other" }), "`0`"),
        (json!({ "0": "x", "1": " 1" }), "`1`"),
    ] {
        let some = further(labels);
        assert_eq!(some["details"]["initialised"], json!([]));
        let said = format!("is used for {kept} only, the rest is new");
        let warnings = some["warnings"].to_string();
        assert!(warnings.contains(&said), "{warnings}");
    }
    let new = further(json!({ "0": "neg", "1": "pos" }));
    assert_eq!(new["details"]["initialised"].as_array().unwrap().len(), 2);
    let warnings = new["warnings"].to_string();
    for said in ["a new one is trained", "`neg`, `pos`", "`0`, `1`"] {
        assert!(warnings.contains(said), "no {said} in {warnings}");
    }
}

/// NEURAL A2: transformers#13298: of a head with more labels than the data, the rows of its labels
/// are used.
#[test]
fn head_with_more_labels_gives_its_rows() {
    let home = Home::new();
    let label = |row: usize| ["Bad", "good", "neutral"][row % 3].to_owned();
    let text = |row: usize| format!("the {} film", ["bad", "good", "movie"][row % 3]);
    let all = csv(&home, (0..240).map(|row| (text(row), label(row))));
    let flags = [
        "--epochs",
        "12",
        "--learning-rate",
        "0.005",
        "--patience",
        "0",
    ];
    home.train(&all, &flags).expect_code(0);
    assert_eq!(home.metrics()["accuracy"], 1.0);
    let before = home.path("before");
    std::fs::rename(home.path("model"), &before).unwrap();
    let two = (0..240).filter(|row| row % 3 < 2);
    let two = csv(&home, two.map(|row| (text(row), label(row).to_lowercase())));
    train_from(&home, &before, &two, &STILL);
    assert_eq!(home.metrics()["accuracy"], 1.0);
    compare(&home, &two);
}

/// NEURAL A3: pytorch#104776.
#[test]
fn class_weights_and_label_smoothing_agree() {
    let home = Home::new();
    let rows = csv(
        &home,
        (0..1000).map(|row| {
            let rare = row % 50 == 0;
            let word = if rare { "bad" } else { "good" };
            (format!("the {word} film"), u8::from(rare).to_string())
        }),
    );
    let both = ["--class-weight", "balanced", "--label-smoothing", "0.1"];
    let flags = [
        "--epochs",
        "6",
        "--learning-rate",
        "0.005",
        "--patience",
        "0",
    ];
    home.train(&rows, &[&both[..], &flags].concat())
        .expect_code(0);
    let outcome = home.transformer("evaluate", &["--data", rows.to_str().unwrap(), "--json"]);
    assert_eq!(outcome.expect_code(0).json()["accuracy"], 1.0);
}

/// NEURAL A4: autotrain#476.
#[test]
fn truncation_side_of_the_folder_is_obeyed() {
    let models = [true, false].map(|in_settings| {
        let home = Home::new();
        let dir = pretrained(&home);
        match in_settings {
            true => change(
                &dir.join("tokenizer_config.json"),
                &json!({ "truncation_side": "left" }),
            ),
            false => change(
                &dir.join("tokenizer.json"),
                &json!({ "truncation": { "direction": "Left", "max_length": 9,
                    "strategy": "LongestFirst", "stride": 0 } }),
            ),
        }
        let rows = csv(
            &home,
            (0..240).map(|row| {
                let verdict = ["good", "bad"][row % 2];
                (
                    format!("{}{verdict}", "the film ".repeat(30)),
                    (row % 2).to_string(),
                )
            }),
        );
        let flags = [
            "--epochs",
            "12",
            "--learning-rate",
            "0.005",
            "--patience",
            "0",
        ];
        train_from(&home, &dir, &rows, &flags);
        assert_eq!(home.metrics()["accuracy"], 1.0);
        (home, rows)
    });
    compare_all(&models);
}

/// Replaces the tokenizer by RoBERTa's kind: the bytes of a text, without merges.
fn write_byte_level(dir: &Path) {
    let printable = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let others = (0..256).filter(|byte| !printable(*byte)).count() as u32;
    let letters = (0..256)
        .filter(|byte| printable(*byte))
        .chain(256..256 + others);
    let letters = letters.map(|code| char::from_u32(code).unwrap().to_string());
    let special = ["<s>", "<pad>", "</s>", "<unk>"];
    let names = special.iter().map(|name| (*name).to_owned()).chain(letters);
    let vocab: serde_json::Map<String, Value> = names
        .enumerate()
        .map(|(id, name)| (name, id.into()))
        .collect();
    let added: Vec<Value> = (0..4)
        .map(|id| {
            json!({ "id": id, "content": special[id], "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true })
        })
        .collect();
    let level = |prefix: bool| {
        json!({ "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true,
            "use_regex": true })
    };
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": level(false), "decoder": level(false),
        "post_processor": { "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0],
            "trim_offsets": true, "add_prefix_space": false },
        "model": { "type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
            "byte_fallback": false, "vocab": vocab, "merges": [] },
    });
    std::fs::write(dir.join("tokenizer.json"), file.to_string()).unwrap();
    let roberta =
        json!({ "model_type": "roberta", "architectures": ["RobertaModel"], "pad_token_id": 1 });
    change(&dir.join("config.json"), &roberta);
}

/// NEURAL A5: biobert-pytorch#24, scibert#79.
#[test]
fn transformers_tokenizes_as_in_training() {
    let bert = |lowercase: bool| {
        json!({ "normalizer": { "type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": true, "strip_accents": null, "lowercase": lowercase } })
    };
    let class =
        |class: &str, key: &str, value: Value| json!({ "tokenizer_class": class, key: value });
    let mut models = Vec::new();
    for (tokenizer, settings) in [
        (Some(bert(false)), None),
        (
            Some(bert(false)),
            Some(class("BertTokenizer", "do_lower_case", true.into())),
        ),
        (
            Some(bert(true)),
            Some(class("BertTokenizerFast", "do_lower_case", false.into())),
        ),
        (
            Some(bert(true)),
            Some(class("BertTokenizer", "strip_accents", false.into())),
        ),
        (
            None,
            Some(class("RobertaTokenizer", "add_prefix_space", true.into())),
        ),
        (None, None),
    ] {
        let home = Home::new();
        let dir = pretrained(&home);
        std::fs::remove_file(dir.join("tokenizer_config.json")).unwrap();
        match &tokenizer {
            Some(changes) => change(&dir.join("tokenizer.json"), changes),
            None => write_byte_level(&dir),
        }
        if let Some(settings) = &settings {
            change(&dir.join("tokenizer_config.json"), settings);
        }
        let texts = [
            "The GOOD film",
            "the good film",
            " Bad Film",
            "un été café",
            "bad",
        ];
        let rows = (0..60).map(|row| (texts[row % 5].to_owned(), (row % 2).to_string()));
        let rows = csv(&home, rows);
        train_from(&home, &dir, &rows, &QUICK);
        models.push((home, rows));
    }
    compare_all(&models);
}

/// NEURAL A5: tokens that tokenizer.json does not have, and settings of steps in a sequence.
#[test]
fn added_tokens_and_steps_in_a_sequence_are_as_in_transformers() {
    let mut models = Vec::new();
    for (file, class) in [
        ("tokenizer_config.json", "PreTrainedTokenizerFast"),
        ("tokenizer_config.json", "BertTokenizer"),
        ("added_tokens.json", "BertTokenizer"),
    ] {
        let home = Home::new();
        let dir = pretrained(&home);
        let bert = json!({ "type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": true, "strip_accents": null, "lowercase": false });
        let normalizer = json!({ "type": "Sequence", "normalizers": [bert] });
        change(
            &dir.join("tokenizer.json"),
            &json!({ "normalizer": normalizer }),
        );
        // The last word gives its row of embeddings to the new token.
        let vocab = read(&dir.join("config.json"))["vocab_size"]
            .as_u64()
            .unwrap();
        let id = vocab - 1;
        let mut tokenizer = read(&dir.join("tokenizer.json"));
        let words = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        words.retain(|_, word| *word != id);
        std::fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        let settings = json!({ "tokenizer_class": class, "do_lower_case": true });
        change(&dir.join("tokenizer_config.json"), &settings);
        let token = json!({ "content": "covid-19", "normalized": true, "special": false,
            "lstrip": false, "rstrip": false, "single_word": false });
        let added = match file {
            "added_tokens.json" => json!({ "covid-19": id }),
            _ => json!({ "added_tokens_decoder": { id.to_string(): token } }),
        };
        change(&dir.join(file), &added);
        let texts = ["a covid-19 film", "The GOOD film", "covid-19", "bad"];
        let rows = (0..60).map(|row| (texts[row % 4].to_owned(), (row % 2).to_string()));
        let rows = csv(&home, rows);
        train_from(&home, &dir, &rows, &QUICK);
        let model = read(&home.path("model/tokenizer.json"));
        let added = model["added_tokens"].as_array().unwrap();
        let found = added.iter().find(|token| token["content"] == "covid-19");
        assert_eq!(found.unwrap()["id"], id, "{file} {class}");
        let lowercase = &model["normalizer"]["normalizers"][0]["lowercase"];
        assert_eq!(*lowercase, class == "BertTokenizer");
        models.push((home, rows));
    }
    compare_all(&models);
}

/// NEURAL A5: explicit settings count, as in transformers.
#[test]
fn casing_of_tokenizer_config_is_obeyed() {
    let home = Home::new();
    let dir = pretrained(&home);
    let cased = json!({ "normalizer": { "type": "BertNormalizer", "clean_text": true,
        "handle_chinese_chars": true, "strip_accents": null, "lowercase": false } });
    change(&dir.join("tokenizer.json"), &cased);
    let settings = json!({ "tokenizer_class": "BertTokenizer", "do_lower_case": true });
    change(&dir.join("tokenizer_config.json"), &settings);
    train_from(&home, &dir, &home.rows(60), &QUICK);
    let answer = |text: &str| {
        home.transformer("predict", &[text])
            .expect_code(0)
            .stdout
            .clone()
    };
    assert_eq!(answer("The GOOD Film"), answer("the good film"));
}

/// NEURAL A5: settings of the pretrained model with which Python cannot run the trained one.
#[test]
fn settings_of_the_pretrained_model_do_not_hinder_python() {
    let home = Home::new();
    let dir = pretrained(&home);
    let settings = json!({ "return_dict": false, "chunk_size_feed_forward": 8,
        "attn_implementation": "flash_attention_2", "quantization_config": {},
        "columns": { "text": "a", "label": "b" } });
    change(&dir.join("config.json"), &settings);
    train_from(&home, &dir, &home.rows(60), &QUICK);
    compare(&home, &home.rows(20));
}

/// NEURAL A7.
#[test]
fn padding_token_in_every_text_is_refused() {
    let home = Home::new();
    let dir = pretrained(&home);
    let config = dir.join("config.json");
    for (kind, pad) in [("roberta", 2), ("bert", 2), ("roberta", 9)] {
        change(&config, &json!({ "model_type": kind, "pad_token_id": pad }));
        let outcome = run_from(&home, &dir, &home.rows(60), &[]);
        let found = format!("`pad_token_id` of `{}`, found `{pad}`", config.display());
        refused(&outcome, &[&found, "to `0`, the id of `[PAD]`"]);
    }
    change(&config, &json!({ "pad_token_id": 0 }));
    train_from(&home, &dir, &home.rows(60), &QUICK);
    compare(&home, &home.rows(20));
}

/// NEURAL B1: safetensors PR#345.
#[test]
fn help_for_a_pickle_keeps_the_head_and_the_tokenizer() {
    for (class, auto) in [
        (
            "BertForSequenceClassification",
            "AutoModelForSequenceClassification",
        ),
        ("BertModel", "AutoModel"),
    ] {
        let home = Home::new();
        let dir = pretrained(&home);
        std::fs::remove_file(dir.join("model.safetensors")).unwrap();
        std::fs::write(dir.join("pytorch_model.bin"), "no pickle").unwrap();
        change(
            &dir.join("config.json"),
            &json!({ "architectures": [class] }),
        );
        let outcome = run_from(&home, &dir, &home.rows(60), &[]);
        let load = format!("{auto}.from_pretrained(");
        refused(&outcome, &[&load, "AutoTokenizer.from_pretrained("]);
        let index = dir.join("pytorch_model.bin.index.json");
        std::fs::rename(dir.join("pytorch_model.bin"), &index).unwrap();
        let outcome = run_from(&home, &dir, &home.rows(60), &[]);
        refused(&outcome, &[&load, &format!("found `{}`", index.display())]);
    }
}

/// NEURAL B2: default and integer labels.
#[test]
fn folders_with_default_labels_predict_and_evaluate() {
    let home = Home::new();
    home.train(&movie_csv(), &QUICK).expect_code(0);
    let config = home.path("model/config.json");
    let data = movie_csv();
    let evaluate = || home.transformer("evaluate", &["--data", data.to_str().unwrap(), "--json"]);
    let first = evaluate().expect_code(0).json()["accuracy"].clone();
    change(
        &config,
        &json!({ "id2label": null, "label2id": null, "trainyard": null }),
    );
    compare(&home, &home.rows(20));
    let outcome = home.transformer("predict", &["a film"]);
    assert!(
        outcome.expect_code(0).stdout.contains("LABEL_"),
        "{}",
        outcome.stdout
    );
    assert_eq!(evaluate().expect_code(0).json()["accuracy"], first);
    change(&config, &json!({ "id2label": { "0": 0, "1": 1 } }));
    assert_eq!(evaluate().expect_code(0).json()["accuracy"], first);
    change(&config, &json!({ "id2label": { "0": "one" } }));
    let outcome = home.transformer("predict", &["a film"]);
    refused(&outcome, &["expected two or more labels", "found `1`"]);
}

/// NEURAL B3 and B4: `train` and `predict` say what a folder lacks and what to do.
#[test]
fn incomplete_folders_are_explained() {
    let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    let no = &[][..];
    let weights = &["model.safetensors"][..];
    for (removed, added, said) in [
        (weights, no, "expected `model.safetensors`"),
        (weights, &[("tf_model.h5", "")][..], "found only"),
        (
            weights,
            &[("adapter_config.json", "{}")][..],
            "merge_and_unload()",
        ),
        (
            &[][..],
            &[("model.safetensors", lfs)][..],
            "run `git lfs pull`",
        ),
        (
            &["model.safetensors", "config.json"][..],
            &[("adapter_config.json", "{}")][..],
            "merge_and_unload()",
        ),
        (
            weights,
            &[("model.fp16.safetensors", "")][..],
            "rename it to `model.safetensors`",
        ),
        (
            weights,
            &[(
                "model.safetensors.index.json",
                r#"{"weight_map": {"a": "model-2.safetensors"}}"#,
            )][..],
            "expected `model-2.safetensors`",
        ),
        (
            &["config.json"][..],
            &[("model.tar.gz", "")][..],
            "unpack `model.tar.gz`",
        ),
        (
            &["tokenizer.json"][..],
            no,
            "from transformers import AutoTokenizer;",
        ),
    ] {
        let home = Home::new();
        let dir = home.path("model");
        kit::write(&dir);
        for name in removed {
            std::fs::remove_file(dir.join(name)).unwrap();
        }
        for (name, text) in added {
            std::fs::write(dir.join(name), text).unwrap();
        }
        refused(&home.transformer("predict", &["a film"]), &[said]);
        let moved = home.path("pretrained");
        std::fs::rename(&dir, &moved).unwrap();
        refused(&run_from(&home, &moved, &home.rows(60), &[]), &[said]);
    }
}

/// NEURAL B4: output of transformers' Trainer.
#[test]
fn newest_checkpoint_of_a_trainer_is_named() {
    let home = Home::new();
    let dir = home.path("output");
    for step in ["checkpoint-90", "checkpoint-500"] {
        kit::write(&dir.join(step));
    }
    let rows = home.rows(60);
    let newest = dir.join("checkpoint-500");
    refused(
        &run_from(&home, &dir, &rows, &[]),
        &[newest.to_str().unwrap()],
    );
    train_from(&home, &newest, &rows, &QUICK);
    std::fs::remove_dir_all(home.path("model")).unwrap();
    std::fs::rename(&dir, home.path("model")).unwrap();
    let outcome = home.transformer("predict", &["a film"]);
    refused(&outcome, &["the newest checkpoint in it", "checkpoint-500"]);
}

/// NEURAL B4: transformers#28041, FinBERT#13.
#[test]
fn wrapped_names_f64_weights_and_missing_keys_are_read() {
    use safetensors::tensor::{Dtype, SafeTensors, TensorView};
    let home = Home::new();
    let dir = pretrained(&home);
    let path = dir.join("model.safetensors");
    let rows = home.rows(60);
    train_from(&home, &dir, &rows, &QUICK);
    let expected = home.weights();
    let config = json!({ "model_type": null, "type_vocab_size": null,
        "architectures": ["BertForMaskedLM"] });
    change(&dir.join("config.json"), &config);
    let bytes = std::fs::read(&path).unwrap();
    for prefix in [
        "_orig_mod.",
        "module.bert.",
        "model.bert.",
        "_orig_mod.module.",
    ] {
        let plain = SafeTensors::deserialize(&bytes).unwrap();
        let wide = |view: &TensorView<'_>| -> Vec<u8> {
            let numbers = view.data().as_chunks().0.iter();
            let numbers = numbers.map(|&bytes| f64::from(f32::from_le_bytes(bytes)));
            numbers.flat_map(f64::to_le_bytes).collect()
        };
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = plain
            .tensors()
            .iter()
            .map(|(name, view)| (format!("{prefix}{name}"), view.shape().to_vec(), wide(view)))
            .collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F64, shape.clone(), bytes).unwrap();
            (name.as_str(), view)
        });
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        train_from(&home, &dir, &rows, &QUICK);
        assert!(home.weights() == expected, "{prefix}");
    }
    compare(&home, &rows);
}

/// NEURAL B4: tensors of other kinds, and of two names.
#[test]
fn other_tensors_are_explained_and_copies_ignored() {
    use safetensors::tensor::{Dtype, SafeTensors, TensorView};
    let home = Home::new();
    let dir = pretrained(&home);
    let path = dir.join("model.safetensors");
    let rows = home.rows(60);
    train_from(&home, &dir, &rows, &QUICK);
    let expected = home.weights();
    let bytes = std::fs::read(&path).unwrap();
    let plain = SafeTensors::deserialize(&bytes).unwrap();
    // An f32 is as long as an i32, and zeros are zeros in both.
    let zeros: Vec<u8> = vec![0; bytes.len()];
    let write = |dtype: Dtype, new: &dyn Fn(&str) -> Vec<(String, bool)>| {
        let mut tensors = Vec::new();
        for (name, view) in plain.tensors() {
            for (name, zero) in new(&name) {
                let (dtype, data) = match zero {
                    true => (Dtype::F32, &zeros[..view.data().len()]),
                    false => (dtype, view.data()),
                };
                let view = TensorView::new(dtype, view.shape().to_vec(), data).unwrap();
                tensors.push((name, view));
            }
        }
        std::fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
    };
    let copies = |name: &str| {
        [("", false), ("model.", true), ("_orig_mod.", true)]
            .map(|(prefix, zero)| (format!("{prefix}{name}"), zero))
            .to_vec()
    };
    write(Dtype::F32, &copies);
    train_from(&home, &dir, &rows, &QUICK);
    assert!(home.weights() == expected);
    write(Dtype::I32, &|name| vec![(name.to_owned(), false)]);
    refused(
        &run_from(&home, &dir, &rows, &[]),
        &["found I32", "dtype=torch.float32"],
    );
    let adapter = |name: &str| match name.strip_suffix("query.weight") {
        Some(start) => ["query.base_layer.weight", "query.lora_A.default.weight"]
            .map(|end| (format!("{start}{end}"), false))
            .to_vec(),
        None => vec![(name.to_owned(), false)],
    };
    write(Dtype::F32, &adapter);
    refused(
        &run_from(&home, &dir, &rows, &[]),
        &["query.weight", "merge_and_unload"],
    );
}

/// NEURAL B4: sentence-transformers#744, and activations.
#[test]
fn added_tokens_without_embeddings_are_explained_and_activations_known() {
    let home = Home::new();
    let dir = pretrained(&home);
    for activation in ["silu", "gelu_fast", "gelu_python"] {
        change(
            &dir.join("config.json"),
            &json!({ "hidden_act": activation }),
        );
        train_from(&home, &dir, &home.rows(60), &QUICK);
        compare(&home, &home.rows(20));
    }
    let mut tokenizer = read(&dir.join("tokenizer.json"));
    let vocab = tokenizer["model"]["vocab"].as_object().unwrap().len();
    let added = tokenizer["added_tokens"].as_array_mut().unwrap();
    added.push(
        json!({ "id": vocab, "content": "covid-19", "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": false }),
    );
    std::fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let outcome = run_from(&home, &dir, &home.rows(60), &[]);
    refused(&outcome, &["resize_token_embeddings(len(tokenizer))"]);
}

/// NEURAL B6: names of transformers' `TrainingArguments`.
#[test]
fn names_of_training_arguments_are_known() {
    for (name, help) in [
        (
            "per_device_train_batch_size",
            "did you mean `--batch-size`?",
        ),
        ("metric_for_best_model", "did you mean `--best-metric`?"),
        ("resume_from_checkpoint", "did you mean `--checkpoint-dir`?"),
        ("use_cpu", "did you mean `--device`?"),
        ("hidden_dropout_prob", "did you mean `--dropout`?"),
        ("base_model", "did you mean `--pretrained-model`?"),
        (
            "load_best_model_at_end",
            "leave it out: there is no such option",
        ),
        ("max_steps", "leave it out: there is no such option"),
    ] {
        let outcome = Home::new().transformer("train", &[&format!("--{name}"), "1"]);
        refused(&outcome, &[help]);
    }
}

/// NEURAL B7.
#[test]
fn more_epochs_from_a_finished_checkpoint_are_explained() {
    let home = Home::new();
    let rows = home.rows(60);
    let checkpoints = home.path("checkpoints");
    let run = |epochs: &str| {
        let dir = [
            "--checkpoint-dir",
            checkpoints.to_str().unwrap(),
            "--epochs",
            epochs,
        ];
        home.train(&rows, &dir)
    };
    run("1").expect_code(0);
    let outcome = run("4");
    let said = "pass its folder as --pretrained-model";
    refused(
        &outcome,
        &["--epochs is `1` in the checkpoint and `4`", said],
    );
    let old = home.path("old");
    std::fs::rename(home.path("model"), &old).unwrap();
    let more = home.path("more");
    let other = ["--epochs", "4", "--checkpoint-dir", more.to_str().unwrap()];
    train_from(&home, &old, &rows, &other);
    // No member of config.json is there twice.
    compare(&home, &rows);
}

/// NEURAL C2, D2: a multi-label classifier gave softmax.
#[test]
fn multi_label_classifiers_give_sigmoids_and_others_are_refused() {
    let home = Home::new();
    home.train(&home.rows(60), &QUICK).expect_code(0);
    let config = home.path("model/config.json");
    change(&config, &json!({ "problem_type": "regression" }));
    let outcome = home.transformer("predict", &["a film"]);
    refused(
        &outcome,
        &[
            "regression",
            "single_label_classification",
            "--pretrained-model",
        ],
    );
    change(
        &config,
        &json!({ "problem_type": "multi_label_classification" }),
    );
    compare_sets(&home, &home.rows(60));
}

/// NEURAL C3.
#[test]
fn maximum_length_of_a_foreign_folder_is_obeyed() {
    let home = Home::new();
    home.train(&home.rows(60), &QUICK).expect_code(0);
    // Not written by this program: transformers' keys only.
    let config = json!({ "trainyard": null, "checksums_sha256": null, "columns": null });
    change(&home.path("model/config.json"), &config);
    let settings = home.path("model/tokenizer_config.json");
    change(&settings, &json!({ "model_max_length": 8 }));
    compare(&home, &home.rows(40));
}

/// USER 7, NEURAL C1: simpletransformers#339: early stopping did not say which epoch is saved.
#[test]
fn early_stopping_says_which_epoch_is_saved() {
    let home = Home::new();
    let flags = ["--epochs", "60", "--learning-rate", "0.003"];
    let outcome = home.train(&movie_csv(), &flags);
    outcome.expect_code(0);
    let metrics = home.metrics();
    let done = metrics["history"].as_array().unwrap().len();
    let best = &metrics["details"]["model_of_epoch"];
    let saved = format!("saved epoch {best} of {done}, stopped early (--patience 2)");
    assert!(
        outcome.stdout.contains(&saved),
        "{saved}\n{}",
        outcome.stdout
    );
    let stopped = format!("stopped after {done} of 60 epochs (--patience 2)");
    assert!(outcome.stderr.contains(&stopped), "{}", outcome.stderr);
    assert_eq!(metrics["stopped_early"], true);
}

/// Issue 16, item 2: `--refit` gives the model of a training without a validation split, for the
/// best number of epochs.
#[test]
fn refit_trains_on_all_rows() {
    let home = Home::new();
    let rows = home.rows(200);
    let flags = ["--learning-rate", "0.003", "--epochs", "4"];
    home.train(&rows, &flags).expect_code(0);
    let before = home.metrics();
    let outcome = home.train(&rows, &[&flags[..], &["--refit"]].concat());
    outcome.expect_code(0);
    assert!(
        outcome.stdout.contains("was trained on all 200 rows"),
        "{}",
        outcome.stdout
    );
    let (after, refitted) = (home.metrics(), home.weights());
    assert_eq!(
        (&before["trained_on"], &after["trained_on"]),
        (&180.into(), &200.into())
    );
    assert_eq!(after["validation"]["scored"], "held_out_before_refit");
    assert_eq!(
        before["validation"]["log_loss"],
        after["validation"]["log_loss"]
    );
    let best = after["details"]["model_of_epoch"].to_string();
    // USER 7: which epoch was the best, and what was saved.
    let selected = format!("\nbest epoch {best} of ");
    let trained = format!("; the saved model was trained for {best} epoch");
    assert!(
        outcome.stdout.contains(&selected) && outcome.stdout.contains(&trained),
        "{}",
        outcome.stdout
    );
    let all = [
        "--learning-rate",
        "0.003",
        "--epochs",
        &best,
        "--validation-split",
        "0",
    ];
    home.train(&rows, &all).expect_code(0);
    assert!(refitted == home.weights());
}

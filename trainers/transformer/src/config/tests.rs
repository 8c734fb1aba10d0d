use super::*;

fn bert() -> Value {
    json!({
        "model_type": "bert", "vocab_size": 100, "hidden_size": 8, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 32, "type_vocab_size": 2,
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "something": [1],
    })
}

fn parse(changes: &Value) -> Result<Config, (String, String)> {
    let mut config = bert();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    Config::parse(config.to_string().as_bytes())
}

#[test]
fn families_read_their_own_keys() {
    let bert = parse(&json!({ "classifier_dropout": 0.3 })).unwrap();
    let found = bert.architecture(3, None).unwrap();
    assert_eq!(
        (
            found.pad_token_id,
            found.type_vocab_size,
            found.num_labels,
            found.max_tokens()
        ),
        (0, 2, 3, 32)
    );
    assert_eq!((found.dropout.hidden, found.dropout.head), (0.1, 0.3));
    assert_eq!(
        bert.architecture(3, Some(0.0)).unwrap().dropout.attention,
        0.0
    );
    let roberta =
        parse(&json!({ "model_type": "roberta", "pad_token_id": 1, "type_vocab_size": 1 }));
    assert_eq!(
        roberta.unwrap().architecture(2, None).unwrap().max_tokens(),
        30
    );
    let distil = json!({ "model_type": "distilbert", "vocab_size": 50, "dim": 4, "n_layers": 1, "n_heads": 2,
        "hidden_dim": 8, "max_position_embeddings": 16, "activation": "relu" });
    let distil = Config::parse(distil.to_string().as_bytes()).unwrap();
    let found = distil.architecture(2, None).unwrap();
    assert_eq!(
        (found.hidden_size, found.type_vocab_size, found.dropout.head),
        (4, 0, 0.2)
    );
    assert_eq!(found.hidden_act, Activation::Relu);
    let mpnet = parse(&json!({ "model_type": "mpnet", "classifier_dropout": 0.3 })).unwrap();
    let found = mpnet.architecture(2, None).unwrap();
    assert_eq!((found.pad_token_id, found.max_tokens()), (1, 30));
    assert_eq!((found.type_vocab_size, found.dropout.head), (0, 0.1));
}

#[test]
fn unsupported_networks_are_errors() {
    for (change, expected) in [
        (json!({ "model_type": "gpt2" }), "found `gpt2`"),
        (json!({ "model_type": null }), "found none"),
        (
            json!({ "position_embedding_type": "relative_key" }),
            "to be `absolute`, found `\"relative_key\"`",
        ),
        (
            json!({ "is_decoder": true }),
            "expected `is_decoder` to be false",
        ),
        (
            json!({ "hidden_act": "mish" }),
            "`relu`, `silu`, `swish`, found `mish`",
        ),
        (json!({ "hidden_size": 9 }), "a multiple of"),
        (
            json!({ "model_type": "mpnet", "relative_attention_num_buckets": 16 }),
            "expected `relative_attention_num_buckets` to be `32`, found `16`",
        ),
        (
            json!({ "model_type": "mpnet", "pad_token_id": 0 }),
            "expected `pad_token_id` to be `1`, found `0`",
        ),
        (
            json!({ "vocab_size": 1e18 }),
            "expected `vocab_size` from 1 to",
        ),
        (
            json!({ "vocab_size": 0 }),
            "expected `vocab_size` from 1 to",
        ),
        (json!({ "pad_token_id": 100 }), "below `100`, found `100`"),
        (json!({ "hidden_dropout_prob": 1.0 }), "from 0 to below 1"),
        (json!({ "layer_norm_eps": -1 }), "above 0 and below 1"),
        (
            json!({ "max_position_embeddings": 1 }),
            "large enough for a text",
        ),
    ] {
        let (message, help) = parse(&change).unwrap_err();
        assert!(message.contains(expected), "{message}");
        assert!(!help.is_empty());
    }
    assert!(Config::parse(b"[]").is_err() && Config::parse(b"{").is_err());
}

#[test]
fn trained_config_keeps_other_keys() {
    let classes = ["neg".to_owned(), "pos".to_owned()];
    let config = parse(&json!({ "num_labels": 5 }))
        .unwrap()
        .trained(&classes, 64);
    let config = Config::parse(config.text().as_bytes()).unwrap();
    assert_eq!(config.labels().unwrap(), classes);
    assert_eq!(config.max_len(), Some(64));
    assert_eq!(
        config.json["architectures"],
        json!(["BertForSequenceClassification"])
    );
    assert_eq!(config.json["something"], json!([1]));
    assert!(!config.json.contains_key("num_labels"));
    let twice = parse(&json!({ "id2label": { "0": "a", "1": "a" } })).unwrap();
    assert!(twice.labels().unwrap_err().contains("found `a` twice"));
    let odd = parse(&json!({ "trainyard": { "max_len": "x" } })).unwrap();
    assert_eq!(odd.max_len(), Some(0));
}

#[test]
fn labels_and_defaults_are_those_of_transformers() {
    let labels = |changes: &Value| parse(changes).unwrap().labels().unwrap();
    assert_eq!(labels(&json!({})), ["LABEL_0", "LABEL_1"]);
    assert_eq!(labels(&json!({ "num_labels": 3 }))[2], "LABEL_2");
    assert_eq!(
        labels(&json!({ "id2label": { "0": 0, "1": 5 } })),
        ["0", "5"]
    );
    let bert = json!({ "architectures": ["BertForMaskedLM"] });
    let config = Config::parse(bert.to_string().as_bytes()).unwrap();
    let found = config.architecture(2, None).unwrap();
    assert_eq!((found.vocab_size, found.type_vocab_size), (30_522, 2));
    assert_eq!(config.json["model_type"], "bert");
}

#[test]
fn rows_of_the_head_are_found_by_name() {
    let rows = |id2label: Value, classes: &[&str]| {
        let classes: Vec<String> = classes.iter().map(|&class| class.to_owned()).collect();
        let config = parse(&json!({ "id2label": id2label })).unwrap();
        config.head_rows(&classes)
    };
    let ab = || json!({ "0": "b", "1": "a" });
    assert_eq!(rows(ab(), &["a", "b"]), [Some(1), Some(0)]);
    assert_eq!(rows(ab(), &["a", "c"]), [Some(1), None]);
    assert_eq!(rows(ab(), &["a"]), [Some(1)]);
    assert_eq!(rows(ab(), &[" A", "B"]), [Some(1), Some(0)]);
    // Names that differ in case only.
    assert_eq!(rows(ab(), &["a", "A", "b"]), [Some(1), None, Some(0)]);
    assert_eq!(
        rows(json!({ "0": "A", "1": "a" }), &["a", "A"]),
        [Some(1), Some(0)]
    );
    assert_eq!(rows(Value::Null, &["0", "1"]), [Some(0), Some(1)]);
    assert_eq!(
        rows(Value::Null, &["LABEL_1", "LABEL_0"]),
        [Some(1), Some(0)]
    );
    // Two names of one class.
    assert_eq!(rows(Value::Null, &["LABEL_1", "1"]), [None, None]);
    assert_eq!(rows(Value::Null, &["neg", "pos"]), [None, None]);
    assert_eq!(
        rows(json!({ "0": 1, "1": 0 }), &["0", "1"]),
        [Some(1), Some(0)]
    );
    assert_eq!(
        rows(json!({ "0": true, "1": false }), &["false", "true"]),
        [Some(1), Some(0)]
    );
}

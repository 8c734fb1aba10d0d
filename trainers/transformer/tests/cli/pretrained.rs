//! Invalid pretrained models, and an unreachable hub.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use testkit::{FakeMl, Outcome, run};

use super::model::compare;
use super::{Home, kit};

/// Returns a copy of the folder to modify.
fn copy(home: &Home) -> std::path::PathBuf {
    let dir = home.path("pretrained");
    kit::write(&dir);
    dir
}

fn train(home: &Home, pretrained: &str, more: &[&str], env: &[(&str, &Path)]) -> Outcome {
    let rows = home.rows(60);
    let flags = [
        "--train",
        rows.to_str().unwrap(),
        "--no-report",
        "--epochs",
        "1",
        "--pretrained-model",
        pretrained,
    ];
    let mut command = home.command("train", &[&flags[..], more].concat());
    command.envs(env.iter().copied());
    run(command)
}

#[track_caller]
fn refused(home: &Home, dir: &Path, expected: &[&str]) {
    let start = Instant::now();
    let outcome = train(home, dir.to_str().unwrap(), &[], &[]);
    assert!(matches!(outcome.code(), Some(1 | 2)), "{}", outcome.stderr);
    for expected in expected.iter().chain(&["  help: "]) {
        assert!(
            outcome.stderr.contains(expected),
            "no `{expected}` in {}",
            outcome.stderr
        );
    }
    assert!(!home.path("model/config.json").exists());
    assert!(start.elapsed().as_secs() < 10, "quickly");
}

#[test]
fn missing_files_are_named() {
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let home = Home::new();
        let dir = copy(&home);
        std::fs::remove_file(dir.join(name)).unwrap();
        refused(&home, &dir, &[&format!("expected `{name}`")]);
    }
}

#[test]
fn pickles_are_refused_unread() {
    let home = Home::new();
    let dir = copy(&home);
    std::fs::remove_file(dir.join("model.safetensors")).unwrap();
    std::fs::write(dir.join("pytorch_model.bin"), "not even a pickle").unwrap();
    refused(
        &home,
        &dir,
        &[
            "pytorch_model.bin",
            "a pickle can run any program",
            "save_pretrained(\"converted\")",
        ],
    );
}

/// Wrong sizes, overlapping tensors and the like.
#[test]
fn malicious_weights_are_refused_fast() {
    let header = |text: &str, data: usize| {
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text.bytes());
        bytes.extend(vec![0; data]);
        bytes
    };
    let word = "embeddings.word_embeddings.weight";
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"{word}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let overlap = format!(
        r#"{{"a":{{"dtype":"F32","shape":[4],"data_offsets":[0,16]}},"{word}":{{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}}}"#
    );
    for (name, bytes) in [
        ("huge header", u64::MAX.to_le_bytes().to_vec()),
        (
            "header beyond the end",
            [&9999u64.to_le_bytes()[..], b"{}"].concat(),
        ),
        ("no bytes", Vec::new()),
        ("no JSON", header("{{{{", 0)),
        ("overlap", header(&overlap, 24)),
        ("beyond the end", header(&one("F32", "[4]", "[0,16]"), 3)),
        (
            "shape that overflows",
            header(
                &one("F32", "[4294967296,4294967296,4294967296]", "[0,16]"),
                16,
            ),
        ),
        (
            "size of another shape",
            header(&one("F32", "[5]", "[0,16]"), 16),
        ),
        ("unknown type", header(&one("I64", "[2]", "[0,16]"), 16)),
        ("backwards", header(&one("F32", "[4]", "[16,0]"), 16)),
    ] {
        let home = Home::new();
        let dir = copy(&home);
        std::fs::write(dir.join("model.safetensors"), bytes).unwrap();
        println!("{name}");
        refused(&home, &dir, &["model.safetensors"]);
    }
}

#[test]
fn inconsistent_files_are_errors() {
    let home = Home::new();
    let dir = copy(&home);
    let change = |key: &str, value: serde_json::Value| {
        let path = dir.join("config.json");
        let mut json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        json[key] = value;
        std::fs::write(&path, json.to_string()).unwrap();
    };
    change("vocab_size", 9.into());
    refused(&home, &dir, &["expected ids below `9`"]);
    change("vocab_size", 1504.into());
    change("intermediate_size", 48.into());
    refused(&home, &dir, &["intermediate.dense.weight"]);
    change("num_hidden_layers", 3.into());
    change("intermediate_size", 32.into());
    refused(&home, &dir, &["encoder.layer.2"]);
    change("model_type", "gpt2".into());
    refused(&home, &dir, &["found `gpt2`", "MiniLM is a `bert`"]);
    let outcome = train(
        &home,
        kit::pretrained().to_str().unwrap(),
        &["--max-len", "65"],
        &[],
    );
    assert!(
        outcome.stderr.contains("--max-len of at most `64`"),
        "{}",
        outcome.stderr
    );
    let outcome = train(
        &home,
        kit::pretrained().to_str().unwrap(),
        &["--freeze-layers", "3"],
        &[],
    );
    assert!(
        outcome.stderr.contains("--freeze-layers of at most `2`"),
        "{}",
        outcome.stderr
    );
    let outcome = train(&home, "../../no such", &[], &[]);
    assert!(
        outcome.stderr.contains("found neither"),
        "{}",
        outcome.stderr
    );
}

/// Within a second, with the name of the file.
#[test]
fn offline_error_names_missing_file() {
    let home = Home::new();
    let cache = home.path("cache");
    for (name, value) in [
        ("HF_HUB_OFFLINE", "1"),
        ("HF_TOKEN", "none"),
        ("HTTPS_PROXY", "http://somebody:secret@127.0.0.1:2"),
    ] {
        let start = Instant::now();
        let env = [
            ("HF_HOME", cache.as_path()),
            ("HF_ENDPOINT", Path::new("http://127.0.0.1:1")),
            (name, Path::new(value)),
        ];
        let outcome = train(&home, "nobody/nothing", &[], &env);
        assert!(start.elapsed().as_secs_f64() < 2.0, "within a second or so");
        assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
        for expected in [
            "there is no folder `nobody/nothing`",
            "`config.json`",
            "the model `nobody/nothing`",
            "the hub is unreachable",
            "  help: ",
        ] {
            assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
        }
        let proxied = outcome.stderr.contains("the proxy `127.0.0.1:2`");
        assert_eq!(proxied, name == "HTTPS_PROXY", "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("secret"), "{}", outcome.stderr);
    }
}

/// In the layout of Python's library.
#[test]
fn cached_models_need_no_network() {
    let home = Home::new();
    let cache = home.path("cache/hub/models--some--model");
    let commit = "0123456789abcdef0123456789abcdef01234567";
    kit::write(&cache.join("snapshots").join(commit));
    std::fs::create_dir_all(cache.join("refs")).unwrap();
    std::fs::write(cache.join("refs/main"), commit).unwrap();
    let env = [
        ("HF_HOME", home.path("cache")),
        ("HF_HUB_OFFLINE", "1".into()),
    ];
    let env: Vec<(&str, &Path)> = env
        .iter()
        .map(|(name, value)| (*name, value.as_path()))
        .collect();
    train(&home, "some/model", &[], &env).expect_code(0);
    assert_eq!(home.metrics()["details"]["pretrained_model"], "some/model");
}

/// With a fake hub: files are downloaded once, missing ones are reported.
#[test]
fn hub_models_are_downloaded_once() {
    let home = Home::new();
    let tree = home.path("tree/some/model/resolve/main");
    kit::write(&tree);
    let script = home.path("hub.py");
    std::fs::write(&script, HUB).unwrap();
    let port = testkit::free_port();
    let python = std::env::var_os("TRAINYARD_PYTHON").unwrap();
    let mut server = Command::new(python);
    server
        .arg(&script)
        .arg(home.path("tree"))
        .arg(port.to_string());
    let mut server = server.spawn().unwrap();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(server.try_wait().unwrap().is_none(), "the server has ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (cache, endpoint) = (home.path("cache"), format!("http://127.0.0.1:{port}"));
    let env = [
        ("HF_HOME", cache.as_path()),
        ("HF_ENDPOINT", Path::new(&endpoint)),
    ];
    train(&home, "some/model", &[], &env).expect_code(0);
    let missing = train(&home, "some/other", &[], &env);
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(
        missing
            .stderr
            .contains("`config.json` in the model `some/other`"),
        "{}",
        missing.stderr
    );
    // From the cache.
    train(&home, "some/model", &[], &env).expect_code(0);
}

/// Sends the headers that the hub's clients expect.
const HUB: &str = r#"
import hashlib, http.server, pathlib, sys

class Hub(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = pathlib.Path(sys.argv[1] + self.path)
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = path.read_bytes()
        size = len(data)
        wanted = self.headers.get("Range")
        start, end = 0, size - 1
        if wanted:
            first, last = wanted.split("=")[1].split("-")
            start, end = int(first), int(last) if last else end
            end = min(end, size - 1)
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", '"%s"' % hashlib.sha256(data).hexdigest())
        self.send_header("X-Repo-Commit", "0123456789abcdef0123456789abcdef01234567")
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.send_header("Content-Length", str(end - start + 1))
        self.end_headers()
        self.wfile.write(data[start:end + 1])

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Hub).serve_forever()
"#;

/// The pretrained model comes from the `model` channel of a job.
#[test]
fn pretrained_model_from_model_channel() {
    let home = Home::new();
    let dir = kit::pretrained();
    let mut ml = FakeMl::new()
        .hyperparameter("epochs", "1")
        .hyperparameter("max_len", "24");
    let rows = testkit::to_csv(&testkit::movie_rows()[..60]);
    ml = ml.channel("train", "rows.csv", rows);
    for name in [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "model.safetensors",
    ] {
        ml = ml.channel("model", name, std::fs::read(dir.join(name)).unwrap());
    }
    let outcome = run(ml.train(env!("CARGO_BIN_EXE_transformer").as_ref(), &["--no-report"]));
    outcome.expect_code(0);
    assert!(
        !outcome.stderr.contains("is not used"),
        "{}",
        outcome.stderr
    );
    assert!(
        ml.model_files()
            .iter()
            .any(|name| name == "model.safetensors")
    );
    let without = home.rows(60);
    let outcome = home.transformer("train", &["--train", without.to_str().unwrap()]);
    assert_eq!(outcome.code(), Some(2), "{}", outcome.stderr);
    assert!(
        outcome
            .stderr
            .contains("neither --pretrained-model nor a channel `model`"),
        "{}",
        outcome.stderr
    );
}

/// The help was to write a tokenizer.json into the folder of a model of `svm`.
#[test]
fn model_of_another_trainer_is_named() {
    let home = Home::new();
    let dir = copy(&home);
    let config = r#"{"format": "trainyard-svm", "version": 1}"#;
    std::fs::write(dir.join("config.json"), config).unwrap();
    refused(&home, &dir, &["found one of `svm`", "give another folder"]);
}

/// Issue 18: MPNet, from a folder as that of all-mpnet-base-v2.
#[test]
fn transformers_reads_trained_mpnet() {
    let home = Home::new();
    let dir = home.path("mpnet");
    kit::write_mpnet(&dir);
    let outcome = train(&home, dir.to_str().unwrap(), &[], &[]);
    outcome.expect_code(0);
    compare(&home, &home.rows(20));
    // The table belongs to the embeddings, which are below all layers.
    let name = "mpnet.encoder.relative_attention_bias.weight";
    let table = |path: &Path, name: &str| {
        let bytes = std::fs::read(path.join("model.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        tensors.tensor(name).unwrap().data().to_vec()
    };
    let before = table(&dir, name.strip_prefix("mpnet.").unwrap());
    assert_ne!(table(&home.path("model"), name), before);
    let frozen = train(&home, dir.to_str().unwrap(), &["--freeze-layers", "1"], &[]);
    frozen.expect_code(0);
    assert_eq!(table(&home.path("model"), name), before);
}

//! Hostile pretrained models, and several hosts that do not belong together; the numbers are those
//! of the list ATTACK.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{FakeMl, Outcome, movie_csv, movie_rows, run, start, to_csv};

use super::hosts::{host, job};
use super::{Home, kit};

/// Writes a pretrained folder whose tokenizer.json has another member.
fn write(dir: &Path, member: &str, value: &Value) {
    kit::write(dir);
    let path = dir.join("tokenizer.json");
    let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    file[member] = value.clone();
    std::fs::write(&path, file.to_string()).unwrap();
}

fn train(home: &Home, pretrained: &Path) -> Outcome {
    let rows = home.rows(60);
    let train = ["--train", rows.to_str().unwrap(), "--max-len", "24"];
    let from = ["--pretrained-model", pretrained.to_str().unwrap()];
    home.transformer("train", &[&train[..], &from].concat())
}

/// Members with which the tokenizers library panics, when it reads the file or a text.
fn damaged() -> [(&'static str, Value); 2] {
    let word = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    let unknown = json!({ "SpecialToken": { "id": "##", "type_id": 0 } });
    [
        (
            "normalizer",
            json!({ "type": "Precompiled", "precompiled_charsmap": "" }),
        ),
        (
            "post_processor",
            json!({ "type": "TemplateProcessing", "single": [unknown, word], "pair": [word],
                "special_tokens": {} }),
        ),
    ]
}

/// ATTACK F8: exit code 1 and a failure file.
#[test]
fn tokenizer_that_panics_is_an_error() {
    for (member, value) in damaged() {
        let home = Home::new();
        let dir = home.path("pretrained");
        write(&dir, member, &value);
        let rows = to_csv(&movie_rows()[..60]);
        let mut ml = FakeMl::new()
            .hyperparameter("epochs", "1")
            .hyperparameter("max_len", "24")
            .channel("train", "rows.csv", rows);
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            ml = ml.channel("model", name, std::fs::read(dir.join(name)).unwrap());
        }
        let outcome = run(ml.train(env!("CARGO_BIN_EXE_transformer").as_ref(), &["--no-report"]));
        assert_eq!(outcome.code(), Some(1), "{member}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("  help: "), "{}", outcome.stderr);
        let failure = ml.failure().expect("a failure file");
        assert!(failure.contains("tokenizer"), "{failure}");
    }
}

/// ATTACK F8: 2^40 times as long.
#[test]
fn tokenizer_that_lengthens_texts_without_limit_is_refused() {
    let home = Home::new();
    let dir = home.path("pretrained");
    let double = json!({ "type": "Replace", "pattern": { "String": "a" }, "content": "aa" });
    let steps = json!({ "type": "Sequence", "normalizers": vec![double; 40] });
    write(&dir, "normalizer", &steps);
    let outcome = train(&home, &dir);
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
    let said = "at most `1000` times as long";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}

/// ATTACK F8: more special tokens than a text may have.
#[test]
fn more_special_tokens_than_the_limit_are_refused() {
    let home = Home::new();
    let dir = home.path("pretrained");
    let token = json!({ "SpecialToken": { "id": "[CLS]", "type_id": 0 } });
    let mut template = vec![token; 30];
    template.push(json!({ "Sequence": { "id": "A", "type_id": 0 } }));
    let processor = json!({ "type": "TemplateProcessing", "single": template, "pair": template,
        "special_tokens": { "[CLS]": { "id": "[CLS]", "ids": [2], "tokens": ["[CLS]"] } } });
    write(&dir, "post_processor", &processor);
    let outcome = train(&home, &dir);
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
    let said = "adds `30` special tokens";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}

/// ATTACK F6: hosts with other arguments, or of another job, do not train together.
#[test]
fn hosts_that_differ_are_refused() {
    for (flag, value, key, expected) in [
        (
            "--seed",
            "7",
            "",
            ["found others on another host", "found `7` for `--seed`"],
        ),
        (
            "--dropout",
            "0.3",
            "",
            ["found others on another host", "for `--dropout`"],
        ),
        (
            "--seed",
            "0",
            "other",
            ["`algo-2` did not connect", "a host of another job"],
        ),
    ] {
        let home = Home::new();
        let bases = [host(&home, 1), host(&home, 2)];
        let port = testkit::free_port();
        let flags = ["--epochs", "1", "--host-timeout", "6"];
        let mut second = job(
            &bases[1],
            &movie_csv(),
            port,
            &[&flags[..], &[flag, value]].concat(),
        );
        second.env("TRAINYARD_HOST_KEY", key);
        let second = start(second);
        let first = run(job(&bases[0], &movie_csv(), port, &flags));
        let second = second.finish(Duration::from_secs(60));
        for (outcome, (base, expected)) in [first, second].iter().zip(bases.iter().zip(expected)) {
            assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
            assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
            assert!(base.join("output/failure").exists());
            assert!(!base.join("model/config.json").exists());
        }
    }
}

/// ATTACK F6: SIGTERM ends the wait for other hosts within seconds.
#[test]
fn sigterm_ends_wait_for_hosts() {
    let home = Home::new();
    for number in [1, 2] {
        let base = host(&home, number);
        let port = testkit::free_port();
        let mut running = start(job(&base, &movie_csv(), port, &["--host-timeout", "500"]));
        let pid = running.pid();
        assert!(running.wait_for_handler(pid));
        std::thread::sleep(Duration::from_secs(2));
        let start = Instant::now();
        running.sigterm();
        running.finish(Duration::from_secs(15)).expect_code(0);
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(!base.join("output/failure").exists());
    }
}

/// ATTACK F8: a damaged tokenizer never ends as a panic does, with 101 and without a failure file.
#[test]
fn damaged_tokenizer_is_an_error() {
    let text = std::fs::read_to_string(kit::pretrained().join("tokenizer.json")).unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    let mut damaged = Vec::new();
    for pointer in [
        "/model",
        "/model/vocab",
        "/normalizer",
        "/post_processor",
        "/added_tokens",
    ] {
        for value in [json!(null), json!({}), json!([1])] {
            let mut copy = whole.clone();
            if let Some(part) = copy.pointer_mut(pointer) {
                *part = value;
                damaged.push(copy);
            }
        }
    }
    let mut errors = 0;
    for tokenizer in damaged {
        let home = Home::new();
        let pretrained = home.path("pretrained");
        kit::write(&pretrained);
        std::fs::write(pretrained.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        let ml = FakeMl::new().channel("train", "train.csv", to_csv(&movie_rows()[..40]));
        let folder = pretrained.to_str().unwrap();
        let flags = [
            "--epochs",
            "1",
            "--max-len",
            "16",
            "--pretrained-model",
            folder,
        ];
        let outcome = run(ml.train(env!("CARGO_BIN_EXE_transformer").as_ref(), &flags));
        match outcome.code() {
            Some(0) => assert!(ml.failure().is_none()),
            code => {
                errors += 1;
                assert_eq!(code, Some(1), "{}", outcome.stderr);
                assert!(outcome.stderr.contains("  help: "), "{}", outcome.stderr);
                assert!(ml.failure().is_some());
            }
        }
    }
    assert!(errors > 4, "{errors}");
}

//! `trainyard recommend` with shell scripts as trainers.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests report by panicking"
)]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use testkit::{Outcome, run};

/// Fails if a scored row is a training row; notes the scored rows beside itself.
const TRAINER: &str = r#"#!/bin/sh
if [ "$1" = describe ]; then
    echo '{"name":"NAME","version":"1","description":"a script","channels":[],"metrics":[],
        "hyperparameters":[],"supports":{"gpu":false},"commands":["train"]}'
    exit
fi
while [ $# -gt 0 ]; do
    case $1 in --train) train=$2 ;; --test) test=$2 ;; --model-dir) model=$2 ;; esac
    shift
done
if grep -qFxf "$train" "$test"; then exit 1; fi
cat "$test" >> "$0.rows"
mkdir -p "$model"
printf 12345678 > "$model/weights"
echo '{"test":{"accuracy":ACCURACY,"macro_f1":0.5,"rows":'$(wc -l < "$test")'},"peak_rss_bytes":2000000}'
"#;

fn trainer(path: &Path, accuracy: &str) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let script = TRAINER.replace("NAME", name).replace("ACCURACY", accuracy);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, script).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

fn rows(count: usize) -> String {
    let rows = (0..count).map(|row| format!("row {row},{}\n", ["no", "yes"][row % 2]));
    format!("text,label\n{}", rows.collect::<String>())
}

/// Runs the command with the folder on the PATH.
fn recommend(folder: &Path, more: &[&str]) -> Outcome {
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    command
        .args(["recommend", "--data", "rows.csv"])
        .args(more)
        .env("PATH", format!("{}:{path}", folder.display()))
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(folder);
    run(command)
}

#[test]
fn each_row_is_scored_once_by_a_model_that_has_not_seen_it() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("rows.csv"), rows(60)).unwrap();
    trainer(&home.path().join("script-good"), "0.9");
    trainer(&home.path().join("script-bad"), "0.5");
    let both = ["--trainer", "script-good", "--trainer", "script-bad"];
    let outcome = recommend(home.path(), &[&both[..], &["--json"]].concat());
    let report = outcome.expect_code(0).json();
    assert_eq!(report["recommended"], "script-good");
    assert_eq!(report["sample_rows"], 60);
    assert_eq!(report["folds"], 3);
    assert_eq!(report["most_frequent"]["share"], 0.5);
    let first = &report["trainers"][0];
    assert!((first["accuracy"].as_f64().unwrap() - 0.9).abs() < 1e-9);
    assert_eq!(first["model_bytes"], 8);
    assert_eq!(first["peak_rss_bytes"], 2_000_000);
    // As in crates/evaluation for 54 of 60.
    let low = first["interval"][0].as_f64().unwrap();
    assert!((low - 0.7985).abs() < 0.001, "{low}");
    let scored = fs::read_to_string(home.path().join("script-good.rows")).unwrap();
    let different: BTreeSet<&str> = scored.lines().collect();
    assert_eq!((scored.lines().count(), different.len()), (60, 60));

    let outcome = recommend(home.path(), &[&both[..], &["--rows", "30"]].concat());
    let text = &outcome.expect_code(0).stdout;
    assert!(
        text.starts_with("30 of 60 rows, 2 labels, 3 folds; always predicting `"),
        "{text}"
    );
    assert!(text.contains("\nrecommended: script-good, "), "{text}");
}

#[test]
fn columns_may_be_several_and_without_a_header() {
    let home = tempfile::tempdir().unwrap();
    let row = |row: usize| format!("{},title {row},body {row}\n", ["no", "yes"][row % 2]);
    let rows: String = (0..60).map(row).collect();
    fs::write(home.path().join("rows.csv"), rows).unwrap();
    trainer(&home.path().join("script"), "0.9");
    let flags = "--trainer script --no-header --label-column 0 --text-column 1 --text-column 2";
    let flags: Vec<&str> = flags.split(' ').collect();
    recommend(home.path(), &flags).expect_code(0);
    let scored = fs::read_to_string(home.path().join("script.rows")).unwrap();
    assert_eq!(scored.lines().count(), 60);
    assert!(scored.contains(r#""text":"title 7 body 7""#), "{scored}");
}

#[test]
fn errors_say_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("rows.csv"), rows(60)).unwrap();
    let outcome = recommend(home.path(), &[]);
    assert!(
        outcome
            .expect_code(2)
            .stderr
            .contains("help: name them, as in `--trainer svm`"),
        "{}",
        outcome.stderr
    );
    trainer(&home.path().join("script"), "0.9");
    let outcome = recommend(
        home.path(),
        &["--trainer", "script", "--label-column", "stars"],
    );
    assert!(outcome.stderr.contains("help: "), "{}", outcome.stderr);
    outcome.expect_code(1);
    // A trainer that fails.
    fs::write(
        home.path().join("rows.csv"),
        "text,label\na,x\nb,x\nc,y\nd,y\n",
    )
    .unwrap();
    fs::write(
        home.path().join("script"),
        TRAINER.replace("-qFxf", "-qv @"),
    )
    .unwrap();
    let outcome = recommend(home.path(), &["--trainer", "script"]);
    assert!(
        outcome
            .stderr
            .contains("`script train` failed: exit status: 1"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn trainers_of_the_workspace_that_are_not_built_are_named() {
    let home = tempfile::tempdir().unwrap();
    let manifest = "[package]\nname = \"unbuilt\"\nversion = \"1.2.3\"\nedition = \"2024\"\n\n\
                    [package.metadata.trainer]\n\n[workspace]\n";
    for (name, text) in [
        ("Cargo.toml", manifest),
        ("src/main.rs", "fn main() {}\n"),
        ("rows.csv", rows(60).as_str()),
    ] {
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let outcome = recommend(home.path(), &[]);
    outcome.expect_code(2);
    assert!(
        outcome
            .stderr
            .contains("no trainer is built, of unbuilt\n  help: build one"),
        "{}",
        outcome.stderr
    );
    trainer(&home.path().join("target/release/unbuilt"), "0.9");
    let outcome = recommend(home.path(), &[]);
    outcome.expect_code(0);
    assert!(
        outcome.stdout.contains("\nrecommended: unbuilt, "),
        "{}",
        outcome.stdout
    );
}

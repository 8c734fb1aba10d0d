//! `trainyard recommend` with shell scripts as trainers.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests report by panicking"
)]

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use testkit::{Outcome, fifo, run, start};

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
    run(command(folder, more))
}

fn command(folder: &Path, more: &[&str]) -> Command {
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    command
        .args(["recommend", "--data", "rows.csv"])
        .args(more)
        .env("PATH", format!("{}:{path}", folder.display()))
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(folder);
    command
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

/// Writes the data, runs the script on it and returns the rows that were scored.
fn scored(home: &Path, data: &str, flags: &[&str]) -> String {
    let _ = fs::remove_file(home.join("script.rows"));
    fs::write(home.join("rows.csv"), data).unwrap();
    trainer(&home.join("script"), "0.9");
    recommend(home, &[&["--trainer", "script"][..], flags].concat()).expect_code(0);
    fs::read_to_string(home.join("script.rows")).unwrap()
}

/// Returns 60 rows and a header, made of the number and the label of each row.
fn table(header: &str, row: impl Fn(usize, &str) -> String) -> String {
    let row = |number: usize| row(number, ["no", "yes"][number % 2]);
    format!("{header}\n{}", (0..60).map(row).collect::<String>())
}

#[test]
fn options_for_reading_are_those_of_the_trainers() {
    let home = tempfile::tempdir().unwrap();
    for (data, flags, expected) in [
        (
            table("text;label", |row, label| format!("a, {row};{label}\n")),
            &["--delimiter", ";"][..],
            "a, 7",
        ),
        (
            table("text,label", |row, label| {
                format!("\"a\\\", {row}\",{label}\n")
            }),
            &["--escape", "\\"],
            "a\\\", 7",
        ),
        (
            table("text,label", |row, label| format!("\"a {row},{label}\n")),
            &["--quoting", "none"],
            "\\\"a 7",
        ),
    ] {
        let scored = scored(home.path(), &data, flags);
        assert_eq!(scored.lines().count(), 60);
        let expected = format!(r#""text":"{expected}""#);
        assert!(scored.contains(&expected), "{expected}: {scored}");
    }
}

#[test]
fn dropped_rows_are_counted() {
    let home = tempfile::tempdir().unwrap();
    fs::write(
        home.path().join("rows.csv"),
        rows(60) + ",yes\nlong,er,row\n",
    )
    .unwrap();
    trainer(&home.path().join("script"), "0.9");
    let script = ["--trainer", "script"];
    let outcome = recommend(home.path(), &script);
    assert!(outcome.expect_code(1).stderr.contains("--drop-missing"));
    let drop = [&script[..], &["--drop-missing", "--drop-malformed"]].concat();
    let outcome = recommend(home.path(), &drop);
    let text = &outcome.expect_code(0).stdout;
    assert!(text.contains("\ndropped: 1 row (missing text)\n"), "{text}");
    assert!(text.contains("\ndropped: 1 row (malformed)\n"), "{text}");
    let outcome = recommend(home.path(), &[&drop[..], &["--json"]].concat());
    let report = outcome.expect_code(0).json();
    assert_eq!(report["dropped"]["malformed"], 1);
}

#[test]
fn encodings_are_read() {
    let home = tempfile::tempdir().unwrap();
    let mut data = b"text,label\n".to_vec();
    for row in 0..60 {
        data.extend(b"caf\xe9 ");
        data.extend(format!("{row},{}\n", row % 2).bytes());
    }
    fs::write(home.path().join("rows.csv"), data).unwrap();
    trainer(&home.path().join("script"), "0.9");
    let flags = ["--trainer", "script", "--encoding", "latin-1"];
    recommend(home.path(), &flags).expect_code(0);
    let scored = fs::read_to_string(home.path().join("script.rows")).unwrap();
    assert!(scored.contains("café 7\""), "{scored}");
}

#[test]
fn weights_and_sets_of_labels_reach_the_trainer() {
    let home = tempfile::tempdir().unwrap();
    let data = table("text,label,w", |row, label| {
        format!("row {row},{label},{row}.5\n")
    });
    let rows = scored(home.path(), &data, &["--weight-column", "w"]);
    assert!(
        rows.contains(r#"{"label":"yes","text":"row 7","weight":7.5}"#),
        "{rows}"
    );
    // A label of a single row is in one fold only: its row is left out.
    let data = table("text,label", |row, label| match row {
        0 => "row 0,once|no\n".to_owned(),
        row if row % 3 == 0 => format!("row {row},\n"),
        _ => format!("row {row},{label}|all\n"),
    });
    let flags = ["--multi-label", "--label-separator", "|"];
    let rows = scored(home.path(), &data, &flags);
    assert_eq!(rows.lines().count(), 59);
    for row in [
        r#"{"label":["all","yes"],"text":"row 7"}"#,
        r#"{"label":[],"text":"row 3"}"#,
    ] {
        assert!(rows.lines().any(|line| line == row), "{row}: {rows}");
    }
    let data = table("text,yes,big", |row, label| {
        let (yes, big) = (u8::from(label == "yes"), u8::from(row > 29));
        format!("row {row},{yes},{big}\n")
    });
    let columns = ["--label-column", "yes", "--label-column", "big"];
    let rows = scored(
        home.path(),
        &data,
        &[&["--multi-label"][..], &columns].concat(),
    );
    assert!(
        rows.contains(r#"{"label":["big","yes"],"text":"row 31"}"#),
        "{rows}"
    );
    let flags = [&["--trainer", "script", "--multi-label"][..], &columns].concat();
    let outcome = recommend(home.path(), &flags);
    let text = &outcome.expect_code(0).stdout;
    assert!(text.contains("\ntrainer      subset accuracy "), "{text}");
}

/// A label whose rows all have texts of another label can be in one fold only.
#[test]
fn labels_of_one_fold_are_left_out() {
    let home = tempfile::tempdir().unwrap();
    for row in 0..12 {
        let data = rows(60) + &format!("row {row},twice\nrow of its own,twice\n");
        fs::write(home.path().join("rows.csv"), data).unwrap();
        let script = TRAINER.replace("NAME", "script").replace("ACCURACY", "0.9");
        // Fails if a label of the scored rows is not in the training rows.
        let check = "for label in no yes twice; do\n    \
                     if grep -q \"\\\"$label\\\"\" \"$test\"; then grep -q \"\\\"$label\\\"\" \
                     \"$train\" || exit 1; fi\ndone\nmkdir";
        fs::write(
            home.path().join("script"),
            script.replacen("mkdir", check, 1),
        )
        .unwrap();
        let executable = Permissions::from_mode(0o755);
        fs::set_permissions(home.path().join("script"), executable).unwrap();
        recommend(home.path(), &["--trainer", "script"]).expect_code(0);
    }
}

#[test]
fn errors_have_help() {
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
    let with = |flags: &[&str]| {
        let outcome = recommend(home.path(), &[&["--trainer", "script"][..], flags].concat());
        (outcome.code(), outcome.stderr)
    };
    let (code, stderr) = with(&["--label-column", "labels"]);
    assert_eq!(code, Some(1), "{stderr}");
    let help = "help: did you mean --label-column label?";
    assert!(stderr.contains(help), "{stderr}");
    assert_eq!(with(&["--label-column", "label"]).0, Some(0));
    for (flags, help) in [
        (
            &["--label-column", "a", "--label-column", "b"][..],
            "help: leave out all but one, or add --multi-label",
        ),
        (
            &["--text-column", "a", "--text-column", "a"],
            "help: give each column once",
        ),
        (&["--escape", ","], "help: pass another --escape"),
        (&["--label-separator", "|"], "--multi-label"),
        (&["--encoding", "latin-l"], "help: did you mean `latin-1`?"),
    ] {
        let (code, stderr) = with(flags);
        assert!(
            code != Some(0) && stderr.contains(help),
            "{flags:?}: {stderr}"
        );
    }
}

#[test]
fn failure_of_a_trainer_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    trainer(&home.path().join("script"), "0.9");
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

/// Ctrl-C ends the command while it waits for the data, and nothing is resumed.
#[test]
fn ctrl_c_ends_reading() {
    let home = tempfile::tempdir().unwrap();
    trainer(&home.path().join("script"), "0.9");
    let data = home.path().join("rows.csv");
    fifo(&data);
    let scratch = home.path().join("tmp");
    fs::create_dir(&scratch).unwrap();
    let mut command = command(home.path(), &["--trainer", "script"]);
    command.env("TMPDIR", &scratch);
    let running = start(command);
    // Fails until the command has opened the other end of the pipe.
    let until = Instant::now() + Duration::from_secs(20);
    let mut options = OpenOptions::new();
    options
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let pipe = loop {
        match options.open(&data) {
            Ok(pipe) => break pipe,
            Err(error) if Instant::now() > until => panic!("the data is not read: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    running.sigint();
    let outcome = running.finish(Duration::from_secs(10));
    drop(pipe);
    outcome.expect_code(130);
    let help = "help: run the same command again; it starts from the beginning";
    assert!(outcome.stderr.contains(help), "{}", outcome.stderr);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
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

/// Networks are not trained by default: their time is estimated, and alone they are an error.
#[test]
fn networks_are_estimated() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("rows.csv"), rows(200)).unwrap();
    fs::write(
        home.path().join("Cargo.toml"),
        "[workspace]\nmembers = [\"net\", \"plain\"]\nresolver = \"3\"\n",
    )
    .unwrap();
    for name in ["net", "plain"] {
        let folder = home.path().join(name);
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join("src/main.rs"), "fn main() {}\n").unwrap();
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"1.2.3\"\nedition = \"2024\"\n\n\
             [package.metadata.trainer]\n"
        );
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    }
    let net = home.path().join("target/release/net");
    trainer(&net, "0.9");
    // 10 ms for each training row: 0.32 s and 0.96 s.
    let script = fs::read_to_string(&net).unwrap();
    let script = script
        .replace(r#""gpu":false"#, r#""gpu":true"#)
        .replace(
            r#""hyperparameters":[]"#,
            r#""hyperparameters":[{"name":"epochs","type":"Integer","default":"3","help":"x"}]"#,
        )
        .replace(
            r#"if grep -qFxf "$train" "$test"; then exit 1; fi"#,
            r#"sleep "0.$(wc -l < "$train")""#,
        );
    fs::write(&net, script).unwrap();
    let outcome = recommend(home.path(), &[]);
    assert!(
        outcome.expect_code(2).stderr.contains(
            "no other trainer is built: net\n  \
             help: build one, as in `cargo build --release -p svm`, or pass `--trainer net`"
        ),
        "{}",
        outcome.stderr
    );
    trainer(&home.path().join("target/release/plain"), "0.9");
    let outcome = recommend(home.path(), &["--json"]);
    let report = outcome.expect_code(0).json();
    assert_eq!(report["recommended"], "plain");
    let network = &report["networks"][0];
    assert_eq!(network["epochs"], 3);
    // 200 rows; other work on the machine makes it slower, not faster.
    let seconds = network["epoch_seconds"].as_f64().unwrap();
    assert!((1.0..10.0).contains(&seconds), "{network}");
}

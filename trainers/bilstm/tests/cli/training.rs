//! Training: messages, divergence, flags, early stopping, devices.

use std::process::Command;

use serde_json::json;
use testkit::{movie_csv, run};

use super::Home;

#[test]
fn divergence_keeps_the_last_good_model() {
    let home = Home::new();
    // The rate and the weights grow from step to step, beyond f32.
    let flags = [
        "--epochs",
        "6",
        "--learning-rate",
        "2e37",
        "--clip-norm",
        "0",
        "--warm-up",
        "1",
        "--patience",
        "0",
    ];
    let outcome = home.train(&movie_csv(), &flags);
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
    let message = outcome
        .stderr
        .lines()
        .find(|line| line.contains("is not a finite number"));
    assert!(
        message.is_some_and(|line| line.contains(" of step ") && line.contains("(epoch ")),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("help: lower --learning-rate"),
        "{}",
        outcome.stderr
    );
    let best = home.metrics()["details"]["model_of_epoch"].as_u64();
    assert!(best.is_some_and(|epoch| epoch >= 1), "{best:?}");
    home.bilstm("predict", &["a film"]).expect_code(0);
}

#[test]
fn divergence_in_the_first_epoch_leaves_no_model() {
    let home = Home::new();
    let flags = ["--learning-rate", "3e38", "--clip-norm", "0"];
    let outcome = home.train(&movie_csv(), &flags);
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
    let message = "(epoch 1) is not a finite number";
    assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
    assert!(!home.path("model/config.json").exists());
}

/// No later step of the epoch would show it.
#[test]
fn divergence_in_the_last_step_of_an_epoch_leaves_no_model() {
    let home = Home::new();
    let rows = home.rows(40);
    for epochs in ["1", "3"] {
        let checkpoints = home.path("checkpoints");
        let flags = [
            "--batch-size",
            "64",
            "--learning-rate",
            "3e38",
            "--clip-norm",
            "0",
            "--epochs",
            epochs,
            "--checkpoint-dir",
            checkpoints.to_str().unwrap(),
        ];
        let outcome = home.train(&rows, &flags);
        assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
        let message = "after step 1 (epoch 1) is not a finite number";
        assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
        assert!(!home.path("model/config.json").exists());
        assert!(!checkpoints.exists() || std::fs::read_dir(&checkpoints).unwrap().count() == 0);
    }
}

#[test]
fn flags_of_the_training_loop_change_the_model() {
    let home = Home::new();
    let mut texts: Vec<testkit::Row> = testkit::movie_rows()[..120].to_vec();
    for (number, row) in texts.iter_mut().enumerate() {
        // Many lengths, so that buckets matter.
        let words: Vec<&str> = row.text.split(' ').take(1 + number * 7 % 23).collect();
        row.text = words.join(" ");
    }
    let rows = home.path("short.csv");
    std::fs::write(&rows, testkit::to_csv(&texts)).unwrap();
    let weights = |more: &[&str]| {
        let flags = [&["--epochs", "2", "--patience", "0"], more].concat();
        home.train(&rows, &flags).expect_code(0);
        let history = home.metrics()["history"].clone();
        let rates: Vec<f64> = (0..2)
            .map(|epoch| history[epoch]["learning_rate"].as_f64().unwrap())
            .collect();
        (home.weights(), rates)
    };
    let (plain, _) = weights(&["--schedule", "constant"]);
    for more in [
        &["--clip-norm", "0.001"][..],
        &["--warm-up", "0.5"],
        &["--no-buckets"],
        &["--dropout", "0"],
        &["--pooling", "mean"],
    ] {
        let (other, _) = weights(&[&["--schedule", "constant"], more].concat());
        assert!(other != plain, "{more:?} has no effect");
    }
    // 108 training rows in batches of 16: seven steps per epoch. An epoch reports the rate of its
    // last step.
    let linear = |step: f64| 0.002 * (1.0 - step / 14.0);
    let (_, rates) = weights(&["--schedule", "linear"]);
    for (found, step) in rates.iter().zip([6.0, 13.0]) {
        assert!((found - linear(step)).abs() < 1e-9, "{rates:?}");
    }
    let (_, rates) = weights(&["--schedule", "constant", "--warm-up", "1"]);
    for (found, step) in rates.iter().zip([6.0, 13.0]) {
        assert!(
            (found - 0.002 * (step + 1.0) / 15.0).abs() < 1e-9,
            "{rates:?}"
        );
    }
}

#[test]
fn patience_stops_training() {
    let home = Home::new();
    let flags = [
        "--epochs",
        "50",
        "--patience",
        "2",
        "--learning-rate",
        "0.02",
        "--dropout",
        "0",
    ];
    home.train(&movie_csv(), &flags).expect_code(0);
    let metrics = home.metrics();
    let epochs = metrics["history"].as_array().unwrap();
    let number =
        |epoch: &serde_json::Value, name: &str| epoch["validation"][name].as_f64().unwrap();
    let better = |a: &&serde_json::Value, b: &&serde_json::Value| {
        let by_f1 = number(a, "macro_f1").total_cmp(&number(b, "macro_f1"));
        by_f1.then(number(b, "loss").total_cmp(&number(a, "loss")))
    };
    let best = epochs.iter().max_by(better).unwrap();
    let best_epoch = best["epoch"].as_u64().unwrap();
    let by_loss = |a: &&serde_json::Value, b: &&serde_json::Value| {
        number(a, "loss").total_cmp(&number(b, "loss"))
    };
    let lowest = epochs.iter().min_by(by_loss).unwrap()["epoch"].as_u64();
    assert!(epochs.len() < 50);
    assert_eq!(
        epochs.len() as u64,
        best_epoch.max(lowest.unwrap()) + 2,
        "two epochs after the last improvement"
    );
    assert_eq!(metrics["details"]["model_of_epoch"], best_epoch);
    let found = metrics["log_loss"].as_f64().unwrap();
    assert!(
        (found - number(best, "loss")).abs() < 1e-9,
        "the model is that of the best epoch"
    );
}

/// Issue 17: weights of rows, beside class weights.
#[test]
fn weights_of_classes_and_rows_find_the_rare_class() {
    let home = Home::new();
    let mut rows: Vec<testkit::Row> = testkit::movie_rows();
    let mut kept = 0;
    rows.retain(|row| {
        row.label == "0" || {
            kept += 1;
            kept <= 40
        }
    });
    let line = |row: &testkit::Row| {
        let weight = if row.label == "1" { 7.5 } else { 1.0 };
        let row = json!({"text": row.text, "label": row.label, "weight": weight});
        format!("{row}\n")
    };
    let path = home.path("skewed.jsonl");
    std::fs::write(&path, rows.iter().map(line).collect::<String>()).unwrap();
    let predicted = |weights: [&str; 2]| {
        let flags = ["--epochs", "3", "--validation-split", "0.3"];
        home.train(&path, &[&flags[..], &weights].concat())
            .expect_code(0);
        let metrics = home.metrics();
        let rare = metrics["validation"]["per_class"][1].clone();
        assert_eq!(rare["label"], "1");
        rare["predicted"].as_u64().unwrap()
    };
    let none = predicted(["--class-weight", "none"]);
    let balanced = predicted(["--class-weight", "balanced"]);
    let by_row = predicted(["--weight-column", "weight"]);
    assert!(
        balanced > none && by_row > none,
        "{balanced} {by_row} {none}"
    );
}

#[test]
fn missing_gpu_is_refused_before_reading_data() {
    let home = Home::new();
    for flags in [["--device", "cuda:7"], ["--precision", "mixed"]] {
        let device: &[&str] = if flags[0] == "--precision" {
            &["--device", "cpu"]
        } else {
            &[]
        };
        let outcome = home.train(&movie_csv(), &[device, &flags].concat());
        outcome.expect_code(1);
        let stderr = &outcome.stderr;
        assert!(
            stderr.contains("GPU") && stderr.contains("help: "),
            "{stderr}"
        );
        assert!(!stderr.contains("rows read"), "{stderr}");
    }
    // --check does not depend on the machine.
    home.train(&movie_csv(), &["--device", "cuda:7", "--check"])
        .expect_code(0);
}

#[test]
fn models_predict_on_the_chosen_device() {
    let home = Home::new();
    home.train(&movie_csv(), &["--epochs", "1"]).expect_code(0);
    let rows = movie_csv();
    let of_command = |name, device| {
        let more: &[&str] = match name {
            "evaluate" => &["--data", rows.to_str().unwrap()],
            _ => &["a film"],
        };
        home.bilstm(name, &[&["--device", device], more].concat())
    };
    for name in ["predict", "evaluate", "explain"] {
        of_command(name, "cpu").expect_code(0);
        let outcome = of_command(name, "cuda:7");
        outcome.expect_code(1);
        let stderr = &outcome.stderr;
        assert!(stderr.contains("expected `8` or more GPUs"), "{stderr}");
        of_command(name, "gpu").expect_code(2);
    }
    let bag = ["--arch", "bag", "--no-report", "--train"];
    home.bilstm("train", &[&bag[..], &[rows.to_str().unwrap()]].concat())
        .expect_code(0);
    for name in ["predict", "evaluate", "explain"] {
        of_command(name, "auto").expect_code(0);
        let outcome = of_command(name, "cuda");
        outcome.expect_code(2);
        let stderr = &outcome.stderr;
        assert!(stderr.contains("found one of --arch `bag`"), "{stderr}");
    }
}

#[test]
fn network_larger_than_memory_is_refused() {
    let home = Home::new();
    let flags = ["--hidden-size", "65536", "--num-layers", "64"];
    let outcome = home.train(&movie_csv(), &flags);
    outcome.expect_code(1);
    for part in ["MB` of memory, found", "help: lower --hidden-size"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
}

/// Scoring them takes a third of an epoch.
#[test]
fn training_rows_are_scored_for_the_report_only() {
    let home = Home::new();
    home.train(&home.rows(60), &["--epochs", "1"])
        .expect_code(0);
    let metrics = home.metrics();
    assert!(metrics["train"].is_null() && metrics["validation"].is_object());
    let flags = ["--epochs", "1", "--no-report=false"];
    home.train(&home.rows(60), &flags).expect_code(0);
    assert!(home.metrics()["train"].is_object());
}

/// jemalloc, with the settings of src/main.rs, is the allocator of libtorch too.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn libtorch_allocates_with_jemalloc() {
    let version = |variable: &str, value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bilstm"));
        command.arg("--version").env(variable, value);
        let outcome = run(command);
        outcome.expect_code(0);
        outcome.stderr
    };
    let settings = version("MALLOC_CONF", "stats_print:true");
    for setting in ["opt.narenas: 1\n", "opt.oversize_threshold: 0\n"] {
        assert!(settings.contains(setting), "{setting}{settings}");
    }
    // The loader binds libtorch to the functions of the program.
    let bindings = version("LD_DEBUG", "bindings");
    let bound = bindings
        .lines()
        .find(|line| line.contains("/libtorch_cpu.so") && line.contains("`posix_memalign'"));
    assert!(
        bound.is_some_and(|line| line.contains("/bilstm [0]: normal symbol")),
        "{bound:?}"
    );
}

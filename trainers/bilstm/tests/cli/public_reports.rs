//! Reports of users of this and other programs: early stopping, the best epoch, and the rows of the
//! saved model.

use serde_json::Value;
use testkit::{Outcome, movie_csv, start, to_csv, unsegmented_rows};

use super::Home;

const OVERFITTING: [&str; 6] = [
    "--epochs",
    "50",
    "--learning-rate",
    "0.02",
    "--dropout",
    "0",
];

fn number(epoch: &Value, name: &str) -> f64 {
    epoch["validation"][name].as_f64().unwrap()
}

/// USER 7: early stopping did not say which epoch is saved, and `stopped_early` was false.
#[test]
fn early_stopping_says_which_epoch_is_saved() {
    let home = Home::new();
    let flags = [&OVERFITTING[..], &["--patience", "2"]].concat();
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
    let stopped = format!("stopped after {done} of 50 epochs (--patience 2)");
    assert!(outcome.stderr.contains(&stopped), "{}", outcome.stderr);
    assert_eq!(metrics["stopped_early"], true);
}

/// Issue 17: Chinese rows had the accuracy of a guess, and the help was to add rows.
#[test]
fn rows_without_blanks_are_counted() {
    let home = Home::new();
    let path = home.path("rows.csv");
    std::fs::write(&path, to_csv(&unsegmented_rows(60, 1)[0])).unwrap();
    let stated = "60 of 60 rows have no blanks between words";
    let outcome = home.train(&path, &["--epochs", "1"]);
    let output = outcome.expect_code(0).output();
    assert!(output.contains(stated), "{output}");
    assert!(output.contains("help: pass --tokenizer FILE"), "{output}");
    let rows = path.to_str().unwrap();
    let bag = ["--arch", "bag", "--min-df", "1", "--train", rows];
    let output = home.bilstm("train", &bag).expect_code(0).output();
    assert!(output.contains(stated), "{output}");
    let help = "help: leave out --arch bag and pass --tokenizer FILE";
    assert!(output.contains(help), "{output}");
    let outcome = home.train(&movie_csv(), &["--epochs", "1"]);
    assert!(!outcome.expect_code(0).output().contains("no blanks"));
}

/// NEURAL C1: the metric that chooses the best epoch.
#[test]
fn best_metric_chooses_the_epoch() {
    let home = Home::new();
    for (metric, sign) in [("accuracy", 1.0), ("macro_f1", 1.0), ("loss", -1.0)] {
        let flags = [&OVERFITTING[..], &["--best-metric", metric]].concat();
        home.train(&movie_csv(), &flags).expect_code(0);
        let metrics = home.metrics();
        let epochs = metrics["history"].as_array().unwrap();
        let best = epochs.iter().max_by(|a, b| {
            let by_metric = (sign * number(a, metric)).total_cmp(&(sign * number(b, metric)));
            by_metric.then(number(b, "loss").total_cmp(&number(a, "loss")))
        });
        assert_eq!(
            metrics["details"]["model_of_epoch"],
            best.unwrap()["epoch"],
            "{metric}"
        );
    }
}

/// Issue 16, item 2: `--refit` trains once more on all rows.
#[test]
fn refit_trains_on_all_rows() {
    let home = Home::new();
    let flags = ["--epochs", "3"];
    home.train(&movie_csv(), &flags).expect_code(0);
    let (before, first) = (home.metrics(), home.weights());
    assert_eq!(before["trained_on"], 540);
    let outcome = home.train(&movie_csv(), &[&flags[..], &["--refit"]].concat());
    outcome.expect_code(0);
    let after = home.metrics();
    assert_eq!(after["trained_on"], 600);
    assert!(
        outcome.stdout.contains("was trained on all 600 rows"),
        "{}",
        outcome.stdout
    );
    assert_eq!(after["validation"]["scored"], "held_out_before_refit");
    let best = &after["details"]["model_of_epoch"];
    let selected = format!("\nbest epoch {best} of ");
    let trained = format!("; the saved model was trained for {best} epoch");
    assert!(
        outcome.stdout.contains(&selected) && outcome.stdout.contains(&trained),
        "{}",
        outcome.stdout
    );
    for name in ["accuracy", "log_loss"] {
        assert_eq!(before["validation"][name], after["validation"][name]);
    }
    assert!(first != home.weights());
    home.bilstm("predict", &["a film"]).expect_code(0);
}

/// USER 1: a stop in the first epoch left a model that was never scored.
#[test]
fn interrupted_first_epoch_leaves_no_model() {
    let home = Home::new();
    let outcome = interrupted(&home);
    outcome.expect_code(130);
    assert!(
        outcome
            .stderr
            .contains("nothing is saved: epoch 1 of 1000 was not finished"),
        "{}",
        outcome.stderr
    );
    assert!(!home.path("model").exists());
}

/// Interrupts a run within its first epoch, after a checkpoint.
fn interrupted(home: &Home) -> Outcome {
    let (rows, chain) = (movie_csv(), home.path("checkpoints"));
    let flags = [
        "--train",
        rows.to_str().unwrap(),
        "--epochs",
        "1000",
        "--batch-size",
        "1",
        "--hidden-size",
        "64",
        "--checkpoint-every",
        "1",
        "--checkpoint-dir",
        chain.to_str().unwrap(),
    ];
    let mut running = start(home.command("train", &flags));
    while testkit::resume::newest_checkpoint(&chain).is_none() {
        assert!(!running.ended(), "the run ended before it was stopped");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    running.sigint();
    running.finish(std::time::Duration::from_secs(30))
}

//! Reports of users of this and other programs: early stopping, and the rows of the saved model.

use testkit::movie_csv;

use super::Home;

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

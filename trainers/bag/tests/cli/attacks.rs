//! Hostile inputs.

use std::time::{Duration, Instant};

use testkit::{many_class_rows, start, to_csv};

use super::{Workspace, train};

/// ATTACK F9: the accuracy was 0.006 with 1,000 classes, because frequent words had the largest
/// factors. `svm` has 0.94 on these rows.
#[test]
fn many_classes_are_learnt() {
    let workspace = Workspace::new();
    let rows = workspace.path("rows.csv");
    std::fs::write(&rows, to_csv(&many_class_rows(300, 20))).unwrap();
    let outcome = train(&workspace, &rows, &["--no-refit"]);
    outcome.expect_code(0);
    let metrics = workspace.metrics();
    assert_eq!(metrics["details"]["emb_size"], 64);
    let accuracy = metrics["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.7, "{accuracy}");
    let bytes = std::fs::metadata(workspace.path("model/metrics.json")).unwrap();
    assert!(bytes.len() < 1_000_000, "{}", bytes.len());
}

/// ATTACK F9: with more classes than a step computes, the model depends on no number of threads and
/// a stop ends it at once.
#[test]
fn sampled_classes_are_learnt_and_a_stop_is_obeyed() {
    let workspace = Workspace::new();
    let rows = workspace.path("rows.csv");
    std::fs::write(&rows, to_csv(&many_class_rows(1100, 8))).unwrap();
    let mut models = Vec::new();
    for threads in ["1", "3"] {
        let flags = ["--threads", threads, "--no-refit"];
        train(&workspace, &rows, &flags).expect_code(0);
        models.push(workspace.weights());
    }
    assert!(models[0] == models[1]);
    let accuracy = workspace.metrics()["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.2, "{accuracy}");
    let path = rows.to_str().unwrap();
    let flags = ["--train", path, "--no-report", "--epochs", "1000"];
    let mut running = start(workspace.command("train", &flags));
    assert!(!running.ends_within(Duration::from_secs(3)));
    let stop = Instant::now();
    running.sigterm();
    running.finish(Duration::from_secs(60)).expect_code(0);
    let seconds = stop.elapsed().as_secs_f64();
    assert!(seconds < 5.0, "{seconds}");
}

//! Killed runs resume to the same model as undisturbed ones.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use testkit::start;

use super::Home;
use super::kit::Random;

const LONG: [&str; 8] = [
    "--epochs",
    "16",
    "--patience",
    "0",
    "--freeze-layers",
    "0",
    "--checkpoint-every",
    "3",
];

/// Returns the name of the newest checkpoint.
fn newest(chain: &Path) -> Option<OsString> {
    let entries = std::fs::read_dir(chain).ok()?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    names
        .filter(|name| name.to_string_lossy().starts_with("step-"))
        .max()
}

/// 20 SIGKILLs at seeded random times, each followed by a resumed run: the same bytes at the end of
/// each chain.
#[test]
fn killed_runs_resume_to_same_model() {
    let home = Home::new();
    let rows = home.rows(120);
    let mut usual = home.train(&rows, &LONG).expect_code(0).seconds;
    let expected = home.weights();
    let (mut killed, mut resumed, mut chains) = (0, 0, 0);
    let mut moments = Random(11);
    while killed < 20 {
        let chain = home.path(&format!("checkpoints-{chains}"));
        std::fs::remove_dir_all(home.path("model")).unwrap();
        chains += 1;
        let flags = [&LONG[..], &["--checkpoint-dir", chain.to_str().unwrap()]].concat();
        for round in 0..4 {
            let before = newest(&chain);
            let mut running = start(home.training(&rows, &flags));
            let mut time = usual * moments.uniform();
            // Every other time, wait for a new checkpoint: a start takes as long as many steps.
            if round % 2 == 1 {
                while newest(&chain) == before && !running.ended() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                time /= 4.0;
            }
            let ended = running.ends_within(Duration::from_secs_f64(time));
            running.sigkill();
            let outcome = running.finish(Duration::from_secs(30));
            killed += u32::from(!ended);
            resumed += u32::from(outcome.stderr.contains("going on from the checkpoint"));
            if ended {
                // The machine may be less busy now: use the current duration of a run.
                usual = usual.min(outcome.seconds);
            }
        }
        let outcome = home.train(&rows, &flags);
        outcome.expect_code(0);
        resumed += u32::from(outcome.stderr.contains("going on from the checkpoint"));
        assert!(
            home.weights() == expected,
            "chain {chains}: another model\n{}",
            outcome.stderr
        );
        assert_eq!(
            home.metrics()["history"].as_array().unwrap().len(),
            16,
            "chain {chains}"
        );
        std::fs::remove_dir_all(chain).unwrap();
        assert!(
            chains < 200,
            "too few runs were killed before they were done: {killed}"
        );
    }
    assert!(
        resumed > 10,
        "only {resumed} of {killed} killed runs had a checkpoint to go on from"
    );
}

/// SIGTERM leaves a model and a checkpoint; the next run resumes from it.
#[test]
fn stopped_run_resumes_to_same_model() {
    let home = Home::new();
    let rows = home.rows(200);
    let long = ["--epochs", "300", "--patience", "0"];
    home.train(&rows, &long).expect_code(0);
    let expected = home.weights();
    std::fs::remove_dir_all(home.path("model")).unwrap();
    let chain = home.path("checkpoints");
    let flags = [&long[..], &["--checkpoint-dir", chain.to_str().unwrap()]].concat();
    let mut running = start(home.training(&rows, &flags));
    // The first epoch has left a checkpoint.
    while !chain.exists() || std::fs::read_dir(&chain).unwrap().count() == 0 {
        assert!(!running.ended(), "the run is over before it is stopped");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.sigterm();
    let outcome = running.finish(Duration::from_secs(30));
    outcome.expect_code(0);
    let stopped = home.weights();
    assert!(stopped != expected, "it was done before it was stopped");
    assert_eq!(home.metrics()["stopped_early"], true);
    let outcome = home.train(&rows, &flags);
    outcome.expect_code(0);
    assert!(
        outcome.stderr.contains("going on from the checkpoint"),
        "{}",
        outcome.stderr
    );
    assert!(home.weights() == expected);
}

/// With a flipped byte in the newest checkpoint, the one before is used and the result is the same.
#[test]
fn resumes_from_newest_valid_checkpoint() {
    let home = Home::new();
    let rows = home.rows(120);
    let chain = home.path("checkpoints");
    let flags = [&LONG[..], &["--checkpoint-dir", chain.to_str().unwrap()]].concat();
    home.train(&rows, &flags).expect_code(0);
    let expected = home.weights();
    let mut steps: Vec<_> = std::fs::read_dir(&chain)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    steps.sort();
    assert_eq!(steps.len(), 2);
    let file = steps[1].join("training.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let outcome = home.train(&rows, &flags);
    outcome.expect_code(0);
    assert!(
        outcome.stderr.contains("is torn and is passed over"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("going on from the checkpoint"),
        "{}",
        outcome.stderr
    );
    assert!(home.weights() == expected);
}

/// The checkpoint of another run is refused, with the difference.
#[test]
fn checkpoint_of_another_run_is_refused() {
    let home = Home::new();
    let rows = home.rows(120);
    let chain = home.path("checkpoints");
    let dir = ["--checkpoint-dir", chain.to_str().unwrap(), "--epochs", "1"];
    let with = |rate: &'static str| [&dir[..], &["--learning-rate", rate]].concat();
    home.train(&rows, &with("0.01")).expect_code(0);
    let outcome = home.train(&rows, &with("0.1"));
    outcome.expect_code(1);
    assert!(
        outcome
            .stderr
            .contains("--learning-rate is `0.01` there and `0.1` here"),
        "{}",
        outcome.stderr
    );
}

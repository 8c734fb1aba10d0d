//! Killed runs go on to the very model that an undisturbed one ends with.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use testkit::start;

use super::Home;

/// Small steps of SplitMix64, to be independent of the crate.
struct Moments(u64);

impl Moments {
    /// At least 0, below 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

const LONG: [&str; 8] = [
    "--epochs",
    "16",
    "--patience",
    "0",
    "--num-layers",
    "2",
    "--checkpoint-every",
    "3",
];

const TWO: [&str; 2] = ["--threads", "2"];

/// The name of the newest checkpoint.
fn newest(chain: &Path) -> Option<OsString> {
    let entries = std::fs::read_dir(chain).ok()?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    names
        .filter(|name| name.to_string_lossy().starts_with("step-"))
        .max()
}

/// 100 SIGKILLs at seeded random moments, each followed by a run that goes on: the same bytes at the end of each chain.
#[test]
fn a_hundred_kills_change_nothing() {
    let home = Home::new();
    let rows = home.rows(120);
    let mut usual = home.train(&rows, &LONG).expect_code(0).seconds;
    let expected = home.weights();
    let (mut killed, mut resumed, mut chains) = (0, 0, 0);
    let mut moments = Moments(11);
    // With several replicas the sums of gradients are others, and so is the model.
    home.train(&rows, &[&LONG[..], &TWO].concat())
        .expect_code(0);
    let of_two = home.weights();
    while killed < 100 {
        let two = chains % 2 == 1;
        let chain = home.path(&format!("checkpoints-{chains}"));
        std::fs::remove_dir_all(home.path("model")).unwrap();
        chains += 1;
        let threads = if two { &TWO[..] } else { &[] };
        let flags = [
            &LONG[..],
            &["--checkpoint-dir", chain.to_str().unwrap()],
            threads,
        ]
        .concat();
        for round in 0..4 {
            let before = newest(&chain);
            let mut running = start(home.command("train", &home.training(&rows, &flags)));
            let mut time = usual * moments.next();
            // Every other time there is something new to go on from: a start takes as long as many steps.
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
                // The machine is less busy than at first: aim at the time that a run takes now.
                usual = usual.min(outcome.seconds);
            }
        }
        let outcome = home.train(&rows, &flags);
        outcome.expect_code(0);
        resumed += u32::from(outcome.stderr.contains("going on from the checkpoint"));
        assert!(
            home.weights() == *(if two { &of_two } else { &expected }),
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
        resumed > 50,
        "only {resumed} of {killed} killed runs had a checkpoint to go on from"
    );
}

/// SIGTERM leaves a model and a checkpoint, and the next run goes on from there.
#[test]
fn a_stopped_run_goes_on() {
    let home = Home::new();
    let rows = home.rows(200);
    let long = ["--epochs", "40", "--patience", "0"];
    home.train(&rows, &long).expect_code(0);
    let expected = home.weights();
    std::fs::remove_dir_all(home.path("model")).unwrap();
    let chain = home.path("checkpoints");
    let flags = [&long[..], &["--checkpoint-dir", chain.to_str().unwrap()]].concat();
    let mut running = start(home.command("train", &home.training(&rows, &flags)));
    // Its first epoch has left a checkpoint.
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

/// A byte of the newest checkpoint flips: the one before is used, and the end is the same.
#[test]
fn a_torn_checkpoint_is_passed_over() {
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

/// Another run's checkpoint is refused, and what differs is named.
#[test]
fn the_checkpoint_of_another_run_is_refused() {
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

/// Twice Ctrl-C ends the process at once, whatever libtorch's threads are about.
#[test]
fn a_second_ctrl_c_leaves_at_once() {
    let home = Home::new();
    let (rows, chain) = (home.rows(400), home.path("checkpoints"));
    let flags = [
        "--train",
        rows.to_str().unwrap(),
        "--no-report",
        "--epochs",
        "1000",
        "--patience",
        "0",
        "--batch-size",
        "200",
        "--hidden-size",
        "128",
        "--checkpoint-every",
        "1",
        "--checkpoint-dir",
        chain.to_str().unwrap(),
    ];
    let mut running = start(home.command("train", &flags));
    while newest(&chain).is_none() {
        assert!(!running.ended(), "the run is over before it is stopped");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.sigint();
    // The second one within the step that the first one waits for.
    std::thread::sleep(Duration::from_millis(30));
    running.sigint();
    let outcome = running.finish(Duration::from_secs(30));
    assert_eq!(outcome.code(), Some(130), "{}", outcome.stderr);
    let said = "Ctrl-C again: leaving without saving";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}

//! SIGTERM: SageMaker waits 120 s before it kills. We ask for an end within seconds, exit code 0, and
//! a whole model or none.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use super::{Trainer, job, train_rows};
use crate::{FakeMl, Outcome, Running, as_pid_1, pid_1_allowed, run, skip, start, to_csv};

/// From SIGTERM to the end. An eighth of SageMaker's patience, and room for a loaded machine.
const SOON: Duration = Duration::from_secs(15);

/// Fractions in 0..1 that are the same in every run (splitmix64).
pub(super) struct Moments(u64);

impl Moments {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// SIGTERM, then an end in time with exit code 0, no failure file, and a whole model or none.
#[track_caller]
fn stop(trainer: &Trainer, ml: &FakeMl, running: Running, moment: &str) -> Outcome {
    running.sigterm();
    let outcome = running.finish(SOON);
    assert!(
        outcome.code() == Some(0),
        "{moment}: expected exit code 0, found {}\n{}",
        outcome.status,
        outcome.output()
    );
    assert!(
        ml.failure().is_none(),
        "{moment}: a stop is no failure: {:?}",
        ml.failure()
    );
    trainer.assert_whole_or_none(ml, moment);
    outcome
}

/// The data never comes: opening the FIFO waits for a writer.
pub fn sigterm_before_the_data(trainer: &Trainer) {
    let (ml, _fifo) = FakeMl::new().fifo_channel("train", "train.csv");
    let mut running = start(ml.train(&trainer.bin, &trainer.quick));
    let pid = running.pid();
    assert!(running.wait_for_handler(pid), "ended without data");
    std::thread::sleep(Duration::from_millis(300));
    assert!(!running.ended(), "ended without data");
    stop(trainer, &ml, running, "before the data");
    assert!(
        ml.model_files().is_empty(),
        "a model without data: {:?}",
        ml.model_files()
    );
}

/// Half of the data has come, the rest never does.
pub fn sigterm_in_the_middle_of_the_data(trainer: &Trainer) {
    let (ml, fifo) = FakeMl::new().fifo_channel("train", "train.csv");
    let mut running = start(ml.train(&trainer.bin, &trainer.quick));
    let pid = running.pid();
    assert!(running.wait_for_handler(pid), "ended without data");

    let mut bytes = to_csv(&train_rows());
    bytes.truncate(bytes.len() / 2);
    // A pipe holds 64 KiB: more can be written only if the trainer reads.
    assert!(bytes.len() > 100_000, "too little data to tell");
    let _open = feed(&fifo, bytes);
    std::thread::sleep(Duration::from_millis(200));
    assert!(!running.ended(), "ended in the middle of the data");
    stop(trainer, &ml, running, "in the middle of the data");
    assert!(
        ml.model_files().is_empty(),
        "a model of half the data: {:?}",
        ml.model_files()
    );
}

/// Writes the bytes and keeps the FIFO open, so that its reader sees no end of file.
#[track_caller]
fn feed(fifo: &Path, bytes: Vec<u8>) -> std::fs::File {
    // Opened for both directions: that does not wait for a reader.
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(fifo)
        .expect("a fifo of ours");
    let (done, written) = mpsc::channel();
    std::thread::spawn(move || {
        let result = file.write_all(&bytes);
        // The receiver is gone if the test failed in the meantime.
        let _ = done.send(result.map(|()| file));
    });
    written
        .recv_timeout(Duration::from_secs(60))
        .expect("the trainer does not read its channel")
        .expect("a fifo takes bytes")
}

/// The flags of a job on much data, read in place.
fn long_job(trainer: &Trainer, flags: &[String]) -> Vec<String> {
    let data = trainer.long_data.to_string_lossy().into_owned();
    [flags, &["--train".into(), data]].concat()
}

/// Random moments between the start and the usual end of a run on much data.
fn at_random_moments(trainer: &Trainer, flags: &[String], seed: u64, rounds: u32) {
    let flags = long_job(trainer, flags);
    let mut usual = run(FakeMl::new().train(&trainer.bin, &flags))
        .expect_code(0)
        .seconds;
    let mut moments = Moments::new(seed);
    let mut stopped = 0;
    for _ in 0..rounds {
        let ml = FakeMl::new();
        let mut running = start(ml.train(&trainer.bin, &flags));
        let pid = running.pid();
        running.wait_for_handler(pid);
        let share = moments.next();
        let ended = running.ends_within(Duration::from_secs_f64(usual * share));
        stopped += u32::from(!ended);
        let moment = format!("after {:.0} % of the usual time", share * 100.0);
        let outcome = stop(trainer, &ml, running, &moment);
        if ended {
            // The machine is less busy than at first: aim at the time that a run takes now.
            usual = usual.min(outcome.seconds);
        }
    }
    assert!(stopped > 0, "every run was done before it was stopped");
}

/// Ten moments of a training run.
pub fn sigterm_in_training(trainer: &Trainer) {
    at_random_moments(trainer, &trainer.long, 1, 10);
}

/// Six moments of a search for good hyperparameters.
pub fn sigterm_in_the_search(trainer: &Trainer) {
    if !trainer.tune.is_empty() {
        at_random_moments(trainer, &trainer.tune, 2, 6);
    }
}

/// As soon as anything of the model can be seen.
pub fn sigterm_while_the_model_is_written(trainer: &Trainer) {
    let mut seen = 0;
    for round in 0..6 {
        let ml = FakeMl::new();
        let flags = long_job(trainer, &trainer.long);
        let mut running = start(ml.train(&trainer.bin, &flags));
        let pid = running.pid();
        running.wait_for_handler(pid);
        // Temporary folders may stand in the model folder or beside it.
        let before = ml_files(&ml);
        while ml_files(&ml) == before && !running.ended() {
            std::thread::sleep(Duration::from_micros(100));
        }
        seen += u32::from(!running.ended());
        // A little later in each round: in the first file, in the last, at the rename.
        std::thread::sleep(Duration::from_micros(400 * round));
        stop(trainer, &ml, running, "while the model is written");
    }
    assert!(seen > 0, "the model was never seen being written");
}

fn ml_files(ml: &FakeMl) -> (Vec<String>, Vec<String>) {
    (crate::fake_ml::names(&ml.path("")), ml.model_files())
}

/// As process 1, where a signal without a handler is ignored.
pub fn process_1_obeys_sigterm(trainer: &Trainer) {
    if !pid_1_allowed() {
        return skip(
            &format!("{}: process_1_obeys_sigterm", trainer.name()),
            "the kernel allows no process namespace",
        );
    }
    // It works at all.
    let ml = job();
    run(as_pid_1(&ml.train(&trainer.bin, &trainer.quick))).expect_code(0);
    assert!(!ml.model_files().is_empty());

    let (ml, _fifo) = FakeMl::new().fifo_channel("train", "train.csv");
    let mut running = start(as_pid_1(&ml.train(&trainer.bin, &trainer.quick)));
    running.sigterm_to_process_1();
    let outcome = running.finish(SOON);
    outcome.expect_code(0);
    trainer.assert_whole_or_none(&ml, "as process 1");
}

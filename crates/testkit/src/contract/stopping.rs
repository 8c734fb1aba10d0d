//! SIGTERM: SageMaker kills after 120 s. The trainer must exit within seconds with code 0 and a
//! complete model or none.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use super::{Trainer, job, train_rows};
use crate::campaign::Campaign;
use crate::{FakeMl, Outcome, Running, as_pid_1, pid_1_allowed, run, skip, start, to_csv};

/// Maximum time from SIGTERM to exit: an eighth of SageMaker's limit, with room for a loaded
/// machine.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// Sends SIGTERM and checks: exit in time with code 0, no failure file, a complete model or none.
#[track_caller]
fn stop(trainer: &Trainer, ml: &FakeMl, running: Running, moment: &str) -> Outcome {
    running.sigterm();
    let outcome = running.finish(STOP_TIMEOUT);
    assert!(
        outcome.code() == Some(0),
        "{moment}: expected exit code 0, found {}\n{}",
        outcome.status,
        outcome.output()
    );
    assert!(
        ml.failure().is_none(),
        "{moment}: a stopped job wrote a failure file: {:?}",
        ml.failure()
    );
    trainer.assert_complete_or_none(ml, moment);
    outcome
}

/// No data arrives: opening the FIFO waits for a writer.
pub fn sigterm_before_data(trainer: &Trainer) {
    let (ml, fifo) = FakeMl::new().fifo_channel("train", "train.csv");
    let mut running = start(ml.train(&trainer.bin, &reading(trainer, &fifo)));
    let pid = running.pid();
    assert!(running.wait_for_handler(pid), "ended without data");
    std::thread::sleep(Duration::from_millis(300));
    assert!(!running.ended(), "ended without data");
    stop(trainer, &ml, running, "before the data");
    assert!(
        ml.model_files().is_empty(),
        "no model without data: {:?}",
        ml.model_files()
    );
}

/// Half of the data arrives.
pub fn sigterm_while_reading(trainer: &Trainer) {
    let (ml, fifo) = FakeMl::new().fifo_channel("train", "train.csv");
    let mut running = start(ml.train(&trainer.bin, &reading(trainer, &fifo)));
    let pid = running.pid();
    assert!(running.wait_for_handler(pid), "ended without data");

    let mut bytes = to_csv(&train_rows());
    bytes.truncate(bytes.len() / 2);
    // A pipe holds 64 KiB: more can be written only if the trainer reads.
    assert!(bytes.len() > 100_000, "enough data to fill the pipe");
    let _open = feed(&fifo, bytes);
    std::thread::sleep(Duration::from_millis(200));
    assert!(!running.ended(), "ended in the middle of the data");
    stop(trainer, &ml, running, "while reading");
    assert!(
        ml.model_files().is_empty(),
        "no model of half the data: {:?}",
        ml.model_files()
    );
}

/// Writes the bytes and keeps the FIFO open: the reader gets no end of file.
#[track_caller]
fn feed(fifo: &Path, bytes: Vec<u8>) -> std::fs::File {
    // Opening for both directions does not wait for a reader.
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(fifo)
        .expect("the fifo can be opened");
    let (done, written) = mpsc::channel();
    std::thread::spawn(move || {
        let result = file.write_all(&bytes);
        // The receiver is gone if the test failed.
        let _ = done.send(result.map(|()| file));
    });
    written
        .recv_timeout(Duration::from_secs(60))
        .expect("the trainer does not read its channel")
        .expect("the fifo can be written")
}

/// Flags of a job that reads a FIFO: in the folder of a channel it would be skipped.
fn reading(trainer: &Trainer, fifo: &Path) -> Vec<String> {
    trainer.quick_and(&["--train", &fifo.to_string_lossy()])
}

/// Flags of a job with much data.
fn long_job(trainer: &Trainer, flags: &[String]) -> Vec<String> {
    let data = trainer.long_data.to_string_lossy().into_owned();
    [flags, &["--train".into(), data]].concat()
}

/// Sends SIGTERM at random moments of a run with much data. A run without a model states it.
fn at_random_moments(trainer: &Trainer, flags: &[String], mut campaign: Campaign) {
    let flags = long_job(trainer, flags);
    let mut duration = run(FakeMl::new().train(&trainer.bin, &flags))
        .expect_code(0)
        .seconds;
    while let Some(mut random) = campaign.next_case() {
        let ml = FakeMl::new();
        let mut running = start(ml.train(&trainer.bin, &flags));
        let pid = running.pid();
        running.wait_for_handler(pid);
        let share = random.uniform();
        let ended = running.ends_within(Duration::from_secs_f64(duration * share));
        let moment = format!("after {:.0} % of the usual time", share * 100.0);
        let outcome = stop(trainer, &ml, running, &moment);
        if ended {
            // The machine became faster: use the new duration.
            duration = duration.min(outcome.seconds);
            campaign.count("ended before");
        } else if ml.model_files().is_empty() {
            let output = outcome.output();
            let stated = output.contains("stopped before there was a model");
            assert!(stated, "{moment}: no model, which is not stated\n{output}");
            campaign.count("stopped without a model");
        } else {
            campaign.count("stopped with a model");
        }
    }
    let stopped = ["stopped without a model", "stopped with a model"];
    assert!(
        stopped.iter().any(|outcome| campaign.counted(outcome) > 0),
        "a run was stopped before its end"
    );
}

/// SIGTERM at moments of training.
pub fn sigterm_while_training(trainer: &Trainer) {
    let name = format!("{}: SIGTERM while training", trainer.name());
    at_random_moments(trainer, &trainer.long, Campaign::new(name, 6, 60));
}

/// SIGTERM at moments of a hyperparameter search.
pub fn sigterm_while_tuning(trainer: &Trainer) {
    if !trainer.tune.is_empty() {
        let name = format!("{}: SIGTERM while tuning", trainer.name());
        at_random_moments(trainer, &trainer.tune, Campaign::new(name, 4, 40));
    }
}

/// SIGTERM as soon as a file of the model exists.
pub fn sigterm_while_saving(trainer: &Trainer) {
    let name = format!("{}: SIGTERM while saving", trainer.name());
    let mut campaign = Campaign::new(name, 6, 40);
    while let Some(mut random) = campaign.next_case() {
        let ml = FakeMl::new();
        let flags = long_job(trainer, &trainer.long);
        let mut running = start(ml.train(&trainer.bin, &flags));
        let pid = running.pid();
        running.wait_for_handler(pid);
        // Temporary folders are in the model folder or its parent.
        let before = ml_files(&ml);
        while ml_files(&ml) == before && !running.ended() {
            std::thread::sleep(Duration::from_micros(100));
        }
        let ended = running.ended();
        campaign.count(if ended { "ended before" } else { "stopped" });
        // First file, last file, rename.
        std::thread::sleep(Duration::from_micros(random.below(2400) as u64));
        stop(trainer, &ml, running, "while saving");
    }
    let stopped = campaign.counted("stopped");
    assert!(stopped > 0, "a run was stopped while it wrote a model");
}

fn ml_files(ml: &FakeMl) -> (Vec<String>, Vec<String>) {
    (crate::fake_ml::names(&ml.path("")), ml.model_files())
}

/// Process 1 ignores signals without a handler.
pub fn process_1_handles_sigterm(trainer: &Trainer) {
    if !pid_1_allowed() {
        return skip(
            &format!("{}: process_1_handles_sigterm", trainer.name()),
            "the kernel allows no process namespace",
        );
    }
    // It works without a signal.
    let ml = job();
    run(as_pid_1(&ml.train(&trainer.bin, &trainer.quick))).expect_code(0);
    assert!(!ml.model_files().is_empty());

    let (ml, fifo) = FakeMl::new().fifo_channel("train", "train.csv");
    let train = ml.train(&trainer.bin, &reading(trainer, &fifo));
    let mut running = start(as_pid_1(&train));
    running.sigterm_to_process_1();
    let outcome = running.finish(STOP_TIMEOUT);
    outcome.expect_code(0);
    trainer.assert_complete_or_none(&ml, "as process 1");
}

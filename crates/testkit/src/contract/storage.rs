//! Read-only and full disks, mounts, kills.

use std::process::Command;
use std::time::Duration;

use super::{Trainer, assert_cause, failure, flag, job, weights};
use crate::campaign::Campaign;
use crate::{
    on_read_only_folder, on_small_disk, read_only_allowed, run, skip, small_disk_allowed, start,
};

/// A read-only model folder is an error that names it.
pub fn read_only_model_folder_is_in_failure_file(trainer: &Trainer) {
    if !read_only_allowed() {
        return skip(
            &format!(
                "{}: read_only_model_folder_is_in_failure_file",
                trainer.name()
            ),
            "the kernel allows no mount namespace",
        );
    }
    let ml = job();
    let outcome = on_read_only_folder(ml.train(&trainer.bin, &trainer.quick), &ml.model_dir());
    assert_cause(&ml, &outcome, &[&ml.model_dir().to_string_lossy()]);
    assert!(ml.model_files().is_empty());
}

/// A full disk is an error and leaves no partial model.
pub fn full_disk_is_in_failure_file(trainer: &Trainer) {
    if !small_disk_allowed() {
        return skip(
            &format!("{}: full_disk_is_in_failure_file", trainer.name()),
            "the kernel allows no mount namespace",
        );
    }
    let ml = job();
    // Enough for config.json, not for weights.
    let disk = on_small_disk(&ml.train(&trainer.bin, &trainer.quick), &ml.model_dir(), 16);
    let text = failure(&ml, &disk.outcome);
    assert!(
        text.to_lowercase().contains("space"),
        "the message names the full disk: {text}"
    );
    assert!(
        disk.left.is_empty(),
        "part of a model is left: {:?}",
        disk.left
    );
}

/// `/opt/ml/model` is a mount point, which cannot be renamed or removed.
pub fn mounted_model_folder_is_written(trainer: &Trainer) {
    if !small_disk_allowed() {
        return skip(
            &format!("{}: mounted_model_folder_is_written", trainer.name()),
            "the kernel allows no mount namespace",
        );
    }
    let ml = job();
    let disk = on_small_disk(
        &ml.train(&trainer.bin, &trainer.quick),
        &ml.model_dir(),
        1 << 20,
    );
    disk.outcome.expect_code(0);
    let has = |name: &str| {
        disk.left
            .iter()
            .any(|path| path.strip_prefix("./") == Some(name))
    };
    assert!(
        has("model.safetensors") && has("config.json"),
        "{:?}",
        disk.left
    );
    let hidden: Vec<_> = disk
        .left
        .iter()
        .filter(|path| path.contains("/."))
        .collect();
    assert!(hidden.is_empty(), "temporary files are left: {hidden:?}");
}

/// SIGKILL at any moment leaves the old or the new model, or none, and does not disturb the next
/// run.
pub fn killed_run_leaves_complete_model_or_none(trainer: &Trainer) {
    let (name, one, two) = &trainer.number;
    let flags = [one, two].map(|value| [flag(name), value.clone()]);
    let models = flags.each_ref().map(|flags| trainer.weights(&job(), flags));

    let mut ml = job();
    let mut duration = trainer.train(&ml, &flags[0]).expect_code(0).seconds;
    let name = format!("{}: SIGKILL while training", trainer.name());
    let mut campaign = Campaign::new(name, 16, 160);
    let mut round = 0;
    while let Some(mut random) = campaign.next_case() {
        if round % 4 == 0 {
            ml = job();
        }
        round += 1;
        // Alternate between two models, so that a mixture is detected.
        let flags = trainer.quick_and(&flags[round % 2]);
        let mut running = start(ml.train(&trainer.bin, &flags));
        // Late in the run, when the model is written.
        let share = 0.4 + 0.6 * random.uniform();
        let ended = running.ends_within(Duration::from_secs_f64(duration * share));
        running.sigkill();
        campaign.count(if ended { "ended before" } else { "killed" });
        let outcome = running.finish(Duration::from_secs(30));
        if ended {
            // The machine became faster: use the new duration.
            duration = duration.min(outcome.seconds);
        }
        let model = ml.model_dir();
        let files = ml.model_files();
        if files.iter().all(|file| file.starts_with('.')) {
            continue;
        }
        let outcome = trainer.evaluate(&model, &crate::movie_csv());
        assert!(
            outcome.code() == Some(0),
            "round {round}: incomplete model: {files:?}"
        );
        assert!(
            models.contains(&weights(&model)),
            "round {round}: a mixture of two models"
        );
    }
    let killed = campaign.counted("killed");
    assert!(killed > 0, "a run was killed before its end");

    trainer.weights::<&str>(&ml, &[]);
    let mut predict = Command::new(&trainer.bin);
    predict.env_clear().args(["predict", "--model-dir"]);
    predict.arg(ml.model_dir()).arg("a film I shall remember");
    let outcome = run(predict);
    assert!(
        !outcome.expect_code(0).stdout.trim().is_empty(),
        "`predict` prints nothing"
    );
}

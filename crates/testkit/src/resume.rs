//! Tests of checkpoints: a run that was killed, stopped or damaged resumes to the same model.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::campaign::{Campaign, files, mutate, write_files};
use crate::{Outcome, Workspace, start};

/// Messages of the harness.
const RESUMED: &str = "resuming from the checkpoint";
const SKIPPED: &str = "skipped the damaged checkpoint";

/// Returns the name of the newest checkpoint.
pub fn newest_checkpoint(dir: &Path) -> Option<OsString> {
    let entries = std::fs::read_dir(dir).ok()?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    names
        .filter(|name| name.to_string_lossy().starts_with("step-"))
        .max()
}

/// A trainer with flags of a run of 16 epochs.
pub struct Resume<'a> {
    /// Its model folder is used by all runs.
    pub workspace: &'a Workspace,
    /// Flags of the run.
    pub flags: &'a [&'a str],
}

impl Resume<'_> {
    fn with_checkpoints<'b>(&'b self, dir: &'b Path, more: &[&'b str]) -> Vec<&'b str> {
        let dir = dir.to_str().expect("temporary folders have UTF-8 names");
        [self.flags, &["--checkpoint-dir", dir], more].concat()
    }

    #[track_caller]
    fn assert_resumes(&self, rows: &Path, flags: &[&str], expected: &[u8]) -> Outcome {
        let outcome = self.workspace.train(rows, flags);
        outcome.expect_code(0);
        assert!(outcome.stderr.contains(RESUMED), "{}", outcome.stderr);
        assert!(self.workspace.weights() == expected);
        outcome
    }

    fn remove_model(&self) {
        std::fs::remove_dir_all(self.workspace.path("model")).expect("there is a model");
    }

    /// Sends four SIGKILLs in each case at random moments, each followed by a run that resumes; the
    /// fifth run ends. Its model is byte-identical to that of an undisturbed run. Cases alternate
    /// between the extra flags of `variants`.
    ///
    /// # Panics
    /// If a model differs, or fewer than half of the killed runs had a checkpoint to resume from.
    pub fn kill_repeatedly(&self, mut campaign: Campaign, variants: &[&[&str]]) {
        let rows = self.workspace.rows(120);
        let mut duration = f64::MAX;
        let expected: Vec<Vec<u8>> = variants
            .iter()
            .map(|more| {
                let outcome = self.workspace.train(&rows, &[self.flags, more].concat());
                duration = duration.min(outcome.expect_code(0).seconds);
                self.workspace.weights()
            })
            .collect();
        let mut chains = 0;
        while let Some(mut random) = campaign.next_case() {
            let variant = chains % variants.len();
            let dir = self.workspace.path(&format!("checkpoints-{chains}"));
            self.remove_model();
            chains += 1;
            let flags = self.with_checkpoints(&dir, variants[variant]);
            for round in 0..4 {
                let time = duration * random.uniform();
                let (ended, outcome) = self.kill_after(time, round % 2 == 1, &rows, &dir, &flags);
                campaign.count_if(outcome.stderr.contains(RESUMED), "resumed");
                if ended {
                    // The machine may be less busy than at first.
                    duration = duration.min(outcome.seconds);
                } else {
                    campaign.count("killed");
                }
            }
            let outcome = self.workspace.train(&rows, &flags);
            outcome.expect_code(0);
            campaign.count_if(outcome.stderr.contains(RESUMED), "resumed");
            assert!(
                self.workspace.weights() == expected[variant],
                "chain {chains}: another model\n{}",
                outcome.stderr
            );
            let metrics = self.workspace.metrics();
            let epochs = metrics["history"].as_array().map(Vec::len);
            assert_eq!(epochs, Some(16), "chain {chains}");
            std::fs::remove_dir_all(dir).expect("there are checkpoints");
        }
        let [killed, resumed] = ["killed", "resumed"].map(|outcome| campaign.counted(outcome));
        assert!(killed > 0, "no run was killed before its end");
        assert!(
            resumed > killed / 2,
            "only {resumed} of {killed} killed runs had a checkpoint to resume from"
        );
    }

    /// Kills a run after some seconds. With `new_checkpoint` the time is shorter, and starts at the
    /// next checkpoint: starting up takes as long as many steps.
    fn kill_after(
        &self,
        mut seconds: f64,
        new_checkpoint: bool,
        rows: &Path,
        dir: &Path,
        flags: &[&str],
    ) -> (bool, Outcome) {
        let before = newest_checkpoint(dir);
        let mut running = start(self.workspace.training(rows, flags));
        if new_checkpoint {
            while newest_checkpoint(dir) == before && !running.ended() {
                std::thread::sleep(Duration::from_millis(1));
            }
            seconds /= 4.0;
        }
        let ended = running.ends_within(Duration::from_secs_f64(seconds));
        running.sigkill();
        (ended, running.finish(Duration::from_secs(30)))
    }

    /// SIGTERM leaves a model and a checkpoint, from which the next run resumes.
    ///
    /// # Panics
    /// If it does not.
    pub fn stop_and_resume(&self) {
        let rows = self.workspace.rows(200);
        self.workspace.train(&rows, self.flags).expect_code(0);
        let expected = self.workspace.weights();
        self.remove_model();
        let dir = self.workspace.path("checkpoints");
        let flags = self.with_checkpoints(&dir, &[]);
        let mut running = start(self.workspace.training(&rows, &flags));
        // After the checkpoint of the first epoch.
        while std::fs::read_dir(&dir).map_or(0, Iterator::count) == 0 {
            assert!(!running.ended(), "the run ended before it was stopped");
            std::thread::sleep(Duration::from_millis(5));
        }
        running.sigterm();
        running.finish(Duration::from_secs(30)).expect_code(0);
        let stopped = self.workspace.weights();
        assert!(stopped != expected, "the run ended before it was stopped");
        assert_eq!(self.workspace.metrics()["stopped_early"], true);
        self.assert_resumes(&rows, &flags, &expected);
    }

    /// With a flipped bit in the newest checkpoint the previous one is used, for the same model.
    ///
    /// # Panics
    /// If it is not.
    pub fn damage_and_resume(&self) {
        let rows = self.workspace.rows(120);
        let dir = self.workspace.path("checkpoints");
        let flags = self.with_checkpoints(&dir, &[]);
        self.workspace.train(&rows, &flags).expect_code(0);
        let expected = self.workspace.weights();
        let entries = std::fs::read_dir(&dir).expect("there are checkpoints");
        let mut steps: Vec<PathBuf> = entries
            .map(|entry| entry.expect("the folder can be read").path())
            .collect();
        steps.sort();
        assert_eq!(steps.len(), 2);
        let file = steps[1].join("training.safetensors");
        let mut bytes = std::fs::read(&file).expect("the checkpoint has tensors");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).expect("the checkpoint can be written");
        let outcome = self.assert_resumes(&rows, &flags, &expected);
        assert!(outcome.stderr.contains(SKIPPED), "{}", outcome.stderr);
    }

    /// Mutates, empties or removes files of the checkpoints: a run skips what is damaged, and ends
    /// with the model of an undisturbed run.
    ///
    /// # Panics
    /// If it does not.
    pub fn tear_checkpoints(&self, mut campaign: Campaign) {
        let rows = self.workspace.rows(120);
        let dir = self.workspace.path("torn");
        let flags = self.with_checkpoints(&dir, &[]);
        self.workspace.train(&rows, &flags).expect_code(0);
        let expected = self.workspace.weights();
        let whole = files(&dir);
        let names: Vec<&String> = whole.keys().collect();
        while let Some(mut random) = campaign.next_case() {
            let mut torn: BTreeMap<String, Vec<u8>> = whole.clone();
            for _ in 0..=random.below(2) {
                let name = *random.pick(&names);
                match random.below(4) {
                    0 => drop(torn.remove(name)),
                    1 => drop(torn.insert(name.clone(), Vec::new())),
                    _ => drop(torn.insert(name.clone(), mutate(&whole[name], &mut random))),
                }
            }
            write_files(&dir, &torn);
            self.remove_model();
            let outcome = self.workspace.train(&rows, &flags);
            outcome.expect_code(0);
            let stderr = &outcome.stderr;
            assert!(self.workspace.weights() == expected, "{stderr}");
            campaign.count_if(stderr.contains(SKIPPED), "skipped a damaged one");
            let resumed = stderr.contains(RESUMED);
            campaign.count(if resumed { "resumed" } else { "started again" });
        }
    }

    /// The checkpoint of a run with other hyperparameters is refused, with the difference.
    ///
    /// # Panics
    /// If it is not.
    pub fn refuse_other_run(&self) {
        let rows = self.workspace.rows(120);
        let dir = self.workspace.path("checkpoints");
        let with = |rate| self.with_checkpoints(&dir, &["--learning-rate", rate]);
        self.workspace.train(&rows, &with("0.01")).expect_code(0);
        let outcome = self.workspace.train(&rows, &with("0.1"));
        outcome.expect_code(1);
        let difference = "--learning-rate is `0.01` in the checkpoint and `0.1` in this run";
        assert!(outcome.stderr.contains(difference), "{}", outcome.stderr);
    }
}

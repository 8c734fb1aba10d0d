//! Checkpoints, resume, stop and warnings of `train`, on a toy trainer.

mod toy;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sagemaker::{Paths, metrics};
use serde_json::{Value, json};

use self::toy::Toy;
use dataset::random::mix;

/// A folder with data, in which the toy trains.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        let rows: String = (0..60)
            .map(|row| format!("text {row},{}\n", row % 2))
            .collect();
        fs::write(home.at("train.csv"), format!("text,label\n{rows}")).unwrap();
        home
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn words(&self, more: &[&str]) -> Vec<String> {
        let at = |name: &str| self.at(name).display().to_string();
        let mut words = ["toy", "train", "--threads", "1", "--checkpoint-every", "7"]
            .map(str::to_owned)
            .to_vec();
        for (flag, name) in [
            ("train", "train.csv"),
            ("model-dir", "model"),
            ("checkpoint-dir", "checkpoints"),
        ] {
            let flag = format!("--{flag}");
            // An option is given once: a test replaces it.
            if !more.contains(&flag.as_str()) {
                words.extend([flag, at(name)]);
            }
        }
        words.extend(more.iter().map(|&word| word.to_owned()));
        words
    }

    /// Trains in this process and returns the exit code.
    fn train(&self, more: &[&str]) -> u8 {
        main(self.words(more))
    }

    fn value(&self) -> String {
        fs::read_to_string(self.at("model/value")).unwrap()
    }

    fn metrics(&self) -> Value {
        serde_json::from_slice(&fs::read(self.at("model/metrics.json")).unwrap()).unwrap()
    }

    /// Returns a command that trains in another process.
    fn command(&self, more: &[&str]) -> Command {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args([
                "--exact",
                "command::train::tests::child",
                "--ignored",
                "--nocapture",
            ])
            .env("TRAINYARD_TOY", json!(self.words(more)).to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        child
    }

    fn start(&self, more: &[&str]) -> Child {
        self.command(more).spawn().unwrap()
    }
}

fn main(words: Vec<String>) -> u8 {
    let paths = Paths::at("/nonexistent");
    super::super::main::<Toy>(&paths, words.into_iter().map(Into::into).collect())
}

/// Returns value and history of an uninterrupted run.
fn uninterrupted() -> (String, Value) {
    let home = Home::new();
    assert_eq!(home.train(&[]), 0);
    (home.value(), home.metrics()["history"].clone())
}

#[test]
#[ignore = "the process that `Home::start` starts"]
fn child() {
    let Ok(words) = std::env::var("TRAINYARD_TOY") else {
        return;
    };
    std::process::exit(main(serde_json::from_str(&words).unwrap()).into());
}

/// Issue 17: a trainer without several labels per row refuses them, before the data is read.
#[test]
fn several_labels_are_refused_without_support() {
    let home = Home::new();
    assert_eq!(home.train(&["--multi-label"]), 2);
    assert!(!home.at("model").exists());
}

/// Issue 17: thresholds are saved with the model, and `predict` subtracts them.
#[test]
fn predict_subtracts_saved_thresholds() {
    let home = Home::new();
    let predicted = |more: &[&str]| {
        assert_eq!(home.train(more), 0);
        let [model, output] = ["model", "out.csv"].map(|name| home.at(name).display().to_string());
        let words = [
            "toy",
            "predict",
            "--model-dir",
            model.as_str(),
            "--output",
            output.as_str(),
            "a text",
        ];
        assert_eq!(main(words.map(str::to_owned).to_vec()), 0);
        let text = fs::read_to_string(home.at("out.csv")).unwrap();
        let row: Vec<String> = text
            .lines()
            .nth(1)
            .unwrap()
            .split(',')
            .map(str::to_owned)
            .collect();
        let config = fs::read(home.at("model/config.json")).unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        (row[1].clone(), config["thresholds"].clone())
    };
    assert_eq!(predicted(&[]), ("0".to_owned(), Value::Null));
    // All rows have the decision values 1 and 0. The highest F1 has class 1 for all of them: the
    // threshold is below the difference, -1.
    fs::remove_dir_all(home.at("checkpoints")).unwrap();
    let (label, thresholds) = predicted(&["--threshold-metric", "f1"]);
    assert_eq!(label, "1");
    let thresholds = [0, 1].map(|class| thresholds[class].as_f64().unwrap() as f32);
    assert_eq!(thresholds, [0.0, (-1.0f32).next_down()]);
}

#[test]
fn resumed_run_equals_uninterrupted_run() {
    let (value, history) = uninterrupted();
    assert_eq!(history.as_array().unwrap().len(), 6);
    let home = Home::new();
    assert_eq!(home.train(&["--crash", "26"]), 1);
    assert!(!home.at("model").exists());
    assert_eq!(home.train(&["--crash", "45"]), 1);
    assert_eq!(home.train(&[]), 0);
    assert_eq!(home.value(), value);
    let metrics = home.metrics();
    assert_eq!(metrics["history"], history);
    assert_eq!(metrics["resumed_from_step"], 42);
    let page = fs::read_to_string(home.at("model/report.html")).unwrap();
    for words in [
        "Learning curves",
        "macro-F1",
        "quality on the validation rows",
    ] {
        assert!(page.contains(words), "{words}");
    }
    // The last checkpoint is the end of the run.
    assert_eq!(home.train(&[]), 0);
    assert_eq!(
        (home.value(), home.metrics()["resumed_from_step"].as_u64()),
        (value, Some(60))
    );
}

#[test]
fn damaged_checkpoint_is_skipped_with_warning() {
    let (value, history) = uninterrupted();
    let home = Home::new();
    home.train(&["--crash", "26"]);
    let newest = home.at("checkpoints/step-000000000021/weights");
    fs::write(&newest, "0").unwrap();
    assert_eq!(home.train(&[]), 0);
    let metrics = home.metrics();
    let warning = metrics["warnings"][0]["message"].as_str().unwrap();
    assert!(
        warning.contains("skipped the damaged checkpoint")
            && warning.contains("step-000000000021`")
            && warning.contains("`weights`"),
        "{warning}"
    );
    assert_eq!((home.value(), &metrics["history"]), (value, &history));
    assert_eq!(metrics["resumed_from_step"], 20);
}

#[test]
fn other_settings_or_data_are_refused() {
    let home = Home::new();
    home.train(&["--crash", "26"]);
    let stderr = |more: &[&str]| {
        let output = home.start(more).wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let message = stderr(&["--learning-rate", "2", "--seed", "3"]);
    assert!(
        message.contains(
            "--learning-rate is `1` in the checkpoint and `2` in this run; --seed is `0` in the checkpoint and `3` in this run"
        ),
        "{message}"
    );
    assert!(
        message.contains("help: to resume, use the values of the checkpoint"),
        "{message}"
    );
    fs::write(home.at("train.csv"), "text,label\na,0\nb,1\nc,0\nd,1\n").unwrap();
    assert!(stderr(&[]).contains("sha256 of file 1 of the train data is `"));
    assert!(!home.at("model").exists());
}

#[test]
fn diverged_run_saves_last_good_model_and_fails() {
    let home = Home::new();
    assert_eq!(home.train(&["--nan", "33"]), 1);
    assert!(home.at("model/value").exists());
    let warnings = home.metrics()["warnings"].to_string();
    assert!(
        warnings.contains("training failed; saved the last good model: the loss is NaN"),
        "{warnings}"
    );
}

#[test]
fn regexes_find_metrics_of_steps_and_epochs() {
    let home = Home::new();
    let output = home.start(&["--metric-lines"]).wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let values = |metric: metrics::Metric| {
        let regex = regex::Regex::new(&metric.regex()).unwrap();
        let found = stderr
            .lines()
            .filter_map(|line| regex.captures(line)?[1].parse::<f64>().ok());
        found.collect::<Vec<_>>()
    };
    use metrics::{Measure::*, Metric, Progress, Split};
    assert_eq!(
        values(Metric::At(Progress::Epoch)),
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    );
    assert_eq!(values(Metric::At(Progress::GradientNorm)).len(), 6);
    assert_eq!(values(Metric::Of(Split::Validation, Loss)).len(), 6);
    assert_eq!(values(Metric::Of(Split::Train, TokensPerSecond)), [1e6; 6]);
    assert_eq!(values(Metric::Of(Split::Train, RowsPerSecond)), [1234.5; 6]);
    // One per epoch, and the first step's.
    assert_eq!(values(Metric::Of(Split::Train, Loss)).len(), 7);
    assert!(
        stderr.contains("step 1 of 60: progress:step=1; train:loss=1.0000;"),
        "{stderr}"
    );
    assert!(
        stderr.contains("epoch 6 of 6: progress:epoch=6; progress:step=60; train:loss=0.0166"),
        "{stderr}"
    );
}

#[test]
fn checkpoint_every_without_folder_warns() {
    let home = Home::new();
    let mut words = home.words(&["--no-report"]);
    let flag = words.iter().position(|word| word == "--checkpoint-dir");
    words.drain(flag.unwrap()..=flag.unwrap() + 1);
    assert_eq!(main(words), 0);
    let warnings = home.metrics()["warnings"].to_string();
    assert!(
        warnings.contains("no checkpoints are written"),
        "{warnings}"
    );
}

/// USER: an option that does nothing is named, and without it the warning is gone.
#[test]
fn options_without_effect_warn() {
    let warned = |more: &[&str]| {
        let home = Home::new();
        fs::copy(home.at("train.csv"), home.at("more.csv")).unwrap();
        let file = home.at("more.csv").display().to_string();
        let more: Vec<&str> = more
            .iter()
            .map(|word| {
                if *word == "FILE" {
                    file.as_str()
                } else {
                    *word
                }
            })
            .collect();
        assert_eq!(home.train(&[&["--no-report"], &more[..]].concat()), 0);
        let warnings = home.metrics()["warnings"].clone();
        let mut unused = Vec::new();
        for warning in warnings.as_array().unwrap() {
            let message = warning["message"].as_str().unwrap();
            if let Some((option, _)) = message.split_once(" has no effect: ") {
                assert_eq!(warning["help"], json!([format!("leave out {option}")]));
                unused.push(option.to_owned());
            }
        }
        unused
    };
    let given = ["--pause-us", "0", "--kib", "1"];
    let with = |more: &[&str]| warned(&[&given, more].concat());
    assert_eq!(with(&[]), [""; 0]);
    assert_eq!(
        with(&["--validation-split", "0", "--learning-rate", "1"]),
        ["--pause-us", "--kib", "--learning-rate"]
    );
    let split = ["--validation-split", "0.2", "--validation", "FILE"];
    assert_eq!(with(&split), ["--kib", "--validation-split"]);
    assert_eq!(warned(&["--validation-split", "0"]), [""; 0]);
}

/// The toy predicts the first class for every row.
#[test]
fn chance_level_model_warns() {
    let home = Home::new();
    assert_eq!(home.train(&["--no-report", "--validation-split", "0.5"]), 0);
    let warnings = home.metrics()["warnings"].to_string();
    let accuracy = home.metrics()["accuracy"].as_f64().unwrap();
    let accuracy = format!("accuracy {accuracy:.4} on");
    assert!(!warnings.contains("no checkpoints"), "{warnings}");
    assert!(warnings.contains(&accuracy), "{warnings}");
    assert!(warnings.contains("always predicting"), "{warnings}");
}

#[test]
fn resumes_after_kill_at_any_moment() {
    let (value, history) = uninterrupted();
    let home = Home::new();
    let (mut killed, mut ended) = (0, 0);
    for round in 0..40 {
        let mut child = home.start(&["--pause-us", "1000", "--kib", "300", "--no-report"]);
        std::thread::sleep(Duration::from_millis(5 + mix(round) % 60));
        let done = child.try_wait().unwrap().is_some();
        (killed, ended) = (killed + u32::from(!done), ended + u32::from(done));
        child.kill().unwrap();
        child.wait().unwrap();
        if done {
            assert_eq!(home.value(), value);
            fs::remove_dir_all(home.at("checkpoints")).unwrap();
        }
    }
    assert!(killed > 10, "{killed} were killed, {ended} ended");
    assert_eq!(home.train(&["--no-report"]), 0);
    assert_eq!(
        (home.value(), home.metrics()["history"].clone()),
        (value, history)
    );
    let left = fs::read_dir(home.at("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert_eq!(left.count(), 2, "no partial checkpoint is left");
    let warnings = home.metrics()["warnings"].to_string();
    assert!(
        !warnings.contains("damaged"),
        "no checkpoint is damaged: {warnings}"
    );
}

#[test]
fn full_disk_skips_checkpoint_and_training_continues() {
    if !testkit::small_disk_allowed() {
        return testkit::skip(
            "harness: full_disk_skips_checkpoint_and_training_continues",
            "the kernel allows no mount namespace",
        );
    }
    let home = Home::new();
    let folder = home.at("checkpoints");
    fs::create_dir(&folder).unwrap();
    // Space for one checkpoint, not for two.
    let command = home.command(&["--kib", "40"]);
    let disk = testkit::on_small_disk(&command, &folder, 80);
    disk.outcome.expect_code(0);
    assert_eq!(home.value(), uninterrupted().0);
    let warnings = home.metrics()["warnings"].clone();
    let saved = |warning: &&str| warning.contains("was not written");
    let all = warnings.as_array().unwrap().iter();
    let mut messages = all
        .filter_map(|warning| warning["message"].as_str())
        .filter(saved);
    let warning = messages.next().unwrap();
    assert_eq!(messages.count(), 0, "warned once: {warnings}");
    for words in [
        "step 10 was not written; training continues",
        "would start from step 7",
        "o space left",
    ] {
        assert!(warning.contains(words), "{warning}");
    }
    let names: Vec<_> = disk
        .left
        .iter()
        .map(|path| path.trim_start_matches("./"))
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(
        names
            .iter()
            .all(|name| name.starts_with("step-000000000007")),
        "{names:?}"
    );
}

#[test]
fn impossible_checkpoint_folder_is_refused_before_reading() {
    let home = Home::new();
    let model = home.at("model").display().to_string();
    assert_eq!(home.train(&["--checkpoint-dir", &model]), 2);
    let file = home.at("train.csv/checkpoints").display().to_string();
    assert_eq!(home.train(&["--checkpoint-dir", &file]), 1);
}

#[test]
fn no_checkpoints_without_folder() {
    let home = Home::new();
    let mut words = home.words(&[]);
    let at = words
        .iter()
        .position(|word| word == "--checkpoint-dir")
        .unwrap();
    words.drain(at..at + 2);
    assert_eq!(main(words), 0);
    assert!(!home.at("checkpoints").exists());
}

#[test]
fn predict_accepts_flags_of_the_trainer() {
    let home = Home::new();
    home.train(&[]);
    let model = home.at("model").display().to_string();
    let data = home.at("train.csv").display().to_string();
    let output = home.at("out.csv").display().to_string();
    let words = [
        "toy",
        "predict",
        "--device",
        "cuda",
        "--model-dir",
        &model,
        "--input",
        &data,
        "--output",
        &output,
    ];
    assert_eq!(main(words.map(str::to_owned).to_vec()), 0);
    assert_eq!(
        fs::read_to_string(home.at("out.csv"))
            .unwrap()
            .lines()
            .count(),
        61
    );
}

#[test]
fn preflight_fails_before_reading() {
    let home = Home::new();
    let output = home.start(&["--unready"]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("expected a GPU, found none") && !stderr.contains("rows read"),
        "{stderr}"
    );
    // --check may run on another machine than training.
    assert_eq!(home.train(&["--unready", "--check"]), 0);
}

#[test]
fn train_scores_are_for_report_or_only_split() {
    let run = || {
        let progress = std::sync::Arc::new(training::progress::Progress::new(false));
        training::Run::new(1, 0, Default::default(), progress)
    };
    assert!(run().wants_train_scores(true));
    assert!(run().without_report().wants_train_scores(false));
    assert!(!run().without_report().wants_train_scores(true));
}

mod public_reports {
    use super::*;

    /// USER 15: off a terminal every epoch is printed once, in an aligned table.
    #[test]
    fn epochs_are_printed_once() {
        let home = Home::new();
        let output = home.start(&[]).wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let rows: Vec<&str> = stderr
            .lines()
            .skip_while(|line| !line.contains("train loss"))
            .collect();
        assert!(rows[0].trim_start().starts_with("epoch"), "{stderr}");
        for epoch in 1..=6 {
            let name = format!(" {epoch}/6 ");
            let found: Vec<_> = rows.iter().filter(|row| row.contains(&name)).collect();
            assert_eq!(found.len(), 1, "{stderr}");
            assert_eq!(
                found[0].find("/6 "),
                Some(rows[0].find("epoch").unwrap() + 3)
            );
        }
        assert!(
            !stderr.contains("train:loss=") && !stderr.contains('\u{1b}'),
            "{stderr}"
        );
    }
}

//! Hostile and damaged inputs, killed and competing processes.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::campaign::Campaign;
use testkit::{
    FakeMl, Row, as_pid_1, many_class_rows, movie_csv, movie_rows, pid_1_allowed, run, start,
    to_csv,
};

use super::{BIN, Workspace};

/// Rows of 30 random words, of a vocabulary of at most this size.
fn random_rows(rows: usize, vocabulary: u64) -> Vec<u8> {
    let mut state = 1_u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("w{:x} ", state % vocabulary)
    };
    let row = |number: usize| Row {
        text: (0..30).map(|_| word()).collect(),
        label: format!("{}", number % 2),
    };
    to_csv(&(0..rows).map(row).collect::<Vec<_>>())
}

/// ATTACK F2: one training at a time writes to a model folder, also from another container: a lock
/// has no process id.
#[test]
fn locked_model_folder_is_refused() {
    let workspace = Workspace::with_model(&[]);
    let before = workspace.model();
    let folder = File::open(workspace.path("model")).unwrap();
    folder.lock().unwrap();
    let outcome = workspace.train(&movie_csv(), &["--min-df", "3"]);
    outcome.expect_code(1);
    let expected = "another training writes a model to";
    assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
    assert_eq!(workspace.model(), before);
    drop(folder);
    workspace
        .train(&movie_csv(), &["--min-df", "3"])
        .expect_code(0);
}

/// ATTACK F2: of trainings that start together, the model is that of one that ended with 0; also in
/// several containers, which have process tables of their own.
#[test]
fn concurrent_trainings_leave_the_model_of_a_successful_one() {
    let workspace = Workspace::new();
    let mut campaign = Campaign::new("svm: four trainings into one folder", 3, 60);
    while let Some(mut random) = campaign.next_case() {
        let in_containers = random.below(2) == 0 && pid_1_allowed();
        let all: Vec<_> = ["1", "2", "3", "4"]
            .map(|min_df| {
                let rows = movie_csv();
                let flags = ["--train", rows.to_str().unwrap(), "--min-df", min_df];
                let command = workspace.command("train", &flags);
                match in_containers {
                    true => (min_df, start(as_pid_1(&command))),
                    false => (min_df, start(command)),
                }
            })
            .into_iter()
            .map(|(min_df, running)| (min_df, running.finish(Duration::from_secs(60))))
            .collect();
        let metrics: serde_json::Value =
            serde_json::from_slice(&workspace.read("model/metrics.json")).unwrap();
        let mut successes = Vec::new();
        for (min_df, outcome) in &all {
            match outcome.code() {
                Some(0) => {
                    campaign.count("trained");
                    successes.push(*min_df);
                }
                _ => assert!(
                    outcome.stderr.contains("another training"),
                    "{}",
                    outcome.stderr
                ),
            }
        }
        let min_df = metrics["parameters"]["min_df"].to_string();
        assert!(
            successes.contains(&min_df.as_str()),
            "{min_df} of {successes:?}"
        );
        let rows = movie_csv();
        workspace
            .svm("evaluate", &["--data", rows.to_str().unwrap()])
            .expect_code(0);
        let names = fs::read_dir(workspace.path("")).unwrap();
        assert_eq!(names.count(), 1, "no temporary folder is left");
    }
}

/// ATTACK F3: the folder in which a shell stands is not replaced.
#[test]
fn current_folder_stays() {
    let workspace = Workspace::with_model(&[]);
    let model = workspace.path("model");
    let inode = || fs::metadata(&model).unwrap().ino();
    let before = inode();
    let mut command = Command::new(BIN);
    command.env_clear().current_dir(&model);
    command
        .args(["train", "--model-dir", ".", "--train"])
        .arg(movie_csv());
    run(command).expect_code(0);
    assert_eq!(inode(), before);
    let hidden = fs::read_dir(&model).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with('.')
    });
    assert_eq!(hidden.count(), 0);
}

/// ATTACK F4: labels and hyperparameters cannot look like metrics or move the cursor.
#[test]
fn texts_of_users_are_printed_safely() {
    const EVIL: &str = "x\nvalidation:accuracy=0.999; \u{1b}[2J\r validation:accuracy=0.999;";
    let evil_rows = |label: &str| {
        let mut rows = movie_rows();
        let second = rows.iter_mut().filter(|row| row.label == "1");
        second.for_each(|row| label.clone_into(&mut row.label));
        to_csv(&rows)
    };
    let (evil, good) = (evil_rows(EVIL), evil_rows("1"));
    let job = |train: &[u8], test: &[u8], flags: &[&str]| {
        let ml = FakeMl::new()
            .channel("train", "train.csv", train)
            .channel("test", "test.csv", test);
        run(ml.train(BIN.as_ref(), flags))
    };
    let mut outcomes = vec![
        (0, job(&evil, &evil, &[])),
        (0, job(&evil, &evil, &["--json"])),
        (1, job(&good, &evil, &[])),
        (1, job(&good, &evil, &["--error-format", "json"])),
        (1, job(&good, &good, &["--min-df", EVIL])),
        (1, job(&good, &good, &["--model-dir", EVIL, EVIL])),
    ];
    for name in ["min_df", EVIL] {
        let ml = FakeMl::new().hyperparameter(name, EVIL);
        outcomes.push((1, run(ml.train::<&str>(BIN.as_ref(), &[]))));
    }
    for (code, outcome) in outcomes {
        assert_eq!(outcome.code(), Some(code), "{}", outcome.output());
        let output = outcome.output();
        assert!(!output.contains(['\u{1b}', '\r']), "{output:?}");
        assert!(!output.contains("accuracy=0.999"), "{output:?}");
    }
}

/// ATTACK F8: a job without enough memory ends with exit code 1 and a failure file.
#[test]
fn out_of_memory_is_in_failure_file() {
    let ml = FakeMl::new().channel("train", "train.csv", random_rows(60_000, u64::MAX));
    let trainer = ml.train(BIN.as_ref(), &["--threads", "1"]);
    let mut command = Command::new("sh");
    command
        .env_clear()
        .envs(
            trainer
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .args(["-c", "ulimit -c 0; ulimit -v 100000; exec \"$0\" \"$@\""])
        .arg(BIN)
        .args(trainer.get_args());
    let outcome = run(command);
    outcome.expect_code(1);
    assert!(
        outcome.stderr.contains("memory allocation of"),
        "{}",
        outcome.stderr
    );
    let failure = ml.failure().unwrap();
    assert!(failure.contains("ran out of memory"), "{failure}");
    assert!(ml.model_files().is_empty());
}

/// ATTACK F8: the failure file of a job that the kernel kills.
#[test]
fn killed_job_has_failure_file() {
    let (ml, fifo) = FakeMl::new().fifo_channel("train", "train.csv");
    let mut running = start(ml.train(BIN.as_ref(), &["--train", fifo.to_str().unwrap()]));
    let pid = running.pid();
    assert!(running.wait_for_handler(pid));
    running.sigkill();
    running.finish(Duration::from_secs(10));
    let failure = ml.failure().unwrap();
    assert!(
        failure.contains("ran out of memory, was killed, or crashed"),
        "{failure}"
    );
}

/// ATTACK F10: the report has no texts that were not trained on.
#[test]
fn rows_that_change_are_marked_in_report() {
    let workspace = Workspace::new();
    let rows = workspace.write("rows.csv", random_rows(6_000, 2_000));
    let flags = ["--tune", "--folds", "3", "--threads", "1"];
    let flags = [&["--train", rows.to_str().unwrap()][..], &flags].concat();
    let running = start(workspace.command("train", &flags));
    // Created when all rows are read.
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while !workspace.path("model").exists() {
        assert!(std::time::Instant::now() < until, "no model folder");
        std::thread::sleep(Duration::from_millis(1));
    }
    let text = fs::read_to_string(&rows).unwrap();
    fs::write(&rows, text.replace('w', "zzz")).unwrap();
    running.finish(Duration::from_secs(120)).expect_code(0);
    let report = String::from_utf8(workspace.read("model/report.html")).unwrap();
    assert!(report.contains("this row was changed after it was read"));
    assert!(!report.contains("zzz"));
}

/// ATTACK F9: 5,000 classes took 7.3 GB, most of it dense weights and copies of them, and
/// `metrics.json` had 553 MB.
#[test]
fn many_classes_take_less_memory_than_dense_weights() {
    let workspace = Workspace::new();
    let rows = workspace.write("rows.csv", to_csv(&many_class_rows(300, 8)));
    let sizes = ["--max-ngrams", "3", "--min-df", "1", "--threads", "1"];
    let flags = [&sizes[..], &["--no-refit", "--no-report", "--json"]].concat();
    let outcome = workspace.train(&rows, &flags);
    let metrics = outcome.expect_code(0).json();
    let vocabulary = String::from_utf8(workspace.read("model/vocabulary.txt")).unwrap();
    // `coef_` of LinearSVC has doubles, and while it is copied twice as many.
    let dense = 300 * 8 * vocabulary.lines().count() as u64;
    let peak = metrics["peak_rss_bytes"].as_u64().unwrap();
    assert!(peak < dense, "{peak} of {dense} bytes");
    let accuracy = metrics["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.5, "{accuracy}");
    assert!(metrics["validation"]["confused_left_out"].is_u64());
    assert!(outcome.stdout.len() < 500_000, "{}", outcome.stdout.len());
    let longest = outcome.stderr.lines().map(str::len).max().unwrap();
    assert!(longest < 1000, "{}", outcome.stderr);
}

/// ATTACK F9: a stop was obeyed after 151 s, since every class was trained for an epoch.
#[test]
fn stop_while_many_classes_are_trained_does_not_wait_for_them() {
    let workspace = Workspace::new();
    let rows = workspace.write("rows.csv", to_csv(&many_class_rows(3000, 10)));
    let rows = rows.to_str().unwrap();
    for more in [&[][..], &["--calibration", "cv"]] {
        let flags = [&["--train", rows, "--no-report", "--threads", "1"], more].concat();
        let mut running = start(workspace.command("train", &flags));
        assert!(!running.ends_within(Duration::from_secs(2)));
        let stop = Instant::now();
        running.sigterm();
        let outcome = running.finish(Duration::from_secs(60));
        let seconds = stop.elapsed().as_secs_f64();
        assert!(seconds < 10.0, "{seconds} s with {more:?}");
        outcome.expect_code(0);
        assert!(!workspace.path("model/config.json").exists());
    }
}

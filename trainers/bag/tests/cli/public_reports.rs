//! Reports of users of this and other programs: the rows of the saved model, and interrupted runs.

use super::{Workspace, checkpoints, flags, train};
use testkit::{Outcome, Row, movie_csv, start, to_csv, unsegmented_rows};

/// Returns the score of each row of the sample.
fn scores(workspace: &Workspace) -> Vec<f64> {
    let rows = movie_csv();
    let outcome = workspace.bag("predict", &["--input", rows.to_str().unwrap()]);
    let records = outcome.expect_code(0).stdout.lines().skip(1);
    records
        .map(|record| record.rsplit(',').next().unwrap().parse().unwrap())
        .collect()
}

/// Issue 16, item 2: the delivered model has seen all the data. Its logits are those of a training
/// without a validation split, divided by the temperature.
#[test]
fn saved_model_was_trained_on_all_rows() {
    let workspace = Workspace::new();
    // As many rows as the temperature needs.
    let share = ["--validation-split", "0.25"];
    let outcome = train(&workspace, &movie_csv(), &share);
    let stdout = &outcome.expect_code(0).stdout;
    assert!(
        stdout.contains("the saved model was trained on all 600 rows"),
        "{stdout}"
    );
    let metrics = workspace.metrics();
    assert_eq!(metrics["trained_on"], 600);
    assert_eq!(metrics["validation"]["scored"], "held_out_before_refit");
    let temperature = metrics["details"]["temperature"].as_f64().unwrap();
    let found = scores(&workspace);
    train(&workspace, &movie_csv(), &["--validation-split", "0"]).expect_code(0);
    for (found, all) in found.iter().zip(scores(&workspace)) {
        assert!(
            (found * temperature - all).abs() < 1e-4,
            "{found} {all} {temperature}"
        );
    }
    let outcome = train(
        &workspace,
        &movie_csv(),
        &[&share[..], &["--no-refit"]].concat(),
    );
    assert!(!outcome.expect_code(0).stdout.contains("all 600 rows"));
    let metrics = workspace.metrics();
    assert_eq!(metrics["validation"]["scored"], "held_out");
    assert!(metrics["trained_on"].as_u64().unwrap() < 500);
}

/// Issue 16, item 1: help lines, obeyed, remove the error; USER: options without effect are named.
#[test]
fn help_lines_obeyed_remove_the_error_or_warning() {
    let workspace = Workspace::new();
    let file = |name: &str, rows: &str| {
        let path = workspace.path(name);
        std::fs::write(&path, format!("text,label,body\n{rows}")).unwrap();
        path
    };
    let words = file(
        "words.csv",
        "good film,1,a\nbad film,0,b\nfine plot,1,c\npoor plot,0,d\n",
    );
    let smileys = file("smileys.csv", ":),1,good\n:(,0,bad\n");
    let once = ["--min-df", "1"];
    for (rows, flags, message, help, obeyed) in [
        (
            &words,
            &["--min-df", "9"][..],
            "expected terms in at least `9` training rows",
            "help: lower --min-df",
            &once[..],
        ),
        (
            &smileys,
            &once,
            "expected words",
            "check --text-column",
            &["--min-df", "1", "--text-column", "body"],
        ),
        (
            &words,
            &["--min-df", "1", "--no-refit", "--validation-split", "0"],
            "--no-refit has no effect: no rows were split off for validation",
            "help: leave out --no-refit",
            &["--min-df", "1", "--validation-split", "0"],
        ),
    ] {
        let stderr = train(&workspace, rows, flags).stderr;
        assert!(
            stderr.contains(message) && stderr.contains(help),
            "{stderr}"
        );
        let outcome = train(&workspace, rows, obeyed);
        let stderr = &outcome.expect_code(0).stderr;
        assert!(!stderr.contains(message), "{stderr}");
    }
}

/// Interrupts a long run after its first checkpoint that `ready` accepts.
fn interrupted(workspace: &Workspace, container: bool, ready: impl Fn(u64) -> bool) -> Outcome {
    let (rows, chain) = (movie_csv(), checkpoints(workspace));
    let more = [
        ["--epochs", "4000"],
        ["--checkpoint-every", "97"],
        ["--threads", "1"],
        ["--checkpoint-dir", chain.to_str().unwrap()],
    ]
    .concat();
    let mut command = workspace.command("train", &flags(&rows, &more));
    if container {
        let base = workspace.path("ml");
        std::fs::create_dir_all(base.join("input/config")).unwrap();
        command.env("SAGEMAKER_BASE_DIR", base);
    }
    let mut running = start(command);
    let newest = || {
        let name = testkit::resume::newest_checkpoint(&chain)?;
        let name = name.to_string_lossy().into_owned();
        name.strip_prefix("step-")?.parse().ok()
    };
    while !newest().is_some_and(&ready) {
        assert!(!running.ended(), "the run ended before it was stopped");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    running.sigint();
    running.finish(std::time::Duration::from_secs(30))
}

/// USER 1 and 2: Ctrl-C saves the last finished epoch, says which, and ends with 130, so that
/// `train && deploy` does not continue; in a container it ends with 0.
#[test]
fn ctrl_c_saves_the_last_finished_epoch() {
    for (container, code) in [(false, 130), (true, 0)] {
        let workspace = Workspace::new();
        let outcome = interrupted(&workspace, container, |step| step > 2_000);
        outcome.expect_code(code);
        let message = "interrupted by Ctrl-C; the model so far is saved in";
        assert_eq!(
            outcome.stderr.contains(message),
            !container,
            "{}",
            outcome.stderr
        );
        if container {
            assert!(workspace.path("model/config.json").exists());
            continue;
        }
        let metrics = workspace.metrics();
        let epoch = metrics["details"]["epochs"].as_u64().unwrap();
        let saved = format!(
            "saved epoch {epoch}; training ended in epoch {} of 4000",
            epoch + 1
        );
        assert!(
            outcome.stdout.contains(&saved),
            "{saved}\n{}",
            outcome.stdout
        );
        // The printed scores are those of the saved epoch.
        let history = &metrics["history"][epoch as usize - 1]["validation"];
        assert_eq!(history["accuracy"], metrics["validation"]["accuracy"]);
        assert_eq!(metrics["stopped_early"], true);
    }
}

/// Trains on some rows; returns the output, and the accuracy on others.
fn accuracy(workspace: &Workspace, rows: [&[Row]; 2], more: &[&str]) -> (String, f64) {
    let [train_rows, test] = ["train.csv", "test.csv"].map(|name| workspace.path(name));
    std::fs::write(&train_rows, to_csv(rows[0])).unwrap();
    std::fs::write(&test, to_csv(rows[1])).unwrap();
    let outcome = train(workspace, &train_rows, more);
    outcome.expect_code(0);
    let flags = ["--data", test.to_str().unwrap(), "--json"];
    let measured = workspace.bag("evaluate", &flags).expect_code(0).json();
    (outcome.output(), measured["accuracy"].as_f64().unwrap())
}

/// DATA 22: scikit-learn#20992, jieba#332: words of Chinese and Thai text were whole sentences, and
/// the accuracy that of a guess.
#[test]
fn text_without_blanks_has_terms_of_characters() {
    let workspace = Workspace::new();
    let (known, new) = (unsegmented_rows(200, 1), unsegmented_rows(100, 2));
    for (known, new) in known.iter().zip(&new) {
        let (output, accuracy) = accuracy(&workspace, [known, new], &[]);
        let stated = "200 of 200 rows have no blanks between words: using --analyzer char";
        assert_eq!(output.matches(stated).count(), 1, "{output}");
        assert!(accuracy >= 0.95, "{accuracy}");
    }
}

/// Issue 17: with subwords, words that are not in the training rows have a meaning.
#[test]
fn subwords_give_new_words_a_meaning() {
    let workspace = Workspace::new();
    let row = |text: String, label: &str| Row {
        text,
        label: label.to_owned(),
    };
    let rows = |endings: &[&str]| -> Vec<Row> {
        let stems = ["wonder", "delight", "cheer"].map(|stem| (stem, "good"));
        let others = ["dread", "harm", "fear"].map(|stem| (stem, "bad"));
        let all = stems.into_iter().chain(others);
        all.flat_map(|(stem, label)| {
            endings
                .iter()
                .map(move |end| row(format!("{stem}{end}"), label))
        })
        .collect()
    };
    let known: Vec<Row> = std::iter::repeat_n(rows(&["ed", "er", "ers"]), 8)
        .flatten()
        .collect();
    let new = rows(&["ing", "less"]);
    let split = ["--validation-split", "0"];
    let (_, guessed) = accuracy(&workspace, [&known, &new], &split);
    let subwords = [
        &split[..],
        &["--minn", "3", "--maxn", "6", "--bucket", "10000"],
    ]
    .concat();
    let (_, found) = accuracy(&workspace, [&known, &new], &subwords);
    assert!(guessed <= 0.5 && found == 1.0, "{guessed} {found}");
    let explained = workspace.bag("explain", &["--top", "100", "wonderless"]);
    assert!(
        explained.expect_code(0).stdout.contains("<wonde"),
        "{}",
        explained.stdout
    );
    for (flags, message) in [
        (
            &["--maxn", "2", "--minn", "3"][..],
            "expected --minn of at most --maxn",
        ),
        (
            &["--maxn", "3", "--analyzer", "char"],
            "expected --analyzer word with --maxn",
        ),
    ] {
        let outcome = train(&workspace, &movie_csv(), flags);
        let stderr = &outcome.expect_code(2).stderr;
        assert!(
            stderr.contains(message) && stderr.contains("help: "),
            "{stderr}"
        );
    }
}

//! Reports of users of this and other programs: the rows of the saved model, interrupted searches,
//! what a run states about itself, and situations of data (issue 16, list DATA).

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use testkit::{Outcome, Row, movie_csv, movie_rows, start, to_csv, unsegmented_rows};

use super::{Workspace, number};

impl Workspace {
    fn metrics(&self) -> Value {
        serde_json::from_slice(&self.read("model/metrics.json")).unwrap()
    }

    fn report(&self) -> String {
        String::from_utf8(self.read("model/report.html")).unwrap()
    }

    /// Returns terms and weights of the model, without its calibration.
    fn explained(&self) -> String {
        let outcome = self.svm("explain", &["--top", "100000"]);
        outcome.expect_code(0).stdout.clone()
    }
}

/// Issue 16, item 2: the delivered model has seen all the data. It is that of a training without
/// a validation split.
#[test]
fn saved_model_was_trained_on_all_rows() {
    let workspace = Workspace::new();
    for flags in [
        &[] as &[&str],
        &["--alpha", "1e-3", "--loss", "hinge"],
        &["--weighting", "nbsvm"],
        &["--kernel", "rbf"],
    ] {
        let train = |more: &[&str]| {
            let outcome = workspace.train(&movie_csv(), &[flags, more].concat());
            outcome.expect_code(0);
            let predictions = workspace.svm("predict", &["--input", movie_csv().to_str().unwrap()]);
            let scores: Vec<String> = super::records(&predictions.stdout)
                .iter()
                .map(|record| record[3].to_owned())
                .collect();
            (outcome.stdout, workspace.metrics(), scores)
        };
        let (stdout, metrics, scores) = train(&[]);
        assert!(
            stdout.contains("on 60 validation rows\n")
                && stdout.contains("\nthe saved model was trained on all 600 rows"),
            "{stdout}"
        );
        assert_eq!(metrics["trained_on"], 600, "{flags:?}");
        assert_eq!(metrics["validation"]["scored"], "held_out_before_refit");
        let report = workspace.report();
        assert!(report.contains("held out: the model that scored these rows"));

        let (stdout, metrics, old) = train(&["--no-refit"]);
        assert!(!stdout.contains("all 600 rows"), "{stdout}");
        assert_eq!(metrics["trained_on"], 540, "{flags:?}");
        assert_eq!(metrics["validation"]["scored"], "held_out");
        let (_, metrics, all) = train(&["--validation-split", "0", "--calibration", "none"]);
        assert_eq!(metrics["trained_on"], 600, "{flags:?}");
        assert!(scores == all && scores != old, "{flags:?}");
    }
}

/// Issue 16, item 2: the scores of the validation rows are those of the model without them.
#[test]
fn validation_rows_are_scored_before_the_refit() {
    let workspace = Workspace::new();
    let accuracy = |flags: &[&str]| {
        workspace.train(&movie_csv(), flags).expect_code(0);
        number(&workspace.metrics()["validation"]["accuracy"])
    };
    assert_eq!(
        accuracy(&["--min-df", "1"]),
        accuracy(&["--min-df", "1", "--no-refit"])
    );
}

/// Issue 16, item 2: rows that the user names as validation stay out.
#[test]
fn rows_of_the_validation_file_are_not_trained_on() {
    let workspace = Workspace::new();
    let train = workspace.write("train.csv", to_csv(&movie_rows()[..400]));
    let validation = workspace.write("validation.csv", to_csv(&movie_rows()[400..]));
    let named = ["--validation", validation.to_str().unwrap()];
    let outcome = workspace.train(&train, &named);
    assert!(
        !outcome
            .expect_code(0)
            .stdout
            .contains("the saved model was trained on all")
    );
    let metrics = workspace.metrics();
    assert_eq!(metrics["trained_on"], 400);
    assert_eq!(metrics["validation"]["scored"], "held_out");
    let found = workspace.explained();
    workspace
        .train(&train, &["--validation-split", "0"])
        .expect_code(0);
    assert!(found == workspace.explained());
}

/// Enough rows that a search takes seconds.
fn many_rows(workspace: &Workspace) -> PathBuf {
    let copies = (0..8).flat_map(|copy| {
        movie_rows().into_iter().map(move |row| Row {
            text: format!("{} copy{copy}", row.text),
            label: row.label,
        })
    });
    workspace.write("many.csv", to_csv(&copies.collect::<Vec<_>>()))
}

/// Interrupts a search after a part of the usual time.
fn interrupted(workspace: &Workspace, flags: &[&str], seconds: f64) -> Outcome {
    let mut running = start(workspace.command("train", flags));
    running.ends_within(Duration::from_secs_f64(seconds));
    assert!(!running.ended(), "the search ended before it was stopped");
    running.sigint();
    running.finish(Duration::from_secs(60))
}

/// USER 1: Ctrl-C during `--tune` saved a fit that was cut off, as the best model.
#[test]
fn interrupted_search_keeps_the_best_finished_candidate_or_nothing() {
    let workspace = Workspace::new();
    let rows = many_rows(&workspace);
    let flags = ["--train", rows.to_str().unwrap(), "--tune", "--no-report"];
    let whole = workspace.svm("train", &flags);
    let usual = whole.expect_code(0).seconds;
    let trials = |metrics: &Value| metrics["details"]["trials"].as_array().unwrap().clone();
    let all = trials(&workspace.metrics());
    let mut saved = 0;
    for share in [0.02, 0.4, 0.7] {
        std::fs::remove_dir_all(workspace.path("model")).unwrap_or_default();
        let outcome = interrupted(&workspace, &flags, usual * share);
        outcome.expect_code(130);
        if !workspace.path("model").exists() {
            assert!(
                outcome.stderr.contains("nothing is saved"),
                "{}",
                outcome.stderr
            );
            continue;
        }
        saved += 1;
        assert!(
            outcome
                .stderr
                .contains("interrupted by Ctrl-C; the model so far is saved in"),
            "{}",
            outcome.stderr
        );
        let metrics = workspace.metrics();
        assert_eq!(metrics["stopped_early"], true);
        let solver = metrics["details"]["solver"].as_array().unwrap();
        assert!(solver.iter().all(|outcome| outcome["converged"] == true));
        // The finished trials are those of the whole search, and the best of them is saved.
        let finished = trials(&metrics);
        assert!(finished == all[..finished.len()], "{finished:?}");
        let f1 = |trial: &Value| number(&trial["macro_f1"]);
        let best = finished.iter().map(f1).fold(0.0, f64::max);
        let chosen = finished.iter().find(|trial| f1(trial) == best).unwrap();
        assert_eq!(chosen["c"], metrics["details"]["candidate"]["c"]);
        assert_eq!(
            chosen["max_ngrams"],
            metrics["details"]["candidate"]["max_ngrams"]
        );
        assert!((number(&metrics["train"]["macro_f1"]) - best).abs() < 1e-9);
        assert!(outcome.stdout.contains("selected: "), "{}", outcome.stdout);
        // USER 18: a noun agrees with its number.
        assert_eq!(
            outcome.stdout.contains(", 1 candidate)"),
            finished.len() == 1
        );
    }
    assert!(saved > 0, "no run was stopped after a candidate");
}

/// USER 2: Ctrl-C ends with 130 on a terminal and with 0 in a container.
#[test]
fn ctrl_c_ends_with_0_in_a_container() {
    let workspace = Workspace::new();
    let rows = many_rows(&workspace);
    let flags = ["--train", rows.to_str().unwrap(), "--tune", "--no-report"];
    let usual = workspace.svm("train", &flags).expect_code(0).seconds;
    std::fs::create_dir_all(workspace.path("ml/input/config")).unwrap();
    // The first stop comes before there is a candidate.
    for share in [0.05, 0.6] {
        std::fs::remove_dir_all(workspace.path("model")).unwrap_or_default();
        let mut command = workspace.command("train", &flags);
        command.env("SAGEMAKER_BASE_DIR", workspace.path("ml"));
        let mut running = start(command);
        running.ends_within(Duration::from_secs_f64(usual * share));
        running.sigint();
        running.finish(Duration::from_secs(60)).expect_code(0);
    }
    assert!(workspace.path("model/config.json").exists());
}

/// USER 6: `--tune` did not say what it chose.
#[test]
fn search_states_its_choice_and_its_candidates() {
    let workspace = Workspace::new();
    let flags = ["--tune", "--tune-trials", "3"];
    let outcome = workspace.train(&movie_csv(), &flags);
    let stdout = &outcome.expect_code(0).stdout;
    let details = workspace.metrics()["details"].clone();
    let f1 = |trial: &Value| number(&trial["macro_f1"]);
    let trials = details["trials"].as_array().unwrap();
    let best = trials
        .iter()
        .max_by(|a, b| f1(a).total_cmp(&f1(b)))
        .unwrap();
    let expected = format!(
        "selected: {}, n-grams up to {}, C 1 (macro-F1 {:.4}, 3-fold cross-validation, 3 candidates)",
        best["weighting"].as_str().unwrap(),
        best["max_ngrams"],
        f1(best)
    );
    assert!(stdout.contains(&expected), "{expected}\n{stdout}");
    let report = workspace.report();
    assert!(report.contains(&expected));
    let table = report.split("<section id=\"tuning\">").nth(1).unwrap();
    let table = table.split("</section>").next().unwrap();
    for trial in trials {
        assert!(
            table.contains(&format!("<td>{:.4}</td>", f1(trial))),
            "{table}"
        );
    }
    assert_eq!(table.matches("<b>selected</b>").count(), 1);
}

/// USER 9: "Quality on the train rows" did not say if the model had seen the rows.
#[test]
fn scores_of_training_rows_say_if_the_rows_were_seen() {
    let workspace = Workspace::new();
    for (flags, scored, printed, reported) in [
        (
            &["--validation-split", "0"][..],
            "seen",
            "the model was trained on these rows",
            "seen: the model that scored these rows was trained on them",
        ),
        (
            &["--validation-split", "0", "--calibration", "cv"][..],
            "out_of_fold",
            "out of fold: each row was scored by a model that was not trained on it",
            "out of fold: each row was scored by a model that was not trained on it",
        ),
    ] {
        let outcome = workspace.train(&movie_csv(), flags);
        let stdout = &outcome.expect_code(0).stdout;
        assert!(stdout.contains(printed), "{stdout}");
        assert!(workspace.report().contains(reported), "{scored}");
        let metrics = workspace.metrics();
        assert_eq!(
            (&metrics["train"]["scored"], &metrics["scored"]),
            (&scored.into(), &scored.into())
        );
    }
}

/// Rows of the sample with this delimiter, every text in quotes.
fn delimited(delimiter: char, rows: usize) -> String {
    let line = |(text, label): (&str, &str)| {
        format!("\"{}\"{delimiter}{label}\n", text.replace('"', "\"\""))
    };
    let rows: Vec<_> = movie_rows().into_iter().take(rows).collect();
    let lines = rows.iter().map(|row| line((&row.text, &row.label)));
    format!("text{delimiter}label\n") + &lines.collect::<String>()
}

/// DATA 02, 03: every command reads the file, warns, and is silent with `--delimiter`.
#[test]
fn every_command_finds_the_delimiter() {
    let workspace = Workspace::new();
    let path = workspace.write("rows.csv", delimited(';', 300));
    let path = path.to_str().unwrap();
    let commands: [(&str, &[&str]); 3] = [
        ("train", &["--train", path, "--no-report"]),
        ("evaluate", &["--data", path]),
        ("predict", &["--input", path]),
    ];
    let warning = "warning[D030]: the file is split at `;`, as its header shows";
    for (name, arguments) in commands {
        let outcome = workspace.svm(name, arguments);
        let stderr = &outcome.expect_code(0).stderr;
        assert!(stderr.contains(warning), "{name}: {stderr}");
        let outcome = workspace.svm(name, &[arguments, &["--delimiter", ";"]].concat());
        let stderr = &outcome.expect_code(0).stderr;
        assert!(!stderr.contains("D030"), "{name}: {stderr}");
    }
    let found = workspace.model();
    let same = workspace.write("same.csv", delimited(',', 300));
    workspace.train(&same, &["--no-report"]).expect_code(0);
    assert!(
        workspace.model() == found,
        "the delimiter does not change the model"
    );
    let tabs = workspace.write("tabs.csv", delimited('\t', 300));
    let tab = workspace.train(&tabs, &["--no-report", "--delimiter=tab"]);
    tab.expect_code(0);
    assert!(workspace.model() == found);
    for wrong in ["", "ab", "\"", "é"] {
        let outcome = workspace.train(&tabs, &["--delimiter", wrong]);
        let expected = "expected one ASCII character, or `tab`";
        assert!(
            outcome.expect_code(2).stderr.contains(expected),
            "{}",
            outcome.stderr
        );
    }
}

/// DATA 01: the error stops every command; `--quoting none`, which its help names, removes it.
#[test]
fn every_command_refuses_swallowed_rows() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let others = (0..40).map(|row| format!("lovely {row}\t{}\n", row % 2));
    let head = "text\tlabel\n\"dull\t0\nfine\t1\na 42\"\t0\n".to_owned();
    let path = workspace.write("rows.tsv", head + &others.collect::<String>());
    let path = path.to_str().unwrap();
    let commands: [(&str, &[&str]); 3] = [
        (
            "train",
            &["--train", path, "--no-report", "--validation-split", "0"],
        ),
        ("evaluate", &["--data", path]),
        ("predict", &["--input", path]),
    ];
    for (name, arguments) in commands {
        let outcome = workspace.svm(name, arguments);
        let stderr = &outcome.expect_code(1).stderr;
        assert!(
            stderr.contains("error[D031]: `3` lines"),
            "{name}: {stderr}"
        );
        assert!(stderr.contains("pass --quoting none"), "{name}: {stderr}");
        let none = [arguments, &["--quoting", "none"]].concat();
        workspace.svm(name, &none).expect_code(0);
    }
}

/// DATA 22: scikit-learn#20992, jieba#332: words of Chinese and Thai text were whole sentences, and
/// the accuracy that of a guess.
#[test]
fn text_without_blanks_has_terms_of_characters() {
    let workspace = Workspace::new();
    let (known, new) = (unsegmented_rows(200, 1), unsegmented_rows(100, 2));
    for (known, new) in known.iter().zip(&new) {
        let [train, test] = [("train.csv", known), ("test.csv", new)]
            .map(|(name, rows)| workspace.write(name, to_csv(rows)));
        let accuracy = || {
            let flags = ["--data", test.to_str().unwrap(), "--json"];
            let outcome = workspace.svm("evaluate", &flags);
            number(&outcome.expect_code(0).json()["accuracy"])
        };
        let config =
            || -> Value { serde_json::from_slice(&workspace.read("model/config.json")).unwrap() };
        let stated = "200 of 200 rows have no blanks between words: using --analyzer char";
        for flags in [&[] as &[&str], &["--tune"], &["--max-ngrams", "2"]] {
            let outcome = workspace.train(&train, flags);
            let output = outcome.expect_code(0).output();
            assert_eq!(output.matches(stated).count(), 1, "{output}");
            assert_eq!(config()["analyzer"], "char");
            assert!(accuracy() >= 0.95, "{flags:?}");
        }
        // Scores of a text do not depend on the number of texts.
        let path = test.to_str().unwrap();
        let all = workspace.svm("predict", &["--input", path]);
        let alone = workspace.svm("predict", &[&new[0].text]);
        let [all, alone] = [all, alone].map(|outcome| {
            let record = super::records(&outcome.expect_code(0).stdout).swap_remove(0);
            (record[1].to_owned(), record[3].parse::<f64>().unwrap())
        });
        assert_eq!(all.0, alone.0);
        assert!((all.1 - alone.1).abs() < 1e-5, "{all:?} {alone:?}");

        let outcome = workspace.train(&train, &["--analyzer", "word"]);
        assert!(!outcome.expect_code(0).output().contains("no blanks"));
        assert_eq!(config().get("analyzer"), None);
    }
    // The defaults are not written: the model of words is that of older versions.
    let outcome = workspace.train(&movie_csv(), &[]);
    assert!(!outcome.expect_code(0).output().contains("no blanks"));
    let config: Value = serde_json::from_slice(&workspace.read("model/config.json")).unwrap();
    for name in [
        "analyzer",
        "min_ngrams",
        "token_pattern",
        "strip_accents",
        "lowercase",
    ] {
        assert_eq!(config.get(name), None, "{name}");
    }
}

/// Issue 17: options of the text analysis that exclude each other, and patterns that are none.
#[test]
fn impossible_text_analysis_is_a_usage_error() {
    let workspace = Workspace::new();
    let cases: [(&[&str], &str); 8] = [
        (
            &["--analyzer", "char", "--stopwords", "english"],
            "expected --analyzer word with --stopwords, found --analyzer `char`",
        ),
        (
            &["--analyzer", "char_wb", "--min-word-length", "1"],
            "expected --analyzer word with --min-word-length, found --analyzer `char_wb`",
        ),
        (
            &["--analyzer", "char", "--token-pattern", "a+"],
            "expected --analyzer word with --token-pattern, found --analyzer `char`",
        ),
        (
            &["--token-pattern", "a+", "--min-word-length", "1"],
            "expected --token-pattern or --min-word-length, found both",
        ),
        (
            &["--min-ngrams", "3", "--max-ngrams", "2"],
            "expected --min-ngrams of at most --max-ngrams, found `3` and `2`",
        ),
        (
            &["--token-pattern", "(a"],
            "found `(a`: expected `)`, found the end",
        ),
        (
            &["--token-pattern", r"\w*"],
            r"found `\w*`: it matches the empty text",
        ),
        (
            &["--token-pattern", "(a)(b)"],
            "found `(a)(b)`: expected at most one group, found `2`",
        ),
    ];
    for (flags, message) in cases {
        let outcome = workspace.train(&movie_csv(), flags);
        let stderr = &outcome.expect_code(2).stderr;
        assert!(
            stderr.contains(message) && stderr.contains("help: "),
            "{flags:?}: {stderr}"
        );
    }
    let blanks = ["--token-pattern", r"[^,.]+", "--min-df", "1"];
    let outcome = workspace.train(&movie_csv(), &blanks);
    let stderr = &outcome.expect_code(1).stderr;
    assert!(stderr.contains("help: use --max-ngrams 1"), "{stderr}");
    let obeyed = [&blanks[..], &["--max-ngrams", "1"]].concat();
    workspace.train(&movie_csv(), &obeyed).expect_code(0);
}

/// Issue 17: stop words that cannot match are counted, as scikit-learn warns of them.
#[test]
fn stop_words_that_cannot_match_are_counted() {
    let workspace = Workspace::new();
    let list = workspace.write("stop.txt", "the\ndon't\na\nnew york\nété\n");
    let list = ["--stopwords", list.to_str().unwrap()];
    let warning = |more: &[&str]| {
        let outcome = workspace.train(&movie_csv(), &[&list[..], more].concat());
        outcome.expect_code(0);
        let output = outcome.output();
        let line = output.lines().find(|line| line.contains("cannot match"));
        line.map(str::to_owned)
    };
    let found = warning(&[]).unwrap();
    assert!(
        found.contains("2 of 5 stop words cannot match, such as `don't`"),
        "{found}"
    );
    let found = warning(&["--strip-accents", "unicode"]).unwrap();
    assert!(found.contains("3 of 5 stop words"), "{found}");
    workspace.write("stop.txt", "the\ndon\na\n");
    assert_eq!(warning(&[]), None);
    let outcome = workspace.train(&movie_csv(), &["--stopwords", "english"]);
    assert!(!outcome.expect_code(0).output().contains("cannot match"));
}

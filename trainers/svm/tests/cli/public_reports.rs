//! Reports of users of this and other programs: the rows of the saved model, interrupted searches,
//! what a run states about itself, columns and formats of data, and grids (issue 16, lists DATA and
//! USER).

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::{Outcome, Row, movie_csv, movie_rows, run, start, to_csv, unsegmented_rows};

use super::{Workspace, number, records};

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

/// Interrupts a search after a part of the usual time; `None` if it ended before, as on a machine
/// that has less to do than at first.
fn interrupted(workspace: &Workspace, flags: &[&str], seconds: f64) -> Option<Outcome> {
    let mut running = start(workspace.command("train", flags));
    let pid = running.pid();
    running.wait_for_handler(pid);
    let ended = running.ends_within(Duration::from_secs_f64(seconds));
    if !ended {
        running.sigint();
    }
    let outcome = running.finish(Duration::from_secs(60));
    (!ended).then_some(outcome)
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
        let Some(outcome) = interrupted(&workspace, &flags, usual * share) else {
            continue;
        };
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
        let pid = running.pid();
        running.wait_for_handler(pid);
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

/// USER 24: columns of the data beside the predictions, quoted where necessary; the predictions are
/// the same as without them.
#[test]
fn kept_columns_stand_before_the_predictions() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let csv = "id,text,label\n07,\"a \"\"good\"\", fine\nfilm\",1\n08,,0\n";
    let file = workspace.write("rows.csv", csv);
    let input = ["--input", file.to_str().unwrap()];
    let plain = workspace
        .svm("predict", &input)
        .expect_code(0)
        .stdout
        .clone();
    let keep = ["--keep-columns", "id,text,label=truth"];
    let kept = workspace.svm("predict", &[&input[..], &keep].concat());
    let kept = &kept.expect_code(0).stdout;
    assert!(
        kept.starts_with(
            "id,text,truth,record,label,probability,score\n\
             07,\"a \"\"good\"\", fine\nfilm\",1,1,"
        ),
        "{kept}"
    );
    let (plain, kept) = (records(&plain), records(kept));
    for (plain, kept) in plain.iter().zip(&kept) {
        assert!(plain.iter().eq(kept.iter().skip(3)));
    }
    assert_eq!(kept[1].iter().take(3).collect::<Vec<_>>(), ["08", "", "0"]);
    // Standard input, JSON lines and a file per name.
    let piped = workspace.predict_piped(&keep, csv.as_bytes());
    assert_eq!(records(&piped), kept);
    let json = "{\"id\": 1.50, \"text\": \"good\", \"tags\": [\"a\"]}\n\
                {\"text\": \"bad\", \"id\": null}\n";
    let lines = ["--input-format", "jsonl", "--format", "jsonl"];
    let keep = ["--keep-columns", "id", "--keep-columns", "tags"];
    let answers = workspace.predict_piped(&[&lines[..], &keep].concat(), json.as_bytes());
    let starts = [
        "{\"id\":1.50,\"tags\":[\"a\"],",
        "{\"id\":null,\"tags\":null,",
    ];
    for (line, start) in answers.lines().zip(starts) {
        assert!(line.starts_with(start), "{line}");
        let answer: Value = serde_json::from_str(line).unwrap();
        assert!(answer["label"].is_string() && answer["record"].is_number());
    }
}

/// Issue 17: a comma or `=` in the name of a column; and a damaged second file, whose error left the
/// predictions of the first one without a remark.
#[test]
fn kept_columns_have_any_name_and_partial_output_is_stated() {
    let workspace = Workspace::with_model(&["--no-report"]);
    std::fs::create_dir(workspace.path("rows")).unwrap();
    let first = workspace.write("rows/a.csv", "\"x,y\",a=b,text\n1,2,good\n");
    let keep = ["--keep-columns", "\"x,y\",\"a=b\"=z"];
    let predict = |path: &str, more: &[&str]| {
        let flags = [&["--input", path, "--threads", "1"], &keep[..], more].concat();
        workspace.svm("predict", &flags)
    };
    let outcome = predict(first.to_str().unwrap(), &[]);
    let stdout = &outcome.expect_code(0).stdout;
    assert!(stdout.starts_with("\"x,y\",z,record,"), "{stdout}");
    assert!(stdout.contains("\n1,2,1,"), "{stdout}");

    workspace.write("rows/b.csv", "\"x,y\",a=b,text\n1,2\n");
    let folder = workspace.path("rows");
    let outcome = predict(folder.to_str().unwrap(), &[]);
    let outcome = outcome.expect_code(1);
    assert_eq!(records(&outcome.stdout).len(), 1);
    let stated = "warning: the predictions of the rows before the error are on standard output";
    assert!(outcome.stderr.contains(stated), "{}", outcome.stderr);
    let output = workspace.path("o.csv");
    let more = ["--output", output.to_str().unwrap()];
    let outcome = predict(folder.to_str().unwrap(), &more);
    assert!(!outcome.expect_code(1).stderr.contains(stated) && !output.exists());
}

/// Issue 17: the file was opened after all data was read, and needed an ending.
#[test]
fn file_of_class_weights_is_read_before_the_data() {
    let workspace = Workspace::new();
    workspace.write("weights", "label;weight\n0;1\n1;2\n");
    let train = |weights: &str| {
        let mut command = workspace.command("train", &["--no-report", "--class-weight", weights]);
        command.arg("--train").arg(movie_csv());
        command.current_dir(workspace.path(""));
        run(command)
    };
    let outcome = train("missing.json");
    let output = outcome.expect_code(1).output();
    assert!(output.contains("cannot read `missing.json`"), "{output}");
    assert!(!output.contains("rows read"), "{output}");
    let output = train("weights").expect_code(0).output();
    assert!(output.contains("600 rows read"), "{output}");
}

/// USER 24: nothing is predicted if a name is taken.
#[test]
fn names_of_kept_columns_are_checked_first() {
    let workspace = Workspace::with_model(&["--no-report"]);
    for (flags, message) in [
        (
            &["--keep-columns", "label"][..],
            "--keep-columns label=true_label",
        ),
        (
            &["--keep-columns", "\"x,y\"=label"],
            "--keep-columns '\"x,y\"=true_label'",
        ),
        (
            &["--keep-columns", "id=score"],
            "--keep-columns id=input_score",
        ),
        (
            &["--keep-columns", "id,text=id"],
            "two kept columns have the name `id`",
        ),
        (
            &["--all-classes", "--keep-columns", "probability:1"],
            "the name of a column of the predictions",
        ),
    ] {
        let file = movie_csv();
        let input = ["--input", file.to_str().unwrap()];
        let outcome = workspace.svm("predict", &[&input[..], flags].concat());
        let stderr = &outcome.expect_code(2).stderr;
        assert!(stderr.contains(message), "{stderr}");
        assert_eq!(outcome.stdout, "");
    }
}

/// USER 27, USER 31: plain lines, of standard input and of a file.
#[test]
fn lines_are_texts() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let lines = "a good, \"fine\" film\n\nan awful film";
    let texts = ["a good, \"fine\" film", "", "an awful film"];
    let expected = workspace
        .svm("predict", &texts)
        .expect_code(0)
        .stdout
        .clone();
    for flags in [&["-"][..], &["--input-format", "lines"]] {
        assert_eq!(workspace.predict_piped(flags, lines.as_bytes()), expected);
    }
    let file = workspace.write("texts.txt", lines);
    let flags = ["--input", file.to_str().unwrap(), "--input-format", "lines"];
    let outcome = workspace.svm("predict", &flags);
    assert_eq!(outcome.expect_code(0).stdout, expected);
    let stderr = &outcome.stderr;
    assert!(
        stderr.contains("warning[D013]: row has no text") && stderr.contains("1 such row"),
        "{stderr}"
    );
    let dropped = workspace.svm("predict", &[&flags[..], &["--drop-missing"]].concat());
    assert_eq!(records(&dropped.expect_code(0).stdout).len(), 2);
}

/// USER 27: fastText's format gives the model of the same rows as CSV, in every command.
#[test]
fn fasttext_files_train_the_same_model() {
    let workspace = Workspace::new();
    let plain = |row: Row| Row {
        text: row.text.split_whitespace().collect::<Vec<_>>().join(" "),
        ..row
    };
    let rows: Vec<Row> = movie_rows().into_iter().map(plain).collect();
    let csv = workspace.write("rows.csv", to_csv(&rows));
    let line = |row: &Row| format!("__label__{} {}\n", row.label, row.text);
    let lines: String = rows.iter().map(line).collect();
    let txt = workspace.write("rows.txt", &lines);
    workspace.train(&csv, &["--no-report"]).expect_code(0);
    let expected = workspace.model();
    workspace.train(&txt, &["--no-report"]).expect_code(0);
    assert!(workspace.model() == expected);
    let evaluated = |flags: &[&str]| {
        workspace
            .svm("evaluate", flags)
            .expect_code(0)
            .stdout
            .clone()
    };
    assert_eq!(
        evaluated(&[txt.to_str().unwrap()]),
        evaluated(&[csv.to_str().unwrap()])
    );
    let piped = workspace.predict_piped(&["--input-format", "fasttext"], lines.as_bytes());
    let file = workspace.svm("predict", &["--input", csv.to_str().unwrap()]);
    assert_eq!(piped, file.stdout);
}

/// Returns texts with single blanks, and their labels.
fn rows_with_single_blanks() -> Vec<(String, String)> {
    let words = |row: Row| {
        let words: Vec<&str> = row.text.split_whitespace().collect();
        (words.join(" "), row.label)
    };
    movie_rows().into_iter().map(words).collect()
}

/// Writes the rows as a CSV with a header, one without and two columns of text, and nested JSON.
fn write_layouts(workspace: &Workspace, rows: &[(String, String)]) -> [PathBuf; 3] {
    let csv: String = rows
        .iter()
        .map(|(text, label)| format!("\"{}\",{label}\n", text.replace('"', "\"\"")))
        .collect();
    let csv = workspace.write("rows.csv", format!("text,label\n{csv}"));
    let headless: String = rows
        .iter()
        .map(|(text, label)| {
            let (title, body) = text.split_once(' ').unwrap_or((text, ""));
            let quoted = [title, body].map(|part| part.replace('"', "\"\""));
            format!("{label},\"{}\"\n", quoted.join("\",\""))
        })
        .collect();
    let headless = workspace.write("headless.csv", headless);
    let object = |(text, label): &(String, String)| {
        let data = serde_json::json!({ "text": text });
        serde_json::json!({ "data": data, "label": label })
    };
    let json: Vec<Value> = rows.iter().map(object).collect();
    let json = workspace.write("rows.json", format!("{:#}", Value::from(json)));
    [csv, headless, json]
}

/// DATA 06, 16, USER 28: nested keys in a JSON array, and two text columns without a header, give
/// the predictions of the same rows as CSV; the model remembers the columns.
#[test]
fn other_layouts_give_the_same_predictions() {
    let workspace = Workspace::new();
    let rows = rows_with_single_blanks();
    let [csv, headless, json] = write_layouts(&workspace, &rows);
    let numbers = "--no-header --label-column 0 --text-column 1 --text-column 2"
        .split(' ')
        .collect::<Vec<_>>();
    let mut expected = None;
    for (path, columns) in [
        (&csv, &[] as &[&str]),
        (&headless, &numbers),
        (&json, &["--text-column", "data.text"]),
    ] {
        let path = path.to_str().unwrap();
        let train = [&["--train", path, "--no-report"], columns].concat();
        workspace.svm("train", &train).expect_code(0);
        workspace.svm("check", &[path]).expect_code(0);
        let found = [("predict", &["--input", path][..]), ("evaluate", &[path])]
            .map(|(name, flags)| workspace.svm(name, flags).expect_code(0).stdout.clone());
        assert_eq!(&found, expected.get_or_insert(found.clone()), "{columns:?}");
    }
    // Names that are given are those of a header.
    let data = ["--train", headless.to_str().unwrap(), "--no-report"];
    let train = [&data, &numbers[..]].concat();
    workspace.svm("train", &train).expect_code(0);
    let named = ["--input", csv.to_str().unwrap(), "--text-column", "text"];
    workspace.svm("predict", &named).expect_code(0);
    let named = [
        "--input",
        csv.to_str().unwrap(),
        "--text-column",
        "1",
        "--no-header",
    ];
    let swapped = workspace.svm("predict", &named);
    assert_eq!(
        records(&swapped.expect_code(0).stdout).len(),
        rows.len() + 1
    );
}

/// USER 30: a grid of one's own.
#[test]
fn search_tries_the_grid_of_the_user() {
    let workspace = Workspace::new();
    let flags = [
        "--tune",
        "--no-report",
        "--search",
        "c=0.1,1,1",
        "--search",
        "max_ngrams=1,2",
        "--sublinear-tf",
    ];
    let outcome = workspace.train(&movie_csv(), &flags);
    let stdout = &outcome.expect_code(0).stdout;
    assert!(
        stdout.contains("selected: tfidf, sublinear tf, n-grams up to ")
            && stdout.contains(", 4 candidates)"),
        "{stdout}"
    );
    let details = workspace.metrics()["details"].clone();
    let trials = details["trials"].as_array().unwrap();
    let tried: Vec<(f64, f64)> = trials
        .iter()
        .map(|trial| (number(&trial["max_ngrams"]), number(&trial["c"])))
        .collect();
    assert_eq!(tried, [(1.0, 0.1), (1.0, 1.0), (2.0, 0.1), (2.0, 1.0)]);

    // The terms are those of a training with the selected values.
    let found = workspace.model();
    let best = &details["candidate"];
    let (c, length) = (best["c"].to_string(), best["max_ngrams"].to_string());
    let flags = [
        "--no-report",
        "--sublinear-tf",
        "--c",
        &c,
        "--max-ngrams",
        &length,
        "--min-word-length",
        "1",
    ];
    workspace.train(&movie_csv(), &flags).expect_code(0);
    assert!(workspace.model()[1] == found[1]);
}

/// USER 30: names and values are checked before any data is read.
#[test]
fn wrong_grids_are_usage_errors() {
    let workspace = Workspace::new();
    let missing = workspace.path("no-such-file.csv");
    let check = |flags: &[&str], message: &str| {
        let outcome = workspace.train(&missing, flags);
        let stderr = &outcome.expect_code(2).stderr;
        assert!(stderr.contains(message), "{flags:?}: {stderr}");
    };
    for (search, message) in [
        ("c", "expected NAME=VALUE,VALUE"),
        ("c=", "expected a number from 1e-30 to 1e30, found ``"),
        ("c=1,0", "expected a number from 1e-30 to 1e30, found `0`"),
        (
            "max-ngrams=9",
            "expected a whole number from 1 to 8, found `9`",
        ),
        ("weighting=bm25", "expected tfidf or nbsvm, found `bm25`"),
        ("sublinear-tf=yes", "expected true or false, found `yes`"),
        (
            "min-df=1,2",
            "expected c, max-ngrams, weighting or sublinear-tf",
        ),
        (
            "c=1,2,3,4,5,6,7,8,9,10,11",
            "expected at most `10` candidates (--tune-trials), found `11`",
        ),
    ] {
        check(&["--tune", "--search", search], message);
    }
    check(&["--search", "c=1"], "--tune");
    check(
        &["--tune", "--alpha", "1", "--search", "c=1"],
        "without --alpha",
    );
    for search in ["max-ngrams=1", "max-ngrams=3,1"] {
        check(
            &["--tune", "--min-ngrams", "2", "--search", search],
            "expected --search max-ngrams of at least --min-ngrams, found `1` and `2`",
        );
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

/// Issue 17: the letters of an address or a mention hid a short Chinese text, and a minority of such
/// rows was classified by chance, both silently.
#[test]
fn rows_without_blanks_are_noticed_beside_addresses_and_other_rows() {
    let workspace = Workspace::new();
    let known = &unsegmented_rows(120, 1)[0];
    let with = |rows: &[Row], more: &[Row], end: &str| {
        let row = |row: &Row| Row {
            text: format!("{}{end}", row.text),
            label: row.label.clone(),
        };
        let rows: Vec<Row> = rows.iter().chain(more).map(row).collect();
        workspace.write("rows.csv", to_csv(&rows))
    };
    for end in [" https://t.co/1ZYccaZ91b", " @user12345 #movie"] {
        let outcome = workspace.train(&with(known, &[], end), &["--no-report"]);
        let output = outcome.expect_code(0).output();
        let stated = "120 of 120 rows have no blanks between words: using --analyzer char";
        assert!(output.contains(stated), "{output}");
    }
    let mixed = with(known, &movie_rows(), "");
    let outcome = workspace.train(&mixed, &["--no-report"]);
    let output = outcome.expect_code(0).output();
    let stated = "120 of 720 rows have no blanks between words: most of their words are whole \
                  sentences\n  help: pass --analyzer char, or pass --analyzer word";
    assert!(output.contains(stated), "{output}");
    for analyzer in ["char", "word"] {
        let outcome = workspace.train(&mixed, &["--no-report", "--analyzer", analyzer]);
        assert!(!outcome.expect_code(0).output().contains("no blanks"));
    }
}

/// Issue 17: `--model-dir s3://b/m` wrote a folder `s3:`, with exit code 0.
#[test]
fn addresses_are_not_local_paths() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let rows = movie_csv();
    let rows = rows.to_str().unwrap();
    let train = ["train", "--train", rows, "--model-dir"];
    let model = ["--model-dir", "model", rows];
    let cases: [(&[&[&str]], &str); 9] = [
        (
            &[&train, &["s3://b/m"]],
            "upload it: aws s3 cp --recursive m s3://b/m",
        ),
        (
            &[&train, &["m", "--output-data-dir", "s3://b/m"]],
            "pass --output-data-dir m,",
        ),
        (
            &[&train, &["m", "--stopwords", "s3://b/s.txt"]],
            "aws s3 cp s3://b/s.txt s.txt",
        ),
        (
            &[&train, &["m", "--class-weight", "gs://b/w.json"]],
            "gcloud storage cp gs://b/w.json w.json",
        ),
        (
            &[&train, &["m", "--config", "s3://b/run.toml"]],
            "aws s3 cp s3://b/run.toml run.toml",
        ),
        (
            &[&["evaluate"], &model, &["--metrics", "s3://b/x.json"]],
            "upload it: aws s3 cp x.json s3://b/x.json",
        ),
        (
            &[&["evaluate"], &model, &["--report", "hf://u/m/x.html"]],
            "upload it: hf upload u/m x.html x.html",
        ),
        (
            &[&["evaluate", rows, "--model-dir", "s3://b/m"]],
            "aws s3 cp --recursive s3://b/m m",
        ),
        (
            &[
                &["predict", "good"],
                &model[..2],
                &["--output", "s3://b/o.csv"],
            ],
            "upload it: aws s3 cp o.csv s3://b/o.csv",
        ),
    ];
    for (arguments, expected) in cases {
        let mut command = Command::new(super::BIN);
        command.env_clear().current_dir(workspace.path(""));
        command.args(arguments.concat());
        let outcome = run(command);
        let stderr = &outcome.expect_code(2).stderr;
        assert!(stderr.contains(expected), "{stderr}");
    }
    assert_eq!(std::fs::read_dir(workspace.path("")).unwrap().count(), 1);
}

/// Issue 17: options of the text analysis that exclude each other, and invalid patterns.
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
        found.contains("2 of 5 stop words cannot match, such as `don't`: texts have `don` instead"),
        "{found}"
    );
    let found = warning(&["--strip-accents", "unicode"]).unwrap();
    assert!(found.contains("3 of 5 stop words"), "{found}");
    // They have no parts that could be given instead.
    workspace.write("stop.txt", "café\nnaïve\n");
    let found = warning(&["--strip-accents", "unicode"]).unwrap();
    let stated = "2 of 2 stop words cannot match, such as `café`: texts have `cafe` instead";
    assert!(found.contains(stated), "{found}");
    workspace.write("stop.txt", "cafe\nnaive\n");
    assert_eq!(warning(&["--strip-accents", "unicode"]), None);
    workspace.write("stop.txt", "the\ndon\na\n");
    assert_eq!(warning(&[]), None);
    let outcome = workspace.train(&movie_csv(), &["--stopwords", "english"]);
    assert!(!outcome.expect_code(0).output().contains("cannot match"));
}

/// Issue 17 (transformers#9772, setfit#84): rows of --test need no weights, weights of 1 change
/// nothing, and the report shows texts of both files.
#[test]
fn weights_are_those_of_training_rows() {
    let workspace = Workspace::new();
    let rows = movie_rows();
    let weigh = |weight: fn(usize) -> &'static str| {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["text", "weight", "label"]).unwrap();
        for (number, row) in rows.iter().enumerate() {
            let record = [row.text.as_str(), weight(number), &row.label];
            writer.write_record(record).unwrap();
        }
        writer.into_inner().unwrap()
    };
    let ones = workspace.write("ones.csv", weigh(|_| "1"));
    let others = workspace.write("others.csv", weigh(|row| ["0", "2.5", "1"][row % 3]));
    let test = movie_csv();
    let test = ["--test", test.to_str().unwrap()];
    let weighted = [&test[..], &["--weight-column", "weight"]].concat();
    let models = [(&ones, &test[..]), (&ones, &weighted), (&others, &weighted)].map(
        |(path, flags): (&PathBuf, &[&str])| {
            workspace.train(path, flags).expect_code(0);
            workspace.read("model/model.safetensors")
        },
    );
    assert!(models[0] == models[1] && models[1] != models[2]);
    let page = String::from_utf8(workspace.read("model/report.html")).unwrap();
    assert!(page.contains("weight_column") && !page.contains("this row was changed"));
    // A class whose rows all weigh 0 has no training rows.
    let none = workspace.write("none.csv", weigh(|_| "0"));
    let outcome = workspace.train(&none, &["--weight-column", "weight"]);
    let stderr = &outcome.expect_code(1).stderr;
    assert!(stderr.contains("expected training rows"), "{stderr}");
}

/// Macro-F1 1.0000 for 2 of 62 classes, without a word about the others.
#[test]
fn classes_without_rows_are_stated() {
    let workspace = Workspace::new();
    let pair = |row: u32| format!("good film word{row},a\nbad plot word{row},b\n");
    let pairs: String = (0..40).map(pair).collect();
    let rare: String = (0..6).map(|c| format!("rare{c} thing{c},c{c}\n")).collect();
    let rows = workspace.write("rows.csv", format!("text,label\n{pairs}{rare}"));
    let outcome = workspace.train(&rows, &["--min-df", "1"]);
    let outcome = outcome.expect_code(0);
    let note = "of 2 of 8 classes (6 without rows)";
    let line = format!("{note} on 8 validation rows\n");
    assert!(outcome.stdout.contains(&line), "{}", outcome.stdout);
    let warning = "6 of 8 classes without validation rows";
    assert!(outcome.stderr.contains(warning), "{}", outcome.stderr);
    let metrics = workspace.metrics();
    assert_eq!(metrics["classes_without_rows"], 6);
    assert!(metrics["warnings"].to_string().contains(warning));
    assert!(workspace.report().contains(note));

    let common = workspace.write("common.csv", format!("text,label\n{pairs}"));
    let outcome = workspace.svm("evaluate", &[common]);
    let outcome = outcome.expect_code(0);
    assert!(outcome.stdout.contains(note), "{}", outcome.stdout);
    let warning = "6 of 8 classes without rows";
    assert!(outcome.stderr.contains(warning), "{}", outcome.stderr);
}

/// Accuracy 0.0000 on 0 rows, and rows of the training data as not trained on.
#[test]
fn test_rows_that_are_all_in_the_training_data_are_stated() {
    let workspace = Workspace::new();
    let test = workspace.write("test.csv", to_csv(&movie_rows()[..140]));
    let outcome = workspace.train(&movie_csv(), &["--test", test.to_str().unwrap()]);
    let stdout = &outcome.expect_code(0).stdout;
    let line = "the texts of all 140 test rows are also in the training data\n";
    assert!(stdout.contains(line), "{stdout}");
    let metrics = workspace.metrics();
    let unseen = &metrics["test"]["without_texts_of_train"];
    assert_eq!(*unseen, serde_json::json!({ "rows": 0, "accuracy": null }));
    let report = workspace.report();
    assert!(report.contains("the texts of 140 of these 140 rows are also in the training data"));
    assert!(!report.contains("the model was not trained on these rows"));
}

/// `--output x.jsonl`, `.parquet` and `.csv.gz` were plain CSV.
#[test]
fn format_of_predictions_is_that_of_the_name() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let predict = |name: &str, more: &[&str]| {
        let output = workspace.path(name);
        let arguments = [&["--output", output.to_str().unwrap(), "good"], more].concat();
        workspace.svm("predict", &arguments)
    };
    for (name, more, start) in [
        ("a.jsonl", &[] as &[&str], "{\""),
        ("a.NDJSON", &[], "{\""),
        ("a.csv", &[], "record,"),
        ("a.txt", &[], "record,"),
        ("b.txt", &["--format", "jsonl"], "{\""),
    ] {
        predict(name, more).expect_code(0);
        let text = String::from_utf8(workspace.read(name)).unwrap();
        assert!(text.starts_with(start), "{name}: {text}");
    }
    for (name, more) in [
        ("c.parquet", &[] as &[&str]),
        ("c.csv.gz", &["--format", "csv"]),
        ("c.csv", &["--format", "jsonl"]),
        ("c.jsonl", &["--format", "csv"]),
    ] {
        let outcome = predict(name, more);
        let stderr = &outcome.expect_code(2).stderr;
        assert!(
            stderr.contains("expected an --output that ends in"),
            "{stderr}"
        );
        assert!(!workspace.path(name).exists(), "{name}");
    }
}

/// Labels of a `config.json` edited by hand; a class was lost in JSON lines.
#[test]
fn wrong_labels_of_a_model_are_refused() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let whole: Value = serde_json::from_slice(&workspace.read("model/config.json")).unwrap();
    for (id2label, label2id, expected) in [
        (
            ["a", "a"],
            ["a", "b"],
            "expected `a` to have the id `1` in `label2id`",
        ),
        (
            ["b", "a"],
            ["a", "b"],
            "expected `b` to have the id `0` in `label2id`",
        ),
        (
            ["a", "c"],
            ["a", "b"],
            "expected `c` to have the id `1` in `label2id`",
        ),
        (
            ["a", ""],
            ["a", ""],
            "for the id `1` in `id2label`, found an empty one",
        ),
    ] {
        let mut config = whole.clone();
        config["id2label"] = serde_json::json!({ "0": id2label[0], "1": id2label[1] });
        let id = |(id, label): (u32, &str)| (label.to_owned(), Value::from(id));
        config["label2id"] = Value::Object((0..).zip(label2id).map(id).collect());
        workspace.write("model/config.json", config.to_string());
        let outcome = workspace.svm("predict", &["a good film"]);
        let stderr = &outcome.expect_code(1).stderr;
        assert!(
            stderr.contains(expected) && stderr.contains("help: train again"),
            "{stderr}"
        );
    }
    let mut config = whole;
    config.as_object_mut().unwrap().remove("files").unwrap();
    workspace.write("model/config.json", config.to_string());
    let outcome = workspace.svm("predict", &["a good film"]);
    let stderr = &outcome.expect_code(1).stderr;
    assert!(
        stderr.contains("`config.json` has no checksums in `files`"),
        "{stderr}"
    );
    assert!(stderr.contains("or train again"), "{stderr}");
}

/// A link to a missing folder was "a file has the name of a folder in it".
#[test]
fn dangling_link_as_model_folder_is_named() {
    let workspace = Workspace::new();
    let link = workspace.path("model");
    std::os::unix::fs::symlink(workspace.path("missing"), &link).unwrap();
    let outcome = workspace.train(&movie_csv(), &["--no-report"]);
    let stderr = &outcome.expect_code(1).stderr;
    assert!(stderr.contains("the target of the link"), "{stderr}");
    assert!(stderr.contains("help: create the target"), "{stderr}");
    std::fs::create_dir(workspace.path("missing")).unwrap();
    workspace
        .train(&movie_csv(), &["--no-report"])
        .expect_code(0);
}

/// `--check` called arguments valid that name no data and no folder.
#[test]
fn check_of_options_states_what_is_not_checked() {
    let outcome = Workspace::new().svm("train", &["--check"]);
    let expected = "the options are valid; data and folders are not checked\n";
    assert_eq!(outcome.expect_code(0).stdout, expected);
}

/// Labels of 2,000 characters filled the tables.
#[test]
fn long_labels_are_cut_in_tables() {
    let workspace = Workspace::new();
    let long = "l".repeat(2000);
    let pair = |row: u32| format!("good film word{row},{long}\nbad plot word{row},b\n");
    let pairs: String = (0..20).map(pair).collect();
    let rows = workspace.write("rows.csv", format!("text,label\n{pairs}"));
    let rows = rows.to_str().unwrap();
    workspace
        .svm("train", &["--train", rows, "--min-df", "1"])
        .expect_code(0);
    let shown = format!("  {}...\n", "l".repeat(60));
    for arguments in [["check", rows], ["evaluate", rows]] {
        let outcome = workspace.svm(arguments[0], &arguments[1..]);
        let stdout = &outcome.expect_code(0).stdout;
        assert!(stdout.contains(&shown) && stdout.len() < 2000, "{stdout}");
    }
    let outcome = workspace.svm("explain", &["--top", "1"]);
    let line = format!("for {}...\n", "l".repeat(60));
    assert!(outcome.stdout.contains(&line), "{}", outcome.stdout);
}

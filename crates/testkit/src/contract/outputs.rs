//! Metric lines, logs, JSON, failure file, output folders.

use std::collections::BTreeSet;

use regex::Regex;

use super::{Trainer, failure, job, test_rows, train_rows, validation_rows, weights};
use crate::fake_ml::names;
use crate::{FakeMl, Outcome, Row, run, to_csv};

/// Returns the values that CloudWatch would find for a metric.
pub(super) fn printed(trainer: &Trainer, metric: &str, outcome: &Outcome) -> Vec<f64> {
    let (_, pattern) = trainer
        .metrics
        .iter()
        .find(|(name, _)| name == metric)
        .unwrap_or_else(|| panic!("no metric `{metric}` is defined"));
    found(pattern, &outcome.output())
}

fn found(pattern: &str, output: &str) -> Vec<f64> {
    let regex = Regex::new(pattern).unwrap_or_else(|error| panic!("`{pattern}`: {error}"));
    output
        .lines()
        .flat_map(|line| regex.captures_iter(line))
        .map(|captures| {
            let text = captures
                .get(1)
                .unwrap_or_else(|| panic!("`{pattern}` captures nothing"));
            let text = text.as_str();
            text.parse()
                .unwrap_or_else(|_| panic!("`{pattern}` finds `{text}`, not a number"))
        })
        .collect()
}

/// All printed metrics are defined, accuracies are from 0 to 1, all splits are printed.
pub fn metric_lines_match_definitions(trainer: &Trainer) {
    assert!(
        trainer.metrics.len() <= 40,
        "SageMaker takes 40 definitions"
    );
    for (name, pattern) in &trainer.metrics {
        assert!(
            pattern.len() <= 500,
            "the expression of `{name}` has over 500 characters"
        );
    }
    let ml = job()
        .channel("validation", "validation.csv", to_csv(&validation_rows()))
        .channel("test", "test.csv", to_csv(&test_rows()));
    // Without a report the training rows need not be scored.
    let flags = trainer.quick.iter().filter(|flag| *flag != "--no-report");
    let outcome = run(ml.train(&trainer.bin, &flags.collect::<Vec<_>>()));
    outcome.expect_code(0);
    for channel in ["train", "validation", "test"] {
        for metric in ["accuracy", "macro_f1"] {
            let name = format!("{channel}:{metric}");
            let numbers = printed(trainer, &name, &outcome);
            assert!(
                !numbers.is_empty(),
                "`{name}` is not printed:\n{}",
                outcome.output()
            );
            assert!(
                numbers.iter().all(|n| (0.0..=1.0).contains(n)),
                "{name}: {numbers:?}"
            );
        }
    }
    // CloudWatch would silently ignore a metric with a typo.
    let groups: BTreeSet<&str> = (trainer.metrics.iter())
        .filter_map(|(name, _)| Some(name.split_once(':')?.0))
        .collect();
    let groups = groups.into_iter().collect::<Vec<_>>().join("|");
    let shape = format!(r"\b((?:{groups}):[a-z][a-z0-9_]*)=");
    let shape = Regex::new(&shape).expect("metric names need no escape");
    for captures in shape.captures_iter(&outcome.output()) {
        let name = &captures[1];
        assert!(
            !printed(trainer, name, &outcome).is_empty(),
            "`{name}` is printed but its definition does not match it:\n{}",
            outcome.output()
        );
    }
}

/// Logs in a pipe have no carriage returns, no escape sequences and few progress lines.
pub fn logs_are_plain_without_terminal(trainer: &Trainer) {
    let ml = job();
    let mut command = ml.train(&trainer.bin, &trainer.quick);
    // Also if the environment forces colours.
    command.env("TERM", "xterm-256color").env("CLICOLOR", "1");
    let outcome = run(command);
    outcome.expect_code(0);
    let output = outcome.output();
    assert!(!output.contains('\r'), "a carriage return in: {output:?}");
    assert!(
        !output.contains('\u{1b}'),
        "an escape sequence in: {output:?}"
    );
    let lines = output.lines().count();
    let max_lines = 100 + (outcome.seconds / 2.0) as usize;
    assert!(
        lines <= max_lines,
        "{lines} lines in {:.1} s",
        outcome.seconds
    );
    assert!(lines > 0, "there are log lines");
}

/// Rows, labels and file names that look like metrics are not found by the regular expressions.
pub fn data_cannot_forge_metrics(trainer: &Trainer) {
    // No real metric has this value.
    const FORGED: f64 = 0.123_456_7;
    let mut spell = String::new();
    for (name, _) in &trainer.metrics {
        spell.push_str(&format!("{name}={FORGED};\n{name}={FORGED}; "));
    }
    // One forged label as a class, and one row for each error that quotes data.
    let mut rows = train_rows();
    for (index, row) in rows.iter_mut().enumerate() {
        row.text = format!("{spell} {}", row.text);
        if row.label == "1" {
            row.label.clone_from(&spell);
        }
        if index % 40 == 0 {
            row.text = format!("{spell} {index}");
        }
    }
    let name = "validation:accuracy=0.1234567;.csv";
    for extra in [
        None,
        Some(Row {
            text: spell.clone(),
            label: String::new(),
        }),
    ] {
        let broken = extra.is_some();
        rows.extend(extra);
        let ml = FakeMl::new().channel("train", name, to_csv(&rows)).channel(
            "test",
            name,
            to_csv(&rows[..40]),
        );
        let outcome = trainer.train::<&str>(&ml, &[]);
        outcome.expect_code(i32::from(broken));
        let output = format!("{}\n{}", outcome.output(), ml.failure().unwrap_or_default());
        for (name, pattern) in &trainer.metrics {
            let numbers = found(pattern, &output);
            assert!(
                numbers.iter().all(|number| (number - FORGED).abs() > 1e-6),
                "the data forged `{name}`:\n{output}"
            );
        }
    }
}

/// `train --json` prints one object on standard output, everything else on standard error.
pub fn json_prints_one_object(trainer: &Trainer) {
    let ml = job().channel("validation", "validation.csv", to_csv(&validation_rows()));
    let outcome = trainer.train(&ml, &["--json"]);
    let trained = outcome.expect_code(0).json();
    for name in ["accuracy", "macro_f1", "rows", "seconds", "peak_rss_bytes"] {
        assert!(trained[name].is_number(), "no number `{name}` in {trained}");
    }
    let data = ml.path("input/data/validation");
    let outcome = trainer.evaluate(&ml.model_dir(), &data);
    let evaluated = outcome.expect_code(0).json();
    for name in [
        "accuracy",
        "macro_f1",
        "log_loss",
        "ece",
        "rows",
        "seconds",
        "peak_rss_bytes",
    ] {
        assert!(
            evaluated[name].is_number(),
            "no number `{name}` in {evaluated}"
        );
    }
    assert_eq!(evaluated["rows"], validation_rows().len());
    assert_eq!(trained["accuracy"], evaluated["accuracy"]);
}

/// The failure file has at most the first 1,024 characters of the message.
pub fn failure_file_is_short_and_starts_with_cause(trainer: &Trainer) {
    let long = "ü".repeat(2000);
    let ml = job().hyperparameter(&trainer.number.0, &long);
    let outcome = trainer.train::<&str>(&ml, &[]);
    let text = failure(&ml, &outcome);
    assert!(
        !text.starts_with(char::is_whitespace),
        "it starts with a blank: {text:?}"
    );
    assert!(!text.contains('\u{1b}'), "an escape sequence in: {text:?}");

    // A row without a label: the message has its place.
    let mut rows = train_rows();
    rows[7].label.clear();
    let ml = FakeMl::new().channel("train", "train.csv", to_csv(&rows));
    let outcome = trainer.train::<&str>(&ml, &[]);
    let text = failure(&ml, &outcome);
    assert!(
        text.contains("row has no label") && text.contains("train.csv:"),
        "{text}"
    );
    assert!(
        outcome.stderr.contains("row has no label"),
        "{}",
        outcome.stderr
    );
    assert!(ml.model_files().is_empty());
}

/// `SM_MODEL_DIR` and `SM_OUTPUT_DATA_DIR` override the base folder.
pub fn variables_set_output_folders(trainer: &Trainer) {
    let ml = job();
    let (model, output) = (ml.path("elsewhere/model"), ml.path("elsewhere/output"));
    let mut command = ml.train(&trainer.bin, &trainer.quick);
    command
        .env("SM_MODEL_DIR", &model)
        .env("SM_OUTPUT_DATA_DIR", &output);
    run(command).expect_code(0);
    assert!(!weights(&model).is_empty());
    assert!(ml.model_files().is_empty(), "{:?}", ml.model_files());
    let usual = names(&ml.path("output/data"));
    assert!(
        usual.is_empty(),
        "written to the usual output folder: {usual:?}"
    );
}

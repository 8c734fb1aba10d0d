//! The regular expressions match printed metrics, and nothing else.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::LazyLock;

use diagnostics::sanitize;
use proptest::prelude::*;
use regex::Regex;
use sagemaker::metrics::{Measure, Metric, MetricLine, Progress, Split, definitions};

static REGEXES: LazyLock<Vec<(Metric, Regex)>> = LazyLock::new(|| {
    Metric::all()
        .map(|metric| (metric, Regex::new(&metric.regex()).unwrap()))
        .collect()
});

/// Returns the metrics found in a text, with their values.
fn found(text: &str) -> Vec<(Metric, String)> {
    let mut found = Vec::new();
    for (metric, regex) in REGEXES.iter() {
        found.extend(
            regex
                .captures_iter(text)
                .map(|groups| (*metric, groups[1].to_owned())),
        );
    }
    found
}

#[test]
fn all_metrics_on_one_line_are_found() {
    let metrics: Vec<_> = Metric::all().collect();
    let line = metrics
        .iter()
        .enumerate()
        .fold(MetricLine::new(), |line, (at, &metric)| {
            line.with(metric, at as f64)
        });
    let line = line.to_string();
    assert!(
        line.is_ascii() && !line.contains(char::is_control),
        "{line}"
    );
    let values: Vec<f64> = found(&line)
        .iter()
        .map(|(_, value)| value.parse().unwrap())
        .collect();
    assert_eq!(
        values,
        (0..metrics.len()).map(|at| at as f64).collect::<Vec<_>>()
    );
    assert_eq!(
        found(&line)
            .iter()
            .map(|(metric, _)| *metric)
            .collect::<Vec<_>>(),
        metrics
    );
}

#[test]
fn line_after_time_stamp_is_found() {
    let line = MetricLine::new().with(Metric::At(Progress::Epoch), 2.0);
    let text = format!("hello\n2026-11-22T10:00:00Z  INFO {line}\nbye");
    assert_eq!(
        found(&text),
        [(Metric::At(Progress::Epoch), "2".to_owned())]
    );
}

#[test]
fn longer_names_do_not_match() {
    for text in [
        "my_validation:accuracy=0.9;",
        "x:validation:accuracy=0.9;",
        "validation:accuracy_top5=0.9;",
        "validation:accuracy=0.9",
        "validation:accuracy=nan;",
        "validation:accuracy=;",
        "`validation:accuracy=0.9;`",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
    // Control: the well-formed text is found.
    let expected = (
        Metric::Of(Split::Validation, Measure::Accuracy),
        "0.9".to_owned(),
    );
    assert_eq!(found("validation:accuracy=0.9;"), [expected]);
}

#[test]
fn definitions_are_the_metrics() {
    for (definition, metric) in definitions().iter().zip(Metric::all()) {
        assert_eq!(definition.name, metric.to_string());
        // One group: SageMaker takes the first.
        assert_eq!(Regex::new(&definition.regex).unwrap().captures_len(), 2);
    }
    assert_eq!(definitions().len(), Metric::all().count());
}

/// Texts that try to look like a metric line.
fn hostile() -> impl Strategy<Value = String> {
    let names: Vec<String> = Metric::all().map(|metric| metric.to_string()).collect();
    let line = (
        prop::sample::select(names),
        "[=: \u{a0}\n]{0,3}",
        "[0-9.e;-]{0,6}",
        any::<String>(),
    );
    let part = line.prop_map(|(name, before, number, after)| {
        format!("{before}{name}={number};{after} {name}{before}={number}; {name}=1;")
    });
    prop_oneof![any::<String>(), "[ -~\n\r\t\u{1b}]{0,40}", part]
}

proptest! {
    #[test]
    fn all_finite_numbers_are_found(value in any::<f64>(), at in 0..Metric::all().count()) {
        let metric = Metric::all().nth(at).unwrap();
        let line = MetricLine::new().with(metric, value).to_string();
        if !value.is_finite() {
            prop_assert_eq!(line, "");
            return Ok(());
        }
        let found = found(&line);
        prop_assert_eq!(found.len(), 1, "{}", line);
        let read: f64 = found[0].1.parse().unwrap();
        let rounded_to_a_count = (read - value.round()).abs() == 0.0;
        // Subnormal numbers have fewer than the seven printed digits.
        let allowed = (value.abs() * 6e-7).max(f64::MIN_POSITIVE);
        prop_assert!((read - value).abs() <= allowed || rounded_to_a_count, "{} {}", line, value);
    }

    #[test]
    fn sanitized_data_never_matches(one in hostile(), two in hostile()) {
        let (one_clean, two_clean) = (sanitize(&one), sanitize(&two));
        for text in [
            format!("foo: `{one_clean}` bar"),
            format!("{one_clean}"),
            format!("label {one_clean} and label {two_clean};"),
            format!("`{one_clean}`,`{two_clean}`"),
        ] {
            prop_assert_eq!(found(&text), [], "{}", text);
            prop_assert!(!text.contains(char::is_control), "{:?}", text);
        }
    }

    #[test]
    fn harmless_text_is_unchanged(text in "[a-zA-Z0-9 .,;:!?=äöü文\\-]{0,60}") {
        prop_assume!(!Metric::all().any(|metric| text.contains(&metric.to_string())));
        prop_assert_eq!(sanitize(&text), text.as_str());
    }
}

/// Printing of texts from users.
mod attacks {
    use diagnostics::LogText;
    use diagnostics::sanitize::sanitize_json;

    use super::*;

    /// Returns texts made of what the regular expressions look for.
    fn forged() -> impl Strategy<Value = String> {
        let parts = [
            "validation:accuracy",
            "train:loss",
            "test:macro_f1",
            "progress:step",
            "=0.999;",
            "=",
            "1;",
            ";",
            " ",
            "\n",
            "\n  ",
            "\r",
            "\t",
            "\u{1b}[2J",
            "\u{9b}",
            "\u{85}",
            "\u{2028}",
            "\u{a0}",
            "error",
            "warning: ",
            "train",
            ":",
            "a",
            "x",
            "\\",
            "\"",
            "\u{202e}",
        ];
        let part = proptest::sample::select(parts.to_vec());
        proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
    }

    proptest! {
        /// ATTACK F4: no text can match a metric, move the cursor or start a line of its own.
        #[test]
        fn printed_text_is_not_a_metric(text in forged()) {
            let printed = LogText::new(&text).to_string();
            prop_assert!(found(&printed).is_empty());
            let plain = |line: &str| !line.contains(char::is_control);
            prop_assert!(printed.split('\n').all(plain));
            let starts = ["  ", "error", "warning"];
            let is_line = |line: &str| starts.iter().any(|start| line.starts_with(start));
            prop_assert!(printed.split('\n').skip(1).all(is_line));
        }

        /// ATTACK F4: the same for JSON, which keeps its values.
        #[test]
        fn printed_json_is_not_a_metric(text in forged()) {
            let value = serde_json::json!({ text.as_str(): [text.as_str(), format!(" {text}")] });
            let json = value.to_string();
            let printed = sanitize_json(&json);
            prop_assert!(found(&printed).is_empty());
            prop_assert!(!printed.contains(char::is_control));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), value);
        }
    }
}

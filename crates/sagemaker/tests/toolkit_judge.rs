//! Compares with AWS's Python packages: the sagemaker-training toolkit decodes the same files,
//! botocore has the limits of the service, and Python's `re` runs the metric regexes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use sagemaker::hyperparameters::{encode, read};
use sagemaker::metrics::{Metric, MetricLine, definitions};
use sagemaker::{Env, Paths, ResourceConfig, Value, limits};

/// Sends questions to the Python script, with `base` as the layout of the container.
fn ask(base: &Path, questions: &[Json]) -> Vec<Json> {
    let python = std::env::var_os("TRAINYARD_PYTHON").unwrap_or_else(|| {
        panic!("`TRAINYARD_PYTHON` is not set\n  help: run ./test, which creates the Python environment and sets the variable")
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/toolkit_judge.py");
    let mut child = Command::new(&python)
        .arg(script)
        .env("SAGEMAKER_BASE_DIR", base)
        // Otherwise the toolkit creates /opt/ml.
        .env("SM_STUDIO_LOCAL_MODE", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", python.display()));
    // Dropping the handle closes the input of the script.
    let mut stdin = child.stdin.take().unwrap();
    for question in questions {
        writeln!(stdin, "{question}").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "the script failed; its output is above"
    );
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Json> = answers
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(answers.len(), questions.len());
    answers
}

/// Creates a layout with these hyperparameters and the channels `train` and `my-data`.
fn layout(hyperparameters: &BTreeMap<String, String>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths::at(dir.path());
    fs::create_dir_all(paths.config_dir()).unwrap();
    for channel in ["train", "my-data"] {
        fs::create_dir_all(paths.data_dir().join(channel)).unwrap();
    }
    let write = |path, value: Json| fs::write(path, value.to_string()).unwrap();
    write(paths.hyperparameters(), json!(hyperparameters));
    write(
        paths.input_data_config(),
        json!({ "train": {}, "my-data": {} }),
    );
    write(
        paths.resource_config(),
        json!({ "current_host": "algo-1", "hosts": ["algo-1", "algo-2"] }),
    );
    dir
}

/// True if the toolkit's value and ours are equal, numbers as numbers.
fn same(kind: &str, theirs: &[String], ours: Option<&Value>) -> bool {
    match (kind, ours) {
        ("none", None) => true,
        ("number", Some(Value::One(ours))) => {
            let number = |text: &str| text.parse::<f64>().ok();
            number(ours).is_some() && number(ours) == number(&theirs[0])
        }
        ("bool" | "string", Some(Value::One(ours))) => theirs == [ours.as_str()],
        ("list" | "map", Some(Value::Many(ours))) => theirs == ours,
        _ => false,
    }
}

/// Returns each string, and true if the toolkit decodes it to the same value.
fn decoded_by_both(values: &BTreeMap<String, String>) -> Vec<(String, bool)> {
    let dir = layout(values);
    let answer = ask(dir.path(), &[json!(["environment", []])]).remove(0);
    let theirs: BTreeMap<String, (String, Vec<String>)> =
        serde_json::from_value(answer["hyperparameters"].clone()).unwrap();
    let ours = read(&Paths::at(dir.path()).hyperparameters()).unwrap();
    let ours: BTreeMap<_, _> = ours.iter().map(|h| (h.name.as_str(), &h.value)).collect();
    let names: Vec<_> = theirs.keys().map(String::as_str).collect();
    assert!(
        ours.keys().all(|name| names.contains(name)),
        "{ours:?} {names:?}"
    );
    theirs
        .iter()
        .map(|(name, (kind, texts))| {
            (
                values[name].clone(),
                same(kind, texts, ours.get(name.as_str()).copied()),
            )
        })
        .collect()
}

fn numbered<'a>(values: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
    values
        .into_iter()
        .enumerate()
        .map(|(at, v)| (format!("k{at:03}"), v.to_owned()))
        .collect()
}

#[test]
fn toolkit_decodes_the_same_values() {
    let values = [
        "10",
        " 10 ",
        "-1",
        "1e-7",
        "0.10",
        "-0.5E+3",
        "12345678901234567890",
        "\"10\"",
        "english",
        "\"english\"",
        "\"two words\"",
        "",
        "\"\"",
        "true",
        "false",
        "null",
        "none",
        "nothing",
        "\"None\"",
        "\"null\"",
        "\"True\"",
        "\"a\\nb\"",
        "\"\\u00e4\\ud83d\\ude00\"",
        "größe",
        "0x10",
        "1_000",
        "1.",
        ".5",
        "+1",
        "01",
        "1 2",
        "s3://bucket/key",
        "a=b",
        "[1, 2]",
        "[]",
        "[\"a\", \"b,c\", 1.5]",
        "{\"neg\": 2, \"a b\": \"x\"}",
        "{}",
        "['a']",
        "{'a': 1}",
        "[1,",
    ];
    let mut values = numbered(values);
    for own in [
        "sagemaker_program",
        "sagemaker_submit_directory",
        "sagemaker_region",
        "sagemaker_new_one",
        "_tuning_objective_metric",
    ] {
        values.insert(own.to_owned(), "\"train\"".to_owned());
    }
    let decoded = decoded_by_both(&values);
    assert_eq!(decoded.len(), 41, "reserved keys are skipped on both sides");
    let different: Vec<_> = decoded.iter().filter(|(_, same)| !same).collect();
    assert!(different.is_empty(), "{different:?}");
}

#[test]
fn intended_differences_from_the_toolkit() {
    // The toolkit passes these on as strings: a Python script can parse `True`. A command
    // line must not get `None` for a missing value, nor doubled quotes.
    let values = numbered(["True", "False", "None", r#""\"english\"""#]);
    for (value, same) in decoded_by_both(&values) {
        assert!(
            !same,
            "`{value}` is decoded equally: move it to `toolkit_decodes_the_same_values`"
        );
    }
}

#[test]
fn toolkit_decodes_our_encoding() {
    let values = json!({ "i": 5, "f": 0.25, "small": 1e-9, "b": true, "s": "english", "word": "None",
        "bool": "True", "lines": "a\nb\u{2028}c\u{85}", "list": [1, "a"], "map": { "a": 1 }, "tab": "a\tb" });
    let values = values.as_object().unwrap();
    let encoded = encode(values.iter().map(|(name, value)| (name.as_str(), value)));
    let different: Vec<_> = decoded_by_both(&encoded)
        .into_iter()
        .filter(|(_, same)| !same)
        .collect();
    assert!(different.is_empty(), "{different:?}");
}

#[test]
fn toolkit_variables_give_the_same_paths() {
    let dir = layout(&BTreeMap::new());
    let answer = ask(dir.path(), &[json!(["environment", []])]).remove(0);
    let variables: BTreeMap<String, String> =
        serde_json::from_value(answer["variables"].clone()).unwrap();
    let plain = Paths::at(dir.path());
    // Without base folder: the variables must be sufficient.
    let set = Paths::new(Env::from_map(variables));
    assert_eq!(set.model_dir(), plain.model_dir());
    assert_eq!(set.output_data_dir(), plain.output_data_dir());
    for channel in ["train", "my-data"] {
        assert_eq!(set.channel(channel), plain.channel(channel));
        assert!(set.channel(channel).is_some());
    }
    assert_eq!(set.channels().unwrap(), plain.channels().unwrap());
    let leader = ResourceConfig::read(&plain.resource_config())
        .unwrap()
        .is_leader();
    assert_eq!(answer["leader"], json!(leader));
}

#[test]
fn python_regexes_find_the_same_values() {
    let values = [0.9123, 1e-7, -3.5, 0.0, 97_000.0, 1.5e300, 1.0];
    let lines: Vec<String> = values
        .iter()
        .map(|&value| {
            let line =
                Metric::all().fold(MetricLine::new(), |line, metric| line.with(metric, value));
            format!("2026-11-22 INFO {line}")
        })
        .chain(["my_train:loss=1;".to_owned(), "train:loss=nan;".to_owned()])
        .collect();
    let regexes: Vec<_> = definitions()
        .into_iter()
        .map(|definition| definition.regex)
        .collect();
    let here: Vec<Vec<Option<String>>> = regexes
        .iter()
        .map(|regex| {
            let regex = regex::Regex::new(regex).unwrap();
            let value = |line: &String| Some(regex.captures(line)?[1].to_owned());
            lines.iter().map(value).collect()
        })
        .collect();
    assert!(
        here.iter()
            .all(|found| found.iter().flatten().count() == values.len())
    );
    let dir = tempfile::tempdir().unwrap();
    let there = ask(dir.path(), &[json!(["search", [regexes, lines]])]).remove(0);
    assert_eq!(there, json!(here));
}

#[test]
fn limits_equal_botocore() {
    let expected = json!({
        "HyperParameters": [0, limits::MAX_HYPERPARAMETERS, null],
        "HyperParameterKey": [0, limits::MAX_HYPERPARAMETER_NAME, ".*"],
        "HyperParameterValue": [0, limits::MAX_HYPERPARAMETER_VALUE, ".*"],
        "TrainingEnvironmentMap": [0, limits::MAX_ENVIRONMENT, null],
        "TrainingEnvironmentKey": [0, limits::MAX_ENVIRONMENT_NAME, "[a-zA-Z_][a-zA-Z0-9_]*"],
        "TrainingEnvironmentValue": [0, limits::MAX_ENVIRONMENT_VALUE, "[\\S\\s]*"],
        "MetricDefinitionList": [0, limits::MAX_METRICS, null],
        "MetricName": [1, limits::MAX_METRIC_NAME, ".+"],
        "MetricRegex": [1, limits::MAX_METRIC_REGEX, ".+"],
        "TrainingJobName": [1, limits::MAX_JOB_NAME, "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"],
        "ChannelName": [1, limits::MAX_CHANNEL_NAME, "[A-Za-z0-9\\.\\-_]+"],
        "InputDataConfig": [1, limits::MAX_CHANNELS, null],
        "KeepAlivePeriodInSeconds": [0, limits::MAX_KEEP_ALIVE_SECONDS, null],
        "FailureReason": [0, limits::MAX_FAILURE_REASON, null],
    });
    let shapes: Vec<_> = expected.as_object().unwrap().keys().collect();
    let names = [
        "a", "a-b", "a--b", "-a", "a-", "", "a_b", "a.b", "é", "9", "A B", "a\n",
    ];
    let job = "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}";
    let dir = tempfile::tempdir().unwrap();
    let answers = ask(
        dir.path(),
        &[
            json!(["limits", [shapes]]),
            json!(["matches", [job, names]]),
            json!(["versions", []]),
        ],
    );
    assert_eq!(answers[0], expected, "{}", answers[2]);
    assert_eq!(
        answers[1],
        json!(names.map(|name| limits::check_job_name(name).is_ok()))
    );
    assert_eq!(
        answers[2]["sagemaker-training"],
        json!("5.1.4"),
        "the compared version"
    );
}

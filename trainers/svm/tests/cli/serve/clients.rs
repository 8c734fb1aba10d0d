//! Clients of others: the SageMaker SDK's and Hugging Face's.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use testkit::{judge_command, run};

use crate::Workspace;

const TEXTS: [&str; 4] = [
    "a wonderful film, with \"heart\"",
    "dull and much too long",
    "two\nlines",
    "ä 文字",
];

/// Returns the rows of `predict --format jsonl` without the number of the record.
fn predicted(workspace: &Workspace, flags: &[&str]) -> Vec<Value> {
    let flags = [&["--format", "jsonl"][..], flags, &["--"], &TEXTS].concat();
    let outcome = workspace.svm("predict", &flags);
    let rows = outcome.expect_code(0).stdout.lines().map(|line| {
        let mut row: Map<String, Value> = serde_json::from_str(line).unwrap();
        row.remove("record");
        Value::Object(row)
    });
    rows.collect()
}

/// Each serializer with each deserializer, by the client of the SDK's local mode.
#[test]
fn sagemaker_sdk_has_the_rows_of_predict() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let server = workspace.serve(&[]);
    let mut judge = judge_command("TRAINYARD_SAGEMAKER_PYTHON", "hosting_clients");
    judge
        .arg(server.port().to_string())
        .arg(json!(TEXTS).to_string());
    let found = run(judge).expect_code(0).json();
    let rows = json!(predicted(&workspace, &[]));
    let csv = workspace.svm("predict", &[&["--"], &TEXTS[..]].concat());
    let columns = csv.expect_code(0).stdout.lines().skip(1).map(|row| {
        let columns = row.split(',').skip(1);
        columns.map(str::to_owned).collect::<Vec<_>>()
    });
    let columns = json!(columns.collect::<Vec<_>>());
    let mut expected = BTreeMap::new();
    for serializer in ["JSON", "JSONLines", "CSV"] {
        // The answer to `instances` is an object, as those of SageMaker's built-in algorithms.
        let list = match serializer {
            "JSON" => json!({ "predictions": rows }),
            _ => rows.clone(),
        };
        for (reader, answers) in [("JSON", &list), ("JSONLines", &rows), ("CSV", &columns)] {
            let pair = format!("{serializer}Serializer {reader}Deserializer");
            expected.insert(pair, answers.clone());
        }
    }
    assert_eq!(found, json!(expected));
}

/// The client gets the address of the route: it adds none.
#[test]
fn hugging_face_client_has_the_probabilities_of_predict() {
    let workspace = Workspace::with_model(&["--no-report"]);
    let server = workspace.serve(&[]);
    let mut judge = judge_command("TRAINYARD_SERVING_PYTHON", "huggingface_client");
    judge
        // The client would ask a proxy.
        .env("NO_PROXY", "127.0.0.1")
        .arg(format!("http://127.0.0.1:{}/invocations", server.port()))
        .args(TEXTS);
    let found = run(judge).expect_code(0).json();
    let rows = predicted(&workspace, &["--all-classes"]).into_iter();
    let expected = rows.map(|row| row["probabilities"].clone());
    assert_eq!(found["answers"], json!(expected.collect::<Vec<_>>()));
}

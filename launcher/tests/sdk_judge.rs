//! Compares local jobs with the local mode of the SageMaker Python SDK and the same image.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "tests report by panicking"
)]

mod local_kit;

use std::collections::BTreeMap;
use std::fs;

use local_kit::*;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use testkit::{judge_command, movie_csv, run};

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Issue 18: the endpoint of the SDK's `Model.deploy` gives the answers of `predict`.
#[test]
fn sagemaker_sdk_trains_and_deploys_the_same_model() {
    let jobs = Jobs::new("sdk", svm_in(true));
    let Backend::Docker(image, binary) = &jobs.backend else {
        panic!("made with an image");
    };
    let texts = ["a wonderful film", "dull and much too long", "ä 文字"];
    let mut judge = judge_command("TRAINYARD_SAGEMAKER_PYTHON", "sagemaker_sdk");
    judge
        .arg(&image.0)
        .arg(movie_csv())
        .arg(jobs.path("sdk"))
        .arg(r#"{"min_df": 5, "loss": "hinge"}"#)
        .arg(json!(texts).to_string());
    jobs.environment(&mut judge);
    // Otherwise the SDK uses the canary as credentials.
    judge.env_remove("AWS_SECRET_ACCESS_KEY");
    let result = run(judge).expect_code(0).json();

    let model = trains_svm(&jobs, &["--min-df", "5", "--loss", "hinge"]);
    let folder = jobs.path("model");
    fs::create_dir(&folder).expect("a new folder");
    let mut expected = BTreeMap::new();
    for (name, bytes) in unpacked(model) {
        fs::write(folder.join(&name), &bytes).expect("a model has no folders");
        expected.insert(name, hex(&bytes));
    }
    assert_eq!(result["model"], json!(expected));
    assert_eq!(result["answers"], json!(predicted(binary, &folder, &texts)));
    jobs.assert_clean();
}

//! Compares local jobs with the local mode of the SageMaker Python SDK and the same image.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "tests report by panicking"
)]

mod local_kit;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use local_kit::*;
use sha2::{Digest as _, Sha256};
use testkit::{movie_csv, run};

/// Returns the Python with the pinned SDK that `./test` installs.
fn sdk_python() -> std::ffi::OsString {
    let Some(python) = std::env::var_os("TRAINYARD_SAGEMAKER_PYTHON") else {
        panic!(
            "`TRAINYARD_SAGEMAKER_PYTHON` is not set, expected the Python with the pinned sagemaker SDK\n\
             help: run the tests with `./test`, which installs it"
        );
    };
    python
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn sagemaker_sdk_trains_the_same_model() {
    let jobs = Jobs::new("sdk", svm_in(true));
    let Backend::Docker(image, _) = &jobs.backend else {
        panic!("made with an image");
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/judges/sagemaker_sdk.py");
    let mut judge = Command::new(sdk_python());
    judge
        .arg("-B")
        .arg(script)
        .arg(&image.0)
        .arg(movie_csv())
        .arg(jobs.path("sdk"))
        .arg(r#"{"min_df": 5, "loss": "hinge"}"#);
    jobs.environment(&mut judge);
    // Otherwise the SDK uses the canary as credentials.
    judge.env_remove("AWS_SECRET_ACCESS_KEY");
    let result = run(judge).expect_code(0).json();

    let model = trains_svm(&jobs, &["--min-df", "5", "--loss", "hinge"]);
    let expected: BTreeMap<String, String> = unpacked(model)
        .into_iter()
        .map(|(name, bytes)| (name, hex(&bytes)))
        .collect();
    assert_eq!(result["model"], serde_json::json!(expected));
    jobs.assert_clean();
}

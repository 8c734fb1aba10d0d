//! Data in S3 of local jobs: public reports.

use super::*;

/// Keys of the data that a local job reads for `--data URL`, as the trainer sees them.
fn seen(moto: &Moto, url: &str, more: &[&str]) -> (testkit::Outcome, Vec<String>) {
    let trainer = moto.home().join("trainer");
    let lines = "#!/bin/sh\ncd \"$SAGEMAKER_BASE_DIR/input/data/train\" 2>/dev/null || exit 0\nfind . -type f | sort > \"$SEEN\"\n";
    fs::write(&trainer, lines).expect("written");
    run({
        let mut chmod = Command::new("chmod");
        chmod.arg("+x").arg(&trainer);
        chmod
    });
    let list = moto.home().join("seen");
    let _ = fs::remove_file(&list);
    let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
    command
        .args([
            "train",
            "svm",
            "--instance-type",
            "local-process",
            "--output",
            "out",
        ])
        .args(["--data", url, "--trainer-binary"])
        .arg(&trainer)
        .args(["--env", &format!("SEEN={}", list.display())])
        .args(more);
    let outcome = run(command);
    let text = fs::read_to_string(&list).unwrap_or_default();
    let files = text
        .lines()
        .map(|line| line.trim_start_matches("./").to_owned());
    (outcome, files.collect())
}

/// LAUNCHER 01: sagemaker-python-sdk#3612. A prefix selects what it selects on SageMaker.
#[test]
fn prefix_selects_as_on_sagemaker() {
    let moto = testkit::moto();
    moto.boto(
        "s3 = client('s3'); s3.create_bucket(Bucket='bucket')\nfor key in ['p/', 'p/a.csv', 'p/sub/b.csv', 'p-old/c.csv', 'q.csv', 'q.csv.bak']: s3.put_object(Bucket='bucket', Key=key, Body=b'x' if not key.endswith('/') else b'')",
    );
    for (prefix, files) in [
        ("p/", &["a.csv", "sub/b.csv"][..]),
        ("p", &["a.csv", "p-old/c.csv", "sub/b.csv"]),
        ("p-o", &["p-old/c.csv"]),
        ("q.csv", &["q.csv", "q.csv.bak"]),
        ("q.csv.bak", &["q.csv.bak"]),
    ] {
        let (outcome, found) = seen(&moto, &format!("s3://bucket/{prefix}"), &[]);
        outcome.expect_code(0);
        assert_eq!(found, files, "{prefix}");
        // S3's own selection.
        let listed = moto.boto(&format!(
            "show([o['Key'] for o in client('s3').list_objects_v2(Bucket='bucket', Prefix={prefix:?})['Contents'] if not o['Key'].endswith('/')])"
        ));
        assert_eq!(
            listed.as_array().map(Vec::len),
            Some(found.len()),
            "{prefix}"
        );
        let warned = outcome
            .stderr
            .contains("SageMaker reads every object whose key starts with");
        assert_eq!(
            warned,
            matches!(prefix, "p" | "p-o" | "q.csv"),
            "{}",
            outcome.stderr
        );
    }
    let (outcome, _) = seen(&moto, "s3://bucket/none", &[]);
    let text = &outcome.expect_code(1).stderr;
    assert!(
        text.contains("no object whose key begins with `s3://bucket/none`"),
        "{text}"
    );
    // Permission to read one object without permission to list.
    moto.fault("ListObjectsV2", "denied", 1);
    let (outcome, found) = seen(&moto, "s3://bucket/q.csv", &[]);
    outcome.expect_code(0);
    assert_eq!(found, ["q.csv"]);
}

//! Inputs and outputs of a job are checked before it is paid for.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Fault, FaultProxy, Moto, Outcome, fault_proxy, run, start};

use crate::cloud::{command, moto, put, safe, svm, train, train_with, trainyard};
use crate::ctrl_c;

#[test]
fn local_data_are_uploaded_first() {
    let moto = moto();
    let data = moto.home().join("rows.csv");
    std::fs::write(&data, "label,text\na,b\n").expect("written");
    let channel = format!("validation=file://{}", data.display());
    let outcome = train_with(&moto, &["--no-wait", "--channel", &channel]);
    let name = outcome.expect_code(0).stdout.trim().to_owned();
    assert!(
        outcome
            .stderr
            .contains("(channel `validation`) to `s3://bucket/models/"),
        "{}",
        outcome.stderr
    );
    let body = &moto.requests("CreateTrainingJob")[0]["body"];
    let url = &body["InputDataConfig"][1]["DataSource"]["S3DataSource"]["S3Uri"];
    assert_eq!(
        url,
        &json!(format!("s3://bucket/models/{name}/input/validation/"))
    );
    let get = format!(
        "show(client('s3').get_object(Bucket='bucket', Key='models/{name}/input/validation/rows.csv')['Body'].read().decode())"
    );
    assert_eq!(moto.boto(&get), "label,text\na,b\n");
}

#[test]
fn folder_is_uploaded_whole_or_not_at_all() {
    let moto = moto();
    let data = moto.home().join("my data");
    std::fs::create_dir_all(data.join("more/empty")).expect("a folder");
    let with = |channel: &str| train_with(&moto, &["--no-wait", "--channel", channel]);

    let outcome = with("test=my data");
    let text = &outcome.expect_code(2).stderr;
    assert!(
        text.contains("there is no file in the folder `my data`"),
        "{text}"
    );

    std::fs::write(data.join("a.csv"), "a").expect("written");
    std::fs::write(data.join("more/b.csv"), "b").expect("written");
    std::os::unix::fs::symlink("a.csv", data.join("inside.csv")).expect("a link");
    let outcome = with("test=my data");
    let name = outcome.expect_code(0).stdout.trim().to_owned();
    let list = format!(
        "show([o['Key'] for o in client('s3').list_objects_v2(Bucket='bucket', Prefix='models/{name}/input/test/')['Contents']])"
    );
    let below = |file: &str| format!("models/{name}/input/test/{file}");
    assert_eq!(
        moto.boto(&list),
        json!([below("a.csv"), below("inside.csv"), below("more/b.csv")])
    );

    moto.forget();
    let outside = moto.home().join("outside.csv");
    std::fs::write(&outside, "c").expect("written");
    std::os::unix::fs::symlink(&outside, data.join("more/out.csv")).expect("a link");
    let outcome = with("test=my data");
    let text = &outcome.expect_code(2).stderr;
    assert!(
        text.contains("not all of `my data` can be sent") && text.contains("more/out.csv` is "),
        "{text}"
    );
    assert_eq!(moto.requests("*"), Vec::<Value>::new());
}

/// Runs [`train`] through a proxy with faults.
#[track_caller]
fn through(proxy: &FaultProxy, moto: &Moto, more: &[&str]) -> Outcome {
    let arguments = train(moto, more);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = command(moto, &arguments);
    command.env("AWS_ENDPOINT_URL", proxy.url());
    safe(run(command))
}

/// `train` with a file of two parts; interrupted after the first one, while the second one stalls.
#[track_caller]
fn interrupted_upload(proxy: &FaultProxy, moto: &Moto) -> Outcome {
    let stall = Fault::StallUpload(1 << 20);
    proxy.fault("PUT", "partNumber=2", 0, 100, stall);
    let arguments = train(moto, &["--channel", "test=big file"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = command(moto, &arguments);
    command.env("AWS_ENDPOINT_URL", proxy.url());
    let running = start(command);
    proxy.wait_for("PUT", "partNumber=1", 1);
    ctrl_c(&running);
    let outcome = safe(running.finish(Duration::from_secs(20)));
    let text = &outcome.expect_code(130).stderr;
    assert!(
        text.contains("interrupted while uploading data: no job was created"),
        "{text}"
    );
    outcome
}

#[test]
fn interrupted_upload_leaves_no_multipart_upload() {
    let moto = moto();
    std::fs::write(moto.home().join("big file"), vec![b'x'; 20 << 20]).expect("written");
    let unfinished = || {
        moto.boto("show([u['Key'] for u in client('s3').list_multipart_uploads(Bucket='bucket').get('Uploads', [])])")
    };
    let proxy = fault_proxy(moto.url());
    let text = interrupted_upload(&proxy, &moto).stderr;
    assert!(!text.contains("--abort"), "{text}");
    assert_eq!(proxy.passed("POST", "uploads").len(), 1);
    assert_eq!(unfinished(), json!([]));

    proxy.forget();
    let denied = Fault::Answer(403, "AccessDenied");
    proxy.fault("DELETE", "uploadId", 0, 100, denied);
    let text = interrupted_upload(&proxy, &moto).stderr;
    let line = text.lines().find(|line| line.contains("--abort"));
    let line = line
        .and_then(|line| line.split('`').nth(1))
        .expect("a command");
    let arguments: Vec<&str> = line.split(' ').collect();
    let [_, "upload", "'big", "file'", url, "--abort"] = arguments.as_slice() else {
        panic!("{line}");
    };
    assert!(url.ends_with("/input/test/"), "{url}");
    assert_ne!(unfinished(), json!([]));
    trainyard(&moto, &["upload", "big file", url, "--abort"]).expect_code(0);
    assert_eq!(unfinished(), json!([]));
    assert_eq!(moto.requests("CreateTrainingJob"), Vec::<Value>::new());
}

#[test]
fn missing_data_is_refused() {
    let moto = moto();
    let outcome = train_with(&moto, &["--channel", "test=s3://bucket/nothing"]);
    let text = &outcome.expect_code(1).stderr;
    assert!(
        text.contains("channel `test`: there is no object at `s3://bucket/nothing` or below it")
            && text.contains("upload data: `trainyard upload PATH s3://bucket/nothing/`"),
        "{text}"
    );
    // The object that the S3 console makes for a folder is not data.
    put(&moto, "/bucket/folder/", "");
    let outcome = train_with(&moto, &["--channel", "test=s3://bucket/folder/"]);
    let text = &outcome.expect_code(1).stderr;
    assert!(
        text.contains("no object at `s3://bucket/folder/`"),
        "{text}"
    );
    // A prefix is the beginning of a key, not a folder.
    put(&moto, "/bucket/folder-old/x.csv", "text,label\n");
    let outcome = train_with(
        &moto,
        &["--dry-run", "--channel", "test=s3://bucket/folder"],
    );
    outcome.expect_code(0);
    let outcome = train_with(
        &moto,
        &["--no-wait", "--channel", "test=s3://bucket/folder"],
    );
    let text = &outcome.expect_code(0).stderr;
    assert!(
        text.contains("including `s3://bucket/folder-old/x.csv`")
            && text.contains("pass `s3://bucket/folder/` for this folder only"),
        "{text}"
    );
    moto.forget();
    let outcome = train_with(&moto, &["--channel", "test=s3://no-such-bucket/x"]);
    let text = &outcome.expect_code(1).stderr;
    assert!(
        text.contains(
            "channel `test`: cannot list data at `s3://no-such-bucket/x`: the bucket does not exist"
        ),
        "{text}"
    );
    assert_eq!(moto.requests("CreateTrainingJob"), Vec::<Value>::new());
    // A dry run sends no request.
    moto.forget();
    train_with(
        &moto,
        &["--dry-run", "--channel", "test=s3://bucket/nothing"],
    )
    .expect_code(0);
    assert_eq!(moto.requests("*"), Vec::<Value>::new());
}

#[test]
fn missing_output_bucket_is_refused() {
    let moto = moto();
    let missing = |flag: &str, more: &[&str]| {
        let mut arguments = train(&moto, more);
        if flag == "--output" {
            for word in &mut arguments {
                *word = word.replace("s3://bucket/models", "s3://gone/models");
            }
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let outcome = trainyard(&moto, &arguments);
        let text = &outcome.expect_code(1).stderr;
        assert!(
            text.contains(&format!("`{flag}`: there is no bucket `gone`"))
                && text.contains("`trainyard infra terraform --bucket gone"),
            "{text}"
        );
    };
    missing("--output", &[]);
    missing("--checkpoints", &["--checkpoints", "s3://gone/c"]);
    moto.boto("client('s3', region_name='eu-west-1').create_bucket(Bucket='far-away', CreateBucketConfiguration={'LocationConstraint': 'eu-west-1'})");
    let outcome = train_with(&moto, &["--checkpoints", "s3://far-away/c"]);
    let text = &outcome.expect_code(1).stderr;
    assert!(
        text.contains("the bucket `far-away` is in `eu-west-1`")
            && text.contains("`--region eu-west-1`"),
        "{text}"
    );
    assert_eq!(moto.requests("CreateTrainingJob"), Vec::<Value>::new());
}

#[test]
fn denied_listing_is_not_an_error() {
    let moto = moto();
    let proxy = fault_proxy(moto.url());
    proxy.fault(
        "GET",
        "list-type",
        0,
        100,
        Fault::Answer(403, "AccessDenied"),
    );
    proxy.fault(
        "HEAD",
        "/bucket",
        0,
        100,
        Fault::Answer(403, "AccessDenied"),
    );
    let outcome = through(&proxy, &moto, &["--no-wait"]);
    let text = &outcome.expect_code(0).stderr;
    assert!(
        text.contains("may not list `s3://bucket/data`, `s3://bucket` (s3:ListBucket)"),
        "{text}"
    );
    assert_eq!(text.matches("not checked: these").count(), 1, "{text}");
    assert_eq!(moto.requests("CreateTrainingJob").len(), 1);
    // Expired credentials are an error.
    proxy.forget();
    proxy.fault(
        "GET",
        "list-type",
        0,
        100,
        Fault::Answer(400, "ExpiredToken"),
    );
    let outcome = through(&proxy, &moto, &["--no-wait"]);
    let text = &outcome.expect_code(1).stderr;
    assert!(text.contains("have expired"), "{text}");
    assert_eq!(moto.requests("CreateTrainingJob").len(), 1);
}

/// `train` on SageMaker with the real trainer and local data.
fn with_data(moto: &Moto, data: &str, more: &[&str]) -> Outcome {
    let svm = svm();
    let mut arguments = train(moto, more);
    for word in &mut arguments {
        if word == "s3://bucket/data" {
            *word = data.to_owned();
        } else if word.ends_with("/lenient") {
            *word = svm.to_str().expect("UTF-8").to_owned();
        }
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    trainyard(moto, &arguments)
}

/// Writes training data with an error, data with other columns, and a folder without data.
fn write_data(moto: &Moto) {
    let write = |name: &str, text: &str| {
        let path = moto.home().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    write("my data/rows.csv", "text,label\na,b\n,c\nd,e\n");
    write("named.csv", "words,label\na,b\nc,d\n");
    write("none/readme.md", "nothing\n");
    // Valid as validation data.
    write("one label.csv", "words,label\na,b\n");
    write("dropped.csv", "text,label\na,b\n,c\n");
    write("quotes.tsv", "text\tlabel\n\"a\tb\nc\td\ne\"\tb\n");
}

#[test]
fn local_data_errors_come_before_requests() {
    let moto = moto();
    write_data(&moto);
    for (data, more, expected) in [
        (
            "my data",
            &[][..],
            &[
                "row has no text\n  --> my data/rows.csv:3:1",
                "help: fix it, or pass, after `--`, --drop-missing",
            ][..],
        ),
        (
            "named.csv",
            &[],
            &[
                "no column is named `text`",
                "`svm check --data named.csv` shows all errors",
            ],
        ),
        ("none", &[], &["folder contains no data files"]),
        // What is left after dropping is checked.
        (
            "dropped.csv",
            &["--", "--drop-missing"],
            &[
                "the only row has the label `b`",
                "`svm check --data dropped.csv --drop-missing=true` shows all errors",
            ],
        ),
        ("quotes.tsv", &[], &["pass, after `--`, --quoting none"]),
        (
            "named.csv",
            &["--channel", "test=my data", "--", "--text-column", "words"],
            &["my data/rows.csv"],
        ),
    ] {
        let outcome = with_data(&moto, data, more);
        let text = &outcome.expect_code(2).stderr;
        for part in expected {
            assert!(text.contains(part), "no `{part}` in {text}");
        }
        assert!(text.contains("`--no-data-check` skips the check"), "{text}");
    }
    assert_eq!(moto.requests("*"), Vec::<Value>::new());
}

#[test]
fn other_columns_dropped_rows_or_no_check_are_accepted() {
    let moto = moto();
    write_data(&moto);
    for (data, more) in [
        (
            "named.csv",
            &["--no-wait", "--", "--text-column", "words"][..],
        ),
        ("my data", &["--no-wait", "--", "--drop-missing"]),
        ("quotes.tsv", &["--no-wait", "--", "--quoting", "none"]),
        ("my data", &["--no-wait", "--no-data-check"]),
        (
            "named.csv",
            &[
                "--no-wait",
                "--channel",
                "validation=one label.csv",
                "--",
                "--text_column=words",
            ],
        ),
    ] {
        with_data(&moto, data, more).expect_code(0);
    }
    assert_eq!(moto.requests("CreateTrainingJob").len(), 5);
    let outcome = train_with(&moto, &["--no-wait", "--no-data-check"]);
    let text = &outcome.expect_code(2).stderr;
    assert!(text.contains("data in S3 are not checked"), "{text}");
}

#[test]
fn warns_of_unsupported_channels_and_checkpoints() {
    let moto = moto();
    let warnings = |more: &[&str]| {
        let all = [&["--no-wait", "--no-data-check"], more].concat();
        let outcome = with_data(&moto, "rows.csv", &all);
        outcome.expect_code(0).stderr.clone()
    };
    std::fs::write(moto.home().join("rows.csv"), "text,label\na,b\nc,d\n").expect("written");
    let text = warnings(&[
        "--channel",
        "validaton=s3://bucket/data",
        "--channel",
        "other=s3://bucket/data",
        "--checkpoints",
        "s3://bucket/checkpoints",
    ]);
    for part in [
        "warning: `svm` does not read the channel `validaton`\n  help: did you mean `validation`?\n",
        "channel `other`\n  help: the channels are `train`, `validation`, `test`\n",
        "warning: `svm` writes no checkpoints: `--checkpoints` has no effect\n",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    let text = warnings(&["--channel", "validation=s3://bucket/data"]);
    assert!(!text.contains("warning: `svm`"), "{text}");
    // Another program is not a trainer.
    let arguments = train(&moto, &[]);
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|word| match word.ends_with("/lenient") {
            true => "/bin/ls",
            false => word.as_str(),
        })
        .collect();
    let text = trainyard(&moto, &arguments).expect_code(2).stderr.clone();
    assert!(
        text.contains("without an error report") && text.contains("help: is it a trainer?"),
        "{text}"
    );
}

#[test]
fn local_checks_come_before_requests() {
    let moto = moto();
    let arguments = train(&moto, &[]);
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|word| {
            if word == "s3://bucket/models" {
                "out"
            } else {
                word.as_str()
            }
        })
        .collect();
    let outcome = trainyard(&moto, &arguments);
    let text = &outcome.expect_code(2).stderr;
    assert!(text.contains("`--output out` is a local folder"), "{text}");
    assert_eq!(moto.requests("*"), Vec::<Value>::new());
}

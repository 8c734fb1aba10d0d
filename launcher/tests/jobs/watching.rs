//! `status`, `list`, `stop`, `describe`, and Ctrl-C.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cloud::{
    ROLE, command, jobs, moto, safe, start_train, train_with, trainyard, wait_until,
};
use crate::{LIMIT, ctrl_c, name_of, submitted};

#[test]
fn failed_and_stopped_jobs() {
    let moto = moto();
    let reason = "AlgorithmError: , exit code: 1\nerror: no column `text`\u{1b}[2J";
    moto.job(&json!({"prefix": "bad", "outcome": "Failed", "reason": reason}));
    let outcome = train_with(&moto, &["--job-name-prefix", "bad"]);
    let text = &outcome.expect_code(3).stdout;
    assert!(
        text.contains(": Failed") && text.contains("error: no column `text`\\u{1b}[2J"),
        "{text}"
    );
    assert!(
        outcome.stderr.contains("trainyard logs bad-"),
        "{}",
        outcome.stderr
    );
    let outcome = trainyard(&moto, &["status", name_of(text), "--json"]);
    assert_eq!(outcome.expect_code(0).json()["failure_reason"], reason);

    moto.job(&json!({"prefix": "long", "phases": [["Starting", 0.1], ["Downloading", 0.1], ["Training", 60]]}));
    let running = start_train(&moto, &["--job-name-prefix", "long"]);
    wait_until("the log is followed", || {
        !moto.requests("GetLogEvents").is_empty()
    });
    let (name, _) = jobs(&moto)
        .into_iter()
        .find(|(name, _)| name.starts_with("long"))
        .expect("it was made");
    let outcome = trainyard(&moto, &["stop", &name, "--dry-run", "--json"]);
    let plan = outcome.expect_code(0).json();
    assert_eq!(
        plan["steps"][0]["request"]["operation"],
        "SageMaker.StopTrainingJob"
    );
    assert_eq!(
        plan["steps"][0]["request"]["body"],
        json!({"TrainingJobName": name})
    );
    assert_eq!(moto.requests("StopTrainingJob").len(), 0);
    let outcome = trainyard(&moto, &["stop", &name, "--wait"]);
    assert!(
        outcome.expect_code(0).stdout.contains(": Stopped"),
        "{}",
        outcome.stdout
    );
    let outcome = safe(running.finish(LIMIT));
    assert!(
        outcome.expect_code(4).stdout.contains(": Stopped"),
        "{}",
        outcome.stdout
    );
    let outcome = trainyard(&moto, &["stop", &name]);
    assert!(
        outcome.expect_code(0).stderr.contains("has ended already"),
        "{}",
        outcome.stderr
    );
    assert_eq!(moto.requests("StopTrainingJob").len(), 1);
}

#[test]
fn ctrl_c_while_stopping_prints_once() {
    let moto = moto();
    let script = json!({"phases": [["Training", 60]], "stop_seconds": 60});
    let name = submitted(&moto, "slow", script);
    let running = testkit::start(command(&moto, &["stop", &name, "--wait"]));
    wait_until("it is waited for", || {
        moto.requests("DescribeTrainingJob").len() > 2
    });
    ctrl_c(&running);
    let outcome = safe(running.finish(LIMIT));
    outcome.expect_code(130);
    let count = outcome.stderr.matches("Ctrl-C").count();
    assert_eq!(count, 1, "{}", outcome.stderr);
}

#[test]
fn ctrl_c_leaves_the_job_running() {
    let moto = moto();
    moto.job(&json!({"phases": [["Starting", 0.1], ["Downloading", 0.1], ["Training", 100]]}));
    let running = start_train(&moto, &[]);
    wait_until("the log is followed", || {
        !moto.requests("GetLogEvents").is_empty()
    });
    ctrl_c(&running);
    let outcome = safe(running.finish(LIMIT));
    let (name, state) = jobs(&moto).remove(0);
    assert_eq!(state, "InProgress");
    assert_eq!(outcome.expect_code(130).stdout, "");
    assert!(
        outcome
            .stderr
            .contains(&format!("`trainyard logs {name}` follows it")),
        "{}",
        outcome.stderr
    );
    assert_eq!(moto.requests("StopTrainingJob").len(), 0);

    // Ctrl-C during the request: the job is created, and the message names it.
    moto.forget();
    moto.fault_with(&json!({"operation": "CreateTrainingJob", "kind": "stall", "seconds": 2}));
    let running = start_train(&moto, &["--json"]);
    wait_until("the request is under way", || {
        !moto.requests("CreateTrainingJob").is_empty()
    });
    ctrl_c(&running);
    let outcome = safe(running.finish(LIMIT));
    assert_eq!(outcome.expect_code(130).json()["interrupted"], true);
    let name = moto.requests("CreateTrainingJob")[0]["body"]["TrainingJobName"]
        .as_str()
        .expect("text")
        .to_owned();
    assert!(
        outcome.stderr.contains(&format!("`trainyard logs {name}`")),
        "{}",
        outcome.stderr
    );
}

#[test]
fn ctrl_c_in_logs_leaves_the_job_running() {
    let moto = moto();
    let script = json!({"phases": [["Starting", 0.1], ["Training", 100]]});
    let name = submitted(&moto, "long", script);
    let running = testkit::start(command(&moto, &["logs", &name]));
    wait_until("the log is followed", || {
        !moto.requests("GetLogEvents").is_empty()
    });
    ctrl_c(&running);
    let outcome = safe(running.finish(LIMIT));
    outcome.expect_code(130);
    assert!(
        outcome
            .stderr
            .contains(&format!("`trainyard logs {name}` follows it")),
        "{}",
        outcome.stderr
    );
    assert_eq!(jobs(&moto), [(name, "InProgress".to_owned())]);
    assert_eq!(moto.requests("StopTrainingJob").len(), 0);
}

#[test]
fn list_filters_and_pages() {
    let moto = moto();
    let names: Vec<String> = ["svm-a", "svm-b", "bilstm-a"]
        .iter()
        .map(|prefix| submitted(&moto, prefix, json!({"phases": [["Training", 60]]})))
        .collect();
    let last = submitted(&moto, "svm-c", json!({"phases": [["Downloading", 0.0]]}));
    let listed = |more: &[&str]| -> Vec<String> {
        let mut arguments = vec!["list", "--json"];
        arguments.extend(more);
        let answer = trainyard(&moto, &arguments).expect_code(0).json();
        answer["jobs"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|job| job["name"].as_str().expect("text").to_owned())
            .collect()
    };
    assert_eq!(
        listed(&[]),
        [&last, &names[2], &names[1], &names[0]].map(String::clone)
    );
    assert_eq!(
        listed(&["--max", "2"]),
        [&last, &names[2]].map(String::clone)
    );
    assert_eq!(
        listed(&["svm"]),
        [&last, &names[1], &names[0]].map(String::clone)
    );
    assert_eq!(
        listed(&["svm", "--name-contains", "a-"]),
        std::slice::from_ref(&names[0])
    );
    assert_eq!(listed(&["--status", "inprogress"]).len(), 3);
    assert_eq!(
        listed(&["--status", "Completed"]),
        std::slice::from_ref(&last)
    );
    let outcome = trainyard(&moto, &["list"]);
    assert_eq!(
        outcome.expect_code(0).stdout.lines().count(),
        5,
        "{}",
        outcome.stdout
    );
    assert!(
        trainyard(&moto, &["list", "nothing"])
            .expect_code(0)
            .stdout
            .starts_with("no matching jobs")
    );
    trainyard(&moto, &["list", "a_b"]).expect_code(2);

    // More than one page.
    moto.boto(
        "sagemaker = client('sagemaker')\n\
         for i in range(130): sagemaker.create_training_job(TrainingJobName='many-%d' % i, AlgorithmSpecification={'TrainingImage': 'x', 'TrainingInputMode': 'File'}, RoleArn='arn:aws:iam::123456789012:role/abcdefgh', OutputDataConfig={'S3OutputPath': 's3://bucket/o'}, ResourceConfig={'InstanceType': 'ml.m5.large', 'InstanceCount': 1, 'VolumeSizeInGB': 1}, StoppingCondition={'MaxRuntimeInSeconds': 10})",
    );
    let many = listed(&["many", "--max", "1000"]);
    assert_eq!(many.len(), 130);
    assert_eq!(
        many.iter().collect::<std::collections::BTreeSet<_>>().len(),
        130
    );
    assert_eq!(listed(&["--max", "110"]).len(), 110);
}

#[test]
fn describe_and_status() {
    let moto = moto();
    let name = submitted(
        &moto,
        "svm",
        json!({"phases": [["Starting", 0.1], ["Downloading", 0.1], ["Training", 0.3]]}),
    );
    wait_until("it has ended", || {
        trainyard(&moto, &["status", &name])
            .stdout
            .contains(": Completed")
    });
    let answer = trainyard(&moto, &["describe", &name, "--json"])
        .expect_code(0)
        .json();
    assert_eq!(answer["RoleArn"], ROLE);
    assert!(
        answer["CreationTime"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z')),
        "{answer}"
    );
    let metrics: BTreeMap<&str, f64> = answer["FinalMetricDataList"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|metric| {
            (
                metric["MetricName"].as_str().expect("text"),
                metric["Value"].as_f64().expect("a number"),
            )
        })
        .collect();
    assert_eq!(metrics.get("validation:accuracy"), Some(&0.9));
    let text = trainyard(
        &moto,
        &[
            "describe",
            &format!("arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}"),
        ],
    )
    .expect_code(0)
    .stdout
    .clone();
    assert!(
        text.starts_with(&format!("{name}: Completed\n"))
            && text.contains("validation:accuracy: 0.9"),
        "{text}"
    );

    for verb in ["status", "describe", "logs", "stop"] {
        let outcome = trainyard(&moto, &[verb, &format!("{name}x")]);
        let text = &outcome.expect_code(1).stderr;
        assert!(
            text.contains(&format!(
                "there is no training job `{name}x` in region `us-east-1`"
            )) && text.contains(&format!("did you mean `{name}`?"))
                && text.contains("help: `trainyard list` shows the jobs"),
            "{text}"
        );
        trainyard(&moto, &[verb, "no/name"]).expect_code(2);
    }
}

#[test]
fn arn_of_another_account_is_refused() {
    let moto = moto();
    let script = json!({"phases": [["Training", 60]]});
    let name = submitted(&moto, "svm", script);
    let arn = |account: &str| format!("arn:aws:sagemaker:us-east-1:{account}:training-job/{name}");
    trainyard(&moto, &["status", &arn("123456789012")]).expect_code(0);
    for verb in ["status", "logs", "stop", "describe"] {
        let outcome = trainyard(&moto, &[verb, &arn("210987654321")]);
        let text = &outcome.expect_code(2).stderr;
        assert!(
            text.contains(
                "of account `210987654321`, the credentials are of account `123456789012`"
            ) && text.contains("--profile NAME"),
            "{text}"
        );
    }
    assert_eq!(moto.requests("StopTrainingJob"), Vec::<Value>::new());
}

#[test]
fn download_finds_model_by_job_name() {
    let moto = moto();
    let ended = |phases: Value| {
        let name = submitted(&moto, "svm", json!({"phases": phases}));
        wait_until("it has ended", || {
            trainyard(&moto, &["status", &name])
                .stdout
                .contains(": Completed")
        });
        name
    };
    // Moto's jobs have a model after `Downloading`.
    let empty = ended(json!([["Starting", 0.1]]));
    let outcome = trainyard(&moto, &["download", "none", "--job-name", &empty]);
    let text = &outcome.expect_code(1).stderr;
    assert!(text.contains("has no model: Completed"), "{text}");
    let name = ended(json!([["Downloading", 0.1], ["Training", 0.1]]));
    let downloaded = trainyard(&moto, &["download", "model", "--job-name", &name]);
    downloaded.expect_code(0);
    assert!(moto.home().join("model/model.json").is_file());
    let arn = format!("arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}");
    trainyard(&moto, &["download", "again", "--job-name", &arn]).expect_code(0);
    let url = "s3://bucket/models";
    trainyard(&moto, &["download", url, "third", "--job-name", &name]).expect_code(0);

    let running = submitted(&moto, "slow", json!({"phases": [["Training", 60]]}));
    let outcome = trainyard(&moto, &["download", "none", "--job-name", &running]);
    let text = &outcome.expect_code(1).stderr;
    assert!(
        text.contains("has no model yet: InProgress")
            && text.contains(&format!("`trainyard logs {running}`")),
        "{text}"
    );
    let outcome = trainyard(&moto, &["download", "none", "--job-name", "unheard-of"]);
    assert!(outcome.expect_code(1).stderr.contains("no training job"));
    for (arguments, expected) in [
        (
            vec!["download", url],
            "no path to download `s3://bucket/models` to",
        ),
        (
            vec!["download", url, "--job-name", &name],
            "no path to download",
        ),
        (vec!["download", "model"], "no S3 URL"),
    ] {
        let outcome = trainyard(&moto, &arguments);
        let text = &outcome.expect_code(2).stderr;
        assert!(text.contains(expected) && text.contains("help:"), "{text}");
    }
}

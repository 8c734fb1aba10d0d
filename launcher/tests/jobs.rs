//! Jobs in the cloud: the real binary against moto.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod cloud;

use std::collections::BTreeMap;
use std::time::Duration;

use cloud::{command, jobs, safe, start_train, svm, train, train_with, trainyard, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use testkit::{Moto, Running, moto, run};

const LIMIT: Duration = Duration::from_secs(120);

fn ctrl_c(running: &Running) {
    let pid = Pid::from_raw(running.pid().cast_signed()).expect("a process id");
    kill_process(pid, Signal::INT).expect("it runs");
}

/// The name in the first line of a text answer, `NAME: STATE`.
fn name_of(text: &str) -> &str {
    text.split([':', '\n']).next().expect("a name")
}

/// Submits a job that goes as the script says.
#[track_caller]
fn submitted(moto: &Moto, prefix: &str, script: Value) -> String {
    let mut script = script;
    script["prefix"] = json!(prefix);
    moto.job(&script);
    let outcome = train_with(moto, &["--no-wait", "--job-name-prefix", prefix]);
    outcome.expect_code(0).stdout.trim().to_owned()
}

#[test]
fn a_job_from_the_first_line_to_the_model() {
    let moto = moto();
    moto.boto("client('s3').create_bucket(Bucket='bucket')");
    let outcome = train_with(&moto, &["--", "--min-df", "5"]);
    let text = &outcome.expect_code(0).stdout;
    let name = name_of(text);
    for part in [
        ": Completed\n",
        "Training",
        "billable",
        &format!("s3://bucket/models/{name}/output/model.tar.gz"),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for part in [
        "train:loss=0.5000; progress:epoch=1;\n",
        "validation:accuracy=0.9000;\n",
        "trainyard download s3://bucket/models",
    ] {
        assert!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
    }
    let head = format!(
        "show(client('s3').head_object(Bucket='bucket', Key='models/{name}/output/model.tar.gz')['ContentLength'])"
    );
    assert!(moto.boto(&head).as_i64() > Some(0));

    let outcome = train_with(&moto, &["--json"]);
    let answer = outcome.expect_code(0).json();
    assert_eq!(answer["status"], "Completed");
    assert_eq!(answer["phases"][0]["status"], "Starting");
    assert!(answer["billable_seconds"].as_i64() > Some(0));
}

#[test]
fn what_is_typed_is_what_the_container_reads() {
    let moto = moto();
    let file = moto.home().join("settings.json");
    std::fs::write(
        &file,
        r#"{"max_df": 0.5, "min-df": 2, "tags": ["a", "b"], "off": false, "none": null}"#,
    )
    .expect("written");
    let typed = [
        "--min-df=5",
        "--tune",
        "--bias=-1.5",
        "--text=None",
        "--text2=[1, 2]",
        "--quoted=\"x\"",
        "--n=1",
        "--n=2",
    ];
    let mut words = vec![
        "--no-wait",
        "--hyperparameters",
        file.to_str().expect("UTF-8"),
        "--",
    ];
    words.extend(typed);
    train_with(&moto, &words).expect_code(0);

    let sent = &moto.requests("CreateTrainingJob")[0]["body"]["HyperParameters"];
    let container = moto.home().join("hyperparameters.json");
    std::fs::write(&container, sent.to_string()).expect("written");
    let read = contract::hyperparameters::read(&container).expect("sound");
    let mut arguments = contract::hyperparameters::to_arguments(&read);
    arguments.sort();
    let mut expected = [
        "--max-df=0.5",
        "--tags=a",
        "--tags=b",
        "--off=false",
        "--tune=true",
    ]
    .map(str::to_owned)
    .to_vec();
    expected.extend(
        typed
            .iter()
            .filter(|word| word.contains('='))
            .map(|&word| word.to_owned()),
    );
    expected.sort();
    assert_eq!(arguments, expected);
    // The trainer's check saw the same.
    let seen = std::fs::read_to_string(moto.home().join("seen.json")).expect("the check has run");
    assert_eq!(&serde_json::from_str::<Value>(&seen).expect("JSON"), sent);
}

#[test]
fn the_trainer_judges_before_anything_is_sent() {
    let moto = moto();
    let svm = svm();
    let svm = svm.to_str().expect("UTF-8");
    let outcome = train_with(&moto, &["--trainer-binary", svm]);
    // The flag is given twice there, so take it by hand.
    assert_eq!(outcome.code(), Some(2));
    let mut words = train(&moto, &["--", "--min-dx", "5"]);
    let at = words
        .iter()
        .position(|word| word == "--trainer-binary")
        .expect("it is there")
        + 1;
    words[at] = svm.to_owned();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = trainyard(&moto, &words);
    let text = &outcome.expect_code(2).stderr;
    assert!(
        text.contains("unknown hyperparameter `min_dx`") && text.contains("did you mean `min_df`?"),
        "{text}"
    );
    assert!(
        text.contains("/opt/ml/input/config/hyperparameters.json"),
        "{text}"
    );
    assert_eq!(moto.requests("*"), Vec::<Value>::new());
}

#[test]
fn without_a_trainer_here_the_check_is_skipped_aloud() {
    let moto = moto();
    let words = train(&moto, &["--no-wait"]);
    let at = words
        .iter()
        .position(|word| word == "--trainer-binary")
        .expect("it is there");
    let words: Vec<&str> = words
        .iter()
        .enumerate()
        .filter(|(i, _)| *i != at && *i != at + 1)
        .map(|(_, word)| match word.as_str() {
            "svm" => "unheard-of",
            word => word,
        })
        .collect();
    let outcome = trainyard(&moto, &words);
    let text = &outcome.expect_code(0).stderr;
    assert!(
        text.contains("the hyperparameters are not checked: no binary `unheard-of`"),
        "{text}"
    );
}

#[test]
fn local_data_are_uploaded_first() {
    let moto = moto();
    moto.boto("client('s3').create_bucket(Bucket='bucket')");
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
fn a_folder_is_sent_whole_or_not_at_all() {
    let moto = moto();
    moto.boto("client('s3').create_bucket(Bucket='bucket')");
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

#[test]
fn what_was_typed_is_in_the_next_command() {
    let moto = moto();
    let words = [
        "--no-wait",
        "--region",
        "us-east-1",
        "--endpoint-url",
        moto.url(),
    ];
    let outcome = train_with(&moto, &words);
    let name = outcome.expect_code(0).stdout.trim().to_owned();
    let options = format!("--region us-east-1 --endpoint-url {}`", moto.url());
    for verb in ["logs", "stop"] {
        let command = format!("`trainyard {verb} {name} {options}");
        assert!(outcome.stderr.contains(&command), "{}", outcome.stderr);
    }

    moto.boto("client('s3').create_bucket(Bucket='bucket')");
    let words = train(&moto, &["--region", "us-east-1"]);
    let words: Vec<&str> = words
        .iter()
        .map(|word| match word.as_str() {
            "s3://bucket/models" => "s3://bucket/my models",
            word => word,
        })
        .collect();
    let outcome = trainyard(&moto, &words);
    outcome.expect_code(0);
    assert!(
        outcome
            .stderr
            .contains("`trainyard download 's3://bucket/my models' model --job-name svm-")
            && outcome.stderr.contains(" --region us-east-1` unpacks"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn spot_without_checkpoints_is_warned_of() {
    let moto = moto();
    let spot = |more: &[&str]| {
        let mut words = vec!["--dry-run", "--spot"];
        words.extend(more);
        train_with(&moto, &words).expect_code(0).stderr.clone()
    };
    assert!(spot(&[]).contains("`--spot` without `--checkpoints`"));
    assert!(!spot(&["--checkpoints", "s3://bucket/c"]).contains("warning"));
}

#[test]
fn ctrl_c_while_stopping_is_told_once() {
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
    let said = outcome.stderr.matches("Ctrl-C").count();
    assert_eq!(said, 1, "{}", outcome.stderr);
}

#[test]
fn json_for_a_command_line_that_is_wrong() {
    let moto = moto();
    for words in [
        vec!["train", "svm", "--json"],
        vec!["--json", "status"],
        vec!["lits", "--json"],
    ] {
        let outcome = trainyard(&moto, &words);
        let error = &outcome.expect_code(2).json()["error"];
        assert_eq!(error["exit_code"], 2);
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty() && !text.starts_with("error")),
            "{error}"
        );
        assert!(outcome.stderr.starts_with("error: "), "{}", outcome.stderr);
    }
    let outcome = trainyard(&moto, &["status", "--nothing", "--", "--json"]);
    assert_eq!(outcome.expect_code(2).stdout, "");
}

#[test]
fn role_names_and_ecr_images_are_looked_up() {
    let moto = moto();
    let mut words = train(&moto, &["--no-wait"]);
    let role = words
        .iter()
        .position(|word| word == "--role")
        .expect("it is there");
    words.drain(role..role + 4);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let with_role = |role: &str| {
        let mut command = command(&moto, &words);
        command.env("AWS_SAGEMAKER_ROLE", role);
        safe(run(command))
    };
    let outcome = with_role("service-role/trainer");
    let text = &outcome.expect_code(1).stderr;
    assert!(
        text.contains("no ECR repository `trainyard/svm`")
            && text.contains("`trainyard push svm --create-repository`"),
        "{text}"
    );
    moto.boto("client('ecr').create_repository(repositoryName='trainyard/svm')");
    assert!(
        with_role("trainer")
            .expect_code(1)
            .stderr
            .contains("this account has no role `trainer`")
    );
    moto.boto("client('iam').create_role(RoleName='trainer', Path='/team/', AssumeRolePolicyDocument='{\"Version\": \"2012-10-17\", \"Statement\": []}')");
    let outcome = with_role("trainer");
    assert!(
        outcome
            .expect_code(1)
            .stderr
            .contains("no image `trainyard/svm:latest`"),
        "{}",
        outcome.stderr
    );
    let digest = moto.boto(
        "manifest = {'schemaVersion': 2, 'mediaType': 'application/vnd.docker.distribution.manifest.v2+json', 'config': {'mediaType': 'application/vnd.docker.container.image.v1+json', 'size': 2, 'digest': 'sha256:' + 'a' * 64}, 'layers': []}\n\
         show(client('ecr').put_image(repositoryName='trainyard/svm', imageTag='latest', imageManifest=json.dumps(manifest))['image']['imageId']['imageDigest'])",
    );
    with_role("service-role/trainer").expect_code(0);
    let body = &moto.requests("CreateTrainingJob")[0]["body"];
    assert_eq!(
        body["RoleArn"],
        "arn:aws:iam::123456789012:role/service-role/trainer"
    );
    let image = format!(
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/trainyard/svm@{}",
        digest.as_str().expect("text")
    );
    assert_eq!(
        body["AlgorithmSpecification"]["TrainingImage"],
        json!(image)
    );

    // The path is IAM's to say.
    with_role("trainer").expect_code(0);
    let body = &moto.requests("CreateTrainingJob")[1]["body"];
    assert_eq!(
        body["RoleArn"],
        "arn:aws:iam::123456789012:role/team/trainer"
    );

    let outcome = with_role("arn:aws:sts::123456789012:assumed-role/trainer/ann");
    assert!(
        outcome
            .expect_code(2)
            .stderr
            .contains("did you mean `--role trainer`?"),
        "{}",
        outcome.stderr
    );
    let mut command = command(&moto, &words);
    command.env_remove("AWS_SAGEMAKER_ROLE");
    let outcome = safe(run(command));
    assert!(
        outcome.expect_code(2).stderr.contains("no execution role"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_lost_answer_makes_no_second_job() {
    let moto = moto();
    for lost in [1, 5] {
        moto.forget();
        let before = jobs(&moto).len();
        moto.fault("CreateTrainingJob", "drop_after", lost);
        let outcome = train_with(&moto, &["--json"]);
        assert_eq!(outcome.expect_code(0).json()["status"], "Completed");
        assert!(
            outcome.stderr.contains("an answer was lost"),
            "{}",
            outcome.stderr
        );
        assert_eq!(jobs(&moto).len(), before + 1);
        let asked = moto.requests("CreateTrainingJob");
        assert!(asked.len() > 1);
        let names: std::collections::BTreeSet<String> = asked
            .iter()
            .map(|request| request["body"]["TrainingJobName"].to_string())
            .collect();
        assert_eq!(names.len(), 1);
    }
}

#[test]
fn somebody_elses_job_is_not_ours() {
    let moto = moto();
    moto.fault("CreateTrainingJob", "in_use", 1);
    let outcome = train_with(&moto, &[]);
    assert!(
        outcome
            .expect_code(1)
            .stderr
            .contains("exists already, and is not this one"),
        "{}",
        outcome.stderr
    );
    // The connection broke before anything was done, and then the name is taken: no such job can be seen.
    moto.fault("CreateTrainingJob", "drop_before", 1);
    moto.fault("CreateTrainingJob", "in_use", 1);
    let outcome = train_with(&moto, &[]);
    assert!(
        outcome
            .expect_code(1)
            .stderr
            .contains("cannot find out whether"),
        "{}",
        outcome.stderr
    );
    assert_eq!(jobs(&moto), []);
}

#[test]
fn throttling_and_server_errors_are_endured() {
    let moto = moto();
    moto.fault("CreateTrainingJob", "throttle", 2);
    moto.fault("CreateTrainingJob", "503", 1);
    moto.fault("DescribeTrainingJob", "throttle", 1);
    moto.fault("GetLogEvents", "500", 1);
    moto.fault("DescribeLogStreams", "drop_before", 1);
    let outcome = train_with(&moto, &[]);
    outcome.expect_code(0);
    assert!(
        outcome.stderr.contains("validation:accuracy=0.9000;"),
        "{}",
        outcome.stderr
    );
    assert_eq!(jobs(&moto).len(), 1);
}

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
            .contains(&format!("`trainyard logs {name}` comes back to it")),
        "{}",
        outcome.stderr
    );
    assert_eq!(moto.requests("StopTrainingJob").len(), 0);

    // A Ctrl-C while the job is being made: it is made, and one is told so.
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
fn errors_of_aws_in_words() {
    let moto = moto();
    for (kind, expected) in [
        (
            "expired",
            vec!["the credentials have expired", "aws sso login"],
        ),
        (
            "invalid_token",
            vec!["does not know the access key", "AWS_PROFILE"],
        ),
        (
            "signature",
            vec!["secret key does not fit", "AWS_SECRET_ACCESS_KEY"],
        ),
        ("skew", vec!["clock is wrong", "timedatectl"]),
        (
            "denied",
            vec![
                "`sagemaker:CreateTrainingJob` on `arn:aws:sagemaker:",
                "trainyard infra policies",
            ],
        ),
        (
            "validation",
            vec!["AWS refuses the request: 1 validation error", "--dry-run"],
        ),
        ("limit", vec!["is 0 Instances", "Service Quotas"]),
    ] {
        moto.fault("CreateTrainingJob", kind, 1);
        let outcome = train_with(&moto, &["--json"]);
        let text = outcome.expect_code(1).stderr.clone();
        for part in expected {
            assert!(text.contains(part), "{kind}: {part}: {text}");
        }
        assert_eq!(outcome.json()["error"]["exit_code"], 1);
    }
    assert_eq!(jobs(&moto), []);

    moto.fault_with(&json!({"operation": "DescribeTrainingJob", "kind": "expired", "times": 99}));
    let outcome = train_with(&moto, &[]);
    let text = &outcome.expect_code(1).stderr;
    assert!(
        text.contains("have expired") && text.contains("the job goes on: `trainyard logs svm-"),
        "{text}"
    );
    assert_eq!(jobs(&moto).len(), 1);
}

#[test]
fn no_credentials_and_no_endpoint() {
    let moto = moto();
    let mut nobody = command(&moto, &["list"]);
    nobody
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY");
    let outcome = run(nobody);
    assert!(
        outcome
            .expect_code(1)
            .stderr
            .contains("no AWS credentials\n"),
        "{}",
        outcome.stderr
    );
    let mut nowhere = command(&moto, &["list"]);
    nowhere.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let outcome = safe(run(nowhere));
    assert!(
        outcome
            .expect_code(1)
            .stderr
            .contains("no answer from `http://127.0.0.1:9`"),
        "{}",
        outcome.stderr
    );
    let mut unresolved = command(&moto, &["list"]);
    unresolved.env("AWS_ENDPOINT_URL", "http://nobody.invalid");
    let outcome = safe(run(unresolved));
    let text = &outcome.expect_code(1).stderr;
    assert!(
        text.contains("no answer from `http://nobody.invalid`")
            && text.contains("check the network")
            && !text.contains("credentials:"),
        "{text}"
    );
    let mut homeless = command(&moto, &["list"]);
    homeless.env_remove("AWS_REGION");
    let outcome = run(homeless);
    assert!(
        outcome.expect_code(2).stderr.contains("no AWS region"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn two_jobs_at_once() {
    let moto = moto();
    let both = [
        start_train(&moto, &["--json"]),
        start_train(&moto, &["--json", "--job-name-prefix", "other"]),
    ];
    let names: Vec<Value> = both
        .into_iter()
        .map(|one| safe(one.finish(LIMIT)).expect_code(0).json()["name"].take())
        .collect();
    assert_ne!(names[0], names[1]);
    assert_eq!(jobs(&moto).len(), 2);
}

#[test]
fn lists() {
    let moto = moto();
    let names: Vec<String> = ["svm-a", "svm-b", "bilstm-a"]
        .iter()
        .map(|prefix| submitted(&moto, prefix, json!({"phases": [["Training", 60]]})))
        .collect();
    let last = submitted(&moto, "svm-c", json!({"phases": [["Downloading", 0.0]]}));
    let listed = |arguments: &[&str]| -> Vec<String> {
        let mut words = vec!["list", "--json"];
        words.extend(arguments);
        let answer = trainyard(&moto, &words).expect_code(0).json();
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
            .starts_with("no such jobs")
    );
    trainyard(&moto, &["list", "a_b"]).expect_code(2);

    // More than a page.
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
    assert_eq!(answer["RoleArn"], cloud::ROLE);
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
            text.contains("no training job") && text.contains(&format!("did you mean `{name}`?")),
            "{text}"
        );
        trainyard(&moto, &[verb, "no/name"]).expect_code(2);
    }
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let moto = moto();
    let local = |more: &[&str]| {
        let mut words = vec![
            "train",
            "svm",
            "--data",
            "x",
            "--output",
            "y",
            "--instance-type",
            "local-process",
        ];
        words.extend(more);
        trainyard(&moto, &words).expect_code(2).stderr.clone()
    };
    for (more, expected) in [
        (vec!["--spot"], "`--spot` needs a cloud instance"),
        (vec!["--role", "x"], "`--role` needs a cloud instance"),
        (
            vec!["--volume-size", "30"],
            "`--volume-size` needs a cloud instance",
        ),
        (
            vec!["--input-mode", "File"],
            "`--input-mode` needs a cloud instance",
        ),
        (vec!["--no-wait"], "`--no-wait` needs a cloud instance"),
        (vec!["--tag", "a=b"], "`--tag` needs a cloud instance"),
        (vec!["--image", "x"], "`--image` makes no sense"),
        (
            vec!["--instance-count", "2"],
            "`--instance-count 2` needs a cloud instance",
        ),
    ] {
        let text = local(&more);
        assert!(text.contains(expected), "{expected}: {text}");
    }
    for (more, expected) in [
        (vec!["--simulate-interruption", "5s"], "is for local jobs"),
        (
            vec!["--checkpoints", "file://x"],
            "`--checkpoints` is a local folder",
        ),
        (
            vec!["--channel", "x=missing.csv"],
            "cannot read `missing.csv`",
        ),
        (vec!["--max-run", "40d"], "longer than 28 days"),
        (vec!["--keep-alive", "7h"], "at most 21600 seconds"),
        (vec!["--keep-alive", "1h", "--spot"], "exclude each other"),
        (vec!["--tag", "aws:x=y"], "reserved name"),
        (vec!["--tag", "x=y;z"], "a character that AWS does not take"),
        (
            vec!["--subnet", "s_1", "--security-group", "sg-1"],
            "`--subnet s_1` is no id",
        ),
        (vec!["--volume-kms-key", "a b"], "is no KMS key"),
        (vec!["--env", "1A=x"], "`1A`"),
        (vec!["--job-name-prefix", "a_b"], "--job-name-prefix a_b"),
        (vec!["--", "word"], "`word` belongs to no hyperparameter"),
        (vec!["--hyperparameters", "gone.json"], "no such file"),
    ] {
        let outcome = train_with(&moto, &more);
        let text = &outcome.expect_code(2).stderr;
        assert!(text.contains(expected), "{expected}: {text}");
    }
    std::fs::write(moto.home().join("bad.json"), "{\n  \"a\": 1,\n}").expect("written");
    let outcome = train_with(&moto, &["--hyperparameters", "bad.json"]);
    assert!(
        outcome
            .expect_code(2)
            .stderr
            .contains("`bad.json` is not valid: ")
            && outcome.stderr.contains("line 3"),
        "{}",
        outcome.stderr
    );
    assert_eq!(moto.requests("*"), Vec::<Value>::new());
}

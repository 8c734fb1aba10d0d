//! From the command line to the job in SageMaker.

use serde_json::{Value, json};
use testkit::{Moto, Outcome, run};

use crate::cloud::{
    ROLE, command, jobs, moto, safe, start_train, svm, train, train_with, trainyard,
};
use crate::{LIMIT, name_of};

#[test]
fn train_follows_the_job_to_its_model() {
    let moto = moto();
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
        "trainyard download model --job-name svm-",
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
fn container_reads_given_hyperparameters() {
    let moto = moto();
    let file = moto.home().join("settings.json");
    std::fs::write(
        &file,
        r#"{"max_df": 0.5, "min-df": 2, "tags": ["a", "b"], "off": false, "none": null}"#,
    )
    .expect("written");
    let given = [
        "--min-df=5",
        "--tune",
        "--bias=-1.5",
        "--text=None",
        "--text2=[1, 2]",
        "--quoted=\"x\"",
        "--n=1",
        "--n=2",
    ];
    let mut arguments = vec![
        "--no-wait",
        "--hyperparameters",
        file.to_str().expect("UTF-8"),
        "--",
    ];
    arguments.extend(given);
    train_with(&moto, &arguments).expect_code(0);

    let sent = &moto.requests("CreateTrainingJob")[0]["body"]["HyperParameters"];
    let container = moto.home().join("hyperparameters.json");
    std::fs::write(&container, sent.to_string()).expect("written");
    let read = sagemaker::hyperparameters::read(&container).expect("valid");
    let mut arguments = sagemaker::hyperparameters::to_arguments(&read);
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
        given
            .iter()
            .filter(|word| word.contains('='))
            .map(|&word| word.to_owned()),
    );
    expected.sort();
    assert_eq!(arguments, expected);
    // The trainer's check reads the same.
    let seen = std::fs::read_to_string(moto.home().join("seen.json")).expect("the check has run");
    assert_eq!(&serde_json::from_str::<Value>(&seen).expect("JSON"), sent);
}

#[test]
fn trainer_checks_before_any_request() {
    let moto = moto();
    let svm = svm();
    let svm = svm.to_str().expect("UTF-8");
    let outcome = train_with(&moto, &["--trainer-binary", svm]);
    // There the flag is given twice; here it is replaced.
    assert_eq!(outcome.code(), Some(2));
    let mut arguments = train(&moto, &["--", "--min-dx", "5"]);
    let at = arguments
        .iter()
        .position(|word| word == "--trainer-binary")
        .expect("it is there")
        + 1;
    arguments[at] = svm.to_owned();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = trainyard(&moto, &arguments);
    let text = &outcome.expect_code(2).stderr;
    assert!(
        text.contains("unknown hyperparameter `min_dx`") && text.contains("did you mean `min_df`?"),
        "{text}"
    );
    // It was given as a flag, not in a file.
    assert!(!text.contains("hyperparameters.json"), "{text}");
    assert_eq!(moto.requests("*"), Vec::<Value>::new());
}

#[test]
fn missing_trainer_skips_the_check_with_a_message() {
    let moto = moto();
    let arguments = train(&moto, &["--no-wait"]);
    let at = arguments
        .iter()
        .position(|word| word == "--trainer-binary")
        .expect("it is there");
    let arguments: Vec<&str> = arguments
        .iter()
        .enumerate()
        .filter(|(i, _)| *i != at && *i != at + 1)
        .map(|(_, word)| match word.as_str() {
            "svm" => "unheard-of",
            word => word,
        })
        .collect();
    let outcome = trainyard(&moto, &arguments);
    let text = &outcome.expect_code(0).stderr;
    assert!(
        text.contains("the hyperparameters are not checked: no binary `unheard-of`"),
        "{text}"
    );
}

#[test]
fn next_command_has_the_given_options() {
    let moto = moto();
    let arguments = [
        "--no-wait",
        "--region",
        "us-east-1",
        "--endpoint-url",
        moto.url(),
    ];
    let outcome = train_with(&moto, &arguments);
    let name = outcome.expect_code(0).stdout.trim().to_owned();
    let options = format!("--region us-east-1 --endpoint-url {}`", moto.url());
    for verb in ["logs", "stop"] {
        let command = format!("`trainyard {verb} {name} {options}");
        assert!(outcome.stderr.contains(&command), "{}", outcome.stderr);
    }

    let outcome = train_with(&moto, &["--region", "us-east-1"]);
    outcome.expect_code(0);
    assert!(
        outcome
            .stderr
            .contains("`trainyard download model --job-name svm-")
            && outcome
                .stderr
                .contains(" --region us-east-1` downloads and unpacks the model"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn spot_without_checkpoints_warns() {
    let moto = moto();
    let spot = |more: &[&str]| {
        let mut arguments = vec!["--dry-run", "--spot"];
        arguments.extend(more);
        train_with(&moto, &arguments).expect_code(0).stderr.clone()
    };
    assert!(spot(&[]).contains("`--spot` without `--checkpoints`"));
    assert!(!spot(&["--checkpoints", "s3://bucket/c"]).contains("warning"));
}

/// Trains without `--role` and `--image`; the role is in the environment.
fn train_with_role(moto: &Moto, role: Option<&str>) -> Outcome {
    let mut arguments = train(moto, &["--no-wait"]);
    let at = arguments.iter().position(|word| word == "--role");
    let at = at.expect("it is there");
    arguments.drain(at..at + 4);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = command(moto, &arguments);
    match role {
        Some(role) => command.env("AWS_SAGEMAKER_ROLE", role),
        None => command.env_remove("AWS_SAGEMAKER_ROLE"),
    };
    safe(run(command))
}

#[test]
fn role_names_and_ecr_images_are_looked_up() {
    let moto = moto();
    let with_role = |role: &str| train_with_role(&moto, Some(role));
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

    // The path of the role comes from IAM.
    with_role("trainer").expect_code(0);
    let body = &moto.requests("CreateTrainingJob")[1]["body"];
    assert_eq!(
        body["RoleArn"],
        "arn:aws:iam::123456789012:role/team/trainer"
    );
}

#[test]
fn invalid_or_missing_role_is_refused() {
    let moto = moto();
    let assumed = "arn:aws:sts::123456789012:assumed-role/trainer/ann";
    let outcome = train_with_role(&moto, Some(assumed));
    assert!(
        outcome
            .expect_code(2)
            .stderr
            .contains("did you mean `--role trainer`?"),
        "{}",
        outcome.stderr
    );
    let outcome = train_with_role(&moto, None);
    assert!(
        outcome.expect_code(2).stderr.contains("no execution role"),
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
fn role_of_another_account_warns() {
    let moto = moto();
    let with_role = |role: &str| {
        let mut arguments = train(&moto, &["--no-wait"]);
        for word in &mut arguments {
            if word == ROLE {
                role.clone_into(word);
            }
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        trainyard(&moto, &arguments).expect_code(0).stderr.clone()
    };
    let text = with_role("arn:aws:iam::210987654321:role/trainer");
    assert!(
        text.contains(
            "is of account `210987654321`, the credentials are of account `123456789012`"
        ),
        "{text}"
    );
    assert!(!with_role(ROLE).contains("of account"));
    // The warning is best effort: without an answer of STS the job is created.
    moto.fault("GetCallerIdentity", "denied", 9);
    let text = with_role("arn:aws:iam::210987654321:role/trainer");
    assert!(!text.contains("of account"), "{text}");
}

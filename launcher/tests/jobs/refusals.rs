//! Errors before any request to AWS.

use serde_json::Value;

use crate::cloud::{moto, svm, train, train_with, trainyard};

#[test]
fn command_line_errors_are_json_with_json() {
    let moto = moto();
    for arguments in [
        vec!["train", "svm", "--json"],
        vec!["--json", "status"],
        vec!["lits", "--json"],
    ] {
        let outcome = trainyard(&moto, &arguments);
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
fn cloud_options_are_refused_for_local_jobs() {
    let moto = moto();
    let local = |more: &[&str]| {
        let mut arguments = vec![
            "train",
            "svm",
            "--data",
            "x",
            "--output",
            "y",
            "--instance-type",
            "local-process",
        ];
        arguments.extend(more);
        trainyard(&moto, &arguments).expect_code(2).stderr.clone()
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
        (vec!["--image", "x"], "`--image` has no effect"),
        (
            vec!["--instance-count", "2"],
            "`--instance-count 2` needs a cloud instance",
        ),
    ] {
        let text = local(&more);
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(moto.requests("*"), Vec::<Value>::new());
}

#[test]
fn invalid_options_are_refused() {
    let moto = moto();
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
        (
            vec!["--tag", "x=y;z"],
            "a character that AWS does not accept",
        ),
        (
            vec!["--subnet", "s_1", "--security-group", "sg-1"],
            "`--subnet s_1` is not an id",
        ),
        (vec!["--volume-kms-key", "a b"], "is not a KMS key"),
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

/// The trainer's help is shown without a job.
#[test]
fn help_of_the_trainer_is_shown() {
    let moto = moto();
    let svm = svm();
    let svm = svm.to_str().expect("UTF-8");
    for help in ["--help", "-h"] {
        let arguments = ["train", "svm", "--trainer-binary", svm, "--", help];
        let outcome = trainyard(&moto, &arguments);
        assert!(
            outcome.expect_code(0).stdout.contains("--min-df"),
            "{}",
            outcome.stdout
        );
    }
    let outcome = trainyard(&moto, &["train", "svm", "--", "--min-df", "5"]);
    let text = &outcome.expect_code(2).stderr;
    assert!(text.contains("a job needs `--output LOCATION`"), "{text}");
    // The trainer's help names commands of `trainyard`.
    let mut arguments = train(&moto, &["--", "--min-df", "2", "--min-df", "3"]);
    let at = arguments.iter().position(|word| word == "--trainer-binary");
    arguments[at.expect("it is there") + 1] = svm.to_owned();
    let stderr_of = |arguments: &[String]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        trainyard(&moto, &arguments).expect_code(2).stderr.clone()
    };
    let text = stderr_of(&arguments);
    assert!(
        text.contains("expected one value for the hyperparameter"),
        "{text}"
    );
    arguments.truncate(arguments.len() - 4);
    arguments.extend(["--min-dx", "2"].map(str::to_owned));
    let text = stderr_of(&arguments);
    assert!(
        text.contains("run `trainyard train svm -- --help` for all hyperparameters"),
        "{text}"
    );
    assert_eq!(moto.requests("*"), Vec::<Value>::new());
}

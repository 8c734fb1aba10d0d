//! `--profile`, `--region`, `--endpoint-url` and the variables beside them: names and precedence of the AWS CLI.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use serde_json::Value;
use testkit::{Moto, moto, run};

const CONFIG: &str = "\
[default]
region = eu-south-1
[profile other]
region = eu-west-3
";
const KEYS: &str = "\
[default]
aws_access_key_id = AKIAPROFILEDEFAULT01
aws_secret_access_key = profile-default
[other]
aws_access_key_id = AKIAPROFILEOTHER0001
aws_secret_access_key = profile-other
";

/// `Credential=KEY/DATE/REGION/...` of the request that `list` sends: the key and the region.
fn signed(moto: &Moto, arguments: &[&str], variables: &[(&str, &str)]) -> (String, String) {
    moto.forget();
    let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
    for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command.args(["list", "--json"]).args(arguments);
    run(command).expect_code(0);
    let requests = moto.requests("ListTrainingJobs");
    let header = requests
        .last()
        .and_then(|request| request["headers"].as_object())
        .and_then(|headers| {
            let found = headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
            found.and_then(|(_, value)| Value::as_str(value))
        })
        .expect("a signed request")
        .to_owned();
    let credential = header
        .split("Credential=")
        .nth(1)
        .expect("a credential in the signature");
    let mut parts = credential.split('/');
    let key = parts.next().expect("a key").to_owned();
    let region = parts.nth(1).expect("a region").to_owned();
    (key, region)
}

#[test]
fn precedence_is_the_aws_cli_s() {
    let moto = moto();
    let folder = moto.home().join(".aws");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("config"), CONFIG).expect("it can be written");
    std::fs::write(folder.join("credentials"), KEYS).expect("it can be written");
    let environment = [
        ("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT00001"),
        ("AWS_SECRET_ACCESS_KEY", "environment"),
    ];
    let key_and_region = |arguments: &[&str], variables: &[(&str, &str)]| {
        let (key, region) = signed(&moto, arguments, variables);
        (key.trim_start_matches("AKIA").to_lowercase(), region)
    };
    let expect = |arguments: &[&str], variables: &[(&str, &str)], key: &str, region: &str| {
        let found = key_and_region(arguments, variables);
        assert!(
            found.0.starts_with(key) && found.1 == region,
            "{arguments:?} {variables:?}: expected {key} in {region}, found {found:?}"
        );
    };
    expect(&[], &[], "profiledefault", "eu-south-1");
    expect(&["--profile", "other"], &[], "profileother", "eu-west-3");
    expect(
        &[],
        &[("AWS_PROFILE", "other")],
        "profileother",
        "eu-west-3",
    );
    // Keys in the environment win over AWS_PROFILE, a typed profile over both.
    let both = [environment[0], environment[1], ("AWS_PROFILE", "other")];
    expect(&[], &both, "environment", "eu-west-3");
    expect(
        &["--profile", "default"],
        &both,
        "profiledefault",
        "eu-south-1",
    );
    // Regions: flag, AWS_REGION, AWS_DEFAULT_REGION, profile.
    let regions = [
        ("AWS_REGION", "us-west-1"),
        ("AWS_DEFAULT_REGION", "us-west-2"),
    ];
    expect(
        &["--region", "ca-central-1"],
        &regions,
        "profiledefault",
        "ca-central-1",
    );
    expect(&[], &regions, "profiledefault", "us-west-1");
    expect(&[], &regions[1..], "profiledefault", "us-west-2");
}

#[test]
fn the_typed_endpoint_wins() {
    let moto = moto();
    let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    command.args(["list", "--json", "--endpoint-url", moto.url()]);
    run(command).expect_code(0);
    assert_eq!(moto.requests("ListTrainingJobs").len(), 1);
}

#[test]
fn a_profile_that_does_not_exist_is_named() {
    let moto = moto();
    let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
    command.args(["list", "--profile", "nobody"]);
    let outcome = run(command);
    assert_ne!(outcome.code(), Some(0));
    assert!(outcome.stderr.contains("nobody"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("help:"), "{}", outcome.stderr);
}

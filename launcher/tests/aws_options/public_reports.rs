//! AWS configuration as botocore reads it: public reports.

use std::time::Duration;

use testkit::run_within;

use super::*;

/// Writes `~/.aws/config` and `~/.aws/credentials`.
fn configure(moto: &Moto, config: &str, credentials: &str) {
    let folder = moto.home().join(".aws");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("config"), config).expect("it can be written");
    std::fs::write(folder.join("credentials"), credentials).expect("it can be written");
}

/// `trainyard ARGUMENTS`, without credentials, region and endpoint in the environment.
fn bare(moto: &Moto, arguments: &[&str]) -> Command {
    let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
    without_aws(&mut command);
    command.args(arguments);
    command
}

fn without_aws(command: &mut Command) {
    for name in [
        "AWS_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ENDPOINT_URL",
    ] {
        command.env_remove(name);
    }
}

/// Runs Python with botocore as `session`, in the same environment.
#[track_caller]
fn botocore(moto: &Moto, variables: &[(&str, &str)], lines: &str) -> testkit::Outcome {
    let python = std::env::var_os("TRAINYARD_AWS_PYTHON").expect("a Python");
    let mut command = moto.command(python);
    without_aws(&mut command);
    let lines = format!("import boto3\nclient = boto3.client\n{lines}");
    command.args(["-B", "-c", &lines]);
    command.envs(variables.iter().copied());
    run(command)
}

fn endpoint_in_profile(moto: &Moto, more: &str) -> String {
    format!(
        "[default]\nregion = us-east-1\nendpoint_url = {}\n{more}",
        moto.url()
    )
}

const DEFAULT_KEYS: &str =
    "[default]\naws_access_key_id = AKIADEFAULT000000001\naws_secret_access_key = default\n";

/// LAUNCHER 03: sdk#645. The judge is botocore's number of requests.
#[test]
fn attempts_are_those_of_botocore() {
    let moto = moto();
    for (keys, variables, expected) in [
        ("max_attempts = 2\n", &[][..], 2),
        ("retry_mode = adaptive\nmax_attempts = 1\n", &[], 1),
        ("max_attempts = 2\n", &[("AWS_MAX_ATTEMPTS", "3")], 3),
        (
            "",
            &[("AWS_MAX_ATTEMPTS", "1"), ("AWS_RETRY_MODE", "standard")],
            1,
        ),
    ] {
        configure(&moto, &endpoint_in_profile(&moto, keys), DEFAULT_KEYS);
        let mut counts = Vec::new();
        for judge in [false, true] {
            moto.forget();
            moto.fault("ListTrainingJobs", "503", 99);
            if judge {
                botocore(&moto, variables, "client('sagemaker').list_training_jobs()");
            } else {
                let mut command = bare(&moto, &["list"]);
                command.envs(variables.iter().copied());
                run(command).expect_code(1);
            }
            counts.push(moto.requests("ListTrainingJobs").len());
        }
        assert_eq!(counts, [expected, expected], "{keys} {variables:?}");
    }
    // Transfers have retries of their own.
    moto.forget();
    moto.fault("ListObjectsV2", "503", 99);
    let mut command = bare(&moto, &["download", "s3://bucket/", "x"]);
    run({
        command.env("AWS_MAX_ATTEMPTS", "2");
        command
    })
    .expect_code(1);
    let listings = moto.requests("*");
    assert_eq!(listings.len(), 2, "{listings:?}");
    let mut command = bare(&moto, &["list"]);
    command.env("AWS_MAX_ATTEMPTS", "many");
    let text = run(command).expect_code(2).stderr.clone();
    assert!(text.contains("AWS_MAX_ATTEMPTS is `many`"), "{text}");
    let mut command = bare(&moto, &["list"]);
    command.env("AWS_RETRY_MODE", "hard");
    let text = run(command).expect_code(2).stderr.clone();
    assert!(text.contains("`hard`, which is not a retry mode"), "{text}");
}

/// LAUNCHER 03: buckets go into the path for custom endpoints, however they are named.
#[test]
fn path_style_is_that_of_botocore() {
    let moto = moto();
    moto.boto("client('s3').create_bucket(Bucket='bucket')");
    let url = moto.url();
    let services = format!(
        "[default]\nregion = us-east-1\nservices = own\n[services own]\ns3 =\n  endpoint_url = {url}\n"
    );
    let plain = "[default]\nregion = us-east-1\n";
    for (config, variables) in [
        (endpoint_in_profile(&moto, ""), &[][..]),
        (services, &[]),
        (plain.to_owned(), &[("AWS_ENDPOINT_URL", url)]),
        (plain.to_owned(), &[("AWS_ENDPOINT_URL_S3", url)]),
    ] {
        configure(&moto, &config, DEFAULT_KEYS);
        std::fs::write(moto.home().join("file"), "x").expect("written");
        let mut paths = Vec::new();
        for judge in [false, true] {
            moto.forget();
            if judge {
                let lines = "client('s3').put_object(Bucket='bucket', Key='key', Body=b'x')";
                botocore(&moto, variables, lines).expect_code(0);
            } else {
                let mut command = bare(&moto, &["upload", "file", "s3://bucket/key"]);
                command.envs(variables.iter().copied());
                run(command).expect_code(0);
            }
            let put = moto.requests("PutObject");
            paths.extend(put.iter().map(|request| request["path"].to_string()));
            moto.boto("client('s3').delete_object(Bucket='bucket', Key='key')");
        }
        assert_eq!(paths, ["\"/bucket/key\"", "\"/bucket/key\""], "{config}");
    }
}

/// LAUNCHER 03: yawsso#36. The key of the profile, and its precedence.
#[test]
fn ca_bundle_of_the_profile_is_trusted() {
    let moto = moto();
    certificates(moto.home());
    let (server, url) = tls_server(&moto);
    configure(
        &moto,
        "[default]\nregion = us-east-1\nca_bundle = ~/ca.pem\n[profile plain]\nregion = us-east-1\n[profile missing]\nca_bundle = nowhere.pem\nregion = us-east-1\n",
        "[default]\naws_access_key_id = AKIADEFAULT000000001\naws_secret_access_key = x\n[plain]\naws_access_key_id = AKIADEFAULT000000001\naws_secret_access_key = x\n",
    );
    let list = |more: &[&str], variables: &[(&str, &str)]| {
        let mut command = bare(&moto, &["list", "--json", "--endpoint-url", &url]);
        command.args(more).envs(variables.iter().copied());
        run(command)
    };
    let outcomes = [
        list(&[], &[]),
        list(&["--profile", "plain"], &[("AWS_CA_BUNDLE", "ca.pem")]),
        list(&["--profile", "plain"], &[("REQUESTS_CA_BUNDLE", "ca.pem")]),
        list(&["--profile", "plain"], &[]),
    ];
    drop(server);
    for outcome in &outcomes[..3] {
        outcome.expect_code(0);
    }
    outcomes[3].expect_code(1);
    let text = list(&["--profile", "missing"], &[])
        .expect_code(2)
        .stderr
        .clone();
    assert!(
        text.contains("`ca_bundle` of the profile `missing`: `nowhere.pem`"),
        "{text}"
    );
    // `push` checks it, too, before it compiles.
    let mut push = bare(&moto, &["push", "svm", "--registry", "127.0.0.1:1"]);
    push.env("AWS_CA_BUNDLE", "nowhere.pem")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let text = run(push).expect_code(2).stderr.clone();
    assert!(text.contains("AWS_CA_BUNDLE: `nowhere.pem`"), "{text}");
    let help = run(bare(&moto, &["list", "--help"])).stdout;
    assert!(help.contains("AWS_CA_BUNDLE"), "{help}");
}

/// LAUNCHER 03: ecs-agent#605. Credentials of a container never go through the proxy.
#[test]
fn container_credentials_bypass_the_proxy() {
    let moto = moto();
    let (proxy, seen) = proxy();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let mut head = [0; 2048];
            let _ = connection.read(&mut head).expect("a request");
            let body = r#"{"AccessKeyId": "AKIACONTAINER0000001", "SecretAccessKey": "s", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}"#;
            let length = body.len();
            write!(
                connection,
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
            .expect("a reader");
        }
    });
    let mut command = bare(&moto, &["list", "--json", "--region", "us-east-1"]);
    command
        .args(["--endpoint-url", "http://sagemaker.invalid"])
        .env("HTTP_PROXY", &proxy)
        .env(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("http://{address}/creds"),
        );
    run(command).expect_code(0);
    assert_eq!(
        *seen.lock().expect("not poisoned"),
        ["post http://sagemaker.invalid/ http/1.1"]
    );
}

const MFA: &str = "[profile mfa]
region = us-east-1
role_arn = arn:aws:iam::123456789012:role/admin
source_profile = base
mfa_serial = arn:aws:iam::123456789012:mfa/ann
duration_seconds = 1800
";
const BASE_KEYS: &str =
    "[base]\naws_access_key_id = AKIABASE000000000001\naws_secret_access_key = base\n";

/// LAUNCHER 03: aws-sdk-rust#527.
#[test]
fn mfa_is_asked_for_on_a_terminal() {
    let moto = moto();
    let config = format!("{MFA}endpoint_url = {}\n", moto.url());
    configure(&moto, &config, BASE_KEYS);
    let outcome = run(bare(&moto, &["list", "--profile", "mfa"]));
    let text = &outcome.expect_code(2).stderr;
    assert!(
        text.contains("the profile `mfa` needs an MFA code")
            && text.contains("aws configure export-credentials --profile mfa"),
        "{text}"
    );
    assert_eq!(moto.requests("*"), Vec::<Value>::new());

    // A pseudo terminal that answers.
    let terminal = "import os, pty, sys\n\
        pid, fd = pty.fork()\n\
        if pid == 0: os.execv(sys.argv[1], sys.argv[1:])\n\
        os.write(fd, b'123456\\n')\n\
        text = b''\n\
        while True:\n\
        \x20   try: more = os.read(fd, 4096)\n\
        \x20   except OSError: break\n\
        \x20   if not more: break\n\
        \x20   text += more\n\
        sys.stdout.buffer.write(text)\n\
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
    let python = std::env::var_os("TRAINYARD_AWS_PYTHON").expect("a Python");
    let mut command = moto.command(python);
    without_aws(&mut command);
    command.args(["-B", "-c", terminal, env!("CARGO_BIN_EXE_trainyard")]);
    command.args(["list", "--json", "--profile", "mfa"]);
    let outcome = run(command);
    outcome.expect_code(0);
    assert!(
        outcome
            .stdout
            .contains("Enter MFA code for arn:aws:iam::123456789012:mfa/ann: "),
        "{}",
        outcome.stdout
    );
    let assumed = moto.requests("AssumeRole");
    let body = assumed[0]["body"].to_string();
    for part in [
        "TokenCode",
        "123456",
        "SerialNumber",
        "DurationSeconds",
        "1800",
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
    assert_eq!(assumed.len(), 1);
}

/// LAUNCHER 03: `login_session`, and a token file that does not exist.
#[test]
fn unsupported_and_missing_credentials_are_named() {
    let moto = moto();
    let region = "region = us-east-1\n";
    configure(
        &moto,
        &format!(
            "[profile console]\n{region}login_session = arn:aws:iam::1:user/ann\n[profile pod]\n{region}role_arn = arn:aws:iam::1:role/pod\nweb_identity_token_file = /nowhere/token\n"
        ),
        DEFAULT_KEYS,
    );
    let text = |command: Command| run(command).expect_code(2).stderr.clone();
    let login = text(bare(&moto, &["list", "--profile", "console"]));
    assert!(
        login.contains("the profile `console` has the credentials of `aws login`")
            && login.contains("export-credentials --profile console")
            && !login.contains("cargo feature"),
        "{login}"
    );
    let pod = text(bare(&moto, &["list", "--profile", "pod"]));
    assert!(
        pod.contains("web_identity_token_file of the profile `pod`: cannot read `/nowhere/token`"),
        "{pod}"
    );
    let mut command = bare(&moto, &["list", "--region", "us-east-1"]);
    command
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/other")
        .env("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod");
    let variable = text(command);
    assert!(
        variable.contains("AWS_WEB_IDENTITY_TOKEN_FILE: cannot read `/nowhere/other`"),
        "{variable}"
    );
}

/// LAUNCHER 03: sections that are not profiles. The judge is botocore's list.
#[test]
fn only_profiles_are_listed() {
    let moto = moto();
    configure(
        &moto,
        "[default]\nregion = us-east-1\n[profile a]\n[profile \"b c\"]\n[sso-session login]\nsso_region = us-east-1\n[services own]\n[preview]\n[plugins]\n",
        "[d]\naws_access_key_id = AKIADEFAULT000000001\naws_secret_access_key = x\n",
    );
    let lines = "print(', '.join(sorted(boto3.Session().available_profiles)))";
    let expected = botocore(&moto, &[], lines).expect_code(0).stdout.clone();
    for name in ["nope", "login", "own", "preview"] {
        let outcome = run(bare(&moto, &["list", "--profile", name]));
        let text = &outcome.expect_code(2).stderr;
        assert!(
            text.contains(&format!("expected one of: {}\n", expected.trim())),
            "{text}"
        );
    }
}

/// LAUNCHER 03: the same region and credentials. The judge is botocore.
#[test]
fn region_and_keys_are_those_of_botocore() {
    let moto = moto();
    let config = "[default]\nregion = eu-south-1\naws_access_key_id = AKIACONFIG0000000001\naws_secret_access_key = x\n[profile bc]\nregion=eu-west-3\naws_access_key_id = AKIAINCONFIG00000001\naws_secret_access_key = x\n[profile role]\nregion = us-west-2\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = bc\n";
    let url = moto.url();
    configure(
        &moto,
        &config.replace("region", &format!("endpoint_url = {url}\nregion")),
        "[bc]\naws_access_key_id = AKIAINKEYS0000000001\naws_secret_access_key = y\n",
    );
    for variables in [
        &[][..],
        &[("AWS_PROFILE", "bc")],
        &[("AWS_DEFAULT_REGION", "ca-central-1")],
        &[
            ("AWS_PROFILE", "bc"),
            ("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT00001"),
            ("AWS_SECRET_ACCESS_KEY", "z"),
        ],
    ] {
        let mut both = Vec::new();
        for judge in [false, true] {
            moto.forget();
            if judge {
                let lines = "client('sagemaker').list_training_jobs()";
                botocore(&moto, variables, lines).expect_code(0);
            } else {
                let mut command = bare(&moto, &["list", "--json"]);
                command.envs(variables.iter().copied());
                run(command).expect_code(0);
            }
            both.push(credential(&moto));
        }
        assert_eq!(both[0], both[1], "{variables:?}");
    }
}

/// Runs a group of cases of tests/judges/aws_cli.py: the AWS CLI and trainyard send the same
/// requests with the same variables and files.
#[track_caller]
fn compare_with_aws_cli(group: &str) {
    let python = std::env::var_os("TRAINYARD_AWS_PYTHON").expect("a Python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/judges/aws_cli.py");
    let mut command = Command::new(python);
    command.arg("-B").arg(script);
    command.args([env!("CARGO_BIN_EXE_trainyard"), group]);
    let outcome = run_within(command, Duration::from_secs(300));
    let (found, error) = (&outcome.stdout, &outcome.stderr);
    assert_eq!(outcome.code(), Some(0), "{found}{error}");
}

/// LAUNCHER 03: profiles, regions, and the format of the files.
#[test]
fn profile_and_region_are_those_of_the_aws_cli() {
    compare_with_aws_cli("profile_and_region");
}

/// LAUNCHER 03: hosts, also of S3, FIPS and dual-stack.
#[test]
fn endpoints_are_those_of_the_aws_cli() {
    compare_with_aws_cli("endpoint");
}

/// LAUNCHER 03: keys, roles, processes, tokens, SSO, containers and machines.
#[test]
fn credentials_are_those_of_the_aws_cli() {
    compare_with_aws_cli("credentials");
}

/// LAUNCHER 03: number of attempts and retry mode.
#[test]
fn retries_are_those_of_the_aws_cli() {
    compare_with_aws_cli("retries");
}

/// LAUNCHER 03: CA bundles and proxies.
#[test]
fn certificates_and_proxies_are_those_of_the_aws_cli() {
    compare_with_aws_cli("tls_and_proxy");
}

//! `--profile`, `--region`, `--endpoint-url` and their environment variables: names and precedence
//! of the AWS CLI.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "aws_options/public_reports.rs"]
mod public_reports;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use testkit::{Moto, PythonServer, certificates, moto, run};

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

/// Returns key and region from `Credential=KEY/DATE/REGION/...` of the request of `list`.
fn signed(moto: &Moto, arguments: &[&str], variables: &[(&str, &str)]) -> (String, String) {
    moto.forget();
    let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
    for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command.args(["list", "--json"]).args(arguments);
    run(command).expect_code(0);
    credential(moto)
}

/// Returns key and region of the signature of the last ListTrainingJobs.
fn credential(moto: &Moto) -> (String, String) {
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
fn precedence_is_that_of_the_aws_cli() {
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
    // Other variable of botocore.
    expect(
        &[],
        &[("AWS_DEFAULT_PROFILE", "other"), ("AWS_PROFILE", "absent")],
        "profileother",
        "eu-west-3",
    );
    // Keys in the environment take precedence over AWS_PROFILE, `--profile` over both.
    let both = [environment[0], environment[1], ("AWS_PROFILE", "other")];
    expect(&[], &both, "environment", "eu-west-3");
    expect(
        &["--profile", "default"],
        &both,
        "profiledefault",
        "eu-south-1",
    );
    // Regions: option, AWS_REGION, AWS_DEFAULT_REGION, profile.
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

/// Starts an HTTP proxy that answers all requests itself. Returns its URL and the request lines.
fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            answer(connection.expect("a connection"), &kept);
        }
    });
    (url, seen)
}

fn answer(connection: TcpStream, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(&connection);
    let mut lines = Vec::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("text");
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        lines.push(line);
    }
    reader
        .read_exact(&mut vec![0; length])
        .expect("the whole body");
    seen.lock()
        .expect("not poisoned")
        .extend(lines.first().cloned());
    let body = r#"{"TrainingJobSummaries": []}"#;
    let length = body.len();
    write!(
        &connection,
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .expect("a reader");
}

#[test]
fn uses_proxy_of_the_environment() {
    let moto = moto();
    let (url, seen) = proxy();
    let list = |endpoint: &str, variables: &[(&str, &str)]| {
        let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
        command.args(["list", "--json", "--endpoint-url", endpoint]);
        command.env("HTTP_PROXY", &url);
        command.envs(variables.iter().copied());
        run(command).expect_code(0);
    };
    // The name does not resolve: only the proxy can answer.
    list("http://sagemaker.invalid", &[]);
    assert_eq!(
        *seen.lock().expect("not poisoned"),
        ["post http://sagemaker.invalid/ http/1.1"]
    );
    assert_eq!(moto.requests("*"), Vec::<Value>::new());
    list(moto.url(), &[("NO_PROXY", "localhost,127.0.0.1")]);
    assert_eq!(seen.lock().expect("not poisoned").len(), 1);
    assert_eq!(moto.requests("ListTrainingJobs").len(), 1);
}

#[test]
fn invalid_ca_bundle_is_usage_error() {
    let moto = moto();
    for text in [None, Some("no certificates")] {
        let bundle = moto.home().join("bundle.pem");
        if let Some(text) = text {
            std::fs::write(&bundle, text).expect("written");
        }
        let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
        command.arg("list").env("AWS_CA_BUNDLE", &bundle);
        let outcome = run(command);
        let text = &outcome.expect_code(2).stderr;
        assert!(text.contains("AWS_CA_BUNDLE: `"), "{text}");
    }
}

/// Server that returns an empty list of jobs over TLS; prints its port.
const TLS_SERVER: &str = r#"
import http.server, ssl, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = b'{"TrainingJobSummaries": []}'
        self.send_response(200)
        self.send_header("content-type", "application/x-amz-json-1.1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// Starts the server with the certificates of moto's home. Returns its URL, too.
fn tls_server(moto: &Moto) -> (PythonServer, String) {
    let server = PythonServer::start(TLS_SERVER, moto.home());
    let url = format!("https://{}", server.address);
    (server, url)
}

#[test]
fn trusts_certificates_of_the_ca_bundle() {
    let moto = moto();
    certificates(moto.home());
    let (server, url) = tls_server(&moto);
    let list = |bundle: Option<&str>| {
        let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
        command.args(["list", "--json", "--endpoint-url", &url]);
        command.envs(bundle.map(|bundle| ("AWS_CA_BUNDLE", bundle)));
        run(command)
    };
    let outcomes = (list(Some("ca.pem")), list(None));
    drop(server);
    outcomes.0.expect_code(0);
    let text = &outcomes.1.expect_code(1).stderr;
    assert!(text.contains("UnknownIssuer"), "{text}");
}

#[test]
fn endpoint_option_takes_precedence() {
    let moto = moto();
    let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    command.args(["list", "--json", "--endpoint-url", moto.url()]);
    run(command).expect_code(0);
    assert_eq!(moto.requests("ListTrainingJobs").len(), 1);
}

#[test]
fn missing_profile_is_error() {
    let moto = moto();
    let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
    command.args(["list", "--profile", "absent"]);
    let outcome = run(command);
    assert_ne!(outcome.code(), Some(0));
    assert!(outcome.stderr.contains("absent"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("help:"), "{}", outcome.stderr);
}

//! AWS for the tests of the launcher: `moto_server.py` as a child process.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::run;

/// The access key of [`Moto::command`]; it must appear only in signatures.
pub const CANARY_KEY_ID: &str = "AKIACANARYBIRD000001";
/// The secret key of [`Moto::command`]; it must not appear anywhere.
pub const CANARY_SECRET: &str = "canary-secret/that+must/never/be/seen-0001";

/// Variables that commands inherit from the tests; none are AWS's.
const INHERITED: [&str; 9] = [
    "PATH",
    "TMPDIR",
    "LANG",
    "TERM",
    "CARGO",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "DOCKER_HOST",
    "XDG_RUNTIME_DIR",
];

/// A server; it ends when dropped, and with the process of the test.
pub struct Moto {
    child: Child,
    url: String,
    home: TempDir,
}

/// Starts moto on a free port of 127.0.0.1 and waits until it answers; about a second of CPU time.
///
/// # Panics
/// If `TRAINYARD_AWS_PYTHON` is not set, or the server does not start.
#[track_caller]
pub fn moto() -> Moto {
    let mut child = Command::new(python())
        .arg("-B")
        .arg(file("moto_server.py"))
        // The pipe closes when the process of the test ends, and then the server ends.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("the Python of TRAINYARD_AWS_PYTHON starts");
    let mut url = String::new();
    let stdout = child.stdout.take().expect("it is a pipe");
    // The server prints its URL when the port is open; if it dies the pipe closes.
    BufReader::new(stdout)
        .read_line(&mut url)
        .expect("moto's first line is text");
    assert!(
        url.starts_with("http://"),
        "moto did not start, found `{url}`; its output is above"
    );
    Moto {
        child,
        url: url.trim().to_owned(),
        home: tempfile::tempdir().expect("a temporary folder"),
    }
}

impl Moto {
    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The home folder of the commands, initially empty.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Returns a command with this server, canary credentials and an empty home folder, in which it
    /// runs.
    pub fn command(&self, binary: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(binary);
        command.env_clear();
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // Cargo and rustup need the real home.
        if let Some(home) = std::env::var_os("HOME") {
            for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
                if std::env::var_os(name).is_none() {
                    command.env(name, Path::new(&home).join(folder));
                }
            }
        }
        command
            .current_dir(self.home())
            .env("HOME", self.home())
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("AWS_ACCESS_KEY_ID", CANARY_KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", CANARY_SECRET)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    /// Runs Python code that has `client("s3")` etc. and returns the values that it `show`s.
    ///
    /// # Panics
    /// If they fail.
    #[track_caller]
    pub fn boto(&self, lines: &str) -> Value {
        const BEFORE: &str = "import boto3, io, json, sys, time\n\
            client = boto3.client\n\
            def show(value): print(json.dumps(value, default=str))\n";
        let mut command = self.command(python());
        command.env("AWS_DEFAULT_REGION", "us-east-1");
        command.args(["-B", "-c", &format!("{BEFORE}{lines}")]);
        let outcome = run(command);
        outcome.expect_code(0);
        if outcome.stdout.trim().is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&outcome.stdout).expect("one `show(value)`")
    }

    /// Sets the schedule of jobs whose names start with `settings["prefix"]`: see `moto_jobs.py`.
    #[track_caller]
    pub fn job(&self, settings: &Value) {
        self.control("job", settings);
    }

    /// Makes the next `times` requests of the operation (`*`: any) fail; kinds are in
    /// `moto_server.py`.
    #[track_caller]
    pub fn fault(&self, operation: &str, kind: &str, times: u32) {
        self.fault_with(&json!({"operation": operation, "kind": kind, "times": times}));
    }

    /// A fault with options: `after` a number of requests, only if they `match` a text, `seconds`
    /// to stall.
    #[track_caller]
    pub fn fault_with(&self, fault: &Value) {
        self.control("fault", fault);
    }

    /// Serves the images of ECR from this registry, such as `http://127.0.0.1:5000`.
    #[track_caller]
    pub fn registry(&self, url: &str) {
        self.control("registry", &json!({"url": url}));
    }

    /// Returns all requests of the operation (`*`: any) so far.
    #[track_caller]
    pub fn requests(&self, operation: &str) -> Vec<Value> {
        let Value::Array(mut requests) = self.control("requests", &Value::Null)["requests"].take()
        else {
            panic!("expected a list of requests");
        };
        requests.retain(|request| operation == "*" || request["operation"] == operation);
        requests
    }

    /// Forgets requests and faults.
    #[track_caller]
    pub fn forget(&self) {
        self.control("forget", &json!({}));
    }

    #[track_caller]
    fn control(&self, what: &str, body: &Value) -> Value {
        let address = self.url.trim_start_matches("http://");
        let body = body.to_string();
        let mut stream = TcpStream::connect(address).expect("moto listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a time limit is allowed");
        let length = body.len();
        write!(
            stream,
            "POST /_test/{what} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("moto reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("moto answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        assert!(head.contains(" 200 "), "/_test/{what}: {answer}");
        serde_json::from_str(body).expect("JSON")
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            // It may have ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Returns the Python with moto, boto3 and botocore.
///
/// # Panics
/// If `TRAINYARD_AWS_PYTHON` is not set.
#[track_caller]
fn python() -> PathBuf {
    let Some(python) = std::env::var_os("TRAINYARD_AWS_PYTHON") else {
        panic!(
            "`TRAINYARD_AWS_PYTHON` is not set, expected the Python with the pinned moto\n\
             help: run the tests with `./test`, which makes it"
        );
    };
    python.into()
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests")
        .join(name)
}

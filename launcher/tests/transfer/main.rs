//! `upload` and `download` against moto, through a proxy that injects faults.
#![allow(
    clippy::expect_used,
    reason = "the helpers of a test report by panicking"
)]

mod attacks;
mod campaigns;
mod checksums;
mod faults;
mod folders;
mod public_reports;
mod resuming;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::{CANARY_KEY_ID, CANARY_SECRET, FaultProxy, Moto, Outcome, fault_proxy, moto, run};

/// Size of a part in bytes, as in the launcher.
const PART: usize = 16 << 20;

struct World {
    moto: Moto,
    proxy: FaultProxy,
}

impl World {
    /// Starts moto with the bucket `bucket`, and the proxy.
    fn new() -> Self {
        let moto = moto();
        moto.boto("client('s3').create_bucket(Bucket='bucket')");
        let proxy = fault_proxy(moto.url());
        Self { moto, proxy }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.moto.command(env!("CARGO_BIN_EXE_trainyard"));
        command.env("AWS_ENDPOINT_URL", self.proxy.url()).args(args);
        command
    }

    /// Runs the command in the home folder. Asserts that the output has no keys.
    #[track_caller]
    fn run(&self, args: &[&str]) -> Outcome {
        let outcome = run(self.command(args));
        assert!(
            !outcome.output().contains(CANARY_KEY_ID),
            "{}",
            outcome.output()
        );
        assert!(
            !outcome.output().contains(CANARY_SECRET),
            "{}",
            outcome.output()
        );
        outcome
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.push("--json");
        let outcome = self.run(&args);
        outcome.expect_code(0);
        outcome.json()
    }

    /// Asserts exit code 1 and these texts in the message.
    #[track_caller]
    fn fails(&self, args: &[&str], expected: &[&str]) -> Outcome {
        let outcome = self.run(args);
        outcome.expect_code(1);
        for text in expected {
            assert!(
                outcome.stderr.contains(text),
                "no `{text}` in {}",
                outcome.stderr
            );
        }
        outcome
    }

    fn path(&self, name: &str) -> PathBuf {
        self.moto.home().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, bytes).expect("written");
    }

    /// True if the object has these bytes.
    fn object_is(&self, key: &str, bytes: &[u8]) -> bool {
        self.write("expected", bytes);
        self.moto.boto(&format!(
            "show(client('s3').get_object(Bucket='bucket', Key={key:?})['Body'].read() == open('expected', 'rb').read())"
        )) == Value::Bool(true)
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        self.write("object", bytes);
        self.moto.boto(&format!(
            "client('s3').put_object(Bucket='bucket', Key={key:?}, Body=open('object', 'rb'), ChecksumAlgorithm='CRC32')"
        ));
    }

    /// Returns all paths below a folder, including hidden ones.
    fn names(&self, folder: &str) -> Vec<String> {
        names(&self.path(folder))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).into_iter().flatten().flatten() {
            let path = entry.path();
            found.push(
                path.strip_prefix(folder)
                    .expect("below")
                    .to_string_lossy()
                    .into_owned(),
            );
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Returns pseudorandom bytes.
fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut random = testkit::SplitMix64(seed);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&random.bits().to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

const UP: &str = "s3://bucket/pre";

#[track_caller]
fn until(what: &str, is: impl Fn() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(
            std::time::Instant::now() < end,
            "not within a minute: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn assert_interrupted(running: testkit::Running) {
    let outcome = running.finish(Duration::from_secs(20));
    outcome.expect_code(130);
    assert!(
        outcome
            .stderr
            .contains("run the same command again to resume"),
        "{}",
        outcome.stderr
    );
}

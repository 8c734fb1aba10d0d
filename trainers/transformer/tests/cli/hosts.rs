//! Two processes as two hosts of a job.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::{movie_csv, run, start};

use super::{Home, kit};

/// Creates the job's folder of a host.
pub(super) fn host(home: &Home, number: usize) -> PathBuf {
    let base = home.path(&format!("host-{number}"));
    let config = base.join("input/config");
    std::fs::create_dir_all(&config).unwrap();
    let resources = serde_json::json!({
        "current_host": format!("algo-{number}"), "hosts": ["algo-1", "algo-2"], "network_interface_name": "lo",
    });
    std::fs::write(config.join("resourceconfig.json"), resources.to_string()).unwrap();
    base
}

pub(super) fn job(base: &Path, rows: &Path, port: u16, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transformer"));
    let pretrained = kit::pretrained();
    command
        .env_clear()
        .env("SAGEMAKER_BASE_DIR", base)
        .env("TRAINYARD_LEADER", format!("127.0.0.1:{port}"))
        .args([
            "train",
            "--no-report",
            "--threads",
            "1",
            "--max-len",
            "24",
            "--pretrained-model",
        ])
        .arg(pretrained)
        .arg("--train")
        .arg(rows)
        .args(flags);
    command
}

/// Returns the loss of each epoch.
fn losses(metrics: &Path) -> Vec<f64> {
    let metrics: serde_json::Value =
        serde_json::from_slice(&std::fs::read(metrics).unwrap()).unwrap();
    let epochs = metrics["history"].as_array().unwrap();
    epochs
        .iter()
        .map(|epoch| epoch["train_loss"].as_f64().unwrap())
        .collect()
}

#[test]
fn two_processes_match_one_with_double_batch() {
    let home = Home::new();
    let rows = movie_csv();
    let bases = [host(&home, 1), host(&home, 2)];
    let port = testkit::free_port();
    let flags = [
        "--epochs",
        "3",
        "--patience",
        "0",
        "--batch-size",
        "8",
        "--host-timeout",
        "60",
    ];
    // The first host starts second.
    let second = start(job(&bases[1], &rows, port, &flags));
    let first = start(job(&bases[0], &rows, port, &flags));
    let limit = Duration::from_secs(120);
    let (first, second) = (first.finish(limit), second.finish(limit));
    first.expect_code(0);
    second.expect_code(0);
    assert!(
        bases[0].join("model/model.safetensors").exists(),
        "{}",
        first.stderr
    );
    assert!(
        !bases[1].join("model/config.json").exists(),
        "one host writes"
    );
    assert!(
        !second.output().contains("train:loss"),
        "a job's metrics come from one host"
    );
    home.train(
        &rows,
        &["--epochs", "3", "--patience", "0", "--batch-size", "16"],
    )
    .expect_code(0);
    let (ours, alone) = (
        losses(&bases[0].join("output/data/metrics.json")),
        losses(&home.path("model/metrics.json")),
    );
    assert_eq!(ours.len(), 3);
    for (ours, alone) in ours.iter().zip(&alone) {
        assert!((ours - alone).abs() < 1e-3, "{ours} {alone}");
    }
}

#[test]
fn different_data_on_hosts_is_an_error() {
    let home = Home::new();
    let few = home.rows(80);
    let bases = [host(&home, 1), host(&home, 2)];
    let port = testkit::free_port();
    let flags = ["--epochs", "1", "--host-timeout", "60"];
    let second = start(job(&bases[1], &few, port, &flags));
    let first = run(job(&bases[0], &movie_csv(), port, &flags));
    for outcome in [&first, &second.finish(Duration::from_secs(60))] {
        assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("the same rows on all hosts"),
            "{}",
            outcome.stderr
        );
        assert!(
            outcome.stderr.contains("FullyReplicated"),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn missing_host_is_named() {
    let home = Home::new();
    let base = host(&home, 1);
    let outcome = run(job(
        &base,
        &movie_csv(),
        testkit::free_port(),
        &["--host-timeout", "1"],
    ));
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("the host `algo-2` did not connect"),
        "{}",
        outcome.stderr
    );
}

/// Both hosts stop when one is stopped within an epoch, and resume together.
#[test]
fn stopped_job_of_two_hosts_resumes() {
    let home = Home::new();
    let rows = home.rows(200);
    let bases = [host(&home, 1), host(&home, 2)];
    let chain = home.path("checkpoints");
    let flags = |chain: &Path, timeout: &str| {
        let chain = chain.to_str().unwrap();
        let flags = [
            "--epochs",
            "12",
            "--validation-split",
            "0",
            "--batch-size",
            "1",
            "--checkpoint-dir",
            chain,
            "--host-timeout",
            timeout,
        ];
        flags.map(str::to_owned)
    };
    let both = |stop: bool, timeout: &str| {
        let port = testkit::free_port();
        // Only the first host has checkpoints.
        let dirs = [chain.clone(), home.path("none")];
        let start = |host: usize| {
            let flags = flags(&dirs[host], timeout);
            let flags = flags.each_ref().map(String::as_str);
            start(job(&bases[host], &rows, port, &flags))
        };
        let (mut second, mut first) = (start(1), start(0));
        if stop {
            // The first epoch has left a checkpoint; of the next one's ninety steps only the last
            // leaves one.
            while !chain.exists() || std::fs::read_dir(&chain).unwrap().count() == 0 {
                assert!(
                    !first.ended() && !second.ended(),
                    "it is over before it is stopped"
                );
                std::thread::sleep(Duration::from_millis(5));
            }
            second.sigterm();
        }
        let limit = Duration::from_secs(180);
        let (first, second) = (first.finish(limit), second.finish(limit));
        first.expect_code(0);
        second.expect_code(0);
        (
            first.stderr,
            std::fs::read(bases[0].join("model/model.safetensors")).unwrap(),
        )
    };
    let (_, stopped) = both(true, "60");
    let metrics = bases[0].join("output/data/metrics.json");
    let metrics: serde_json::Value =
        serde_json::from_slice(&std::fs::read(metrics).unwrap()).unwrap();
    assert_eq!(metrics["stopped_early"], true);
    let steps = metrics["details"]["steps"].as_u64().unwrap();
    let names = std::fs::read_dir(&chain).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    let last = format!("{steps}");
    assert!(
        names
            .iter()
            .any(|name| name.to_string_lossy().ends_with(&last)),
        "no checkpoint of step {last}: {names:?}"
    );
    // Another timeout does not change the fingerprint.
    let (said, whole) = both(false, "61");
    assert!(said.contains("resuming from the checkpoint"), "{said}");
    assert!(stopped != whole);
    std::fs::remove_dir_all(&chain).unwrap();
    let (_, undisturbed) = both(false, "61");
    assert!(whole == undisturbed, "resumed, it is the same model");
}

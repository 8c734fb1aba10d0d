//! Images: their contents, engines and other tools that read them, and SageMaker's contract inside.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test reports by panicking, its helpers too"
)]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{LONG, Workspace, files, holds, repository, rust_base, settings, unpacked};
use serde_json::Value;
use testkit::{Engine, FakeMl, engine, run, run_within};

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a string: {value}"))
}

#[test]
fn digest_is_the_same_in_every_folder() {
    let (one, two) = (Workspace::new("toy"), Workspace::new("toy"));
    let first = one.build(&[]);
    assert_eq!(first["digest"], two.build(&[])["digest"]);
    // Without the cache of the first build.
    std::fs::remove_dir_all(one.path("target/trainyard")).unwrap();
    assert_eq!(first["digest"], one.build(&[])["digest"]);

    let mut command = one.command(&["build", "toy", "--json"]);
    command.env("SOURCE_DATE_EPOCH", "1767225600");
    let dated = run_within(command, LONG).json();
    assert_ne!(first["digest"], dated["digest"]);
    assert_eq!(first["layers"], dated["layers"]);

    one.write("src/main.rs", b"fn main() {}\n");
    let changed = one.build(&[]);
    assert_ne!(first["layers"][1], changed["layers"][1]);
    assert_eq!(first["layers"][0], changed["layers"][0]);
    let reference = text(&changed["reference"]);
    assert!(reference.ends_with("-dirty"), "{reference}");
    assert_eq!(
        reference.trim_end_matches("-dirty"),
        text(&first["reference"])
    );
}

/// cargo distinguishes crates of clones only by file times: a binary that another clone compiled
/// later must not be used.
#[test]
fn clones_can_share_a_target_folder() {
    let target = tempfile::tempdir().unwrap();
    let (one, two) = (Workspace::new("toy"), Workspace::new("toy"));
    for (clone, word) in [(&one, "one"), (&two, "two")] {
        clone.add_library("shared", &format!("pub fn word() -> &'static str {{\n    let word = std::hint::black_box(\"{word}\");\n    assert!(word.len() == 3);\n    word\n}}\n"));
        clone.write(
            "src/main.rs",
            b"fn main() { println!(\"{}\", shared::word()); }\n",
        );
        let old = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        for file in ["src/main.rs", "shared/src/lib.rs"] {
            let file = std::fs::File::options().append(true).open(clone.path(file));
            file.unwrap().set_times(old).unwrap();
        }
    }
    let build = |clone: &Workspace, target: &Path| {
        let mut command = clone.command(&["build", "toy", "--json"]);
        command.env("CARGO_TARGET_DIR", target);
        let built = run_within(command, LONG).expect_code(0).json();
        let output = run(Command::new(text(&built["binary"]))).stdout;
        (output, built["layers"].clone())
    };
    let first = build(&one, target.path());
    assert_eq!(first.0, "one\n");
    assert_eq!(build(&two, target.path()).0, "two\n");
    assert_eq!(build(&one, target.path()), first);
    // The path of the target folder is not in the binary.
    assert_eq!(build(&one, &one.path("target")), first);
}

#[test]
fn device_as_output_is_written_not_replaced() {
    let toy = Workspace::new("toy");
    std::fs::create_dir_all(toy.path("out")).unwrap();
    std::os::unix::fs::symlink("/dev/null", toy.path("out/null")).unwrap();
    toy.build(&["--output", "out/null"]);
    assert!(toy.path("out/null").is_symlink());
    for (output, expected) in [
        ("out", "cannot write `out`: it is a folder"),
        (
            "none/x.tar",
            "cannot write `none/x.tar`: there is no folder `none`",
        ),
    ] {
        for more in [&[][..], &["--dry-run"]] {
            let arguments = [&["build", "toy", "--output", output], more].concat();
            let refused = toy.trainyard(&arguments);
            let text = &refused.expect_code(2).stderr;
            assert!(
                text.starts_with(&format!("error: {expected}")) && text.contains("help: pass an"),
                "{text}"
            );
        }
    }
}

#[test]
fn git_error_is_reported_once() {
    let toy = Workspace::new("toy");
    let mut command = toy.command(&["build", "toy", "--json"]);
    command
        .env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    let outcome = run_within(command, LONG);
    let answer = outcome.expect_code(0).json();
    assert_eq!(text(&answer["reference"]), "trainyard/toy:1.2.3");
    assert!(
        outcome.stderr.contains("no commit in the image's tag")
            && outcome.stderr.contains("dubious ownership"),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.stderr.matches("no commit").count(), 1);
}

#[test]
fn skopeo_reads_archive_without_local_paths() {
    let toy = Workspace::new("toy");
    let archive = toy.path("out/image.tar");
    std::fs::create_dir_all(toy.path("out")).unwrap();
    let mut command = toy.command(&["build", "toy", "--json", "--output", "out/image.tar"]);
    let canaries = [
        ("AWS_SECRET_ACCESS_KEY", "canary-aws-secret"),
        ("TRAINYARD_REGISTRY_PASSWORD", "canary-registry"),
        ("CARGO_REGISTRY_TOKEN", "canary-cargo"),
    ];
    command.envs(canaries);
    let outcome = run_within(command, LONG);
    outcome.expect_code(0);
    let answer = outcome.json();

    let source = format!("docker-archive:{}", archive.display());
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["inspect", "--config", &source]);
    let config = run(skopeo).json();
    let run_as = &config["config"];
    assert_eq!(
        run_as["Entrypoint"],
        serde_json::json!(["/usr/local/bin/toy"])
    );
    assert_eq!(run_as["Cmd"], serde_json::json!(["train"]));
    assert_eq!(run_as["WorkingDir"], "/");
    assert_eq!(config["architecture"], "amd64");
    let labels = &run_as["Labels"];
    assert_eq!(labels["org.opencontainers.image.version"], "1.2.3");
    let revision = text(&labels["org.opencontainers.image.revision"]);
    assert_eq!(revision.len(), 40, "{revision}");
    let reference = format!("trainyard/toy:1.2.3-{}", &revision[..12]);
    assert_eq!(text(&answer["reference"]), reference);

    let everything = unpacked(&archive);
    assert!(holds(&everything, "usr/local/bin/toy"));
    let home = std::env::var("HOME").unwrap_or_default();
    let workspace = toy.path("").display().to_string();
    let mut secrets = canaries.map(|(_, value)| value).to_vec();
    secrets.push(workspace.trim_end_matches('/'));
    if home.len() > 1 {
        secrets.push(&home);
    }
    for secret in secrets {
        assert!(!holds(&everything, secret), "`{secret}` is in the image");
        assert!(!outcome.stdout.contains("canary") && !outcome.stderr.contains("canary"));
    }
}

/// If the toolchain lacks the target, the build installs it, which needs rustup and the network.
#[test]
fn musl_binary_is_static() {
    let toy = Workspace::new("toy");
    let built = toy.build(&["--target", "x86_64-unknown-linux-musl"]);
    let layers = built["layers"].as_array().expect("layers");
    assert!(!layers.is_empty());
    // A dynamically linked binary would be refused, see the next test.
    let binary = toy.path("target/x86_64-unknown-linux-musl/release/toy");
    run(Command::new(binary)).expect_code(0);
}

#[test]
fn dynamic_binary_is_refused() {
    let toy = Workspace::new("toy");
    let own = env!("CARGO_BIN_EXE_trainyard");
    let outcome = toy.trainyard(&["build", "toy", "--binary", own, "--json"]);
    outcome.expect_code(2);
    let message = &outcome.json()["error"]["message"];
    assert!(
        text(message).ends_with("it is linked dynamically"),
        "{message}"
    );
    assert!(outcome.stderr.contains("help: expected a static program"));
    // With `--docker` the engine compiles the binary.
    let both = toy.trainyard(&["build", "toy", "--binary", own, "--docker"]);
    assert!(both.expect_code(2).stderr.contains("cannot be used with"));
}

#[test]
fn dry_run_changes_nothing() {
    let toy = Workspace::new("toy");
    let arguments = [
        "build",
        "toy",
        "--dry-run",
        "--json",
        "--load",
        "--output",
        "x.tar",
    ];
    let plan = toy.trainyard(&arguments).expect_code(0).json();
    assert_eq!(plan["dry_run"], true);
    let steps: Vec<&str> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| text(&step["what"]))
        .collect();
    assert_eq!(steps.len(), 4, "{steps:?}");
    assert!(steps[0].contains("cargo rustc --release --locked --package toy --bin toy"));
    assert!(!toy.path("target").exists() && !toy.path("x.tar").exists());
}

#[test]
fn load_without_engine_fails() {
    let toy = Workspace::new("toy");
    let mut command = toy.command(&["build", "toy", "--load"]);
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let outcome = run(command);
    outcome.expect_code(1);
    assert!(
        outcome
            .stderr
            .contains("no socket at `/nowhere/docker.sock`"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("help: start it"),
        "{}",
        outcome.stderr
    );
    assert!(!toy.path("target").exists(), "nothing is compiled");
}

#[test]
fn engine_loads_and_runs_the_image() {
    let engine = engine();
    let toy = Workspace::new(engine.unique());
    std::fs::create_dir_all(toy.path("out")).unwrap();
    let answer = toy.build(&["--load", "--output", "out/image.tar"]);
    let reference = text(&answer["loaded"]);
    let latest = format!("trainyard/{}:latest", engine.unique());
    engine.remove_later(reference);
    engine.remove_later(&latest);
    let id = |name: &str| {
        engine
            .docker(&["image", "inspect", "--format", "{{.Id}}", name])
            .stdout
    };
    assert_eq!(id(reference).trim(), text(&answer["id"]));
    assert_eq!(id(&latest).trim(), text(&answer["id"]));
    assert_eq!(engine.run(&[reference]).stdout, "toy [\"train\"]\n");
    assert_eq!(
        engine.run(&[&latest, "serve", "x"]).stdout,
        "toy [\"serve\", \"x\"]\n"
    );

    let again = toy.trainyard(&["build", &toy.name, "--load"]);
    again.expect_code(0);
    assert!(
        again
            .stderr
            .contains(&format!("the Docker engine has `{reference}` already")),
        "{}",
        again.stderr
    );

    engine.remove(reference);
    engine.remove(&latest);
    let archive = toy.path("out/image.tar").display().to_string();
    engine.docker(&["load", "--input", &archive]).expect_code(0);
    assert_eq!(id(reference).trim(), text(&answer["id"]));
}

#[test]
fn dockerfile_builds_an_image_with_the_same_files_and_settings() {
    let engine = engine();
    let base = rust_base(&engine);
    let toy = Workspace::new(engine.unique());
    toy.add_dockerfile();
    let reference = text(&toy.build(&["--load"])["loaded"]).to_owned();
    engine.remove_later(&reference);
    let latest = format!("trainyard/{}:latest", toy.name);
    engine.remove_later(&latest);
    // In the Dockerfile, the program of every trainer has the same name.
    let rename = |text: &str| {
        let own = format!("usr/local/bin/{}", toy.name);
        text.replace(&own, "usr/local/bin/trainer")
    };
    let expected: Vec<_> = files(&engine, &reference)
        .iter()
        .map(|file| rename(file))
        .collect();
    let expected_settings = rename(&settings(&engine, &reference));
    engine.remove(&reference);
    engine.remove(&latest);

    let answer = toy.build(&["--docker", "--docker-base", &base]);
    assert_eq!(text(&answer["reference"]), reference);
    let found = files(&engine, &reference);
    assert!(
        expected
            .iter()
            .any(|file| file.ends_with("usr/local/bin/trainer")),
        "{expected:?}"
    );
    assert!(
        expected
            .iter()
            .any(|file| file.starts_with("drwxrwxrwt") && file.ends_with(" tmp/")),
        "{expected:?}"
    );
    let missing: Vec<_> = expected
        .iter()
        .filter(|file| !found.contains(file))
        .collect();
    assert!(missing.is_empty(), "{missing:?} not in {found:?}");
    // It also has the C library.
    assert!(found.iter().any(|file| file.ends_with("/libc.so.6")));
    assert_eq!(expected_settings, settings(&engine, &reference));
    assert_eq!(engine.run(&[&reference]).stdout, "toy [\"train\"]\n");
}

/// Loads the image of `svm` into the engine, under a unique name.
fn svm(engine: &Engine) -> (String, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    command
        .args(["build", "svm", "--json"])
        .current_dir(repository());
    // The flags of this test's build must not affect the image.
    command.env_remove("RUSTFLAGS");
    let outcome = run_within(command, LONG);
    outcome.expect_code(0);
    let answer = outcome.json();
    let toy = Workspace::new(engine.unique());
    let loaded = toy.build(&["--binary", text(&answer["binary"]), "--load"]);
    let reference = text(&loaded["loaded"]).to_owned();
    engine.remove_later(&reference);
    engine.remove_later(&format!("trainyard/{}:latest", toy.name));
    (reference, answer)
}

fn mount(folder: &Path) -> String {
    format!("{}:/opt/ml", folder.display())
}

#[test]
fn svm_trains_without_network_read_only_and_unprivileged() {
    let engine = engine();
    let (image, answer) = svm(&engine);
    assert!(answer["size"].as_u64().unwrap() < 15_000_000, "{answer}");
    let rows = std::fs::read(testkit::movie_csv()).unwrap();
    let ml = FakeMl::new().channel("train", "movie.csv", rows);
    for folder in [
        "",
        "model",
        "output",
        "output/data",
        "input",
        "input/data",
        "input/config",
    ] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(ml.path(folder), mode).unwrap();
    }
    let folder = mount(&ml.path(""));
    let outcome = engine.run(&[
        "--network",
        "none",
        "--read-only",
        "--user",
        "12345:12345",
        "--volume",
        &folder,
        &image,
        "train",
    ]);
    outcome.expect_code(0);
    assert!(
        ml.model_files().contains(&"config.json".to_owned()),
        "{:?}",
        ml.model_files()
    );
    assert_eq!(ml.failure(), None);

    let broken = FakeMl::new().channel("train", "movie.csv", "nothing\n");
    let folder = mount(&broken.path(""));
    let outcome = engine.run(&["--network", "none", "--volume", &folder, &image, "train"]);
    assert_ne!(outcome.code(), Some(0));
    let failure = broken.failure().expect("a failure file");
    assert!(
        outcome.stderr.contains(failure.lines().next().unwrap()),
        "{failure}"
    );
}

#[test]
fn docker_stop_ends_svm_with_pid_1() {
    let engine = engine();
    let (image, _) = svm(&engine);
    // Nothing is written to the FIFO: the training waits. A pipe is read only if it is named.
    let (ml, _fifo) = FakeMl::new().fifo_channel("train", "movie.csv");
    let name = format!("{}-stop", engine.unique());
    let folder = mount(&ml.path(""));
    let data = "/opt/ml/input/data/train/movie.csv";
    let mut running = engine.start(&[
        "--name", &name, "--volume", &folder, &image, "train", "--train", data,
    ]);
    let until = std::time::Instant::now() + Duration::from_secs(60);
    let pid = loop {
        let found = engine.docker(&["inspect", "--format", "{{.State.Pid}}", &name]);
        match found.stdout.trim().parse::<u32>() {
            Ok(pid) if pid > 0 => break pid,
            _ => assert!(
                std::time::Instant::now() < until,
                "no container: {}",
                found.stderr
            ),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(
        running.wait_for_handler(pid),
        "the trainer ended before it was stopped"
    );
    let stop = engine.docker(&["stop", "--time", "60", &name]);
    stop.expect_code(0);
    let outcome = running.finish(Duration::from_secs(60));
    assert_eq!(outcome.code(), Some(0), "{}", outcome.stderr);
    // The engine would send SIGKILL after 60 s.
    assert!(stop.seconds < 10.0, "{} s", stop.seconds);
}

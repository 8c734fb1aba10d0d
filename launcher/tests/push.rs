//! `push`: to a real registry, read back by other tools, with faults, and to ECR as simulated by
//! moto.
#![expect(
    clippy::unwrap_used,
    reason = "a test reports by panicking, its helpers too"
)]

#[path = "push/attacks.rs"]
mod attacks;
#[expect(dead_code, reason = "each test uses a part of it")]
mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::{LONG, Workspace, holds};
use serde_json::Value;
use testkit::{
    CANARY_KEY_ID, CANARY_SECRET, Engine, Outcome, REGISTRY_PASSWORD, REGISTRY_USER, Registry,
    engine, moto, registry, run, run_within,
};

/// Runs `trainyard push` with the registry's credentials.
fn push(toy: &Workspace, registry_ref: &str, more: &[&str]) -> Outcome {
    let mut command = toy.command(&["push", &toy.name, "--json", "--registry", registry_ref]);
    command
        .args(more)
        .env("TRAINYARD_REGISTRY_USER", REGISTRY_USER)
        .env("TRAINYARD_REGISTRY_PASSWORD", REGISTRY_PASSWORD);
    run_within(command, LONG)
}

/// Runs skopeo, an independent reader of images.
fn skopeo(arguments: &[&str]) -> Outcome {
    let mut command = Command::new("skopeo");
    command.args(arguments);
    run(command)
}

fn credentials() -> String {
    format!("{REGISTRY_USER}:{REGISTRY_PASSWORD}")
}

fn inspect(reference: &str) -> Value {
    let image = format!("docker://{reference}");
    let outcome = skopeo(&[
        "inspect",
        "--tls-verify=false",
        "--creds",
        &credentials(),
        &image,
    ]);
    outcome.expect_code(0).json()
}

fn count(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}

/// Pulls an image with `docker`, after `docker login` into a folder of its own.
fn pull(engine: &Engine, registry: &Registry, reference: &str) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().display().to_string();
    let login = [
        "--config",
        &config,
        "login",
        "-u",
        REGISTRY_USER,
        "-p",
        REGISTRY_PASSWORD,
        &registry.address(),
    ];
    engine.docker(&login).expect_code(0);
    engine.remove_later(reference);
    engine
        .docker(&["--config", &config, "pull", "--quiet", reference])
        .expect_code(0);
}

#[test]
fn pushed_image_is_readable_and_second_push_uploads_nothing() {
    let registry = registry();
    let engine = engine();
    let toy = Workspace::new(engine.unique());
    let registry_ref = format!("{}/team/toy", registry.address());
    let first = push(&toy, &registry_ref, &[]).expect_code(0).json();
    assert_eq!(count(&first["uploaded"]), 3, "{first}");
    assert_eq!(count(&first["tagged"]), 2, "{first}");
    assert_eq!(registry.uploads(), 3);
    let digest = first["digest"].as_str().unwrap();
    assert_eq!(first["reference"], format!("{registry_ref}@{digest}"));

    for tag in first["tags"].as_array().unwrap() {
        assert_eq!(inspect(tag.as_str().unwrap())["Digest"], digest);
    }
    let image = format!("docker://{registry_ref}:latest");
    let raw = skopeo(&[
        "inspect",
        "--raw",
        "--tls-verify=false",
        "--creds",
        &credentials(),
        &image,
    ]);
    let manifest = raw.expect_code(0).json();
    assert_eq!(
        manifest["mediaType"],
        "application/vnd.docker.distribution.manifest.v2+json"
    );

    let reference = first["reference"].as_str().unwrap();
    pull(&engine, &registry, reference);
    assert_eq!(engine.run(&[reference]).stdout, "toy [\"train\"]\n");

    let before = registry.log();
    let second = push(&toy, &registry_ref, &[]).expect_code(0).json();
    assert_eq!(second["digest"], digest);
    assert_eq!(
        count(&second["uploaded"]) + count(&second["tagged"]),
        0,
        "{second}"
    );
    assert_eq!(count(&second["present"]), 3, "{second}");
    // The registry's log confirms it.
    let new = registry.log()[before.len()..].to_owned();
    assert!(new.contains("\"HEAD /v2/"), "{new}");
    for method in ["\"POST ", "\"PATCH ", "\"PUT "] {
        assert!(!new.contains(method), "{new}");
    }

    // The program changes, the certificates do not.
    toy.write("src/main.rs", b"fn main() {}\n");
    let changed = push(&toy, &registry_ref, &["--no-latest"])
        .expect_code(0)
        .json();
    assert_eq!(count(&changed["uploaded"]), 2, "{changed}");
    assert_eq!(count(&changed["tagged"]), 1, "{changed}");
    assert_eq!(inspect(&format!("{registry_ref}:latest"))["Digest"], digest);
}

#[test]
fn archive_is_pushed_unchanged() {
    let registry = registry();
    let toy = Workspace::new("toy");
    std::fs::create_dir_all(toy.path("out")).unwrap();
    let built = toy.build(&["--output", "out/image.tar"]);
    // A build would now give another image.
    toy.write("src/main.rs", b"fn main() {}\n");
    let pushed = push(&toy, &registry.address(), &["--image", "out/image.tar"]);
    let pushed = pushed.expect_code(0).json();
    assert_eq!(pushed["digest"], built["digest"]);
    let registry_ref = format!("{}/trainyard/toy:latest", registry.address());
    assert_eq!(inspect(&registry_ref)["Digest"], built["digest"]);
}

#[test]
fn wrong_and_missing_credentials_are_errors_docker_login_works() {
    let registry = registry();
    let toy = Workspace::new("toy");
    let registry_ref = registry.address();
    let arguments = ["push", "toy", "--registry", &registry_ref];
    let home = tempfile::tempdir().unwrap();

    let mut wrong = toy.command(&arguments);
    wrong
        .env("TRAINYARD_REGISTRY_USER", REGISTRY_USER)
        .env("TRAINYARD_REGISTRY_PASSWORD", "canary-wrong");
    let wrong = run_within(wrong, LONG);
    wrong.expect_code(1);
    assert!(
        wrong
            .stderr
            .contains("refuses the credentials from TRAINYARD_REGISTRY_USER"),
        "{}",
        wrong.stderr
    );
    assert!(!wrong.output().contains("canary"), "{}", wrong.output());

    let mut none = toy.command(&arguments);
    none.env("DOCKER_CONFIG", home.path());
    let none = run_within(none, LONG);
    none.expect_code(1);
    assert!(
        none.stderr.contains("requires credentials"),
        "{}",
        none.stderr
    );
    assert!(
        none.stderr
            .contains(&format!("docker login {registry_ref}")),
        "{}",
        none.stderr
    );
    assert_eq!(registry.uploads(), 0);

    let config = home.path().display().to_string();
    let login = [
        "--config",
        &config,
        "login",
        "-u",
        REGISTRY_USER,
        "-p",
        REGISTRY_PASSWORD,
        &registry_ref,
    ];
    engine().docker(&login).expect_code(0);
    let mut logged_in = toy.command(&arguments);
    logged_in.env("DOCKER_CONFIG", home.path());
    run_within(logged_in, LONG).expect_code(0);
    assert_eq!(registry.uploads(), 3);
}

/// Accepts connections for the registry; `each` gets the number of a connection and both ends.
fn proxy(
    registry: &Registry,
    each: impl Fn(usize, TcpStream, TcpStream) + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let upstream = registry.address();
    let each = Arc::new(each);
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let Ok(client) = client else { return };
            // After the registry has ended, connections are closed at once.
            let Ok(server) = TcpStream::connect(&upstream) else {
                continue;
            };
            let each = Arc::clone(&each);
            thread::spawn(move || each(number, client, server));
        }
    });
    address
}

/// Copies in both directions until one end closes.
fn relay(client: TcpStream, server: TcpStream, on_bytes: impl Fn(usize) + Send + 'static) {
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            on_bytes(count);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
    let (mut from, mut to) = (server, client);
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// Writes the toy followed by 12 MB of incompressible bytes, and returns its path.
fn big_binary(toy: &Workspace) -> String {
    let mut bytes = std::fs::read(toy.binary()).unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..1_500_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    toy.write("out/big", &bytes);
    toy.path("out/big").display().to_string()
}

#[test]
fn interrupted_push_is_reported_and_resumed() {
    let mut registry = registry();
    let toy = Workspace::new("toy");
    let binary = big_binary(&toy);
    let pid = registry.pid().unwrap().to_string();
    let relayed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&relayed);
    // The registry is killed after 4 MB.
    let address = proxy(&registry, move |_, client, server| {
        let (count, pid) = (Arc::clone(&count), pid.clone());
        relay(client, server, move |bytes| {
            if count.fetch_add(bytes, Ordering::SeqCst) + bytes > 4_000_000 {
                let _ = Command::new("kill").args(["-KILL", &pid]).status();
            }
        });
    });
    let outcome = push(&toy, &address, &["--binary", &binary]);
    assert!(
        relayed.load(Ordering::SeqCst) > 4_000_000,
        "the push ended before the fault"
    );
    outcome.expect_code(1);
    let message = outcome.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.contains(": cannot upload the part `"), "{message}");
    assert!(message.ends_with("after four tries"), "{message}");
    assert!(
        outcome.stderr.contains("trying again"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("help: push again"),
        "{}",
        outcome.stderr
    );

    registry.restart();
    let registry_ref = registry.address();
    let again = push(&toy, &registry_ref, &["--binary", &binary])
        .expect_code(0)
        .json();
    let uploaded = again["uploaded"].as_array().unwrap();
    assert!(
        uploaded.iter().any(|blob| blob["what"] == "binary"),
        "{again}"
    );
    assert_eq!(
        inspect(&format!("{registry_ref}/trainyard/toy:latest"))["Digest"],
        again["digest"]
    );
}

#[test]
fn broken_connections_are_retried() {
    let registry = registry();
    let toy = Workspace::new("toy");
    let address = proxy(&registry, |number, client, server| {
        if number < 2 {
            drop((client, server));
        } else {
            relay(client, server, |_| ());
        }
    });
    let outcome = push(&toy, &address, &[]);
    outcome.expect_code(0);
    assert!(
        outcome.stderr.contains("trying again"),
        "{}",
        outcome.stderr
    );
    let registry_ref = format!("{}/trainyard/toy:latest", registry.address());
    assert_eq!(inspect(&registry_ref)["Digest"], outcome.json()["digest"]);
}

/// Returns the files below a folder that contain the text.
fn files_containing(folder: &Path, secret: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_containing(&path, secret));
        } else if std::fs::read(&path).is_ok_and(|bytes| holds(&bytes, secret)) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn ecr_login_uses_account_and_region_of_the_registry() {
    let moto = moto();
    let toy = Workspace::new("toy");
    let host = "210987654321.dkr.ecr.eu-west-1.amazonaws.com";
    let push = |more: &[&str]| {
        let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
        command.current_dir(toy.path(""));
        // Fails after the login, since the binary does not exist.
        command.args(["push", "toy", "--registry", host, "--binary", "nowhere"]);
        command.args(more);
        command
    };
    let plan = run(push(&["--dry-run", "--json"])).expect_code(0).json();
    let request = &plan["steps"][0]["request"];
    let expected = serde_json::json!({"registryIds": ["210987654321"]});
    assert_eq!(request["body"], expected, "{plan}");
    assert!(moto.requests("GetAuthorizationToken").is_empty());

    let outcome = run(push(&[]));
    outcome.expect_code(1);
    assert!(
        outcome.stderr.contains("cannot read `nowhere`"),
        "{}",
        outcome.stderr
    );
    let requests = moto.requests("GetAuthorizationToken");
    assert_eq!(requests.len(), 1);
    let headers = requests[0]["headers"].to_string();
    assert!(headers.contains("/eu-west-1/ecr/aws4_request"), "{headers}");

    // Credentials in the environment take precedence.
    moto.forget();
    let mut command = push(&[]);
    command
        .env("TRAINYARD_REGISTRY_USER", REGISTRY_USER)
        .env("TRAINYARD_REGISTRY_PASSWORD", REGISTRY_PASSWORD);
    run(command).expect_code(1);
    assert!(moto.requests("GetAuthorizationToken").is_empty());
}

#[test]
fn push_to_ecr_stores_no_credentials() {
    let (moto, registry) = (moto(), registry());
    let toy = Workspace::new("toy");
    let url = format!("http://{}", registry.address());
    let push = |more: &[&str]| {
        let mut command = moto.command(env!("CARGO_BIN_EXE_trainyard"));
        command
            .current_dir(toy.path(""))
            .args(["push", "toy", "--ecr-registry", &url])
            .args(more);
        run_within(command, LONG)
    };
    let dry = push(&["--create-repository", "--dry-run", "--json"]);
    let plan = dry.expect_code(0).json();
    let request = &plan["steps"][0]["request"];
    assert_eq!(request["body"]["repositoryName"], "trainyard/toy", "{plan}");
    assert!(moto.requests("CreateRepository").is_empty());

    let outcome = push(&["--create-repository", "--json"]);
    let answer = outcome.expect_code(0).json();
    assert_eq!(answer["created_repository"], true);
    let repositories = moto.boto(
        "show([r['repositoryName'] for r in client('ecr').describe_repositories()['repositories']])",
    );
    assert_eq!(repositories, serde_json::json!(["trainyard/toy"]));
    let registry_ref = format!("{}/trainyard/toy", registry.address());
    assert_eq!(
        inspect(&format!("{registry_ref}:latest"))["Digest"],
        answer["digest"]
    );
    // The second push finds the repository and all its parts.
    let again = push(&["--create-repository"]);
    again.expect_code(0);
    assert!(
        again.stdout.contains("uploaded 0 blobs"),
        "{}",
        again.stdout
    );
    assert_eq!(moto.requests("GetAuthorizationToken").len(), 2);

    let token = "123456789012-auth-token";
    for secret in [
        CANARY_SECRET,
        CANARY_KEY_ID,
        token,
        "QVdTOjEyMzQ1Njc4OTAxMi1hdXRoLXRva2Vu",
    ] {
        for output in [&dry, &outcome, &again] {
            assert!(!output.output().contains(secret), "{secret}");
        }
        for folder in [
            toy.path(""),
            registry.folder().to_owned(),
            moto.home().to_owned(),
        ] {
            assert_eq!(
                files_containing(&folder, secret),
                Vec::<String>::new(),
                "{secret}"
            );
        }
    }
}

#[test]
fn unreachable_registry_is_error() {
    let toy = Workspace::new("toy");
    let host = format!("127.0.0.1:{}", testkit::free_port());
    let outcome = push(&toy, &format!("{host}/x"), &[]);
    outcome.expect_code(1);
    assert!(
        outcome
            .stderr
            .contains(&format!("`{host}` cannot be reached: "))
            && outcome.stderr.contains("help: is a registry running there"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("after four tries"),
        "{}",
        outcome.stderr
    );
    assert!(!outcome.output().contains(REGISTRY_PASSWORD));
}

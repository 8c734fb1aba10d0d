//! Transfers: public reports.

use std::fs;

use testkit::run;

use crate::World;

/// Runs `trainyard ARGUMENTS` with a file as standard input.
fn with_stdin(world: &World, arguments: &str, stdin: &str) -> testkit::Outcome {
    let mut shell = world.moto.command("sh");
    shell.env("AWS_ENDPOINT_URL", world.proxy.url());
    let line = format!(
        "exec '{}' {arguments} < {stdin}",
        env!("CARGO_BIN_EXE_trainyard")
    );
    shell.args(["-c", &line]);
    run(shell)
}

/// LAUNCHER 05: `-` is standard output and standard input, as for the AWS CLI.
#[test]
fn dash_is_a_standard_stream() {
    let world = World::new();
    let bytes = "a\nb\n".repeat(100_000);
    world.put("key", bytes.as_bytes());
    let outcome = world.run(&["download", "s3://bucket/key", "-"]);
    assert!(outcome.expect_code(0).stdout == bytes);
    assert!(!world.path("-").exists());
    for arguments in [
        &["download", "s3://bucket/", "-"][..],
        &["download", "s3://bucket/key", "-", "--json"],
        &["download", "-", "--job-name", "job-1"],
    ] {
        let outcome = world.run(arguments);
        assert!(
            outcome.expect_code(2).stderr.contains("help:"),
            "{arguments:?}"
        );
    }
    // A file of that name.
    world.ok(&["download", "s3://bucket/key", "./-"]);
    assert!(fs::read_to_string(world.path("-")).expect("there") == bytes);
    fs::remove_file(world.path("-")).expect("there");

    world.write("input", bytes.as_bytes());
    let outcome = with_stdin(&world, "upload - s3://bucket/sent --json", "input");
    assert_eq!(outcome.expect_code(0).json()["objects"][0]["path"], "-");
    assert!(world.object_is("sent", bytes.as_bytes()));
    let outcome = with_stdin(&world, "upload - s3://bucket/folder/", "input");
    assert!(
        outcome
            .expect_code(2)
            .stderr
            .contains("pass the key itself")
    );
}

/// LAUNCHER 07: an archived object says how it is restored.
#[test]
fn archived_object_is_not_a_missing_permission() {
    let world = World::new();
    world.moto.boto(
        "client('s3').put_object(Bucket='bucket', Key='a b/cold', Body=b'x', StorageClass='GLACIER')",
    );
    let outcome = world.fails(
        &["download", "s3://bucket/a b/cold", "x"],
        &[
            "must be restored first",
            "restore-object --bucket bucket --key 'a b/cold'",
        ],
    );
    assert!(!outcome.stderr.contains("denied"), "{}", outcome.stderr);
}

/// LAUNCHER 11: options of the AWS CLI.
#[test]
fn unknown_option_is_not_a_value() {
    let world = World::new();
    for command in ["upload", "download"] {
        let outcome = world.run(&[command, "a", "b", "--sse"]);
        let text = &outcome.expect_code(2).stderr;
        assert!(
            text.contains("unexpected argument `--sse`")
                && text.contains("`aws s3 cp`")
                && !text.contains("-- --sse"),
            "{text}"
        );
    }
    let text = world
        .run(&["status", "x", "--sse"])
        .expect_code(2)
        .stderr
        .clone();
    assert!(!text.contains("-- --sse"), "{text}");
    let text = world
        .run(&["train", "svm", "--min-df", "5"])
        .expect_code(2)
        .stderr
        .clone();
    assert!(
        text.contains("hyperparameters follow `--`: `-- --min-df 5`"),
        "{text}"
    );
}

/// LAUNCHER 12: several slashes in a key are one on disk, as for the AWS CLI.
#[test]
fn slashes_in_a_row_are_one() {
    let world = World::new();
    for key in ["p//a//b", "p/c", "/top"] {
        world.put(key, key.as_bytes());
    }
    assert_eq!(world.ok(&["download", "s3://bucket/p", "p"])["files"], 2);
    assert_eq!(world.names("p"), ["a", "a/b", "c"]);
    world.ok(&["download", "s3://bucket/p//a//", "below"]);
    assert_eq!(world.names("below"), ["b"]);
    world.ok(&["download", "s3://bucket//top", "top"]);
    assert_eq!(fs::read(world.path("top")).expect("there"), b"/top");
    world.ok(&["download", "s3://bucket/", "all"]);
    assert_eq!(world.names("all"), ["p", "p/a", "p/a/b", "p/c", "top"]);
    // Two keys that would be one file.
    world.put("q/a", b"1");
    world.put("q//a", b"2");
    world.fails(
        &["download", "s3://bucket/q", "q"],
        &[
            "another key becomes the same file",
            "nothing was downloaded",
        ],
    );
    assert!(!world.path("q").exists());
}

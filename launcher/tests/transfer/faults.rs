//! Faults of servers, connections and disks.

use std::fs;

use testkit::{Fault, on_small_disk, skip, small_disk_allowed};

use crate::{PART, UP, World, noise};

#[test]
fn resets_throttling_and_server_errors_are_retried() {
    let world = World::new();
    let bytes = noise(3 * PART, 4);
    world.write("src/file", &bytes);
    world.write("src/small", b"small");
    world
        .proxy
        .fault("PUT", "partNumber=1", 0, 1, Fault::CutUpload(5 << 20));
    world
        .proxy
        .fault("PUT", "partNumber=2", 0, 2, Fault::Answer(503, "SlowDown"));
    world.proxy.fault(
        "PUT",
        "partNumber=3",
        0,
        1,
        Fault::Answer(500, "InternalError"),
    );
    world.proxy.fault(
        "PUT",
        "small",
        0,
        2,
        Fault::Answer(503, "ServiceUnavailable"),
    );
    world
        .proxy
        .fault("GET", "uploads", 0, 1, Fault::Answer(503, "SlowDown"));
    world.ok(&["upload", "src", UP]);
    assert_eq!(world.proxy.passed("PUT", "partNumber").len(), 3 + 4);
    assert!(world.object_is("pre/file", &bytes) && world.object_is("pre/small", b"small"));

    world.proxy.forget();
    world
        .proxy
        .fault("GET", "pre/file", 0, 1, Fault::CutDownload(3 << 20));
    world
        .proxy
        .fault("GET", "pre/file", 0, 1, Fault::Answer(503, "SlowDown"));
    world
        .proxy
        .fault("GET", "pre/small", 0, 1, Fault::CutDownload(2));
    world.proxy.fault(
        "GET",
        "list-type",
        0,
        1,
        Fault::Answer(500, "InternalError"),
    );
    world.ok(&["download", UP, "back"]);
    assert!(fs::read(world.path("back/file")).expect("there") == bytes);
    assert_eq!(world.names("back"), ["file", "small"]);
}

#[test]
fn stalled_requests_are_retried() {
    let world = World::new();
    let bytes = noise(2 * PART, 5);
    world.write("file", &bytes);
    world
        .proxy
        .fault("PUT", "partNumber=1", 0, 1, Fault::StallUpload(1 << 20));
    world.ok(&["upload", "file", "s3://bucket/key", "--stall-timeout", "5"]);
    // On a busy machine, more requests may stall.
    assert!(world.proxy.passed("PUT", "partNumber=1").len() >= 2);
    world
        .proxy
        .fault("GET", "key", 0, 1, Fault::StallDownload(1 << 20));
    world.ok(&[
        "download",
        "s3://bucket/key",
        "back",
        "--stall-timeout",
        "5",
    ]);
    assert!(fs::read(world.path("back")).expect("there") == bytes);
}

#[test]
fn silent_server_times_out() {
    let world = World::new();
    world.put("key", b"0123456789");
    world
        .proxy
        .fault("GET", "key", 0, 100, Fault::StallDownload(3));
    let outcome = world.fails(
        &[
            "download",
            "s3://bucket/key",
            "back",
            "--stall-timeout",
            "0.3",
        ],
        &["no byte moved for 0.3 s", "help:"],
    );
    assert!(outcome.seconds < 60.0);
    assert_eq!(
        world
            .names("")
            .iter()
            .filter(|name| name.contains("back"))
            .count(),
        0
    );
}

#[test]
fn upload_succeeds_after_a_lost_response() {
    let world = World::new();
    let bytes = noise(2 * PART, 14);
    world.write("file", &bytes);
    world.moto.fault("CompleteMultipartUpload", "drop_after", 1);
    world.ok(&["upload", "file", "s3://bucket/key"]);
    assert!(world.object_is("key", &bytes));
}

#[test]
fn full_disk_leaves_no_file() {
    if !small_disk_allowed() {
        skip(
            "transfer: full_disk_leaves_no_file",
            "no small disk can be made here",
        );
        return;
    }
    let world = World::new();
    world.write("src/small", &noise(6 << 20, 16));
    world.write("src/big", &noise(PART + 1, 17));
    world.ok(&["upload", "src", UP]);
    let disk = world.path("disk");
    fs::create_dir(&disk).expect("a folder");
    for name in ["small", "big"] {
        let url = format!("s3://bucket/pre/{name}");
        let full = on_small_disk(
            &world.command(&["download", &url, "disk/file"]),
            &disk,
            4096,
        );
        full.outcome.expect_code(1);
        assert!(
            full.outcome.stderr.contains("the disk is full"),
            "{}",
            full.outcome.stderr
        );
        assert!(full.left.is_empty(), "{:?}", full.left);
    }
}

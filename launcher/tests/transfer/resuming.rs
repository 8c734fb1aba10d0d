//! Interruptions, and runs that resume after them.

use std::fs;
use std::time::Duration;

use testkit::{Fault, start};

use crate::{PART, World, assert_interrupted, noise, until};

#[test]
fn killed_upload_sends_only_missing_parts() {
    let world = World::new();
    let bytes = noise(5 * PART, 1);
    world.write("file", &bytes);
    for part in ["partNumber=4", "partNumber=5"] {
        world
            .proxy
            .fault("PUT", part, 0, 1, Fault::StallUpload(1 << 20));
    }
    let running = start(world.command(&["upload", "file", "s3://bucket/key"]));
    world.proxy.wait_for("PUT", "partNumber", 3);
    running.sigkill();
    let killed = running.finish(Duration::from_secs(20));
    assert_eq!(killed.code(), None);
    world.proxy.forget();
    let sent = world.ok(&["upload", "file", "s3://bucket/key"]);
    assert_eq!(sent["objects"][0]["state"], "resumed");
    assert_eq!(sent["bytes_moved"], (2 * PART) as u64);
    assert_eq!(world.proxy.passed("PUT", "partNumber").len(), 2);
    assert!(
        world.proxy.passed("POST", "uploads").is_empty(),
        "no new upload"
    );
    assert!(world.object_is("key", &bytes));
}

#[test]
fn parts_of_a_changed_file_are_uploaded_again() {
    let world = World::new();
    world.write("file", &noise(3 * PART, 1));
    world.proxy.fault(
        "PUT",
        "partNumber=3",
        0,
        100,
        Fault::Answer(400, "ExpiredToken"),
    );
    world.fails(&["upload", "file", "s3://bucket/key"], &["have expired"]);
    world.proxy.forget();
    let changed = noise(3 * PART, 2);
    world.write("file", &changed);
    let sent = world.ok(&["upload", "file", "s3://bucket/key"]);
    assert_eq!(sent["bytes_moved"], (3 * PART) as u64);
    assert!(world.object_is("key", &changed));
}

#[test]
fn expired_credentials_are_reported() {
    let world = World::new();
    let bytes = noise(4 * PART, 3);
    world.write("file", &bytes);
    for part in ["partNumber=3", "partNumber=4"] {
        world
            .proxy
            .fault("PUT", part, 0, 100, Fault::Answer(400, "ExpiredToken"));
    }
    let outcome = world.fails(
        &["upload", "file", "s3://bucket/key"],
        &["have expired", "help:", "to resume"],
    );
    assert!(!outcome.stderr.contains("panicked"));
    // Not retried: the credentials stay expired.
    assert!(world.proxy.passed("PUT", "partNumber=3").len() <= 1);
    world.proxy.forget();
    world.ok(&["upload", "file", "s3://bucket/key"]);
    assert!(world.object_is("key", &bytes));
}

#[test]
fn killed_download_requests_only_missing_ranges() {
    let world = World::new();
    let bytes = noise(4 * PART + 5, 6);
    world.write("file", &bytes);
    world.ok(&["upload", "file", "s3://bucket/key"]);
    world.proxy.forget();
    world
        .proxy
        .fault("GET", "key", 3, 100, Fault::StallDownload(1 << 20));
    let running = start(world.command(&["download", "s3://bucket/key", "back"]));
    world.proxy.wait_for("GET", "key", 3);
    // The last range is written and recorded after its bytes have passed the proxy.
    let records = world.path(".back.trainyard-notes");
    until("three ranges are recorded", || {
        let text = fs::read_to_string(&records).unwrap_or_default();
        text.lines().count() >= 4
    });
    running.sigkill();
    running.finish(Duration::from_secs(20));
    assert!(!world.path("back").exists());
    world.proxy.forget();
    let got = world.ok(&["download", "s3://bucket/key", "back"]);
    assert_eq!(got["objects"][0]["state"], "resumed");
    assert_eq!(world.proxy.passed("GET", "key").len(), 2);
    assert!(fs::read(world.path("back")).expect("there") == bytes);
    assert!(!records.exists() && !world.path(".back.trainyard-part").exists());
}

#[test]
fn recorded_ranges_with_wrong_bytes_are_downloaded_again() {
    let world = World::new();
    let bytes = noise(3 * PART, 8);
    world.write("file", &bytes);
    world.ok(&["upload", "file", "s3://bucket/key"]);
    world
        .proxy
        .fault("GET", "key", 2, 100, Fault::Answer(400, "ExpiredToken"));
    world.fails(&["download", "s3://bucket/key", "back"], &["have expired"]);
    let partial = world.path(".back.trainyard-part");
    let mut bytes_read = fs::read(&partial).expect("it is kept");
    bytes_read.fill(0);
    fs::write(&partial, bytes_read).expect("written");
    world.proxy.forget();
    let got = world.ok(&["download", "s3://bucket/key", "back"]);
    assert_eq!(got["bytes_moved"], (3 * PART) as u64);
    assert!(fs::read(world.path("back")).expect("there") == bytes);
}

#[test]
fn unfinished_uploads_can_be_aborted() {
    let world = World::new();
    world.write("file", &noise(2 * PART, 15));
    world.proxy.fault(
        "PUT",
        "partNumber=2",
        0,
        100,
        Fault::Answer(403, "AccessDenied"),
    );
    world.fails(
        &["upload", "file", "s3://bucket/key"],
        &["access denied", "help:"],
    );
    let left = "show(len(client('s3').list_multipart_uploads(Bucket='bucket').get('Uploads', [])))";
    assert_eq!(world.moto.boto(left), 1);
    world
        .moto
        .boto("client('s3').create_multipart_upload(Bucket='bucket', Key='key2')");
    world
        .moto
        .boto("client('s3').create_multipart_upload(Bucket='bucket', Key='key')");
    // The file is not needed.
    fs::remove_file(world.path("file")).expect("removed");
    let abort = ["upload", "file", "s3://bucket/key", "--abort"];
    let plan = world.ok(&[&abort[..], &["--dry-run"]].concat());
    let steps = plan["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0]["request"]["operation"], "AbortMultipartUpload");
    assert_eq!(world.moto.boto(left), 3, "a dry run aborts nothing");
    let aborted = world.ok(&abort);
    assert_eq!(aborted["aborted"], 1);
    assert_eq!(aborted["urls"][0], "s3://bucket/key");
    assert_eq!(
        world.moto.boto(left),
        2,
        "uploads to other keys and of other clients remain"
    );
    assert_eq!(world.ok(&abort)["aborted"], 0);
}

#[test]
fn interrupted_transfers_suggest_how_to_resume() {
    let world = World::new();
    world.write("file", &noise(2 * PART, 19));
    world
        .proxy
        .fault("PUT", "partNumber=2", 0, 1, Fault::StallUpload(1000));
    let running = start(world.command(&["upload", "file", "s3://bucket/key"]));
    world.proxy.wait_for("PUT", "partNumber=1", 1);
    running.sigterm();
    assert_interrupted(running);
    world.proxy.forget();
    world
        .proxy
        .fault("PUT", "partNumber=2", 0, 1, Fault::StallUpload(1000));
    let running = start(world.command(&["upload", "file", "s3://bucket/key"]));
    until("part 2 is being uploaded", || {
        !world.proxy.passed("PUT", "partNumber=2").is_empty()
    });
    running.sigint();
    assert_interrupted(running);
    world.proxy.forget();
    let sent = world.ok(&["upload", "file", "s3://bucket/key"]);
    assert_eq!(sent["objects"][0]["state"], "resumed");

    world
        .proxy
        .fault("GET", "key", 1, 100, Fault::StallDownload(1000));
    let running = start(world.command(&["download", "s3://bucket/key", "back"]));
    let records = world.path(".back.trainyard-notes");
    until("a range is recorded", || {
        let text = fs::read_to_string(&records).unwrap_or_default();
        text.lines().count() >= 2
    });
    running.sigint();
    assert_interrupted(running);
    world.proxy.forget();
    assert!(!world.path("back").exists());
    let got = world.ok(&["download", "s3://bucket/key", "back"]);
    assert_eq!(got["objects"][0]["state"], "resumed");
}

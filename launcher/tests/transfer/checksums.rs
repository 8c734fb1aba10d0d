//! Checksums: changed and corrupted bytes.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use testkit::{Fault, start};

use crate::{PART, UP, World, noise};

#[test]
fn object_changed_during_download_is_error() {
    let world = Arc::new(World::new());
    world.write("file", &noise(3 * PART, 9));
    world.ok(&["upload", "file", "s3://bucket/key"]);
    let other = Arc::clone(&world);
    world.proxy.fault(
        "GET",
        "key",
        1,
        1,
        Fault::First(Arc::new(move || other.put("key", b"another"))),
    );
    world.fails(
        &["download", "s3://bucket/key", "back"],
        &["changed while it was downloaded", "help:"],
    );
    assert!(!world.path("back").exists());
    world.proxy.forget();
    world.ok(&["download", "s3://bucket/key", "back"]);
    assert_eq!(fs::read(world.path("back")).expect("there"), b"another");
    let left = world.names("");
    assert!(
        !left.iter().any(|name| name.contains("trainyard-")),
        "{left:?}"
    );
}

#[test]
fn file_changed_during_upload_is_error() {
    let world = World::new();
    world.write("file", &noise(2 * PART, 10));
    let path = world.path("file");
    let hook = move || fs::write(&path, noise(2 * PART, 11)).expect("written");
    world
        .proxy
        .fault("PUT", "partNumber=2", 0, 1, Fault::First(Arc::new(hook)));
    world.proxy.check_digests();
    world.fails(
        &["upload", "file", "s3://bucket/key"],
        &["`file` changed while it was read", "help:"],
    );
}

/// The body of the request cannot be read to its end.
#[test]
fn file_truncated_during_upload_is_error() {
    let world = World::new();
    world.write("file", &noise(2 * PART, 10));
    let path = world.path("file");
    let hook = move || fs::write(&path, b"short").expect("written");
    world
        .proxy
        .fault("PUT", "partNumber", 0, 2, Fault::First(Arc::new(hook)));
    world.fails(
        &["upload", "file", "s3://bucket/key"],
        &["`file` changed while it was read", "help:"],
    );
}

#[test]
fn corrupted_byte_is_detected() {
    let world = World::new();
    world.proxy.check_digests();
    let bytes = noise(2 * PART, 12);
    world.write("src/big", &bytes);
    world.write("src/small", b"small");
    world
        .proxy
        .fault("PUT", "partNumber=2", 0, 1, Fault::FlipUpload(7));
    world
        .proxy
        .fault("PUT", "small", 0, 1, Fault::FlipUpload(2));
    world.ok(&["upload", "src", UP]);
    assert_eq!(world.proxy.passed("PUT", "small").len(), 2);
    assert!(world.object_is("pre/big", &bytes) && world.object_is("pre/small", b"small"));

    // One corrupted response: the retry succeeds.
    world
        .proxy
        .fault("GET", "pre/small", 0, 1, Fault::FlipDownload(2));
    world.ok(&["download", "s3://bucket/pre/small", "once"]);
    assert_eq!(fs::read(world.path("once")).expect("there"), b"small");
    // All responses are corrupted: no file is written.
    world
        .proxy
        .fault("GET", "pre/", 0, 1000, Fault::FlipDownload(2));
    for name in ["small", "big"] {
        let url = format!("s3://bucket/pre/{name}");
        world.fails(
            &["download", &url, "never"],
            &["do not match S3's checksum"],
        );
        assert!(!world.path("never").exists());
    }
    assert!(
        !world
            .names("")
            .iter()
            .any(|name| name.contains("trainyard-"))
    );
}

#[test]
fn objects_of_other_clients_are_verified() {
    let world = World::new();
    let bytes = noise(3 * (5 << 20) + 1, 13);
    world.write("file", &bytes);
    // Parts of 5 MiB: first with an ETag of ETags only, then with a SHA-256 of SHA-256s.
    for (key, extra) in [("etag", ""), ("sha", ", ChecksumAlgorithm='SHA256'")] {
        world.moto.boto(&format!(
            "s3 = client('s3', config=__import__('botocore.config').config.Config(request_checksum_calculation='when_required'))\n\
             u = s3.create_multipart_upload(Bucket='bucket', Key='{key}'{extra})['UploadId']\n\
             data = open('file', 'rb').read(); parts = []\n\
             for n in range(4):\n\
             \x20   e = s3.upload_part(Bucket='bucket', Key='{key}', UploadId=u, PartNumber=n + 1, Body=data[n * 5242880:(n + 1) * 5242880]{extra})\n\
             \x20   parts.append({{'PartNumber': n + 1, 'ETag': e['ETag']}})\n\
             s3.complete_multipart_upload(Bucket='bucket', Key='{key}', UploadId=u, MultipartUpload={{'Parts': parts}})"
        ));
        let got = world.ok(&["download", &format!("s3://bucket/{key}"), key]);
        let checksum = got["objects"][0]["checksum"].as_str().expect("a checksum");
        assert!(
            checksum.starts_with(if key == "etag" { "md5:" } else { "sha256:" }),
            "{checksum}"
        );
        assert!(fs::read(world.path(key)).expect("there") == bytes);
    }
    world
        .proxy
        .fault("GET", "etag", 0, 1000, Fault::FlipDownload(9));
    fs::remove_file(world.path("etag")).expect("removed");
    world.fails(
        &["download", "s3://bucket/etag", "etag"],
        &["do not match S3's checksum"],
    );
}

#[test]
fn parts_of_unequal_sizes_are_verified() {
    let world = World::new();
    let mib = 1 << 20;
    // Equal parts of 5 MiB would have the same number in the second case, but not in the first.
    for (key, rest) in [("more", 6 * mib + 3), ("equal", 4 * mib)] {
        let bytes = noise(11 * mib + rest, 23);
        world.write(&format!("file-{key}"), &bytes);
        world.moto.boto(&format!(
            "s3 = client('s3', config=__import__('botocore.config').config.Config(request_checksum_calculation='when_required'))\n\
             u = s3.create_multipart_upload(Bucket='bucket', Key='{key}')['UploadId']\n\
             data = open('file-{key}', 'rb').read(); parts = []\n\
             for n, (a, b) in enumerate([(0, 5 << 20), (5 << 20, 11 << 20), (11 << 20, len(data))]):\n\
             \x20   e = s3.upload_part(Bucket='bucket', Key='{key}', UploadId=u, PartNumber=n + 1, Body=data[a:b])\n\
             \x20   parts.append({{'PartNumber': n + 1, 'ETag': e['ETag']}})\n\
             s3.complete_multipart_upload(Bucket='bucket', Key='{key}', UploadId=u, MultipartUpload={{'Parts': parts}})"
        ));
        let url = format!("s3://bucket/{key}");
        let got = world.ok(&["download", &url, key]);
        let checksum = got["objects"][0]["checksum"].as_str().expect("checked");
        assert!(checksum.starts_with("md5:"), "{checksum}");
        assert!(fs::read(world.path(key)).expect("there") == bytes);
        assert_eq!(world.ok(&["download", &url, key])["unchanged"], 1);
        let sent = world.ok(&["upload", &format!("file-{key}"), &url]);
        assert_eq!(sent["unchanged"], 1);
    }
    world
        .proxy
        .fault("GET", "more", 0, 1000, Fault::FlipDownload(9));
    world.fails(
        &["download", "s3://bucket/more", "x"],
        &["do not match S3's checksum"],
    );
    // Without the sizes of the parts, only the size can be checked.
    world.proxy.forget();
    world.proxy.fault(
        "HEAD",
        "partNumber=3",
        0,
        1000,
        Fault::Answer(403, "AccessDenied"),
    );
    let got = world.ok(&["download", "s3://bucket/equal", "y"]);
    assert!(got["objects"][0]["checksum"].is_null());
    let outcome = world.run(&["download", "s3://bucket/equal", "z"]);
    outcome.expect_code(0);
    assert!(
        outcome.output().contains("checked by size only"),
        "{}",
        outcome.output()
    );
}

#[test]
fn concurrent_uploads_leave_one_complete_object() {
    let world = World::new();
    let files = [noise(4 * PART, 31), noise(4 * PART, 32)];
    for (number, bytes) in files.iter().enumerate() {
        world.write(&format!("file-{number}"), bytes);
    }
    let running = [0, 1].map(|number| {
        let name = format!("file-{number}");
        start(world.command(&["upload", &name, "s3://bucket/key"]))
    });
    let codes = running.map(|one| {
        let outcome = one.finish(Duration::from_secs(60));
        if outcome.code() != Some(0) {
            outcome.expect_code(1);
            assert!(
                outcome.stderr.contains("run the same command again"),
                "{}",
                outcome.stderr
            );
        }
        outcome.code()
    });
    if codes.contains(&Some(0)) {
        assert!(files.iter().any(|bytes| world.object_is("key", bytes)));
    }
    world.ok(&["upload", "file-0", "s3://bucket/key"]);
    assert!(world.object_is("key", &files[0]));
}

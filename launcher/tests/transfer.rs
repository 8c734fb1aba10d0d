//! `upload` and `download` against moto, through a proxy that breaks things.
#![allow(
    clippy::expect_used,
    reason = "the helpers of a test report by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use testkit::{
    CANARY_KEY_ID, CANARY_SECRET, Fault, FaultProxy, Moto, Outcome, fault_proxy, moto,
    on_small_disk, run, skip, small_disk_allowed, start,
};

/// The launcher's part.
const PART: usize = 16 << 20;

struct World {
    moto: Moto,
    proxy: FaultProxy,
}

impl World {
    /// With the bucket `bucket`.
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

    /// Runs it in the home folder; no output may show the keys.
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

    /// Fails with 1 and these words.
    #[track_caller]
    fn fails(&self, args: &[&str], words: &[&str]) -> Outcome {
        let outcome = self.run(args);
        outcome.expect_code(1);
        for word in words {
            assert!(
                outcome.stderr.contains(word),
                "no `{word}` in {}",
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

    /// The whole object as the server has it.
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

    /// Names below a folder, hidden ones too.
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

/// Bytes that nothing compresses and that differ from place to place.
fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

const UP: &str = "s3://bucket/pre";

#[track_caller]
fn until(what: &str, is: impl Fn() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(std::time::Instant::now() < end, "not in a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_folder_there_and_back_and_nothing_twice() {
    let world = World::new();
    let odd = [
        "plain",
        "with space",
        "ümlaut/中文",
        "a+b%2Fc&d=e?f#g",
        "deep/er/and deeper",
        "'quote\"",
        "~tilde!*()",
    ];
    for (seed, name) in (1..).zip(odd) {
        world.write(&format!("src/{name}"), &noise(1000, seed));
    }
    world.write("src/empty", b"");
    let size = PART + 12345;
    world.write("src/big", &noise(size, 99));

    let sent = world.ok(&["upload", "src", UP]);
    assert_eq!((&sent["files"], &sent["skipped"]), (&9.into(), &0.into()));
    assert_eq!(sent["bytes_moved"], sent["bytes"]);
    world.proxy.forget();
    let again = world.ok(&["upload", "src", UP]);
    assert_eq!(
        (&again["skipped"], &again["bytes_moved"]),
        (&9.into(), &0.into())
    );
    assert!(world.proxy.passed("PUT", "").is_empty() && world.proxy.passed("POST", "").is_empty());

    world.ok(&["download", UP, "back"]);
    assert_eq!(world.names("src"), world.names("back"));
    for name in world
        .names("src")
        .iter()
        .filter(|name| world.path("src").join(name).is_file())
    {
        let read = |top: &str| fs::read(world.path(top).join(name)).expect("there");
        assert!(read("src") == read("back"), "{name}");
    }
    world.proxy.forget();
    let again = world.ok(&["download", UP, "back"]);
    assert_eq!(
        (&again["skipped"], &again["bytes_moved"]),
        (&9.into(), &0.into())
    );
    assert!(world.proxy.passed("GET", "/pre/").is_empty());
    // A changed byte of the same size is noticed.
    world.write("back/plain", &noise(1000, 7777));
    let again = world.ok(&["download", UP, "back"]);
    assert_eq!(again["skipped"], 8);
    assert!(fs::read(world.path("back/plain")).expect("there") == noise(1000, 1));
}

#[test]
fn where_a_file_goes_is_as_with_the_aws_cli() {
    let world = World::new();
    world.write("dir/f.txt", b"one");
    for (to, key) in [
        ("s3://bucket", "f.txt"),
        ("s3://bucket/", "f.txt"),
        ("s3://bucket/p/", "p/f.txt"),
        ("s3://bucket/named", "named"),
    ] {
        let sent = world.ok(&["upload", "dir/f.txt", to]);
        assert_eq!(sent["objects"][0]["url"], format!("s3://bucket/{key}"));
        assert!(world.object_is(key, b"one"), "{key}");
    }
    fs::create_dir(world.path("folder")).expect("a folder");
    for (to, path) in [
        ("x", "x"),
        ("folder", "folder/named"),
        ("new/", "new/named"),
    ] {
        world.ok(&["download", "s3://bucket/named", to]);
        assert_eq!(fs::read(world.path(path)).expect("there"), b"one");
    }
    fs::create_dir(world.path("nothing")).expect("a folder");
    let sent = world.ok(&["upload", "nothing", "s3://bucket/n"]);
    assert_eq!(sent["files"], 0);
}

#[test]
fn links_and_special_files_are_left_out_aloud() {
    let world = World::new();
    world.write("src/a", b"a");
    world.write("outside", b"secret");
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, world.path("src").join(name)).expect("a link");
    };
    link("a", "inside");
    link("../outside", "outside");
    link("nowhere", "dangling");
    link(".", "loop");
    testkit::fifo(&world.path("src/pipe"));
    let outcome = world.run(&["upload", "src", UP]);
    outcome.expect_code(0);
    for name in ["outside", "dangling", "loop", "pipe"] {
        assert!(
            outcome.stderr.contains(&format!("left out: `src/{name}`")),
            "{}",
            outcome.stderr
        );
    }
    let keys = world.moto.boto(
        "show([o['Key'] for o in client('s3').list_objects_v2(Bucket='bucket')['Contents']])",
    );
    assert_eq!(keys, serde_json::json!(["pre/a", "pre/inside"]));
}

#[test]
fn an_upload_killed_half_way_sends_only_the_missing_parts() {
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
fn parts_of_other_bytes_are_sent_again() {
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
fn credentials_that_expire_in_the_middle() {
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
        &["have expired", "help:", "goes on where it was"],
    );
    assert!(!outcome.stderr.contains("panicked"));
    // Not tried again: time does not help.
    assert!(world.proxy.passed("PUT", "partNumber=3").len() <= 1);
    world.proxy.forget();
    world.ok(&["upload", "file", "s3://bucket/key"]);
    assert!(world.object_is("key", &bytes));
}

#[test]
fn resets_throttling_and_server_errors_are_survived() {
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
fn stalled_requests_are_tried_again() {
    let world = World::new();
    let bytes = noise(2 * PART, 5);
    world.write("file", &bytes);
    world
        .proxy
        .fault("PUT", "partNumber=1", 0, 1, Fault::StallUpload(1 << 20));
    world.ok(&["upload", "file", "s3://bucket/key", "--stall-timeout", "5"]);
    // A busy machine may stall by itself.
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
fn a_server_that_stays_silent_is_an_error_in_time() {
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
fn a_download_killed_half_way_fetches_only_the_missing_ranges() {
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
    // The last bytes reach the disk and the notes after they have passed the proxy.
    let notes = world.path(".back.trainyard-notes");
    until("three ranges are noted", || {
        let text = fs::read_to_string(&notes).unwrap_or_default();
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
    assert!(!notes.exists() && !world.path(".back.trainyard-part").exists());
}

#[test]
fn notes_that_outlived_their_bytes_are_not_believed() {
    let world = World::new();
    let bytes = noise(3 * PART, 8);
    world.write("file", &bytes);
    world.ok(&["upload", "file", "s3://bucket/key"]);
    world
        .proxy
        .fault("GET", "key", 2, 100, Fault::Answer(400, "ExpiredToken"));
    world.fails(&["download", "s3://bucket/key", "back"], &["have expired"]);
    let partial = world.path(".back.trainyard-part");
    let mut there = fs::read(&partial).expect("it is kept");
    there.fill(0);
    fs::write(&partial, there).expect("written");
    world.proxy.forget();
    let got = world.ok(&["download", "s3://bucket/key", "back"]);
    assert_eq!(got["bytes_moved"], (3 * PART) as u64);
    assert!(fs::read(world.path("back")).expect("there") == bytes);
}

#[test]
fn an_object_that_changes_meanwhile_is_noticed() {
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
fn a_file_that_changes_meanwhile_is_an_error() {
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

#[test]
fn a_byte_that_changes_on_the_way_is_noticed() {
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

    // Once: the next try is right.
    world
        .proxy
        .fault("GET", "pre/small", 0, 1, Fault::FlipDownload(2));
    world.ok(&["download", "s3://bucket/pre/small", "once"]);
    assert_eq!(fs::read(world.path("once")).expect("there"), b"small");
    // For ever: nothing is put in place.
    world
        .proxy
        .fault("GET", "pre/", 0, 1000, Fault::FlipDownload(2));
    for name in ["small", "big"] {
        let url = format!("s3://bucket/pre/{name}");
        world.fails(
            &["download", &url, "never"],
            &["other bytes than S3 has a checksum of"],
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
fn objects_of_other_clients_are_checked_too() {
    let world = World::new();
    let bytes = noise(3 * (5 << 20) + 1, 13);
    world.write("file", &bytes);
    // Parts of 5 MiB, no checksum but the ETag of ETags; then one with a SHA-256 of SHA-256s.
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
    world.fails(&["download", "s3://bucket/etag", "etag"], &["other bytes"]);
}

#[test]
fn parts_of_uneven_sizes_are_checked_by_their_own_sizes() {
    let world = World::new();
    let mib = 1 << 20;
    // Even parts of 5 MiB would be as many in the second case, but not in the first.
    for (key, rest) in [("more", 6 * mib + 3), ("asmany", 4 * mib)] {
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
        assert_eq!(world.ok(&["download", &url, key])["skipped"], 1);
        let sent = world.ok(&["upload", &format!("file-{key}"), &url]);
        assert_eq!(sent["skipped"], 1);
    }
    world
        .proxy
        .fault("GET", "more", 0, 1000, Fault::FlipDownload(9));
    world.fails(&["download", "s3://bucket/more", "x"], &["other bytes"]);
    // Without the sizes of the parts nothing can be said.
    world.proxy.forget();
    world.proxy.fault(
        "HEAD",
        "partNumber=3",
        0,
        1000,
        Fault::Answer(403, "AccessDenied"),
    );
    let got = world.ok(&["download", "s3://bucket/asmany", "y"]);
    assert!(got["objects"][0]["checksum"].is_null());
    let said = world.run(&["download", "s3://bucket/asmany", "z"]);
    said.expect_code(0);
    assert!(
        said.output().contains("only the size could be checked"),
        "{}",
        said.output()
    );
}

#[test]
fn nothing_but_a_file_is_replaced() {
    let world = World::new();
    world.put("key", b"bytes");
    testkit::fifo(&world.path("pipe"));
    std::os::unix::fs::symlink("pipe", world.path("link")).expect("a link");
    let _socket = std::os::unix::net::UnixListener::bind(world.path("s")).expect("a socket");
    for target in ["pipe", "link", "s", "/dev/null"] {
        world.fails(
            &["download", "s3://bucket/key", target],
            &["is no regular file", "help:"],
        );
    }
    let kind = fs::symlink_metadata(world.path("pipe")).expect("there");
    assert!(!kind.is_file());
    assert!(
        !world
            .names("")
            .iter()
            .any(|name| name.contains("trainyard-")),
        "{:?}",
        world.names("")
    );
}

#[test]
fn a_few_files_are_not_worth_a_listing() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.write(&format!("src/{name}"), name.as_bytes());
    }
    world.put("b", b"b");
    let sent = world.ok(&["upload", "src", "s3://bucket/"]);
    assert_eq!((&sent["files"], &sent["skipped"]), (&3.into(), &1.into()));
    assert!(world.proxy.passed("GET", "list-type").is_empty());
}

#[test]
fn two_uploads_to_one_key_leave_one_of_them_whole() {
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
                outcome.stderr.contains("type the same again"),
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

#[test]
fn an_answer_that_is_lost_makes_nothing_twice() {
    let world = World::new();
    let bytes = noise(2 * PART, 14);
    world.write("file", &bytes);
    world.moto.fault("CompleteMultipartUpload", "drop_after", 1);
    world.ok(&["upload", "file", "s3://bucket/key"]);
    assert!(world.object_is("key", &bytes));
}

#[test]
fn unfinished_uploads_can_be_given_up() {
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
    // The file is needed no more.
    fs::remove_file(world.path("file")).expect("removed");
    let abort = ["upload", "file", "s3://bucket/key", "--abort"];
    let plan = world.ok(&[&abort[..], &["--dry-run"]].concat());
    let steps = plan["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0]["request"]["operation"], "AbortMultipartUpload");
    assert_eq!(world.moto.boto(left), 3, "a dry run does nothing");
    let aborted = world.ok(&abort);
    assert_eq!(aborted["aborted"], 1);
    assert_eq!(aborted["urls"][0], "s3://bucket/key");
    assert_eq!(
        world.moto.boto(left),
        2,
        "another key's and another client's are left alone"
    );
    assert_eq!(world.ok(&abort)["aborted"], 0);
}

#[test]
fn more_keys_than_one_listing_shows() {
    let world = World::new();
    for number in 0..1203 {
        world.write(
            &format!("src/{:02}/{number}", number % 30),
            number.to_string().as_bytes(),
        );
    }
    assert_eq!(world.ok(&["upload", "src", UP])["files"], 1203);
    assert_eq!(world.ok(&["download", UP, "back"])["files"], 1203);
    assert_eq!(world.names("src"), world.names("back"));
}

#[test]
fn keys_that_would_leave_the_folder_or_meet_are_refused() {
    let world = World::new();
    for (keys, word) in [
        (&["e1/../../x"][..], "`.` or `..`"),
        (&["e2//etc/x"], "absolute path"),
        (&["e3/a", "e3/a/b"], "as its folder"),
        (&["e4/ok", "e4/a//b"], "folder without a name"),
    ] {
        for key in keys {
            world.put(key, b"evil");
        }
        let prefix = keys[0].split('/').next().expect("a first");
        let outcome = world.fails(
            &["download", &format!("s3://bucket/{prefix}"), "t/arget"],
            &[word, "help:"],
        );
        assert!(outcome.stderr.contains("nothing was downloaded"));
        assert!(!world.path("t").exists() && !world.path("x").exists());
    }
    world.put("e5/link/file", b"evil");
    fs::create_dir_all(world.path("t/arget")).expect("a folder");
    fs::create_dir(world.path("elsewhere")).expect("a folder");
    std::os::unix::fs::symlink("../../elsewhere", world.path("t/arget/link")).expect("a link");
    world.fails(&["download", "s3://bucket/e5", "t/arget"], &["is a link"]);
    assert!(world.names("elsewhere").is_empty());
}

#[test]
fn what_is_not_there_is_said() {
    let world = World::new();
    world.write("file", b"x");
    world.fails(
        &["upload", "file", "s3://no-such/"],
        &["the bucket does not exist", "help:"],
    );
    world.fails(
        &["download", "s3://no-such/key", "x"],
        &["the bucket does not exist", "help:"],
    );
    world.fails(
        &["download", "s3://bucket/none", "x"],
        &["neither an object", "help:"],
    );
    assert!(!world.path("x").exists());
    world
        .run(&["upload", "none", "s3://bucket/"])
        .expect_code(2);
    world
        .run(&["upload", "file", "http://bucket/"])
        .expect_code(2);
    world.put("key", b"x");
    world.write("plain", b"x");
    world.fails(&["download", "s3://bucket/key", "plain/below"], &["`plain"]);
    world.moto.fault("*", "denied", 100);
    world.fails(
        &["upload", "file", "s3://bucket/"],
        &["access denied", "help:"],
    );
    world.fails(&["download", "s3://bucket/key", "x"], &["help:"]);
}

#[test]
fn a_full_disk_keeps_nothing() {
    if !small_disk_allowed() {
        skip(
            "a_full_disk_keeps_nothing",
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

#[test]
fn a_dry_run_changes_nothing() {
    let world = World::new();
    world.write("src/a", b"a");
    world.write("src/big", &noise(PART + 1, 18));
    let plan = world.ok(&["upload", "src", UP, "--dry-run"]);
    let operations: Vec<&Value> = plan["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| &step["request"]["operation"])
        .collect();
    assert_eq!(operations, ["PutObject", "CreateMultipartUpload"]);
    assert!(world.proxy.passed("PUT", "").is_empty() && world.proxy.passed("POST", "").is_empty());
    world.ok(&["upload", "src", UP]);
    let plan = world.ok(&["download", UP, "back", "--dry-run"]);
    assert_eq!(plan["steps"][0]["request"]["key"], "pre/a");
    assert!(!world.path("back").exists());
}

#[test]
fn an_interrupt_says_how_to_go_on() {
    let world = World::new();
    world.write("file", &noise(2 * PART, 19));
    world
        .proxy
        .fault("PUT", "partNumber=2", 0, 1, Fault::StallUpload(1000));
    let running = start(world.command(&["upload", "file", "s3://bucket/key"]));
    world.proxy.wait_for("PUT", "partNumber=1", 1);
    running.sigterm();
    interrupted(running);
    world.proxy.forget();
    world
        .proxy
        .fault("PUT", "partNumber=2", 0, 1, Fault::StallUpload(1000));
    let running = start(world.command(&["upload", "file", "s3://bucket/key"]));
    until("part 2 is under way", || {
        !world.proxy.passed("PUT", "partNumber=2").is_empty()
    });
    running.sigint();
    interrupted(running);
    world.proxy.forget();
    let sent = world.ok(&["upload", "file", "s3://bucket/key"]);
    assert_eq!(sent["objects"][0]["state"], "resumed");

    world
        .proxy
        .fault("GET", "key", 1, 100, Fault::StallDownload(1000));
    let running = start(world.command(&["download", "s3://bucket/key", "back"]));
    let notes = world.path(".back.trainyard-notes");
    until("a range is noted", || {
        let text = fs::read_to_string(&notes).unwrap_or_default();
        text.lines().count() >= 2
    });
    running.sigint();
    interrupted(running);
    world.proxy.forget();
    assert!(!world.path("back").exists());
    let got = world.ok(&["download", "s3://bucket/key", "back"]);
    assert_eq!(got["objects"][0]["state"], "resumed");
}

#[track_caller]
fn interrupted(running: testkit::Running) {
    let outcome = running.finish(Duration::from_secs(20));
    outcome.expect_code(130);
    assert!(
        outcome.stderr.contains("goes on where it was"),
        "{}",
        outcome.stderr
    );
}

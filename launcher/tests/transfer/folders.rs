//! Mapping of files, folders and links to keys, and back.

use std::fs;

use serde_json::Value;

use crate::{PART, UP, World, noise};

#[test]
fn folder_round_trip_transfers_nothing_twice() {
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
    assert_eq!((&sent["files"], &sent["unchanged"]), (&9.into(), &0.into()));
    assert_eq!(sent["bytes_moved"], sent["bytes"]);
    world.proxy.forget();
    let again = world.ok(&["upload", "src", UP]);
    assert_eq!(
        (&again["unchanged"], &again["bytes_moved"]),
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
        (&again["unchanged"], &again["bytes_moved"]),
        (&9.into(), &0.into())
    );
    assert!(world.proxy.passed("GET", "/pre/").is_empty());
    // A changed byte of the same size is noticed.
    world.write("back/plain", &noise(1000, 7777));
    let again = world.ok(&["download", UP, "back"]);
    assert_eq!(again["unchanged"], 8);
    assert!(fs::read(world.path("back/plain")).expect("there") == noise(1000, 1));
}

#[test]
fn file_targets_match_aws_cli() {
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
    let outcome = world.run(&["upload", "nothing", "s3://bucket/n"]);
    let text = &outcome.expect_code(2).stderr;
    assert!(
        text.contains("there is no file in the folder `nothing`"),
        "{text}"
    );
    std::os::unix::fs::symlink("../dir/f.txt", world.path("nothing/f.txt")).expect("a link");
    for more in [&[][..], &["--dry-run"]] {
        let outcome = world.run(&[&["upload", "nothing", "s3://bucket/n"], more].concat());
        let text = &outcome.expect_code(2).stderr;
        assert!(
            text.contains("no file of the folder `nothing` can be uploaded:")
                && text.contains("`nothing/f.txt` is a link to outside of the folder"),
            "{text}"
        );
    }
}

#[test]
fn links_and_special_files_are_skipped_with_warning() {
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
            outcome.stderr.contains(&format!("skipped: `src/{name}`")),
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
fn few_files_are_requested_without_listing() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.write(&format!("src/{name}"), name.as_bytes());
    }
    world.put("b", b"b");
    let sent = world.ok(&["upload", "src", "s3://bucket/"]);
    assert_eq!((&sent["files"], &sent["unchanged"]), (&3.into(), &1.into()));
    let again = world.run(&["upload", "src", "s3://bucket/"]);
    again.expect_code(0);
    for text in ["`s3://bucket/`: 0 files, 0 B in", ", 3 already up to date"] {
        assert!(again.stdout.contains(text), "{}", again.stdout);
    }
    assert!(world.proxy.passed("GET", "list-type").is_empty());
}

#[test]
fn listing_has_several_pages() {
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
fn escaping_and_colliding_keys_are_refused() {
    let world = World::new();
    for (keys, word) in [
        (&["e1/../../x"][..], "`.` or `..`"),
        (&["e2/a/./x"], "`.` or `..`"),
        (&["e3/a", "e3/a/b"], "as its folder"),
        (&["e4/a/b", "e4/a//b"], "becomes the same file"),
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
fn only_files_are_replaced() {
    let world = World::new();
    world.put("key", b"bytes");
    testkit::fifo(&world.path("pipe"));
    std::os::unix::fs::symlink("pipe", world.path("link")).expect("a link");
    let _socket = std::os::unix::net::UnixListener::bind(world.path("s")).expect("a socket");
    for target in ["pipe", "link", "s", "/dev/null"] {
        world.fails(
            &["download", "s3://bucket/key", target],
            &["is not a regular file", "help:"],
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
fn missing_source_is_error() {
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
fn dry_run_changes_nothing() {
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

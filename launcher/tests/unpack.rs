//! `download --job-name`: valid models, and malicious or broken archives.
#![allow(
    clippy::expect_used,
    reason = "the helpers of a test report by panicking"
)]

#[path = "unpack/attacks.rs"]
mod attacks;
#[path = "unpack/public_reports.rs"]
mod public_reports;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};
use testkit::{Moto, Outcome, moto, on_small_disk, run, skip, small_disk_allowed};

struct World {
    moto: Moto,
}

impl World {
    fn new(archive: &[u8]) -> Self {
        let world = Self { moto: moto() };
        world
            .moto
            .boto("client('s3').create_bucket(Bucket='bucket')");
        world.archive(archive);
        world
    }

    /// Uploads the archive as the model of a job.
    fn archive(&self, archive: &[u8]) {
        fs::write(self.path("archive"), archive).expect("written");
        self.moto.boto("client('s3').put_object(Bucket='bucket', Key='out/job-1/output/model.tar.gz', Body=open('archive', 'rb'))");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.moto.command(env!("CARGO_BIN_EXE_trainyard"));
        command
            .args(["download", "s3://bucket/out", "--job-name", "job-1"])
            .args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Outcome {
        run(self.command(args))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.moto.home().join(name)
    }

    /// Asserts exit code 1, these texts in the message, and that no file is left.
    #[track_caller]
    fn assert_refused(&self, archive: &[u8], expected: &[&str]) {
        self.archive(archive);
        let outcome = self.run(&["model"]);
        outcome.expect_code(1);
        for text in expected {
            assert!(
                outcome.stderr.contains(text),
                "no `{text}` in {}",
                outcome.stderr
            );
        }
        assert!(outcome.stderr.contains("help:"));
        self.assert_nothing_left();
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        let entries = fs::read_dir(self.moto.home()).expect("home");
        let left: Vec<_> = entries
            .map(|entry| entry.expect("readable").file_name())
            .filter(|name| name != "archive")
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Appends an entry. The path is written unchanged, without the checks of the tar crate.
fn entry(builder: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, data: &[u8], mode: u32) {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(data.len() as u64);
    if matches!(kind, EntryType::Symlink | EntryType::Link) {
        header.set_link_name("/etc/passwd").expect("a short name");
    }
    header.set_cksum();
    builder.append(&header, data).expect("in memory");
}

fn gz(tar: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(tar).expect("in memory");
    encoder.finish().expect("in memory")
}

fn archive(entries: &[(&str, EntryType, &[u8], u32)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, data, mode) in entries {
        entry(&mut builder, path, *kind, data, *mode);
    }
    gz(&builder.into_inner().expect("in memory"))
}

const FILE: EntryType = EntryType::Regular;
const FOLDER: EntryType = EntryType::Directory;

fn valid_model() -> Vec<u8> {
    archive(&[
        ("./", FOLDER, b"", 0o755),
        ("./config.json", FILE, b"{}", 0o600),
        ("./weights/part one", FILE, b"numbers", 0o4777),
        ("./weights/", FOLDER, b"", 0o777),
        ("empty/", FOLDER, b"", 0o700),
    ])
}

#[test]
fn model_is_unpacked() {
    let world = World::new(&valid_model());
    world.run(&["model"]).expect_code(0);
    assert_eq!(
        fs::read(world.path("model/config.json")).expect("there"),
        b"{}"
    );
    assert_eq!(
        fs::read(world.path("model/weights/part one")).expect("there"),
        b"numbers"
    );
    assert!(world.path("model/empty").is_dir());
    let mode = |name: &str| {
        fs::metadata(world.path(name))
            .expect("there")
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!(mode("model/weights/part one") & !0o022, 0o755, "no setuid");
    assert_eq!(mode("model/config.json") & 0o111, 0);

    // The target exists now.
    let outcome = world.run(&["model"]);
    outcome.expect_code(2);
    assert!(outcome.stderr.contains("--force"), "{}", outcome.stderr);
    fs::write(world.path("model/mine"), "mine").expect("written");
    let answer = world.run(&["model", "--force", "--json"]);
    answer.expect_code(0);
    assert_eq!(answer.json()["kept"], "model.old");
    assert!(!world.path("model/mine").exists());
    // Files that the model does not have are kept.
    assert!(world.path("model.old/mine").exists() && world.path("model.old/config.json").exists());
    // An older version of the model is not kept.
    fs::write(world.path("model/config.json"), "old").expect("written");
    let answer = world.run(&["model", "--force", "--json"]);
    answer.expect_code(0);
    assert!(answer.json().get("kept").is_none());
    assert_eq!(
        fs::read(world.path("model/config.json")).expect("there"),
        b"{}"
    );
    fs::write(world.path("model/weights/mine"), "mine").expect("written");
    let answer = world.run(&["model", "--force"]);
    answer.expect_code(0);
    assert!(answer.stdout.contains("`model.old-2`"), "{}", answer.stdout);
    assert!(world.path("model.old-2/weights/mine").exists());
    fs::create_dir(world.path("empty")).expect("a folder");
    let answer = world.run(&["empty", "--json"]);
    answer.expect_code(0);
    assert_eq!(answer.json()["unpacked"]["files"], 2);

    world.run(&["kept.tar.gz", "--no-unpack"]).expect_code(0);
    assert_eq!(
        fs::read(world.path("kept.tar.gz")).expect("there"),
        valid_model()
    );
    let plan = world.run(&["other", "--dry-run", "--json"]);
    plan.expect_code(0);
    assert_eq!(plan.json()["dry_run"], true);
    assert!(!world.path("other").exists());
    let outcome = run({
        let mut command = world.moto.command(env!("CARGO_BIN_EXE_trainyard"));
        command.args(["download", "s3://bucket/out", "x", "--job-name", "job-2"]);
        command
    });
    outcome.expect_code(1);
    assert!(
        outcome.stderr.contains("job-2/output/model.tar.gz"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn home_and_working_directory_are_never_replaced() {
    let world = World::new(&valid_model());
    let below = world.path("work/deep");
    fs::create_dir_all(&below).expect("a folder");
    fs::write(below.join("mine"), "mine").expect("written");
    std::os::unix::fs::symlink(&below, world.path("link")).expect("a link");
    let home = world.moto.home().to_str().expect("UTF-8").to_owned();
    let link = format!("{home}/link");
    for target in [
        ".",
        "..",
        "../..",
        "../deep",
        "../../work",
        &home,
        &link,
        "/",
    ] {
        let mut command = world.command(&[target, "--force"]);
        command.current_dir(&below);
        let refused = run(command);
        refused.expect_code(2);
        assert!(
            refused.stderr.contains("replaced by a model") && refused.stderr.contains("help:"),
            "{target}: {}",
            refused.stderr
        );
    }
    assert_eq!(fs::read(below.join("mine")).expect("there"), b"mine");
}

#[test]
fn malicious_archives_leave_nothing() {
    let world = World::new(b"");
    let first: (&str, EntryType, &[u8], u32) = ("config.json", FILE, b"{}", 0o644);
    let cases: [(&str, EntryType, &str); 13] = [
        ("../evil", FILE, "`..`"),
        ("a/../../evil", FILE, "`..`"),
        ("/tmp/evil", FILE, "absolute path"),
        ("link", EntryType::Symlink, "a symbolic link"),
        ("hard", EntryType::Link, "a hard link"),
        ("device", EntryType::Char, "a device"),
        ("disk", EntryType::Block, "a device"),
        ("pipe", EntryType::Fifo, "a named pipe"),
        ("sparse", EntryType::GNUSparse, "a sparse file"),
        ("odd", EntryType::new(b'Q'), "of an unknown kind"),
        ("config.json", FILE, "twice"),
        ("./config.json", FILE, "twice"),
        ("config.json/below", FILE, "its folder is a file"),
    ];
    for (path, kind, word) in cases {
        world.assert_refused(
            &archive(&[first, (path, kind, b"", 0o644)]),
            &[word, path, "nothing was unpacked"],
        );
    }
    // Names of entries are sanitized.
    world.assert_refused(
        &archive(&[("\u{1b}[2Jx", EntryType::Symlink, b"", 0)]),
        &["\\u{1b}"],
    );
}

#[test]
fn broken_archives_leave_nothing() {
    let world = World::new(b"");
    let whole = valid_model();
    for cut in [0, 1, 10, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
        world.assert_refused(&whole[..cut], &["the archive is broken"]);
    }
    let mut flipped = whole.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    world.assert_refused(&flipped, &["the archive is broken"]);
    let mut builder = Builder::new(Vec::new());
    entry(&mut builder, "a", FILE, b"data", 0o644);
    let tar = builder.into_inner().expect("in memory");
    // A complete gzip of a tar that ends between two entries.
    world.assert_refused(&gz(&tar[..1024]), &["ends too early"]);
    world.assert_refused(b"no archive at all", &["the archive is broken"]);
}

#[test]
fn zip_bombs_are_refused() {
    let world = World::new(b"");
    let zeros = vec![0; 100 << 20];
    let bomb = archive(&[("zeros", FILE, &zeros, 0o644)]);
    world.archive(&bomb);
    let outcome = world.run(&["model"]);
    outcome.expect_code(1);
    for word in ["unpacks to more than", "--max-unpacked", "is kept"] {
        assert!(outcome.stderr.contains(word), "{}", outcome.stderr);
    }
    assert!(!world.path("model").exists());
    // The suggested command uses the downloaded archive.
    let answer = world.run(&["model", "--max-unpacked", "1GB", "--json"]);
    answer.expect_code(0);
    assert_eq!(answer.json()["archive"]["bytes_moved"], 0);
    assert!(!world.path(".model.trainyard-model").exists());
    assert_eq!(
        fs::metadata(world.path("model/zeros"))
            .expect("there")
            .len(),
        100 << 20
    );
    fs::remove_dir_all(world.path("model")).expect("removed");
    // A name of one megabyte is refused before it is read into memory.
    let mut builder = Builder::new(Vec::new());
    entry(
        &mut builder,
        "././@LongLink",
        EntryType::GNULongName,
        &zeros[..1 << 20],
        0,
    );
    let tar = builder.into_inner().expect("in memory");
    world.assert_refused(&gz(&tar), &["a name of 1048576 bytes"]);
}

#[test]
fn archives_of_python_tarfile_are_unpacked() {
    let world = World::new(b"");
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(150));
    for format in ["PAX_FORMAT", "GNU_FORMAT"] {
        world.moto.boto(&format!(
            "import tarfile\n\
             with tarfile.open('archive', 'w:gz', format=tarfile.{format}) as tar:\n\
             \x20   for name in ['{long}', 'ümlaut']:\n\
             \x20       info = tarfile.TarInfo(name); info.size = 4\n\
             \x20       tar.addfile(info, io.BytesIO(b'data'))"
        ));
        world.archive(&fs::read(world.path("archive")).expect("there"));
        world.run(&["model", "--force"]).expect_code(0);
        for name in [long.as_str(), "ümlaut"] {
            assert_eq!(
                fs::read(world.path("model").join(name)).expect("there"),
                b"data",
                "{format}"
            );
        }
    }
}

#[test]
fn full_disk_leaves_no_model() {
    if !small_disk_allowed() {
        skip(
            "unpack: full_disk_leaves_no_model",
            "no small disk can be made here",
        );
        return;
    }
    let zeros = vec![0; 20 << 20];
    let world = World::new(&archive(&[("zeros", FILE, &zeros, 0o644)]));
    fs::create_dir(world.path("disk")).expect("a folder");
    let full = on_small_disk(&world.command(&["disk/model"]), &world.path("disk"), 8192);
    full.outcome.expect_code(1);
    assert!(
        full.outcome.stderr.contains("the disk is full"),
        "{}",
        full.outcome.stderr
    );
    // Only files that the next run uses.
    for name in &full.left {
        assert!(
            name.ends_with(".model.trainyard-model") || name.ends_with("model.tar.gz"),
            "{:?}",
            full.left
        );
    }
    assert!(!full.left.is_empty());
}

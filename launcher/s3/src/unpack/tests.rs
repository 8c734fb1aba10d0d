//! Properties of unpacking any archive: nothing outside the target, no panic, round trip of valid
//! entries.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{EntryType, Header};
use testkit::campaign::{Campaign, cases, mutate};

use super::*;

const LIMITS: Limits = Limits {
    bytes: 1 << 20,
    entries: 20,
};

fn block(name: &[u8], kind: u8, size: u64, mode: u32) -> Vec<u8> {
    let mut header = Header::new_gnu();
    let bytes = header.as_mut_bytes();
    let length = name.len().min(100);
    bytes[..length].copy_from_slice(&name[..length]);
    header.set_entry_type(EntryType::new(kind));
    header.set_size(size);
    header.set_mode(mode);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn gz(tar: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(tar).expect("in memory");
    encoder.finish().expect("in memory")
}

/// Dangerous and arbitrary names.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"..".to_vec()),
        Just(b".".to_vec()),
        Just(b"".to_vec()),
        Just(b"a".to_vec()),
        Just(b"b".to_vec()),
        Just(b"a\\..".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(part, 1..5).prop_map(|parts| parts.join(&b'/'))
}

fn kind() -> impl Strategy<Value = u8> {
    prop_oneof![4 => Just(b'0'), 2 => Just(b'5'), 1 => Just(b'L'), 1 => Just(b'x'), 2 => b'0'..=b'7', 1 => any::<u8>()]
}

/// Everything below a folder, without following links.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        let meta = fs::symlink_metadata(&path).expect("there");
        assert!(meta.is_file() || meta.is_dir(), "{}", path.display());
        if meta.is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found
}

#[test]
fn oversized_entry_is_error() {
    for size in [u64::MAX, u64::MAX - 510, u64::MAX - 511] {
        let record = format!("29 size={size}\n");
        assert_eq!(record.len(), 29);
        let mut tar = block(b"pax", b'x', 29, 0);
        tar.extend(record.as_bytes());
        tar.resize(1024, 0);
        tar.extend(block(b"a", b'0', 0, 0o644));
        let into = tempfile::tempdir().expect("a folder");
        let refused = unpack(gz(&tar).as_slice(), into.path(), LIMITS).expect_err("no such size");
        let text = refused.error.to_string();
        // The last one is a multiple of 512.
        let word = match size {
            0xffff_ffff_ffff_fe00 => "ends too early",
            _ => "an entry of 18446744073709551",
        };
        assert!(text.contains(word), "{text}");
    }
}

/// Bytes of a valid archive are changed before or after compression.
#[test]
fn mutated_archives_stay_inside() {
    let mut tar = Vec::new();
    for (name, data) in [("config.json", "{}"), ("sub/weights", "numbers")] {
        tar.extend(block(name.as_bytes(), b'0', data.len() as u64, 0o644));
        tar.extend(data.bytes());
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.extend([0; 1024]);
    let mut campaign = Campaign::new("s3: mutated archives", 400, 20_000);
    while let Some(mut random) = campaign.next_case() {
        let archive = match random.below(2) {
            0 => gz(&mutate(&tar, &mut random)),
            _ => mutate(&gz(&tar), &mut random),
        };
        let outer = tempfile::tempdir().expect("a folder");
        let into = outer.path().join("one/two/target");
        fs::create_dir_all(&into).expect("a folder");
        let unpacked = unpack(archive.as_slice(), &into, LIMITS);
        // `one`, `one/two`, `one/two/target`, and what is inside.
        assert_eq!(below(outer.path()).len(), below(&into).len() + 3);
        campaign.count(if unpacked.is_ok() {
            "accepted"
        } else {
            "refused"
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(400, 20_000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_appears_outside(
        entries in proptest::collection::vec((name(), kind(), proptest::collection::vec(any::<u8>(), 0..40), any::<u32>()), 0..8),
        lie in any::<Option<u16>>(),
    ) {
        let mut tar = Vec::new();
        for (name, kind, data, mode) in &entries {
            let size = lie.filter(|lie| lie % 5 == 0).map_or(data.len() as u64, u64::from);
            tar.extend(block(name, *kind, size, mode & 0o7777));
            tar.extend(data);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.extend([0; 1024]);
        let outer = tempfile::tempdir().expect("a folder");
        let into = outer.path().join("one/two/target");
        fs::create_dir_all(&into).expect("a folder");
        let unpacked = unpack(gz(&tar).as_slice(), &into, LIMITS);
        let inside = below(&into);
        let all = below(outer.path());
        // `one`, `one/two`, `one/two/target`, and what is inside.
        prop_assert_eq!(all.len(), inside.len() + 3);
        if let Ok(unpacked) = unpacked {
            let files = inside.iter().filter(|path| path.is_file()).count();
            prop_assert_eq!(unpacked.files, files as u64);
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let into = tempfile::tempdir().expect("a folder");
        prop_assert!(unpack(gz(&bytes).as_slice(), into.path(), LIMITS).is_err() || below(into.path()).is_empty());
        prop_assert!(unpack(bytes.as_slice(), into.path(), LIMITS).is_err());
    }

    #[test]
    fn valid_archives_round_trip(
        files in proptest::collection::btree_map("[a-z]{1,8}(/[a-z]{9,12}){0,2}", proptest::collection::vec(any::<u8>(), 0..2000), 0..8),
    ) {
        let mut tar = Vec::new();
        for (name, data) in &files {
            tar.extend(block(name.as_bytes(), b'0', data.len() as u64, 0o644));
            tar.extend(data);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.extend([0; 1024]);
        let into = tempfile::tempdir().expect("a folder");
        // `a` and `a/b` cannot both be.
        let collide = files.keys().any(|one| files.keys().any(|two| two.starts_with(&format!("{one}/"))));
        match unpack(gz(&tar).as_slice(), into.path(), LIMITS) {
            Err(_) => prop_assert!(collide),
            Ok(_) => {
                for (name, data) in &files {
                    prop_assert_eq!(&fs::read(into.path().join(name)).expect("there"), data);
                }
            }
        }
    }
}

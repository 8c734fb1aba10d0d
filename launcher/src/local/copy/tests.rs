use std::os::unix::fs::symlink;

use tar::Archive;

use super::*;

/// A folder with links, and a folder outside of it.
fn linked() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    fs::create_dir_all(kept.join("a")).unwrap();
    fs::create_dir(dir.path().join("other")).unwrap();
    fs::write(kept.join("a/step"), "1").unwrap();
    fs::write(dir.path().join("other/mine"), "mine").unwrap();
    symlink("a", kept.join("latest")).unwrap();
    symlink("..", kept.join("a/circle")).unwrap();
    symlink("../other", kept.join("outside")).unwrap();
    symlink(dir.path().join("other/mine"), kept.join("absolute")).unwrap();
    (dir, kept)
}

#[test]
fn links_are_copied_if_they_stay_inside() {
    let (_dir, kept) = linked();
    let mut tar = Builder::new(Vec::new());
    let mut sent = BTreeSet::new();
    fill_checkpoints(&mut tar, (&kept, Path::new("")), &mut sent).unwrap();
    assert_eq!(sent, ["a", "a/step"].map(PathBuf::from).into());
    let bytes = tar.into_inner().unwrap();
    let mut names: Vec<_> = Archive::new(bytes.as_slice())
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let target = entry.link_name().unwrap();
            target.map_or(name.clone(), |target| {
                format!("{name} -> {}", target.display())
            })
        })
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "checkpoints/a",
            "checkpoints/a/circle -> ..",
            "checkpoints/a/step",
            "checkpoints/latest -> a"
        ]
    );
}

#[test]
fn no_file_is_written_or_deleted_through_a_link() {
    let (dir, kept) = linked();
    let mut tar = Builder::new(Vec::new());
    let mut file = |name: &str, bytes: &'static [u8]| {
        let mut header = header(EntryType::Regular, 0o644, bytes.len() as u64);
        let name = format!("checkpoints/{name}");
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    file("a/step", b"2");
    file("latest/step", b"1");
    file("outside/new", b"new");
    file("absolute", b"a file now");
    let tar = tar.into_inner().unwrap();
    // As if these were not links when they were sent.
    let sent = ["a/step", "outside/mine"].map(PathBuf::from);
    unpack_checkpoints(tar.as_slice(), &kept, &sent.into()).unwrap();
    assert_eq!(fs::read_to_string(kept.join("a/step")).unwrap(), "2");
    let mine = dir.path().join("other/mine");
    assert_eq!(fs::read_to_string(mine).unwrap(), "mine");
    assert!(!dir.path().join("other/new").exists());
    // The link itself is replaced, not its target.
    assert_eq!(
        fs::read_to_string(kept.join("absolute")).unwrap(),
        "a file now"
    );
    assert!(kept.join("latest").is_symlink());
}

#[test]
fn error_names_the_side_that_failed() {
    let refusal = || bollard::errors::Error::DockerResponseServerError {
        status_code: 500,
        message: "no space left on device".to_owned(),
    };
    let broken = || io::Error::new(io::ErrorKind::BrokenPipe, "stopped listening");
    let error = upload_result(Err(refusal()), Err(broken())).unwrap_err();
    assert!(error.to_string().contains("no space left"), "{error}");
    // In the other case the engine only reports a broken stream.
    let own = io::Error::other("`a`: Permission denied");
    let error = upload_result(Err(refusal()), Err(own)).unwrap_err();
    assert!(
        error.to_string().contains("`a`: Permission denied"),
        "{error}"
    );
    upload_result(Ok(()), Ok(BTreeSet::new())).unwrap();
}

#[test]
fn files_that_were_not_sent_are_not_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    fs::create_dir(folder.join("both")).unwrap();
    for name in ["kept", "gone", "mine", "both/gone", "both/mine"] {
        fs::write(folder.join(name), name).unwrap();
    }
    let sent = ["kept", "gone", "both", "both/gone", "never"].map(PathBuf::from);
    let mut tar = Builder::new(Vec::new());
    let bytes = b"new";
    let mut header = header(EntryType::Regular, 0o644, 3);
    tar.append_data(&mut header, "checkpoints/kept", &bytes[..])
        .unwrap();
    let tar = tar.into_inner().unwrap();
    unpack_checkpoints(tar.as_slice(), folder, &sent.into()).unwrap();
    assert_eq!(fs::read(folder.join("kept")).unwrap(), bytes);
    for (name, there) in [
        ("gone", false),
        ("mine", true),
        ("both/gone", false),
        ("both/mine", true),
    ] {
        assert_eq!(folder.join(name).exists(), there, "{name}");
    }
}

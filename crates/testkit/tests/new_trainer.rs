//! A trainer is one folder: a copy of `tests/toy_trainer` in `trainers/` builds and passes the
//! contract suite, and no other file changes.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of a test function"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::run_within;

/// The first build of the dependencies takes minutes.
const BUILD_TIMEOUT: Duration = Duration::from_secs(1200);

fn repository() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    path.canonicalize().unwrap()
}

/// Lists the files of the workspace: tracked ones and new ones that git does not ignore.
fn workspace_files(repository: &Path) -> Vec<PathBuf> {
    let mut git = Command::new("git");
    git.current_dir(repository);
    git.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let output = git.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let names = output.stdout.split(|&byte| byte == 0);
    let paths = names.map(|name| PathBuf::from(String::from_utf8(name.to_vec()).unwrap()));
    paths
        .filter(|path| !path.as_os_str().is_empty() && !path.starts_with("bench/runs"))
        .filter(|path| repository.join(path).is_file())
        .collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

#[test]
fn new_trainer_needs_only_its_folder() {
    let repository = repository();
    let copied = tempfile::tempdir().unwrap();
    let files = workspace_files(&repository);
    for path in &files {
        copy(&repository.join(path), &copied.path().join(path));
        if let Ok(inner) = path.strip_prefix("tests/toy_trainer") {
            let target = copied.path().join("trainers/toy").join(inner);
            copy(&repository.join(path), &target);
        }
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo
        .args(["test", "--package", "toy", "--offline"])
        .current_dir(copied.path())
        .env("CARGO_TARGET_DIR", repository.join("target/toy"))
        .env_remove("TRAINYARD_LONG")
        // Of the package that runs this test.
        .env_remove("CARGO_MANIFEST_DIR");
    let outcome = run_within(cargo, BUILD_TIMEOUT);
    outcome.expect_code(0);
    assert!(
        outcome.stdout.contains("sigterm_while_training ... ok"),
        "{}",
        outcome.stdout
    );
    // Cargo.lock has the new package; every other file is unchanged.
    for path in files.iter().filter(|path| !path.ends_with("Cargo.lock")) {
        let same = fs::read(repository.join(path)).ok() == fs::read(copied.path().join(path)).ok();
        assert!(same, "{} changed", path.display());
    }
}

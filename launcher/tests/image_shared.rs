//! Images of trainers that are linked with shared libraries.
#![expect(
    clippy::unwrap_used,
    reason = "a test reports by panicking, its helpers too"
)]

mod common;

use std::path::Path;
use std::process::Command;

use common::{LONG, Workspace, holds, repository, unpacked};
use serde_json::Value;
use testkit::{Engine, FakeMl, engine, run, run_within};

const MANIFEST: &str = r#"[package]
name = "NAME"
version = "1.2.3"
edition = "2024"
build = "build.rs"

[package.metadata.trainer]
link = "dynamic"
opened-libraries = ["libopened*.so"]

[workspace]
"#;

/// Builds a linked library, a library which that one needs, and one that the program opens.
const BUILD: &str = r#"
use std::process::Command;

fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    let compile = |name: &str, source: &str, more: &[&str]| {
        let file = format!("{out}/{name}.c");
        std::fs::write(&file, source).unwrap();
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-g", "-o"])
            .arg(format!("{out}/lib{name}.so"))
            .arg(&file)
            .args(more)
            .status()
            .unwrap();
        assert!(status.success());
    };
    compile("deep", "int deep(void) { return 40; }", &[]);
    compile("linked", "int deep(void); int linked(void) { return deep() + 2; }", &["-L", &out, "-ldeep", "-Wl,-rpath,$ORIGIN"]);
    compile("opened_later", "int opened(void) { return 7; }", &[]);
    // The same file under another name, as in a CUDA toolkit.
    let _ = std::os::unix::fs::symlink("libopened_later.so", format!("{out}/libopened.so"));
    println!("cargo::rustc-link-search=native={out}");
    println!("cargo::rustc-link-lib=dylib=linked");
    println!("cargo::rerun-if-env-changed=TRAINYARD_RPATH");
    let rpath = std::env::var("TRAINYARD_RPATH").unwrap_or(out.clone());
    println!("cargo::rustc-link-arg=-Wl,-rpath,{rpath},-rpath-link,{out}");
}
"#;

const MAIN: &str = r#"
use std::ffi::{c_char, c_int, c_void};

unsafe extern "C" {
    fn linked() -> c_int;
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
}

fn main() {
    let opened = unsafe { dlopen(c"libopened_later.so".as_ptr(), 2) };
    println!("{} {}", unsafe { linked() }, !opened.is_null());
}
"#;

fn toy(name: &str) -> Workspace {
    let toy = Workspace::new(name);
    toy.write("Cargo.toml", MANIFEST.replace("NAME", name).as_bytes());
    toy.write("build.rs", BUILD.as_bytes());
    toy.write("src/main.rs", MAIN.as_bytes());
    std::fs::create_dir_all(toy.path("out")).unwrap();
    toy
}

fn names(answer: &Value) -> Vec<String> {
    let mut names: Vec<String> = answer["libraries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| {
            path.as_str()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn image_contains_linked_and_opened_libraries() {
    let engine = engine();
    let toy = toy(engine.unique());
    let answer = toy.build(&["--load", "--output", "out/image.tar"]);
    let reference = answer["loaded"].as_str().unwrap();
    engine.remove_later(reference);
    engine.remove_later(&format!("trainyard/{}:latest", toy.name));
    assert_eq!(
        names(&answer),
        [
            "libc.so.6",
            "libdeep.so",
            "libgcc_s.so.1",
            "liblinked.so",
            "libopened_later.so"
        ]
    );
    assert_eq!(engine.run(&[reference]).stdout, "42 true\n");
    let links: Vec<_> = common::files(&engine, reference)
        .into_iter()
        .filter(|file| file.starts_with('l') && file.contains("usr/local/lib/"))
        .collect();
    assert_eq!(links.len(), 1, "{links:?}");
    assert!(
        links[0].ends_with("usr/local/lib/libopened.so -> libopened_later.so"),
        "{links:?}"
    );

    // No paths of this machine, neither in the binary nor in debug symbols of the libraries.
    let everything = unpacked(&toy.path("out/image.tar"));
    let workspace = toy.path("").display().to_string();
    assert!(!holds(&everything, workspace.trim_end_matches('/')));
    assert!(holds(&everything, "$ORIGIN/../lib"));

    // The layer of libraries is the same in another folder, and after the binary has changed.
    toy.write("src/main.rs", MAIN.replace("{} {}", "{}-{}").as_bytes());
    let changed = toy.build(&[]);
    assert_eq!(answer["layers"][1]["what"], "shared libraries");
    assert_eq!(answer["layers"][1], changed["layers"][1]);
    assert_ne!(answer["layers"][2], changed["layers"][2]);

    // The libraries of an existing binary are found by its run path, here cargo's.
    let own = run({
        let mut cargo = std::process::Command::new("cargo");
        cargo.args(["build", "--release", "--offline", "--quiet"]);
        cargo.current_dir(toy.path(""));
        cargo.env("CARGO_TARGET_DIR", toy.path("out/own"));
        cargo
    });
    own.expect_code(0);
    let binary = toy.path("out/own/release").join(&toy.name);
    let given = toy.build(&["--binary", &binary.display().to_string()]);
    assert_eq!(names(&given), names(&answer));
}

#[test]
fn dockerfile_packs_linked_libraries() {
    let engine = engine();
    let base = common::rust_base(&engine);
    let toy = toy(engine.unique());
    toy.add_dockerfile();
    let answer = toy.build(&["--docker", "--docker-base", &base]);
    let reference = answer["reference"].as_str().unwrap();
    engine.remove_later(reference);
    engine.remove_later(&format!("trainyard/{}:latest", toy.name));
    let files = common::files(&engine, reference);
    for library in ["libc.so.6", "libdeep.so", "libgcc_s.so.1", "liblinked.so"] {
        let end = format!("/{library}");
        assert!(files.iter().any(|file| file.ends_with(&end)), "{files:?}");
    }
    // Libraries that the program opens itself are for GPUs; only `trainyard build` packs them.
    assert_eq!(engine.run(&[reference]).stdout, "42 false\n");
}

#[test]
fn missing_library_is_named() {
    let toy = toy("toy");
    toy.build(&[]);
    let binary = toy.path("target/x86_64-unknown-linux-gnu/release/toy");
    // Its run path is a folder next to it that does not exist.
    let outcome = toy.trainyard(&["build", "toy", "--binary", &binary.display().to_string()]);
    outcome.expect_code(1);
    assert!(
        outcome
            .stderr
            .contains("needs the shared library `liblinked.so`"),
        "{}",
        outcome.stderr
    );
    let musl = toy.trainyard(&["build", "toy", "--target", "x86_64-unknown-linux-musl"]);
    musl.expect_code(2);
    assert!(musl.stderr.contains("shared libraries"), "{}", musl.stderr);
}

/// Runs `trainyard build bilstm` with the binary that the workspace tests have built: compiling one
/// takes minutes.
fn bilstm(binary: &Path, more: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard"));
    command
        .args(["build", "bilstm", "--json", "--binary"])
        .arg(binary)
        .args(more)
        .current_dir(repository());
    run_within(command, LONG).expect_code(0).json()
}

/// Trains in the engine with these arguments and returns the names of the model files.
fn trains(engine: &Engine, image: &str, arguments: &[&str]) -> Vec<String> {
    let rows = std::fs::read(testkit::movie_csv()).unwrap();
    let ml = FakeMl::new().channel("train", "movie.csv", rows);
    let volume = format!("{}:/opt/ml", ml.path("").display());
    let fixed = ["--network", "none", "--volume", &volume, image, "train"];
    let outcome = engine.run(&[&fixed, arguments].concat());
    outcome.expect_code(0);
    assert!(
        outcome.stderr.contains("validation:accuracy="),
        "{}",
        outcome.stderr
    );
    assert_eq!(ml.failure(), None);
    ml.model_files()
}

#[test]
fn bilstm_trains_in_its_image_without_network() {
    let binary = Path::new(env!("CARGO_BIN_EXE_trainyard")).with_file_name("bilstm");
    let libtorch = repository().join(".libtorch/lib/libtorch_cpu.so");
    if !binary.is_file() || !libtorch.is_file() {
        // `./test` of the whole workspace builds it first.
        assert!(
            std::env::var_os("TRAINYARD_WHOLE").is_none(),
            "no `{}`",
            binary.display()
        );
        return testkit::skip(
            "image_shared: bilstm_trains_in_its_image_without_network",
            "no bilstm next to trainyard, or no libtorch",
        );
    }
    let engine = engine();
    let answer = bilstm(&binary, &[]);
    let size = answer["size"].as_u64().unwrap();
    assert!(size < 150_000_000, "{answer}");
    let names = names(&answer);
    for needed in [
        "libtorch_cpu.so",
        "libc10.so",
        "libstdc++.so.6",
        "libc.so.6",
    ] {
        assert!(
            names.iter().any(|name| name == needed),
            "{needed}: {names:?}"
        );
    }

    // The same layers, under a unique name.
    let toy = toy(engine.unique());
    let target = binary.parent().and_then(Path::parent).unwrap();
    let binary = binary.display().to_string();
    let mut command = toy.command(&["build", &toy.name, "--json", "--load", "--binary", &binary]);
    command.env("CARGO_TARGET_DIR", target);
    let loaded = run_within(command, LONG).expect_code(0).json();
    let image = loaded["loaded"].as_str().unwrap();
    engine.remove_later(image);
    engine.remove_later(&format!("trainyard/{}:latest", toy.name));
    assert_eq!(loaded["layers"][1]["digest"], answer["layers"][1]["digest"]);

    let small = [
        "--epochs",
        "1",
        "--emb-size",
        "8",
        "--hidden-size",
        "8",
        "--seq-len",
        "20",
    ];
    for arguments in [&small[..], &["--arch", "bag"][..]] {
        let files = trains(&engine, image, arguments);
        assert!(files.iter().any(|file| file == "config.json"), "{files:?}");
    }
}

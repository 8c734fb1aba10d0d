//! Writes where libtorch lies into the programs of this package, so that `cargo run` and `cargo test` find it.

use std::env;

fn main() {
    println!("cargo:rerun-if-env-changed=TRAINYARD_RPATH");
    // torch-sys says it to its direct dependants.
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    let rpath = env::var("TRAINYARD_RPATH").or_else(|_| env::var("DEP_TCH_LIBTORCH_LIB"));
    if let Ok(rpath) = rpath {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{rpath}");
    }
}

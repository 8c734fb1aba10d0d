//! Adds libtorch's folder to the run path of this package's programs, for `cargo run` and
//! `cargo test`.

use std::env;

fn main() {
    println!("cargo:rerun-if-env-changed=TRAINYARD_RPATH");
    // Set by torch-sys for its direct dependants.
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    let rpath = env::var("TRAINYARD_RPATH").or_else(|_| env::var("DEP_TCH_LIBTORCH_LIB"));
    if let Ok(rpath) = rpath {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{rpath}");
    }
}

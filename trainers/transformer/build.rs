//! Passes the GPUs for which CUDA kernels are compiled to the program, for its error messages.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CUDA_COMPUTE_CAP");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_some() {
        // candle-kernels' build script reads the same variable; without it, it uses an
        // installed GPU's.
        let built = std::env::var("CUDA_COMPUTE_CAP").unwrap_or_default();
        println!("cargo::rustc-env=TRAINYARD_COMPUTE_CAP={built}");
    }
}

//! The shared libraries of a dynamically linked program, found as the loader finds them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::elf::Elf;
use diagnostics::{Error, Result};

/// Folder of the libraries in the image; the binary's run path and `LD_LIBRARY_PATH` contain it.
pub(crate) const IMAGE_PATH: &str = "usr/local/lib";

/// Library folders of Linux distributions. The loader's cache has more, but its format is not
/// standardized.
const SYSTEM: [&str; 7] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
];

/// Libraries of the GPU driver, which NVIDIA's container runtime mounts from the host.
const DRIVER_LIBRARIES: [&str; 2] = ["libcuda.so.1", "libnvidia-ml.so.1"];

/// Libraries of a program.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Libraries {
    /// Files by name.
    pub(crate) files: BTreeMap<String, PathBuf>,
    /// Other names of the same files.
    pub(crate) links: BTreeMap<String, String>,
    /// The loader, at the path that the binary names.
    pub(crate) loader: Option<PathBuf>,
    /// True if the libraries use GPUs. Linked libraries do not tell: the driver's library is opened
    /// at run time, so that a program also starts without it.
    pub(crate) gpu: bool,
}

impl Libraries {
    /// Finds the libraries of `binary` recursively, and libraries in `folders` whose names match a
    /// pattern in `opened`.
    pub(crate) fn find(binary: &Path, folders: &[PathBuf], opened: &[String]) -> Result<Self> {
        let mut found = Self::default();
        let mut pending = vec![binary.to_owned()];
        let mut folders = folders.to_vec();
        if opened.is_empty() {
            found.add_dependencies(&mut pending, &folders)?;
            found.deduplicate();
            return Ok(found);
        }
        // Linked libraries first: with `--binary`, their folders are where the opened ones are.
        found.add_dependencies(&mut pending, &folders)?;
        let linked_folders = found.files.values().filter_map(|path| path.parent());
        let system: BTreeSet<&Path> = SYSTEM.iter().map(Path::new).collect();
        let linked_folders: BTreeSet<PathBuf> = linked_folders
            .filter(|folder| !system.contains(folder))
            .map(Path::to_owned)
            .collect();
        folders.extend(linked_folders);
        for folder in &folders {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if opened.iter().any(|pattern| matches_pattern(&name, pattern))
                    && !found.files.contains_key(&name)
                {
                    found.gpu |= name.contains("cuda");
                    found.files.insert(name, entry.path());
                    pending.push(entry.path());
                }
            }
        }
        found.add_dependencies(&mut pending, &folders)?;
        found.deduplicate();
        Ok(found)
    }

    /// Keeps one copy of each file: in a CUDA toolkit `libcublas.so`, `.so.13` and `.so.13.1.0` are
    /// one file.
    fn deduplicate(&mut self) {
        let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        // Prefer the file's real name.
        let mut owners: BTreeMap<PathBuf, String> = BTreeMap::new();
        for (name, path) in &self.files {
            let real = real(path);
            let own = real.file_name().is_some_and(|own| own == name.as_str());
            if own || !owners.contains_key(&real) {
                owners.insert(real, name.clone());
            }
        }
        self.files.retain(|name, path| {
            let owner = owners.get(&real(path)).filter(|owner| *owner != name);
            if let Some(owner) = owner {
                self.links.insert(name.clone(), owner.clone());
            }
            owner.is_none()
        });
    }

    /// Adds the libraries of all pending files, recursively.
    fn add_dependencies(&mut self, pending: &mut Vec<PathBuf>, folders: &[PathBuf]) -> Result<()> {
        while let Some(path) = pending.pop() {
            let elf = Elf::read(&path).map_err(|found| {
                Error::new(format!(
                    "cannot put `{}` into the image: {found}",
                    path.display()
                ))
                .help("expected a program or a shared library for linux/amd64")
            })?;
            if let Some(loader) = &elf.interpreter {
                self.loader = Some(PathBuf::from(loader));
            }
            for name in &elf.needed {
                if DRIVER_LIBRARIES.contains(&name.as_str()) {
                    continue;
                }
                if self.files.contains_key(name) || self.is_loader(name) {
                    continue;
                }
                let file = find_library(name, &elf, &path, folders)
                    .ok_or_else(|| not_found(name, &path, folders))?;
                self.files.insert(name.clone(), file.clone());
                pending.push(file);
            }
        }
        Ok(())
    }

    fn is_loader(&self, name: &str) -> bool {
        let loader = self.loader.as_ref().and_then(|path| path.file_name());
        loader.is_some_and(|loader| loader == name)
    }
}

/// Searches in the loader's order: the object's run path, `folders`, the system's folders.
fn find_library(name: &str, elf: &Elf, object: &Path, folders: &[PathBuf]) -> Option<PathBuf> {
    let origin = object.parent().unwrap_or(Path::new("/"));
    let own = elf.run_path.iter().map(|folder| {
        let folder = folder.replace("${ORIGIN}", "$ORIGIN");
        PathBuf::from(folder.replace("$ORIGIN", &origin.to_string_lossy()))
    });
    own.chain(folders.iter().cloned())
        .chain(SYSTEM.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        // Skips 32-bit libraries of the same name.
        .find(|file| Elf::read(file).is_ok())
}

fn not_found(name: &str, object: &Path, folders: &[PathBuf]) -> Error {
    let searched: Vec<_> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .chain(SYSTEM.iter().map(|folder| (*folder).to_owned()))
        .collect();
    Error::new(format!(
        "`{}` needs the shared library `{name}`, which is not on this machine",
        object.display()
    ))
    .help(format!(
        "install it for linux/amd64; looked at {}",
        searched.join(", ")
    ))
}

/// Matches a name with a pattern such as `libtorch_cuda*.so`.
fn matches_pattern(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    match last {
        // Without `*`, the whole name must match.
        None => rest.is_empty(),
        Some(part) => part.is_empty() || name.ends_with(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (name, pattern, expected) in [
            ("libtorch_cuda.so", "libtorch_cuda.so", true),
            ("libtorch_cuda.so.1", "libtorch_cuda.so", false),
            ("libtorch_cuda_linalg.so", "libtorch_cuda*.so", true),
            ("libtorch_cuda.so.old", "libtorch_cuda*.so", false),
            ("libcudnn_ops.so.9", "libcudnn*.so*", true),
            ("libc10.so", "libcudnn*", false),
        ] {
            assert_eq!(matches_pattern(name, pattern), expected, "{name} {pattern}");
        }
    }

    #[test]
    fn finds_libraries_of_dynamic_program() {
        let own = std::env::current_exe().expect("a path");
        let found = Libraries::find(&own, &[], &[]).expect("it runs, so they are here");
        assert!(found.loader.expect("it is dynamic").is_file());
        assert!(found.files.contains_key("libc.so.6"), "{:?}", found.files);
        assert!(!found.gpu);

        let folder = tempfile::tempdir().expect("a temporary folder");
        let cuda = folder.path().join("libx_cuda.so");
        std::fs::copy(&found.files["libgcc_s.so.1"], &cuda).expect("a library");
        let folders = [folder.path().to_owned()];
        let opened = ["libx_cuda*.so".to_owned()];
        let found = Libraries::find(&own, &folders, &opened).expect("all are here");
        assert_eq!(found.files["libx_cuda.so"], cuda);
        assert!(found.gpu);

        // Links to a file are not further files.
        for name in ["libx_cuda-1.so", "libx_cuda-1.2.so"] {
            std::os::unix::fs::symlink("libx_cuda.so", folder.path().join(name)).expect("a link");
        }
        let linked = Libraries::find(&own, &folders, &opened).expect("all are here");
        assert_eq!(linked.files, found.files);
        let names: Vec<_> = linked
            .links
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let owner = "libx_cuda.so";
        assert_eq!(
            names,
            [("libx_cuda-1.2.so", owner), ("libx_cuda-1.so", owner)]
        );
    }
}

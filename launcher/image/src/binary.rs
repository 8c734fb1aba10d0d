//! Programs that can run in the image: linux/amd64, static unless the image has their libraries.

use std::path::Path;

use super::elf::Elf;
use crate::Link;
use diagnostics::{Error, Result};

/// Returns an error if the program would not start in the image.
pub(crate) fn check(path: &Path, link: Link) -> Result<()> {
    std::fs::File::open(path).map_err(|error| {
        Error::new(format!("cannot read `{}`: {error}", path.display())).help(
            "`--binary` takes a program that you may read; without it the launcher compiles one",
        )
    })?;
    let found = match Elf::read(path) {
        Ok(elf) => match (link, elf.interpreter) {
            (Link::Static, None) | (Link::Dynamic, Some(_)) => return Ok(()),
            (Link::Static, Some(_)) => "it is linked dynamically".to_owned(),
            (Link::Dynamic, None) => "it is linked statically".to_owned(),
        },
        Err(found) => found,
    };
    let expected = match link {
        Link::Static => "a static program",
        Link::Dynamic => "a dynamically linked program",
    };
    Err(Error::usage(format!(
        "`{}` cannot run in the image: {found}",
        path.display()
    ))
    .help(format!(
        "expected {expected} for linux/amd64; without `--binary` the launcher compiles one"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of 64 bytes and one program header.
    fn elf(machine: u8, kind: u8, segment: u8) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(64, 0);
        bytes[16] = kind;
        bytes[18] = machine;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes.push(segment);
        bytes.resize(64 + 56, 0);
        // The interpreter's name.
        bytes[64 + 8] = 64 + 56;
        bytes[64 + 32] = 4;
        bytes.extend(b"ld\0\0");
        bytes
    }

    fn why(bytes: &[u8], link: Link) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("program");
        std::fs::write(&path, bytes).expect("it can be written");
        check(&path, link).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn only_programs_for_amd64_that_start_in_the_image() {
        assert_eq!(why(&elf(62, 3, 1), Link::Static), "");
        assert_eq!(why(&elf(62, 2, 1), Link::Static), "");
        assert!(why(&elf(62, 3, 3), Link::Static).contains("dynamically"));
        assert_eq!(why(&elf(62, 3, 3), Link::Dynamic), "");
        assert!(why(&elf(62, 3, 1), Link::Dynamic).contains("statically"));
        assert!(why(&elf(183, 3, 1), Link::Static).contains("183"));
        assert!(why(&elf(62, 1, 1), Link::Static).contains("not a program"));
        assert!(why(b"#!/bin/sh\n", Link::Static).contains("not a 64-bit ELF"));
        for length in 0..64 {
            assert!(
                !why(&elf(62, 3, 1)[..length], Link::Static).is_empty(),
                "{length}"
            );
        }
    }
}

//! What the image can run: a static program for linux/amd64.

use std::path::Path;

use crate::failure::{Failure, Result};

/// Reads the binary and refuses what would not start in an image that holds nothing else.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::new(format!("cannot read `{}`: {error}", path.display())).help(
            "`--binary` takes a program that you may read; without it the launcher compiles one",
        )
    })?;
    check(&bytes).map_err(|found| {
        Failure::usage(format!("`{}` cannot run in the image: {found}", path.display())).help(
            "expected a static program for linux/amd64; without `--binary` the launcher compiles one",
        )
    })?;
    Ok(bytes)
}

/// The fields of ELF's header that matter here: `man 5 elf`.
fn check(bytes: &[u8]) -> Result<(), String> {
    const X86_64: u64 = 62;
    const INTERPRETER: u64 = 3;
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return Err("it is no 64-bit ELF file".to_owned());
    }
    let short = || "its header is cut short".to_owned();
    let number = |at: usize, width: usize| number(bytes, at, width).ok_or_else(short);
    let machine = number(18, 2)?;
    if machine != X86_64 {
        return Err(format!(
            "it is for machine {machine} of ELF's list, not for x86-64 (62)"
        ));
    }
    if !matches!(number(16, 2)?, 2 | 3) {
        return Err("it is no program".to_owned());
    }
    let (table, width, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for index in 0..count {
        let at = index
            .checked_mul(width)
            .and_then(|offset| offset.checked_add(table))
            .and_then(|at| usize::try_from(at).ok())
            .ok_or_else(short)?;
        if number(at, 4)? == INTERPRETER {
            return Err("it is linked dynamically".to_owned());
        }
    }
    Ok(())
}

/// A little-endian number of up to 8 bytes.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(width)?)?;
    let number = field.iter().rev();
    Some(number.fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of 64 bytes with one program header behind it.
    fn elf(machine: u8, kind: u8, segment: u8) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.resize(64, 0);
        bytes[16] = kind;
        bytes[18] = machine;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes.push(segment);
        bytes.resize(64 + 56, 0);
        bytes
    }

    #[test]
    fn only_static_programs_for_amd64() {
        assert_eq!(check(&elf(62, 3, 1)), Ok(()));
        assert_eq!(check(&elf(62, 2, 1)), Ok(()));
        assert!(
            check(&elf(62, 3, 3))
                .expect_err("PT_INTERP")
                .contains("dynamically")
        );
        assert!(check(&elf(183, 3, 1)).expect_err("arm64").contains("183"));
        assert!(
            check(&elf(62, 1, 1))
                .expect_err("an object")
                .contains("no program")
        );
        assert!(check(b"#!/bin/sh\n").is_err());
        for length in 0..64 {
            assert!(check(&elf(62, 3, 1)[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn this_very_test_is_no_file_for_the_image() {
        let own = std::env::current_exe().expect("a path");
        let failure = read(&own).expect_err("it is linked dynamically");
        assert!(
            failure.to_string().contains("cannot run in the image"),
            "{failure}"
        );
    }
}

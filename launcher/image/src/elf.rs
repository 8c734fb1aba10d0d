//! Headers of programs and shared libraries.

use std::fs::File;
use std::path::Path;

use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, EM_X86_64, ET_DYN, ET_EXEC, FileHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{LittleEndian, ReadCache};

/// A program or shared library for linux/amd64.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Elf {
    /// Loader of a dynamic program.
    pub(crate) interpreter: Option<String>,
    /// File names of the linked libraries.
    pub(crate) needed: Vec<String>,
    /// Folders of the libraries; `$ORIGIN` is the file's own folder.
    pub(crate) run_path: Vec<String>,
}

impl Elf {
    /// Reads the headers only: libraries may have hundreds of megabytes.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let data = ReadCache::new(file);
        let broken = |error: object::Error| error.to_string();
        let not_elf = |_| "it is not a 64-bit ELF file".to_owned();
        let header = FileHeader64::<LittleEndian>::parse(&data).map_err(not_elf)?;
        let endian = header.endian().map_err(not_elf)?;
        let machine = header.e_machine(endian);
        if machine != EM_X86_64 {
            let number = machine.0;
            return Err(format!(
                "it is for machine {number} of ELF's list, not for x86-64 (62)"
            ));
        }
        if ![ET_EXEC, ET_DYN].contains(&header.e_type(endian)) {
            return Err("it is not a program".to_owned());
        }
        let mut elf = Self::default();
        for segment in header.program_headers(endian, &data).map_err(broken)? {
            if let Some(path) = segment.interpreter(endian, &data).map_err(broken)? {
                elf.interpreter = Some(text(path));
            }
        }
        let sections = header.sections(endian, &data).map_err(broken)?;
        let table = sections.dynamic_table(endian, &data).map_err(broken)?;
        for entry in table.iter() {
            let value = || table.string(entry).map(text).map_err(broken);
            if entry.tag == DT_NEEDED {
                elf.needed.push(value()?);
            } else if entry.tag == DT_RUNPATH || entry.tag == DT_RPATH {
                elf.run_path.extend(value()?.split(':').map(str::to_owned));
            }
        }
        Ok(elf)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_headers_of_dynamic_program() {
        let own = std::env::current_exe().expect("a path");
        let elf = Elf::read(&own).expect("a program");
        assert!(elf.interpreter.expect("a loader").contains("ld-"));
        assert!(
            elf.needed.iter().any(|name| name.starts_with("libc.so")),
            "{:?}",
            elf.needed
        );
    }
}

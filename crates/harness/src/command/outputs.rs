//! The files that a command writes: none may replace one that it reads, or another output.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use diagnostics::Error;
use diagnostics::atomic_dir::parent;

use crate::model_dir;

/// Fails if one of the `outputs`, with their options, would replace a file of one of the `models`,
/// one of the `inputs` or another output.
pub(super) fn refuse_overwrite(
    outputs: &[(&str, &Path)],
    models: &[&Path],
    inputs: &[&Path],
) -> Result<(), Error> {
    for (at, &(flag, output)) in outputs.iter().enumerate() {
        let other = outputs[..at]
            .iter()
            .find(|(_, other)| is_same(other, output));
        let own = models.iter().find_map(|model| model_file(model, output));
        let input = inputs.iter().find(|input| is_same_file(input, output));
        let kept = match (own, input, other) {
            (Some(name), ..) => format!("the model's `{name}` for the output"),
            (_, Some(input), _) => format!("the input `{}` for the output", input.display()),
            (.., Some((other, _))) => format!("that of {other}, `{}`", output.display()),
            (None, None, None) => continue,
        };
        let message = format!("expected another file than {kept}");
        return Err(Error::usage(message).help(format!("choose another {flag}")));
    }
    Ok(())
}

/// Returns the name of the file of the model that the output would replace.
fn model_file(model: &Path, output: &Path) -> Option<String> {
    let inside = fs::canonicalize(parent(output)).ok()? == fs::canonicalize(model).ok()?;
    let name = output.file_name()?.to_str()?;
    let mut names = model_dir::names(model).into_iter();
    names.find(|own| inside && own == name)
}

/// True if both paths are of one regular file, by any name.
fn is_same_file(a: &Path, b: &Path) -> bool {
    let file = |path: &Path| {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some((metadata.dev(), metadata.ino()))
    };
    file(a).is_some_and(|a| file(b) == Some(a))
}

/// The same for files of which none may exist yet.
fn is_same(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| -> Option<PathBuf> {
        let folder = fs::canonicalize(parent(path)).ok()?;
        Some(folder.join(path.file_name()?))
    };
    is_same_file(a, b) || place(a).is_some_and(|a| place(b) == Some(a))
}

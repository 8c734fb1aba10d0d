//! Copies files into and out of a container as tar streams. That works for a container that has
//! ended and for an engine on another machine, and files on this side belong to the user.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use sagemaker::limits;
use tar::{Builder, EntryType, Header};

use super::archive::{self, PackResult, strip_first};
use super::cancel;
use super::docker_error::{explain, status};
use super::layout::{BASE, WRITABLE};
use super::scratch::Scratch;
use super::setup::Setup;
use crate::pipe;
use diagnostics::{Error, Result, eprint_line};
use transport::tar_reader::{Kind, TarReader};

/// Copies configuration, writable folders and checkpoints into a container that has not started.
/// Returns the names of the checkpoints.
pub(super) async fn put(docker: &Docker, id: &str, setup: &Setup) -> Result<BTreeSet<PathBuf>> {
    // Names are relative to the base, contents have the trainer's paths.
    let files: Vec<(PathBuf, String)> = setup
        .config_files(Path::new(BASE))
        .into_iter()
        .map(|(path, content)| {
            let name = path.strip_prefix(BASE).unwrap_or(&path);
            (name.to_owned(), content.to_string())
        })
        .collect();
    let checkpoints = setup.checkpoints.clone();
    let (uploaded, filled) = upload(docker, id, BASE, move |tar| {
        let mut sent = BTreeSet::new();
        fill(tar, &files, checkpoints.as_deref(), &mut sent).map(|()| sent)
    })
    .await;
    upload_result(uploaded, filled)
}

/// Copies a model into a container that has not started.
pub(super) async fn put_model(docker: &Docker, id: &str, model: &Path) -> Result<()> {
    let (model, name) = (
        model.to_owned(),
        format!("{}/model", BASE.trim_start_matches('/')),
    );
    // Below the root, because images of others may have no such folder.
    let fill = move |tar: &mut Tar| tar.append_dir_all(name, &model);
    let (uploaded, filled) = upload(docker, id, "/", fill).await;
    let action = "copy the model into the container";
    let help = "expected files and folders that you may read";
    first_cause(uploaded, filled, action, |cause| {
        Error::new(format!("cannot {action}: {cause}")).help(help)
    })
}

type Tar = Builder<io::BufWriter<pipe::StreamWriter>>;
type Uploaded = Result<(), bollard::errors::Error>;

/// Writes the files that `fill` adds below a folder of a container. Returns the result of the engine,
/// and that of `fill`.
async fn upload<T: Send + 'static>(
    docker: &Docker,
    id: &str,
    folder: &str,
    fill: impl FnOnce(&mut Tar) -> io::Result<T> + Send + 'static,
) -> (Uploaded, io::Result<T>) {
    let (writer, stream) = pipe::writer();
    let filling = tokio::task::spawn_blocking(move || {
        let mut tar = Builder::new(io::BufWriter::with_capacity(1 << 16, writer));
        let filled = fill(&mut tar).and_then(|filled| tar.finish().map(|()| filled));
        if let Err(error) = &filled
            && let Ok(writer) = tar.into_inner()
        {
            writer.get_ref().fail(io::Error::other(error.to_string()));
        }
        filled
    });
    let options = UploadToContainerOptionsBuilder::default()
        .path(folder)
        .build();
    let uploaded = docker
        .upload_to_container(id, Some(options), bollard::body_try_stream(stream))
        .await;
    let filled = filling.await.map_err(io::Error::other);
    (uploaded, filled.and_then(|filled| filled))
}

/// Returns the names of the copied files, or the error that caused the other.
fn upload_result(
    uploaded: Uploaded,
    filled: io::Result<BTreeSet<PathBuf>>,
) -> Result<BTreeSet<PathBuf>> {
    let action = "copy the job's configuration and checkpoints into the container";
    first_cause(uploaded, filled, action, |cause| {
        Error::new(format!(
            "cannot copy the checkpoints into the container: {cause}"
        ))
        .help("expected files and folders that you may read: `ls -lR` in the folder of `--checkpoints` shows them")
    })
}

/// Returns what was filled in, or the error that caused the other. `cannot`: the error of a cause on
/// this side.
fn first_cause<T>(
    uploaded: Uploaded,
    filled: io::Result<T>,
    action: &str,
    cannot: impl FnOnce(io::Error) -> Error,
) -> Result<T> {
    match (uploaded, filled) {
        (Ok(()), Ok(filled)) => Ok(filled),
        // The engine closed the connection: its error has the reason.
        (Err(error), Err(cause)) if cause.kind() == io::ErrorKind::BrokenPipe => {
            Err(explain(action, &error))
        }
        (_, Err(cause)) => Err(cannot(cause)),
        (Err(error), Ok(_)) => Err(explain(action, &error)),
    }
}

fn fill(
    tar: &mut Builder<impl io::Write>,
    files: &[(PathBuf, String)],
    checkpoints: Option<&Path>,
    sent: &mut BTreeSet<PathBuf>,
) -> io::Result<()> {
    for folder in ["input", "input/config", "input/data"]
        .iter()
        .chain(&WRITABLE)
    {
        // Writable for images with a USER.
        let mode = if WRITABLE.contains(folder) {
            0o777
        } else {
            0o755
        };
        let mut header = header(EntryType::Directory, mode, 0);
        tar.append_data(&mut header, folder, io::empty())?;
    }
    for (name, content) in files {
        let mut header = header(EntryType::Regular, 0o644, content.len() as u64);
        tar.append_data(&mut header, name, content.as_bytes())?;
    }
    match checkpoints {
        Some(folder) => fill_checkpoints(tar, (folder, Path::new("")), sent),
        None => Ok(()),
    }
}

/// `below` is the path in the folder of checkpoints. Links are not followed: a file that comes back
/// through a link could overwrite a newer one, or one outside of the folder.
fn fill_checkpoints(
    tar: &mut Builder<impl io::Write>,
    (from, below): (&Path, &Path),
    sent: &mut BTreeSet<PathBuf>,
) -> io::Result<()> {
    let about = |path: &Path, what: &str| {
        let shown = path.to_string_lossy();
        io::Error::other(format!("`{}`: {what}", diagnostics::sanitize(&shown)))
    };
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, below) = (entry.path(), below.join(entry.file_name()));
        let name = Path::new("checkpoints").join(&below);
        let metadata = entry
            .metadata()
            .map_err(|error| about(&path, &error.to_string()))?;
        if metadata.is_symlink() {
            let target = fs::read_link(&path)?;
            let depth = below.components().count().saturating_sub(1);
            if s3::stays_inside(&target, depth) {
                let mut header = header(EntryType::Symlink, 0o777, 0);
                tar.append_link(&mut header, &name, &target)?;
            } else {
                warn(&below, NOT_SENT, "it is a link out of the folder");
            }
        } else if metadata.is_dir() {
            tar.append_data(
                &mut header(EntryType::Directory, 0o777, 0),
                &name,
                io::empty(),
            )?;
            fill_checkpoints(tar, (&path, &below), sent)?;
            sent.insert(below);
        } else if metadata.is_file() {
            let mut header = header(EntryType::Regular, 0o666, metadata.len());
            let file = File::open(&path).map_err(|error| about(&path, &error.to_string()))?;
            let mut bytes = file.take(metadata.len());
            tar.append_data(&mut header, &name, &mut bytes)?;
            if bytes.limit() > 0 {
                return Err(about(&path, "it shrank while it was read"));
            }
            sent.insert(below);
        } else {
            warn(&below, NOT_SENT, "it is neither a file nor a folder");
        }
    }
    Ok(())
}

const NOT_SENT: &str = "is not copied into the container";
const NOT_SAVED: &str = "is not saved";

fn warn(path: &Path, what: &str, why: &str) {
    let path = path.to_string_lossy();
    eprint_line(format!(
        "warning: checkpoint `{}` {what}: {why}",
        diagnostics::sanitize(&path)
    ));
}

/// Returns the first component of `path` that is a link in `folder`.
fn first_link(folder: &Path, path: &Path) -> Option<PathBuf> {
    let mut prefixes: Vec<_> = path.ancestors().collect();
    prefixes.reverse();
    let mut prefixes = prefixes
        .into_iter()
        .filter(|prefix| *prefix != Path::new(""));
    prefixes
        .find(|prefix| folder.join(prefix).is_symlink())
        .map(Path::to_owned)
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(
        std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |now| now.as_secs()),
    );
    header
}

/// Packs a folder of the container. Returns false if there are no files.
pub(super) async fn pack(docker: &Docker, id: &str, folder: &str, target: &Path) -> Result<bool> {
    let (_guard, token) = cancel::guard();
    let (archive, again) = (target.to_owned(), token.clone());
    let packed = read(docker, id, folder, move |tar| {
        archive::repack(&archive, token, tar)
    });
    match packed.await? {
        None | Some(PackResult::Empty) => Ok(false),
        Some(PackResult::Written) => Ok(true),
        // The target of a link may come before or after it, so all files are unpacked first.
        Some(PackResult::HasLinks) => {
            let archive = target.to_owned();
            let name = Path::new(folder).file_name().unwrap_or_default().to_owned();
            let packed = read(docker, id, folder, move |tar| {
                let _guard_end = again.keep_alive();
                let scratch = Scratch::new()?;
                let unpacked = scratch.path().join("unpacked");
                archive::unpack(tar, &unpacked, &again)?;
                archive::write(&archive, again, |packer| {
                    packer.add_folder(&unpacked.join(name))
                })
            });
            Ok(packed.await?.unwrap_or(false))
        }
    }
}

/// Reads the beginning of a small file of the container. None if it is absent or empty.
pub(super) async fn small_file(docker: &Docker, id: &str, path: &str) -> Result<Option<String>> {
    let text = read(docker, id, path, |tar| {
        let mut bytes = Vec::new();
        let mut tar = TarReader::new(tar);
        if let Ok(Some(_)) = tar.next_entry() {
            // A character has at most four bytes.
            let _ = tar
                .take(4 * limits::MAX_FAILURE_REASON as u64)
                .read_to_end(&mut bytes);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    });
    Ok(text.await?.filter(|text| !text.trim().is_empty()))
}

/// Copies the container's checkpoints into `folder`. Each file is replaced atomically. Files that
/// were `sent` and that the trainer deleted are deleted; other files in the folder stay.
pub(super) async fn save_checkpoints(
    docker: &Docker,
    id: &str,
    folder: &Path,
    sent: &BTreeSet<PathBuf>,
) -> Result<()> {
    let (target, sent) = (folder.to_owned(), sent.clone());
    let source = format!("{BASE}/checkpoints");
    let kept = read(docker, id, &source, move |tar| {
        unpack_checkpoints(tar, &target, &sent).map_err(|error| {
            Error::new(format!(
                "cannot save the checkpoints in `{}`: {error}",
                diagnostics::sanitize(&target.to_string_lossy())
            ))
            .help("expected a folder that you may write, on a disk with space: `df -h` shows that")
        })
    });
    kept.await.map(drop)
}

fn unpack_checkpoints(tar: impl Read, folder: &Path, sent: &BTreeSet<PathBuf>) -> io::Result<()> {
    let (mut seen, mut links) = (BTreeSet::new(), BTreeSet::new());
    let mut tar = TarReader::new(tar);
    while let Some(entry) = tar.next_entry()? {
        let Some(path) = strip_first(Path::new(OsStr::from_bytes(&entry.path))) else {
            continue;
        };
        let target = folder.join(&path);
        let parents = match entry.kind {
            Kind::Folder => path.as_path(),
            _ => path.parent().unwrap_or(&path),
        };
        if let Some(link) = first_link(folder, parents) {
            if links.insert(link.clone()) {
                let link = link.to_string_lossy();
                let why = format!("`{}` is a link", diagnostics::sanitize(&link));
                warn(&path, NOT_SAVED, &why);
            }
            continue;
        }
        match entry.kind {
            Kind::Folder => fs::create_dir_all(&target)?,
            Kind::File => {
                let parent = target.parent().unwrap_or(folder);
                fs::create_dir_all(parent)?;
                let mut file = tempfile::Builder::new()
                    .prefix(".partial-")
                    .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
                    .tempfile_in(parent)?;
                io::copy(&mut tar, file.as_file_mut())?;
                file.persist(&target).map_err(|error| error.error)?;
            }
            // An unchanged link.
            Kind::Link(_)
                if fs::read_link(&target).is_ok_and(|there| {
                    entry.link.as_deref() == Some(there.as_os_str().as_bytes())
                }) =>
            {
                continue;
            }
            _ => {
                warn(&path, NOT_SAVED, "it is neither a file nor a folder");
                continue;
            }
        }
        seen.insert(path);
    }
    // In reverse order, files are deleted before their folder.
    for path in sent.difference(&seen).collect::<Vec<_>>().into_iter().rev() {
        if first_link(folder, path.parent().unwrap_or(path)).is_some() {
            continue;
        }
        let path = folder.join(path);
        let gone = match fs::symlink_metadata(&path) {
            // Not empty: it has files that were not sent.
            Ok(metadata) if metadata.is_dir() => fs::remove_dir(&path).or(Ok(())),
            Ok(_) => fs::remove_file(&path),
            Err(error) => Err(error),
        };
        match gone {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Reads a path of the container as a tar on a blocking thread. None if the path does not exist.
async fn read<T: Send + 'static>(
    docker: &Docker,
    id: &str,
    path: &str,
    work: impl FnOnce(&mut pipe::StreamReader) -> Result<T> + Send + 'static,
) -> Result<Option<T>> {
    let options = DownloadFromContainerOptionsBuilder::default()
        .path(path)
        .build();
    let stream = docker.download_from_container(id, Some(options));
    let mut stream = Box::pin(futures_util::StreamExt::peekable(stream));
    if let Some(Err(error)) = stream.as_mut().peek().await {
        return match status(error) {
            Some(404) => Ok(None),
            _ => Err(explain("copy out of the container", error)),
        };
    }
    let (mut reader, pump) = pipe::reader(stream);
    let working = tokio::task::spawn_blocking(move || work(&mut reader));
    let (done, ()) = tokio::join!(working, pump);
    done.map_err(|error| Error::new(format!("cannot read `{path}`: {error}")))?
        .map(Some)
}

#[cfg(test)]
mod tests;

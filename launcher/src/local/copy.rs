//! Files into and out of a container, as tar streams through the engine: works for a container that has ended, for an
//! engine on another machine, and makes every file on this side the user's own.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use contract::limits;
use tar::{Archive, Builder, EntryType, Header};

use super::archive::{self, without_first};
use super::docker::{refused, status};
use super::folder::{Setup, WRITABLE};
use super::giving_up;
use super::request::BASE;
use crate::failure::{Failure, Result};
use crate::pipe;
use crate::say::say;

/// Puts configuration, writable folders and checkpoints into a container that has not started; gives the checkpoints'
/// names.
pub(super) async fn put(docker: &Docker, id: &str, setup: &Setup) -> Result<BTreeSet<PathBuf>> {
    let (writer, stream) = pipe::writer();
    let config = setup.config_files(Path::new(""));
    let local = setup.config_files(Path::new(BASE));
    // Names are relative to the base, contents are as the trainer sees them.
    let files: Vec<(PathBuf, String)> = config
        .into_iter()
        .zip(local)
        .map(|((name, _), (_, content))| (name, content.to_string()))
        .collect();
    let checkpoints = setup.checkpoints.clone();
    let filling = tokio::task::spawn_blocking(move || {
        let mut sent = BTreeSet::new();
        let mut tar = Builder::new(io::BufWriter::with_capacity(1 << 16, writer));
        let filled =
            fill(&mut tar, &files, checkpoints.as_deref(), &mut sent).and_then(|()| tar.finish());
        if let Err(error) = &filled
            && let Ok(writer) = tar.into_inner()
        {
            writer.get_ref().fail(io::Error::other(error.to_string()));
        }
        filled.map(|()| sent)
    });
    let options = UploadToContainerOptionsBuilder::default()
        .path(BASE)
        .build();
    let uploaded = docker
        .upload_to_container(id, Some(options), bollard::body_try_stream(stream))
        .await;
    let filled = filling
        .await
        .map_err(io::Error::other)
        .and_then(|filled| filled);
    match (uploaded, filled) {
        (Ok(()), Ok(sent)) => Ok(sent),
        (_, Err(cause)) => Err(Failure::new(format!(
            "cannot copy the checkpoints into the container: {cause}"
        ))
        .help("expected files and folders that you may read: `ls -lR` in the folder of `--checkpoints` shows them")),
        (Err(error), Ok(_)) => Err(refused("copy the job's configuration into the container", &error)),
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
        // An image with a USER may write as well as root.
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
        Some(folder) => fill_checkpoints(tar, (folder, Path::new("")), &mut Vec::new(), sent),
        None => Ok(()),
    }
}

/// `below` is the place in the folder of checkpoints, `inside` are the folders around `from`, without links.
fn fill_checkpoints(
    tar: &mut Builder<impl io::Write>,
    (from, below): (&Path, &Path),
    inside: &mut Vec<PathBuf>,
    sent: &mut BTreeSet<PathBuf>,
) -> io::Result<()> {
    let about = |path: &Path, what: &str| {
        let shown = path.to_string_lossy();
        io::Error::other(format!("`{}`: {what}", contract::shown(&shown)))
    };
    let real = from.canonicalize()?;
    if inside.contains(&real) {
        return Err(about(from, "it is a link to a folder that it is in"));
    }
    inside.push(real);
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, below) = (entry.path(), below.join(entry.file_name()));
        let name = Path::new("checkpoints").join(&below);
        let metadata = fs::metadata(&path).map_err(|error| about(&path, &error.to_string()))?;
        if metadata.is_dir() {
            tar.append_data(
                &mut header(EntryType::Directory, 0o777, 0),
                &name,
                io::empty(),
            )?;
            fill_checkpoints(tar, (&path, &below), inside, sent)?;
            sent.insert(below);
        } else if metadata.is_file() {
            let mut header = header(EntryType::Regular, 0o666, metadata.len());
            let file = File::open(&path).map_err(|error| about(&path, &error.to_string()))?;
            let mut bytes = file.take(metadata.len());
            tar.append_data(&mut header, &name, &mut bytes)?;
            if bytes.limit() > 0 {
                return Err(about(&path, "it has become shorter while it was read"));
            }
            sent.insert(below);
        }
    }
    inside.pop();
    Ok(())
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

/// Packs a folder of the container; false if there are no files.
pub(super) async fn pack(docker: &Docker, id: &str, folder: &str, target: &Path) -> Result<bool> {
    let target = target.to_owned();
    let (_guard, ticket) = giving_up::guard();
    let packed = read(docker, id, folder, move |tar| {
        archive::write(&target, ticket, |packer| packer.add_packed(tar))
    });
    Ok(packed.await?.unwrap_or(false))
}

/// The text of a small file of the container, without what is too long; nothing if there is none.
pub(super) async fn small_file(docker: &Docker, id: &str, path: &str) -> Result<Option<String>> {
    let text = read(docker, id, path, |tar| {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(tar);
        let first = archive
            .entries()
            .and_then(|mut entries| entries.next().transpose());
        if let Ok(Some(entry)) = first {
            // Four bytes are the longest character.
            let _ = entry
                .take(4 * limits::FAILURE as u64)
                .read_to_end(&mut bytes);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    });
    Ok(text.await?.filter(|text| !text.trim().is_empty()))
}

/// Brings the container's checkpoints into `folder`. Each file is replaced in one step. Of what the container was `sent`,
/// what the trainer has deleted is deleted, as in S3; all else in the folder is somebody else's.
pub(super) async fn keep_checkpoints(
    docker: &Docker,
    id: &str,
    folder: &Path,
    sent: &BTreeSet<PathBuf>,
) -> Result<()> {
    let (target, sent) = (folder.to_owned(), sent.clone());
    let source = format!("{BASE}/checkpoints");
    let kept = read(docker, id, &source, move |tar| {
        unpack_checkpoints(tar, &target, &sent).map_err(|error| {
            Failure::new(format!(
                "cannot keep the checkpoints in `{}`: {error}",
                contract::shown(&target.to_string_lossy())
            ))
            .help("expected a folder that you may write, on a disk with space: `df -h` shows that")
        })
    });
    kept.await.map(drop)
}

fn unpack_checkpoints(tar: impl Read, folder: &Path, sent: &BTreeSet<PathBuf>) -> io::Result<()> {
    let mut seen = BTreeSet::new();
    for entry in Archive::new(tar).entries()? {
        let mut entry = entry?;
        let Some(path) = without_first(&entry.path()?) else {
            continue;
        };
        let target = folder.join(&path);
        match entry.header().entry_type() {
            EntryType::Directory => fs::create_dir_all(&target)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let parent = target.parent().unwrap_or(folder);
                fs::create_dir_all(parent)?;
                let mut file = tempfile::Builder::new()
                    .prefix(".partial-")
                    .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
                    .tempfile_in(parent)?;
                io::copy(&mut entry, file.as_file_mut())?;
                file.persist(&target).map_err(|error| error.error)?;
            }
            _ => {
                say(format!(
                    "warning: checkpoint `{}` is not kept: it is neither a file nor a folder",
                    contract::shown(&path.to_string_lossy())
                ));
                continue;
            }
        }
        seen.insert(path);
    }
    // A folder's contents come after it: backwards, they are gone before it.
    for path in sent.difference(&seen).collect::<Vec<_>>().into_iter().rev() {
        let path = folder.join(path);
        let gone = match fs::symlink_metadata(&path) {
            // Not empty: it holds what was not sent.
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

/// Reads a path of the container as a tar on a blocking thread; nothing if the path is not there.
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
            _ => Err(refused("copy out of the container", error)),
        };
    }
    let (mut reader, pump) = pipe::reader(stream);
    let working = tokio::task::spawn_blocking(move || work(&mut reader));
    let (done, ()) = tokio::join!(working, pump);
    done.map_err(|error| Failure::new(format!("cannot read `{path}`: {error}")))?
        .map(Some)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_in_a_circle_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        fs::create_dir_all(kept.join("a/b")).unwrap();
        fs::write(kept.join("a/step"), "1").unwrap();
        // Twice the same folder is no circle.
        symlink("a", kept.join("latest")).unwrap();
        let fill = || {
            let mut tar = Builder::new(Vec::new());
            let (mut inside, mut sent) = (Vec::new(), BTreeSet::new());
            fill_checkpoints(&mut tar, (&kept, Path::new("")), &mut inside, &mut sent)?;
            assert!(sent.contains(Path::new("latest/step")));
            tar.into_inner()
        };
        let bytes = fill().unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("checkpoints/latest/step"));
        symlink("../..", kept.join("a/b/up")).unwrap();
        let error = fill().unwrap_err().to_string();
        assert!(error.contains("up`: it is a link to a folder"), "{error}");
    }

    #[test]
    fn what_was_not_sent_is_not_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        fs::create_dir(folder.join("both")).unwrap();
        for name in ["kept", "gone", "mine", "both/gone", "both/mine"] {
            fs::write(folder.join(name), name).unwrap();
        }
        let sent = ["kept", "gone", "both", "both/gone", "never"].map(PathBuf::from);
        let mut tar = Builder::new(Vec::new());
        let bytes = b"new";
        let mut header = header(EntryType::Regular, 0o644, 3);
        tar.append_data(&mut header, "checkpoints/kept", &bytes[..])
            .unwrap();
        let tar = tar.into_inner().unwrap();
        unpack_checkpoints(tar.as_slice(), folder, &sent.into()).unwrap();
        assert_eq!(fs::read(folder.join("kept")).unwrap(), bytes);
        for (name, there) in [
            ("gone", false),
            ("mine", true),
            ("both/gone", false),
            ("both/mine", true),
        ] {
            assert_eq!(folder.join(name).exists(), there, "{name}");
        }
    }
}

//! Loads images into the local engine.

use std::io::{self, Write as _};

use bollard::Docker;
use bollard::body_try_stream;
use bollard::query_parameters::{ImportImageOptionsBuilder, TagImageOptionsBuilder};
use futures_util::TryStreamExt as _;

use super::reason;
use crate::pipe;
use diagnostics::{Error, Result, eprint_line};
use image::Image;

/// Bytes per write.
const CHUNK_BYTES: usize = 256 * 1024;

/// Loads the image unless the engine has it. Returns its name.
pub(crate) async fn load(image: &Image, engine: &Docker) -> Result<String> {
    let [reference, latest] = image.names();
    let failed = |error: &bollard::errors::Error| {
        Error::new(format!(
            "the Docker engine cannot load `{reference}`: {}",
            diagnostics::sanitize(&reason(error))
        ))
        .help("`docker info` and `docker system df` show the state of the engine")
    };
    let existing = engine.inspect_image(&reference).await;
    let known = existing.is_ok_and(|found| found.id.as_deref() == Some(image.id().as_str()));
    if known {
        let options = TagImageOptionsBuilder::default()
            .repo(latest.trim_end_matches(":latest"))
            .tag("latest")
            .build();
        engine
            .tag_image(&reference, Some(options))
            .await
            .map_err(|error| failed(&error))?;
        eprint_line(format!("the Docker engine has `{reference}` already"));
        return Ok(reference);
    }
    let (writer, stream) = pipe::writer();
    let written = image.clone();
    let writing = tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(CHUNK_BYTES, writer);
        let done = written.archive(&mut out).and_then(|()| out.flush());
        if let Err(error) = &done {
            // The buffered bytes must not look like the end of the archive.
            let (writer, _) = out.into_parts();
            writer.fail(io::Error::other(error.to_string()));
        }
        done
    });
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let taken = engine
        .import_image(options, body_try_stream(stream), None)
        .try_collect::<Vec<_>>()
        .await;
    let written = writing.await.map_err(io::Error::other).flatten();
    // The engine's error is the cause of a broken pipe.
    match (taken, written) {
        (_, Err(cause)) if cause.kind() != io::ErrorKind::BrokenPipe => {
            return Err(image::write_error(&cause));
        }
        (Err(error), _) => return Err(failed(&error)),
        (Ok(_), _) => {}
    }
    eprint_line(format!("loaded `{reference}` into the Docker engine"));
    Ok(reference)
}

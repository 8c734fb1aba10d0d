//! Bytes of a part of an image: in memory, or a range of a file, since layers may have gigabytes.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::{Serialize, Serializer};

use crate::digest::HashingWriter;

/// Bytes per chunk of a stream.
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes in memory or in a file; cheap to clone.
#[derive(Debug, Clone)]
pub enum Data {
    Memory(Bytes),
    /// Kept open: another build may remove the file from the cache.
    File {
        file: Arc<File>,
        start: u64,
        size: u64,
    },
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.size())
    }
}

impl Data {
    pub(crate) fn file(file: File, start: u64, size: u64) -> Self {
        let file = Arc::new(file);
        Self::File { file, start, size }
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    pub(crate) fn reader(&self) -> Reader {
        let data = self.clone();
        Reader { data, at: 0 }
    }

    /// Returns the digest `sha256:HEX`.
    pub(crate) fn digest(&self) -> io::Result<String> {
        let mut hashed = HashingWriter::new(io::sink());
        io::copy(&mut self.reader(), &mut hashed)?;
        Ok(hashed.finish().0)
    }

    /// Returns the bytes as a stream, for an asynchronous client.
    pub(crate) fn stream(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::try_unfold(self.reader(), |mut reader| async {
            let work = tokio::task::spawn_blocking(move || {
                let mut piece = Vec::with_capacity(CHUNK_BYTES);
                let read = reader
                    .by_ref()
                    .take(CHUNK_BYTES as u64)
                    .read_to_end(&mut piece)?;
                Ok((read > 0).then(|| (Bytes::from(piece), reader)))
            });
            work.await.map_err(io::Error::other)?
        })
    }
}

/// Reads from the start, independent of other readers.
#[derive(Debug)]
pub(crate) struct Reader {
    data: Data,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.data.size() - self.at).unwrap_or(usize::MAX);
        let (buffer, _) = buffer.split_at_mut(left.min(buffer.len()));
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = match &self.data {
            Data::Memory(bytes) => {
                let at = usize::try_from(self.at).unwrap_or(usize::MAX);
                let mut rest = bytes.get(at..).unwrap_or_default();
                rest.read(buffer)?
            }
            Data::File { file, start, .. } => file.read_at(buffer, start + self.at)?,
        };
        if read == 0 {
            // The file was truncated: half a layer must not be taken for a whole one.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use futures_util::TryStreamExt as _;

    use super::*;
    use crate::digest::digest;

    fn file(bytes: &[u8], start: u64, size: u64) -> Data {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(bytes).expect("it can be written");
        Data::file(file, start, size)
    }

    fn all(data: &Data) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        data.reader().read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn file_range_reads_like_memory() {
        let data = file(b"0123456789", 3, 4);
        assert_eq!(all(&data).expect("it is there"), b"3456");
        assert_eq!(data.digest().expect("it is there"), digest(b"3456"));
        let memory = Data::Memory(Bytes::from_static(b"3456"));
        assert_eq!(all(&memory).expect("in memory"), b"3456");
        assert_eq!((memory.size(), data.size()), (4, 4));
        let cut = all(&file(b"0123456789", 8, 4)).expect_err("cut");
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn stream_has_all_bytes() {
        let bytes: Vec<u8> = (0..3 * CHUNK_BYTES + 5)
            .map(|at| (at / 1000) as u8)
            .collect();
        let data = file(&bytes, 1, bytes.len() as u64 - 1);
        let pieces: Vec<Bytes> = data.stream().try_collect().await.expect("it is there");
        assert_eq!(pieces.len(), 4);
        assert!(pieces.concat() == bytes[1..]);
        let cut = file(&bytes, 1, bytes.len() as u64);
        assert!(cut.stream().try_collect::<Vec<_>>().await.is_err());
    }
}

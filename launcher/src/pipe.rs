//! Connects asynchronous streams with blocking readers and writers.

use std::io::{self, Read, Write};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Maximum number of chunks in the channel; each has at most a few hundred KiB.
const MAX_CHUNKS: usize = 8;

type Chunk = io::Result<Bytes>;

/// Reads a stream from a blocking thread.
pub(crate) struct StreamReader {
    chunks: Receiver<Option<Chunk>>,
    current: Bytes,
    ended: bool,
}

/// Returns a reader for a blocking thread. The returned future moves the bytes and must be awaited
/// concurrently.
pub(crate) fn reader<S, E>(stream: S) -> (StreamReader, impl Future<Output = ()>)
where
    S: Stream<Item = Result<Bytes, E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    let (sender, chunks) = mpsc::channel(MAX_CHUNKS);
    let pump = async move {
        let mut stream = std::pin::pin!(stream);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(io::Error::other);
            if sender.send(Some(chunk)).await.is_err() {
                return;
            }
        }
        // `None` marks the end: a dropped sender means cancellation.
        let _ = sender.send(None).await;
    };
    let reader = StreamReader {
        chunks,
        current: Bytes::new(),
        ended: false,
    };
    (reader, pump)
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.chunks.blocking_recv() {
                Some(Some(chunk)) => self.current = chunk?,
                Some(None) => self.ended = true,
                None => return Err(io::Error::other("cancelled")),
            }
        }
        let count = buffer.len().min(self.current.len());
        let (head, _) = buffer.split_at_mut(count);
        head.copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

/// Writes a stream from a blocking thread.
pub(crate) struct StreamWriter(Sender<Chunk>);

/// Returns a writer for a blocking thread, and its output as a stream.
pub(crate) fn writer() -> (StreamWriter, impl Stream<Item = Chunk> + Send + 'static) {
    let (sender, receiver) = mpsc::channel(MAX_CHUNKS);
    let stream = futures_util::stream::unfold(receiver, |mut receiver: Receiver<Chunk>| async {
        let chunk = receiver.recv().await?;
        Some((chunk, receiver))
    });
    (StreamWriter(sender), stream)
}

impl StreamWriter {
    /// Ends the stream with an error.
    pub(crate) fn fail(&self, error: io::Error) {
        let _ = self.0.blocking_send(Err(error));
    }
}

impl Write for StreamWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = Bytes::copy_from_slice(bytes);
        match self.0.blocking_send(Ok(chunk)) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the engine closed the connection",
            )),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

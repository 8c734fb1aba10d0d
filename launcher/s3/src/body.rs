//! A part of a file as the body of a request.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::parts::Part;
use crate::progress::AttemptBytes;
use crate::request::IdleTimer;

/// Bytes per read. Fits the processor's cache on its way to the socket.
const CHUNK: u64 = 128 << 10;

/// Reads while it is sent, so that memory does not depend on the size of a part. The checksum pass
/// has just put these bytes into the page cache, so a read does not wait for the disk.
pub(crate) struct FileBody {
    file: Arc<File>,
    at: u64,
    left: u64,
    idle: IdleTimer,
    attempt: AttemptBytes,
}

impl FileBody {
    pub(crate) fn stream(
        file: Arc<File>,
        part: Part,
        idle: IdleTimer,
        attempt: AttemptBytes,
    ) -> ByteStream {
        ByteStream::new(SdkBody::from_body_1_x(Self {
            file,
            at: part.offset,
            left: part.size,
            idle,
            attempt,
        }))
    }

    fn read(&mut self) -> io::Result<Bytes> {
        let size = usize::try_from(self.left.min(CHUNK)).unwrap_or(0);
        let mut chunk = vec![0; size];
        self.file.read_exact_at(&mut chunk, self.at)?;
        self.at += size as u64;
        self.left -= size as u64;
        self.idle.reset();
        self.attempt.add(size as u64);
        Ok(Bytes::from(chunk))
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(self.read().map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

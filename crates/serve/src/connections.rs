//! The open connections: how many there are, which are idle, and which clients do not read.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use hyper::Request;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Maximum bytes of the buffer of a connection, and thus of the headers of a request.
const MAX_BUFFER_BYTES: usize = 32 * 1024;
/// Time in which the headers of a request must arrive, also of the next one of a connection: AWS's
/// load balancers close idle connections after 60 s, which must not be later than this.
const HEADER_TIMEOUT: Duration = Duration::from_secs(65);
/// Time until the next try after a connection could not be accepted, or none could be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Maximum number.
    pub(crate) connections: usize,
    /// Time in which a client must read some bytes of its answer.
    pub(crate) write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // With their buffers, they take at most 64 MB.
            connections: 1024,
            write_timeout: Duration::from_secs(60),
        }
    }
}

/// The state of a connection.
struct Activity {
    /// Moment at which the connection was opened, or its last request ended; `None` during a
    /// request. Bytes of a head do not change it: a slow client has no advantage.
    idle_since: Mutex<Option<Instant>>,
    /// True if the client has not read the last bytes of an answer.
    is_writing: AtomicBool,
    /// Asks the connection to close if it is idle.
    close: Notify,
}

impl Activity {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            idle_since: Mutex::new(Some(Instant::now())),
            is_writing: AtomicBool::new(false),
            close: Notify::new(),
        })
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.idle_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn idle_since(&self) -> Option<Instant> {
        let is_writing = self.is_writing.load(Ordering::Relaxed);
        self.since().filter(|_| !is_writing)
    }
}

/// A request in progress, until its answer was given to the connection.
struct InProgress(Arc<Activity>);

impl InProgress {
    fn new(activity: &Arc<Activity>) -> Self {
        *activity.since() = None;
        Self(Arc::clone(activity))
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        *self.0.since() = Some(Instant::now());
    }
}

/// The body of an answer.
struct Answer {
    body: Body,
    _request: InProgress,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that fails if its client does not read.
struct Stream {
    tcp: TcpStream,
    activity: Arc<Activity>,
    write_timeout: Duration,
    /// The end of the time to read; `None` if no bytes wait for the client.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    /// Fails if a write has waited for too long.
    fn limit(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let is_writing = written.is_pending();
        self.activity
            .is_writing
            .store(is_writing, Ordering::Relaxed);
        if !is_writing {
            self.stalled = None;
            return written;
        }
        let timeout = self.write_timeout;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        let waited = stalled.as_mut().poll(context);
        waited.map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.limit(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(context, slices);
        self.limit(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

/// The open connections.
pub(crate) struct Connections {
    http: http1::Builder,
    router: Router,
    graceful: GracefulShutdown,
    limits: Limits,
    room: Arc<Semaphore>,
    /// A connection that waits for room.
    accepted: Option<TcpStream>,
    /// The connections, and some that have ended.
    activities: Vec<Weak<Activity>>,
}

impl Connections {
    pub(crate) fn new(router: Router, limits: Limits) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_BUFFER_BYTES);
        Self {
            http,
            router,
            graceful: GracefulShutdown::new(),
            limits,
            room: Arc::new(Semaphore::new(limits.connections)),
            accepted: None,
            activities: Vec::new(),
        }
    }

    /// Serves the next connection. If there is no room, the one that is idle for longest is closed.
    pub(crate) async fn serve_next(&mut self, listener: &TcpListener) {
        while self.accepted.is_none() {
            match listener.accept().await {
                Ok((stream, _)) => self.accepted = Some(stream),
                Err(error) => {
                    // Otherwise, too many files are open.
                    if error.kind() != io::ErrorKind::ConnectionAborted {
                        self.close_idle();
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        let room = self.make_room().await;
        if let Some(stream) = self.accepted.take() {
            self.serve(stream, room);
        }
    }

    async fn make_room(&mut self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
                return Some(permit);
            }
            self.close_idle();
            let room = Arc::clone(&self.room).acquire_owned();
            // The connection may have got a request in the meantime, or all have one.
            if let Ok(permit) = tokio::time::timeout(ACCEPT_PAUSE, room).await {
                return permit.ok();
            }
        }
    }

    /// Closes the connection that is idle for longest.
    fn close_idle(&mut self) {
        self.forget_ended();
        let open = self.activities.iter().filter_map(Weak::upgrade);
        let idle = open.filter_map(|activity| Some((activity.idle_since()?, activity)));
        if let Some((_, activity)) = idle.min_by_key(|(since, _)| *since) {
            activity.close.notify_one();
        }
    }

    fn forget_ended(&mut self) {
        self.activities
            .retain(|activity| activity.strong_count() > 0);
    }

    /// Stops listening, and serves the connections that the system has accepted: dropping the
    /// listener resets them.
    pub(crate) fn serve_waiting(&mut self, listener: TcpListener) {
        if let Some(stream) = self.accepted.take() {
            self.serve(stream, None);
        }
        let Ok(listener) = listener.into_std() else {
            return;
        };
        for _ in 0..self.limits.connections {
            let Ok((stream, _)) = listener.accept() else {
                return;
            };
            let stream = stream.set_nonblocking(true).map(|()| stream);
            if let Ok(stream) = stream.and_then(TcpStream::from_std) {
                self.serve(stream, None);
            }
        }
    }

    fn serve(&mut self, tcp: TcpStream, room: Option<OwnedSemaphorePermit>) {
        // Without it, an answer may wait 40 ms for an acknowledgement.
        let _ = tcp.set_nodelay(true);
        let activity = Activity::new();
        if self.activities.len() > 2 * self.limits.connections {
            self.forget_ended();
        }
        self.activities.push(Arc::downgrade(&activity));
        let stream = Stream {
            tcp,
            activity: Arc::clone(&activity),
            write_timeout: self.limits.write_timeout,
            stalled: None,
        };
        let router = TowerToHyperService::new(self.router.clone());
        let of_service = Arc::clone(&activity);
        let service = service_fn(move |request: Request<Incoming>| {
            let in_progress = InProgress::new(&of_service);
            let response = router.call(request);
            async move {
                let response = response.await?;
                Ok::<_, Infallible>(response.map(|body| Answer {
                    body,
                    _request: in_progress,
                }))
            }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        tokio::spawn(async move {
            let _room = room;
            tokio::pin!(connection);
            loop {
                tokio::select! {
                    // The client has gone, does not read, or sent something that is not HTTP.
                    _ = &mut connection => break,
                    () = activity.close.notified() => {
                        if activity.idle_since().is_some() {
                            break;
                        }
                    }
                }
            }
        });
    }

    /// Waits until all requests are answered.
    pub(crate) async fn finish(self) {
        self.graceful.shutdown().await;
    }
}

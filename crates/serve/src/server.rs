//! The life of the server: it listens, loads the model, answers, and stops.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use diagnostics::{Error, print_line};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::app::{App, MAX_RESPONSE_BYTES, body_memory};
use crate::classifier::Load;
use crate::config::Config;
use crate::log;
use crate::routes::router;
use crate::traces::{FLUSH_TIMEOUT, Traces};

/// Maximum number of connections: with their buffers, they take at most 64 MB.
const MAX_CONNECTIONS: usize = 1024;
/// Maximum bytes of the buffer of a connection, and thus of the headers of a request.
const MAX_BUFFER_BYTES: usize = 32 * 1024;
/// Time in which the headers of a request must arrive, also of the next one of a connection: AWS's
/// load balancers close idle connections after 60 s, which must not be later than this.
const HEADER_TIMEOUT: Duration = Duration::from_secs(65);
/// Time after [`READ_PAUSE`] until all requests are answered, at most. With the pause and the
/// traces it is 20 s: SageMaker kills after 30 s.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20)
    .saturating_sub(READ_PAUSE)
    .saturating_sub(FLUSH_TIMEOUT);
/// Time after SIGTERM in which requests that are on their way are still read.
const READ_PAUSE: Duration = Duration::from_millis(100);
/// Time until the next try after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// Threads that read and write; those that score are others.
const MAX_IO_THREADS: usize = 4;

/// Answers requests until SIGTERM or Ctrl-C.
///
/// # Errors
/// The address is taken, or the model cannot be loaded.
pub fn run(config: Config, load: Load) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.threads.min(MAX_IO_THREADS))
        .enable_all()
        .build()
        .map_err(no_threads)?;
    let outcome = runtime.block_on(serve(config, load));
    // The reason of an error is printed after it.
    log::flush();
    runtime.shutdown_background();
    outcome
}

fn no_threads(error: std::io::Error) -> Error {
    Error::new(format!("cannot start threads: {error}"))
        .help("raise the limit of threads: `ulimit -u` shows it")
}

fn no_signals(error: std::io::Error) -> Error {
    Error::new(format!("cannot install signal handlers: {error}"))
        .help("check the process's limits")
}

async fn serve(config: Config, load: Load) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let traces = config.collector.as_ref().map(Traces::start).transpose()?;
    let listener = TcpListener::bind(config.address).await.map_err(|error| {
        let address = config.address;
        Error::new(format!("cannot listen on `{address}`: {error}"))
            .help("stop the program that uses the port, or pass another --port or --host")
    })?;
    let address = listener.local_addr().unwrap_or(config.address);
    print_line(format_args!("listening on http://{address}"))?;
    log::event(
        "start",
        json!({
            "threads": config.threads,
            "max_queue": config.max_queue,
            "max_connections": MAX_CONNECTIONS,
            "max_body_bytes_in_memory": body_memory(&config),
            "max_answer_bytes_in_memory": MAX_RESPONSE_BYTES,
            "max_model_bytes": config.model_dir.is_none().then_some(config.model_bytes),
        }),
    );
    let model_dir = config.model_dir.clone();
    let app = App::new(config, load, traces);
    let workers = app.engine.start()?;
    let (sender, mut failed) = mpsc::channel(1);
    if let Some(dir) = model_dir {
        let app = Arc::clone(&app);
        std::thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || {
                if let Err(error) = load_single(&app, &dir) {
                    // The server may have ended.
                    let _ = sender.blocking_send(error);
                }
            })
            .map_err(no_threads)?;
    }
    let mut connections = Connections::new(router(&app));
    loop {
        tokio::select! {
            stream = connections.next(&listener) => connections.serve(stream),
            Some(error) = failed.recv() => return Err(error),
            () = stopped(&mut terminate, &mut interrupt) => break,
        }
    }
    connections.serve_waiting(listener);
    log::event("stop", json!({}));
    // A new connection whose request is not read yet would be closed without an answer.
    tokio::time::sleep(READ_PAUSE).await;
    let drained = tokio::select! {
        () = connections.finish() => true,
        () = tokio::time::sleep(DRAIN_TIMEOUT) => false,
        // The second signal.
        () = stopped(&mut terminate, &mut interrupt) => false,
    };
    app.engine.close();
    if drained {
        join(workers).await;
    }
    if let Some(traces) = &app.traces {
        traces.close().await;
    }
    log::event("end", json!({ "all_requests_answered": drained }));
    Ok(())
}

async fn stopped(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
}

/// Loads the model. An error is one line: SageMaker shows the last line of the log.
fn load_single(app: &App, dir: &Path) -> Result<(), Error> {
    let started = Instant::now();
    let loaded = catch_unwind(AssertUnwindSafe(|| app.models.load_single(dir)));
    let loaded = loaded.unwrap_or_else(|_| {
        let message = "the model cannot be loaded: the program panicked";
        Err(Error::new(message).help("copy the model again; otherwise this is a bug, report it"))
    });
    match loaded {
        Ok(_) => {
            let ms = started.elapsed().as_millis() as u64;
            log::event("loaded", json!({ "ms": ms }));
            Ok(())
        }
        Err(error) => {
            let kind = error.kind();
            let (message, help) = error.into_parts();
            let parts = std::iter::once(message).chain(help);
            let line: Vec<String> = parts.map(|part| part.replace('\n', " ")).collect();
            Err(Error::with_kind(kind, line.join("; ")))
        }
    }
}

/// Waits for the threads, which end after their batches.
async fn join(workers: Vec<JoinHandle<()>>) {
    let joined = tokio::task::spawn_blocking(move || {
        for worker in workers {
            // A panic of a thread was reported to its requests.
            let _ = worker.join();
        }
    });
    // A batch takes a fraction of a second.
    let _ = tokio::time::timeout(Duration::from_secs(5), joined).await;
}

/// The open connections.
struct Connections {
    http: http1::Builder,
    router: Router,
    graceful: GracefulShutdown,
    room: Arc<Semaphore>,
    /// Room for the next connection.
    next: Option<OwnedSemaphorePermit>,
}

impl Connections {
    fn new(router: Router) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_BUFFER_BYTES);
        Self {
            http,
            router,
            graceful: GracefulShutdown::new(),
            room: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            next: None,
        }
    }

    /// Accepts the next connection, as soon as there is room for it.
    async fn next(&mut self, listener: &TcpListener) -> TcpStream {
        if self.next.is_none() {
            self.next = Arc::clone(&self.room).acquire_owned().await.ok();
        }
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return stream,
                // The client has gone, or too many files are open: others will be closed.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    /// Stops listening, and serves the connections that the system has accepted: dropping the
    /// listener resets them.
    fn serve_waiting(&mut self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else {
            return;
        };
        for _ in 0..MAX_CONNECTIONS {
            let Ok((stream, _)) = listener.accept() else {
                return;
            };
            let stream = stream.set_nonblocking(true).map(|()| stream);
            if let Ok(stream) = stream.and_then(TcpStream::from_std) {
                self.serve(stream);
            }
        }
    }

    fn serve(&mut self, stream: TcpStream) {
        let permit = self.next.take();
        // Without it, an answer may wait 40 ms for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(self.router.clone());
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        tokio::spawn(async move {
            // The client has gone, or sent something that is not HTTP.
            let _ = connection.await;
            drop(permit);
        });
    }

    /// Waits until all requests are answered.
    async fn finish(self) {
        self.graceful.shutdown().await;
    }
}

//! The life of the server: it listens, loads the model, answers, and stops.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use diagnostics::{Error, print_line};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::app::{App, MAX_RESPONSE_BYTES, body_memory};
use crate::classifier::Load;
use crate::config::Config;
use crate::connections::{Connections, Limits};
use crate::log;
use crate::routes::router;
use crate::traces::{FLUSH_TIMEOUT, Traces};

/// Time after [`READ_PAUSE`] until all requests are answered, at most. With the pause and the
/// traces it is 20 s: SageMaker kills after 30 s.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20)
    .saturating_sub(READ_PAUSE)
    .saturating_sub(FLUSH_TIMEOUT);
/// Time after SIGTERM in which requests that are on their way are still read.
const READ_PAUSE: Duration = Duration::from_millis(100);
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
    let limits = Limits::default();
    print_line(format_args!("listening on http://{address}"))?;
    log::event(
        "start",
        json!({
            "threads": config.threads,
            "max_queue": config.max_queue,
            "max_connections": limits.connections,
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
    let mut connections = Connections::new(router(&app), limits);
    loop {
        tokio::select! {
            () = connections.serve_next(&listener) => (),
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

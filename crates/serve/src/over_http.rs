//! Tests of limits over real connections.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diagnostics::Error;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::classifier::{Classifier, Load};
use crate::connections::{Connections, Limits};
use crate::routes::router;
use crate::testing::{app, length_classifier, length_load};

/// Time in which everything happens, also on a busy machine.
const TIME: Duration = Duration::from_secs(20);

/// Serves an app at the address that it returns.
async fn start(app: &Arc<App>, limits: Limits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut connections = Connections::new(router(app), limits);
    tokio::spawn(async move {
        loop {
            connections.serve_next(&listener).await;
        }
    });
    address
}

fn with_connections(connections: usize) -> Limits {
    Limits {
        connections,
        ..Limits::default()
    }
}

/// Returns a request; the server closes the connection after its answer.
fn request(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\
         \r\n{body}"
    )
}

fn invocation(body: &str) -> String {
    request("POST", "/invocations", body)
}

/// Sends a request and returns the answer.
async fn exchange(address: SocketAddr, request: String) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    read(stream).await
}

async fn read(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    let read = timeout(TIME, stream.read_to_string(&mut answer)).await;
    read.expect("it is closed in time").unwrap();
    answer
}

async fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_true() {
        assert!(started.elapsed() < TIME, "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn wait_until_queued(app: &App) {
    let queued = "\ntrainyard_queue_requests 1\n";
    wait_until("queued", || app.metrics.document().contains(queued)).await;
}

fn assert_status(answer: &str, status: u16) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "expected {status}: {answer}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_clients_do_not_keep_others_out() {
    let app = app(length_load(), |_| ());
    app.models.load_single(Path::new("model")).unwrap();
    let address = start(&app, with_connections(6)).await;
    let mut silent = Vec::new();
    for head in ["", "GET /pi", "GET /ping HTTP/1.1\r\nhost:"].repeat(2) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    for _ in 0..10 {
        let started = Instant::now();
        assert_status(&exchange(address, request("GET", "/ping", "")).await, 200);
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    // The first one was closed.
    assert_eq!(read(silent.swap_remove(0)).await, "");
}

/// Two connections are allowed: the silent one is closed, although it is newer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_with_a_request_is_not_closed_for_another() {
    let app = app(length_load(), |_| ());
    app.models.load_single(Path::new("model")).unwrap();
    let address = start(&app, with_connections(2)).await;
    let busy = tokio::spawn(exchange(address, invocation(r#"["a text"]"#)));
    wait_until_queued(&app).await;
    let silent = TcpStream::connect(address).await.unwrap();
    assert_status(&exchange(address, request("GET", "/ping", "")).await, 200);
    assert_eq!(read(silent).await, "");
    app.engine.start().unwrap();
    assert_status(&busy.await.unwrap(), 200);
    app.engine.close();
}

/// Its answer of more than 6 MB does not fit into the buffers of the system.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_does_not_read_is_closed() {
    let app = app(length_load(), |_| ());
    app.models.load_single(Path::new("model")).unwrap();
    app.engine.start().unwrap();
    let limits = Limits {
        write_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let address = start(&app, limits).await;
    let all = app.answers.available_permits();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let body = json!(vec!["x"; 90_000]).to_string();
    let request = request("POST", "/invocations?all_classes=true", &body);
    stream.write_all(request.as_bytes()).await.unwrap();
    let answered = "\ntrainyard_requests_total{route=\"/invocations\",status=\"200\"} 1\n";
    wait_until("answered", || app.metrics.document().contains(answered)).await;
    let returned = || app.answers.available_permits() == all;
    wait_until("its memory comes back", returned).await;
    drop(stream);
    app.engine.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_queue_is_429_with_the_time_of_the_next_try() {
    let app = app(length_load(), |config| config.max_queue = 1);
    app.models.load_single(Path::new("model")).unwrap();
    let address = start(&app, Limits::default()).await;
    let first = tokio::spawn(exchange(address, invocation(r#"["a text"]"#)));
    wait_until_queued(&app).await;
    let second = exchange(address, invocation(r#"["a text"]"#)).await;
    assert_status(&second, 429);
    assert!(second.contains("\r\nretry-after: 1\r\n"), "{second}");
    app.engine.start().unwrap();
    assert_status(&first.await.unwrap(), 200);
    app.engine.close();
}

/// The model scores 1000 bytes per second: a text takes 30 s, and `--timeout` is 20 s, but
/// without others the estimate is not trusted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_that_cannot_be_met_is_503_at_once() {
    let app = app(length_load(), |config| config.timeout = TIME);
    let model = app.models.load_single(Path::new("model")).unwrap();
    model.measure(1_000_000, Duration::from_secs(1000));
    let address = start(&app, Limits::default()).await;
    let long = json!(["x".repeat(30_000)]).to_string();
    let first = tokio::spawn(exchange(address, invocation(&long)));
    wait_until_queued(&app).await;
    let started = Instant::now();
    let second = exchange(address, invocation(&long)).await;
    assert_status(&second, 503);
    assert!(second.contains("deadline"), "{second}");
    assert!(started.elapsed() < TIME / 2, "it has not waited");
    app.engine.start().unwrap();
    assert_status(&first.await.unwrap(), 200);
    app.engine.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ping_is_503_until_the_model_is_loaded() {
    let app = app(length_load(), |_| ());
    let address = start(&app, Limits::default()).await;
    let before = exchange(address, request("GET", "/ping", "")).await;
    assert_status(&before, 503);
    assert!(before.contains("the model is being loaded"), "{before}");
    app.models.load_single(Path::new("model")).unwrap();
    let after = exchange(address, request("GET", "/ping", "")).await;
    assert_status(&after, 200);
    assert!(after.ends_with("\r\n\r\n"), "its body is empty: {after}");
}

/// Waits while the folder has the file `slow`, and fails without the file `weights`.
fn load_files() -> Load {
    Arc::new(|dir: &Path| -> Result<Arc<dyn Classifier>, Error> {
        let started = Instant::now();
        while dir.join("slow").exists() && started.elapsed() < TIME {
            std::thread::sleep(Duration::from_millis(5));
        }
        match dir.join("weights").exists() {
            true => Ok(length_classifier()),
            false => Err(Error::new("it has no weights")),
        }
    })
}

/// There is room for two models: the first one is loaded again for its next request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn model_that_is_loaded_again_keeps_to_the_deadline() {
    let home = tempfile::tempdir().unwrap();
    let app = app(load_files(), |config| {
        config.model_dir = None;
        config.model_bytes = 500;
        config.timeout = Duration::from_secs(1);
    });
    app.engine.start().unwrap();
    let address = start(&app, Limits::default()).await;
    let invoke = |path| exchange(address, request("POST", path, r#"["a text"]"#));
    for (number, name) in ["a b-ü", "b", "c"].into_iter().enumerate() {
        let dir = home.path().join(number.to_string());
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("weights"), [0; 100]).unwrap();
        let body = json!({ "model_name": name, "url": dir }).to_string();
        assert_status(
            &exchange(address, request("POST", "/models", &body)).await,
            200,
        );
    }
    // The name of the first model.
    let path = "/models/a%20b-%C3%BC/invoke";
    let first = home.path().join("0");
    fs::write(first.join("slow"), "").unwrap();
    assert_status(&invoke(path).await, 503);
    fs::remove_file(first.join("slow")).unwrap();
    assert_status(&invoke(path).await, 200);
    // Both others are used after it: it is unloaded.
    assert_status(&invoke("/models/b/invoke").await, 200);
    assert_status(&invoke("/models/c/invoke").await, 200);
    fs::remove_file(first.join("weights")).unwrap();
    let broken = invoke(path).await;
    assert_status(&broken, 500);
    assert!(broken.contains("it has no weights"), "{broken}");
    app.engine.close();
}

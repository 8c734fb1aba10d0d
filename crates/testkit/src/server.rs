//! A trainer's `serve`, and a client that sends exactly the given bytes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Outcome, Running, start};
use crate::registry::free_port;

/// Time until a model is loaded, and until an answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A running server on a free port.
pub struct Server {
    running: Running,
    port: u16,
}

/// The answer to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status; 0 if the connection ended without an answer.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Body, without the encoding in chunks.
    pub body: Vec<u8>,
}

impl Answer {
    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Parses the body as JSON.
    ///
    /// # Panics
    /// If it is something else.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("expected JSON: {error}: {} {}", self.status, self.text()),
        }
    }

    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(header, _)| header == name)?;
        Some(value.as_str())
    }

    /// Fails unless the status is `status`.
    #[track_caller]
    pub fn expect(&self, status: u16) -> &Self {
        assert!(
            self.status == status,
            "expected status {status}, found {}: {}",
            self.status,
            self.text()
        );
        self
    }

    /// Parses the bytes of a connection that was closed after the answer.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Self::default();
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let headers: Vec<_> = lines.map(header).collect();
        let is_chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
        let body = &bytes[end + 4..];
        Self {
            status: status.and_then(|status| status.parse().ok()).unwrap_or(0),
            body: match is_chunked {
                true => unchunked(body),
                false => body.to_vec(),
            },
            headers,
        }
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let size = usize::from_str_radix(&size, 16).unwrap_or(0);
        let Some(chunk) = bytes.get(end + 2..end + 2 + size).filter(|_| size > 0) else {
            break;
        };
        body.extend_from_slice(chunk);
        bytes = bytes.get(end + 4 + size..).unwrap_or_default();
    }
    body
}

impl Server {
    /// Starts `TRAINER serve ...` on a free port. `wrap` may put the command into another one, such
    /// as [`as_pid_1`](crate::as_pid_1).
    pub fn start(mut command: Command, wrap: impl FnOnce(Command) -> Command) -> Self {
        let port = free_port();
        command.args(["--port", &port.to_string()]);
        Self {
            running: start(wrap(command)),
            port,
        }
    }

    /// Waits until `GET /ping` answers 200.
    ///
    /// # Panics
    /// If the process ends before, or takes too long.
    #[track_caller]
    pub fn wait_until_ready(mut self) -> Self {
        let until = Instant::now() + TIMEOUT;
        loop {
            let answer = self.get("/ping");
            if answer.status == 200 {
                assert!(answer.body.is_empty(), "{answer:?}");
                return self;
            }
            assert!(matches!(answer.status, 0 | 503), "{answer:?}");
            if self.running.ended() || Instant::now() > until {
                let outcome = self.running.finish(Duration::ZERO);
                panic!("the server is not ready: {}", outcome.output());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process.
    pub fn running(&mut self) -> &mut Running {
        &mut self.running
    }

    /// Sends a GET request.
    pub fn get(&self, path: &str) -> Answer {
        send(self.port, request("GET", path, &[], b"").as_slice())
    }

    /// Sends a POST request with a body of this type.
    pub fn post(&self, path: &str, content_type: &str, body: impl AsRef<[u8]>) -> Answer {
        post(self.port, path, content_type, body)
    }

    /// Sends a request.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        send(self.port, &request(method, path, headers, body))
    }

    /// Sends these bytes and returns the answer.
    pub fn send(&self, bytes: &[u8]) -> Answer {
        send(self.port, bytes)
    }

    /// Sends SIGTERM.
    pub fn sigterm(&self) {
        self.running.sigterm();
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// If it does not end in time.
    #[track_caller]
    pub fn finish(self, limit: Duration) -> Outcome {
        self.running.finish(limit)
    }

    /// Sends SIGTERM and waits until it ends.
    ///
    /// # Panics
    /// If it does not end in time.
    #[track_caller]
    pub fn stop(self, limit: Duration) -> Outcome {
        self.sigterm();
        self.finish(limit)
    }
}

/// Returns the bytes of a request, after which the connection is closed.
fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if method == "POST" {
        head += &format!("content-length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// Sends a POST request with a body of this type to a port of this machine; an answer without status
/// if that fails.
pub fn post(port: u16, path: &str, content_type: &str, body: impl AsRef<[u8]>) -> Answer {
    let headers = [("content-type", content_type)];
    send(port, &request("POST", path, &headers, body.as_ref()))
}

/// Sends bytes to a port of this machine; an answer without status if that fails.
pub(crate) fn send(port: u16, bytes: &[u8]) -> Answer {
    let exchange = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        // The server may answer, and close, before it has read everything.
        let _ = stream.write_all(bytes);
        let mut received = Vec::new();
        // A reset after the answer is not an error.
        let _ = stream.read_to_end(&mut received);
        Ok(received)
    };
    exchange().map_or_else(|_| Answer::default(), |bytes| Answer::parse(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_parsed() {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n\
                      3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let answer = Answer::parse(bytes);
        assert_eq!((answer.status, answer.text()), (200, "abcde".to_owned()));
        assert_eq!(answer.header("a"), Some("b"));
        assert_eq!(Answer::parse(b"").status, 0);
    }
}

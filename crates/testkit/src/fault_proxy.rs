//! An HTTP proxy that injects faults at chosen bytes.
//!
//! Each request uses a new connection to the server; connections of the client are kept alive.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A fault of a request.
#[derive(Clone)]
pub enum Fault {
    /// Returns this status and S3 error code without contacting the server.
    Answer(u16, &'static str),
    /// Closes the connection after this number of bytes of the request body.
    CutUpload(u64),
    /// Closes the connection after this number of bytes of the response body.
    CutDownload(u64),
    /// Stalls after this number of bytes of the request body.
    StallUpload(u64),
    /// Stalls after this number of bytes of the response body.
    StallDownload(u64),
    /// Changes this byte of the request body.
    FlipUpload(u64),
    /// Changes this byte of the response body.
    FlipDownload(u64),
    /// Called before the request is forwarded.
    First(Arc<dyn Fn() + Send + Sync>),
}

/// A forwarded or failed request.
#[derive(Clone, Debug)]
pub struct Passed {
    /// Method, such as `PUT`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Forwarded bytes of the request body.
    pub up: u64,
    /// Forwarded bytes of the response body.
    pub down: u64,
    /// Status of the response; 0 without one.
    pub status: u16,
    /// True if the response was forwarded completely.
    pub done: bool,
}

struct Rule {
    method: &'static str,
    part: String,
    skip: usize,
    times: usize,
    fault: Fault,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    passed: Vec<Passed>,
    check_digests: bool,
    closed: bool,
}

/// A running proxy; it ends when dropped.
pub struct FaultProxy {
    url: String,
    shared: Arc<(Mutex<State>, Condvar)>,
}

/// Starts a proxy on a free port of 127.0.0.1 in front of `http://127.0.0.1:PORT`.
///
/// # Panics
/// If there is no port.
pub fn fault_proxy(server: &str) -> FaultProxy {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let server = server.trim_start_matches("http://").to_owned();
    let shared = Arc::new((Mutex::new(State::default()), Condvar::new()));
    let proxy = FaultProxy {
        url: format!("http://{address}"),
        shared: Arc::clone(&shared),
    };
    std::thread::spawn(move || {
        for client in listener.incoming() {
            if lock(&shared.0).closed {
                return;
            }
            let (Ok(client), shared, server) = (client, Arc::clone(&shared), server.clone()) else {
                return;
            };
            std::thread::spawn(move || {
                let _ = Connection {
                    client: &client,
                    server,
                    shared,
                }
                .serve();
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
    proxy
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FaultProxy {
    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Injects the fault into `times` requests of this method whose target contains `part`, after
    /// `skip` others.
    pub fn fault(&self, method: &'static str, part: &str, skip: usize, times: usize, fault: Fault) {
        let part = part.to_owned();
        lock(&self.shared.0).rules.push(Rule {
            method,
            part,
            skip,
            times,
            fault,
        });
    }

    /// Verifies the CRC32 of bodies as S3 does; moto does not.
    pub fn check_digests(&self) {
        lock(&self.shared.0).check_digests = true;
    }

    /// Clears faults and requests.
    pub fn forget(&self) {
        let mut state = lock(&self.shared.0);
        state.rules.clear();
        state.passed.clear();
    }

    /// Returns the requests of this method whose target contains `part`.
    pub fn passed(&self, method: &str, part: &str) -> Vec<Passed> {
        let state = lock(&self.shared.0);
        let wanted = |request: &&Passed| request.method == method && request.target.contains(part);
        state.passed.iter().filter(wanted).cloned().collect()
    }

    /// Waits until this number of requests was answered completely.
    ///
    /// # Panics
    /// If that takes more than a minute, or `done` is 0.
    #[track_caller]
    pub fn wait_for(&self, method: &str, part: &str, done: usize) {
        assert!(done > 0, "waits for at least one");
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let passed = self.passed(method, part);
            if passed.iter().filter(|request| request.done).count() >= done {
                return;
            }
            assert!(
                Instant::now() < until,
                "expected {done} of {method} {part}, found {passed:#?}"
            );
            let state = lock(&self.shared.0);
            let _ = self
                .shared
                .1
                .wait_timeout(state, Duration::from_millis(100));
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        lock(&self.shared.0).closed = true;
        self.shared.1.notify_all();
        // Wakes the listener.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

/// One connection of the client.
struct Connection<'a> {
    client: &'a TcpStream,
    server: String,
    shared: Arc<(Mutex<State>, Condvar)>,
}

struct Head {
    first: String,
    lines: Vec<String>,
}

impl Head {
    fn read(from: &mut impl std::io::BufRead) -> std::io::Result<Option<Self>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let first = lines.remove(0);
        Ok(Some(Self { first, lines }))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn length(&self) -> Option<u64> {
        self.get("content-length")
            .and_then(|text| text.parse().ok())
    }

    /// Replaces the `Connection` line.
    fn text(&self, connection: &str) -> String {
        let mut text = format!("{}\r\n", self.first);
        for line in &self.lines {
            if !line.to_ascii_lowercase().starts_with("connection:") {
                text += &format!("{line}\r\n");
            }
        }
        text + &format!("Connection: {connection}\r\n\r\n")
    }
}

impl Connection<'_> {
    fn serve(&self) -> std::io::Result<()> {
        let mut client = BufReader::new(self.client);
        while let Some(head) = Head::read(&mut client)? {
            if !self.forward(&head, &mut client)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Forwards one request; true if another may follow.
    fn forward(&self, head: &Head, client: &mut impl Read) -> std::io::Result<bool> {
        let mut words = head.first.split(' ').map(str::to_owned);
        let (method, target) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let (at, fault, checking) = self.note(&method, &target);
        let length = head.length().unwrap_or(0);
        if let Some(Fault::Answer(status, code)) = fault {
            self.upload(at, client, &mut std::io::sink(), length, None)?;
            return self.answer(at, status, code);
        }
        if let Some(Fault::First(hook)) = &fault {
            hook();
        }
        let mut server = TcpStream::connect(&self.server)?;
        server.write_all(head.text("close").as_bytes())?;
        let digest = head
            .get("x-amz-checksum-crc32")
            .filter(|_| checking && method == "PUT");
        if let Some(wanted) = digest {
            let mut body = Vec::new();
            self.upload(at, client, &mut body, length, fault.as_ref())?;
            if base64(&crc32(&body).to_be_bytes()) != wanted {
                return self.answer(at, 400, "BadDigest");
            }
            server.write_all(&body)?;
        } else if !self.upload(at, client, &mut server, length, fault.as_ref())? {
            return Ok(false);
        }
        self.download(at, &method, server, fault.as_ref())
    }

    /// Forwards the response; true if another request may follow.
    fn download(
        &self,
        at: usize,
        method: &str,
        server: TcpStream,
        fault: Option<&Fault>,
    ) -> std::io::Result<bool> {
        let mut server = BufReader::new(server);
        let Some(answer) = Head::read(&mut server)? else {
            return Ok(false);
        };
        let status = answer
            .first
            .split(' ')
            .nth(1)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        self.update(at, |passed| passed.status = status);
        let bodiless = method == "HEAD" || status == 204 || status == 304;
        let keep = bodiless || answer.length().is_some();
        let mut out = self.client;
        out.write_all(
            answer
                .text(if keep { "keep-alive" } else { "close" })
                .as_bytes(),
        )?;
        let length = if bodiless {
            0
        } else {
            answer.length().unwrap_or(u64::MAX)
        };
        let (cut, flip, stall) = match fault {
            Some(Fault::CutDownload(at)) => (Some(*at), None, false),
            Some(Fault::StallDownload(at)) => (Some(*at), None, true),
            Some(Fault::FlipDownload(at)) => (None, Some(*at), false),
            _ => (None, None, false),
        };
        let limit = cut.unwrap_or(length).min(length);
        let complete = copy(&mut server, &mut out, limit, flip, |bytes| {
            self.update(at, |passed| passed.down += bytes)
        })?;
        if cut.is_some() {
            if stall {
                self.silence();
            }
            return Ok(false);
        }
        self.update(at, |passed| passed.done = complete || length == u64::MAX);
        Ok(keep && complete)
    }

    /// Forwards the request body; false if the fault ended it.
    fn upload(
        &self,
        at: usize,
        client: &mut impl Read,
        server: &mut impl Write,
        length: u64,
        fault: Option<&Fault>,
    ) -> std::io::Result<bool> {
        let (cut, flip, stall) = match fault {
            Some(Fault::CutUpload(at)) => (Some(*at), None, false),
            Some(Fault::StallUpload(at)) => (Some(*at), None, true),
            Some(Fault::FlipUpload(at)) => (None, Some(*at), false),
            _ => (None, None, false),
        };
        let limit = cut.unwrap_or(length).min(length);
        copy(client, server, limit, flip, |bytes| {
            self.update(at, |passed| passed.up += bytes)
        })?;
        if stall {
            self.silence();
        }
        Ok(cut.is_none())
    }

    fn answer(&self, at: usize, status: u16, code: &str) -> std::io::Result<bool> {
        let body =
            format!("<Error><Code>{code}</Code><Message>by order of the test</Message></Error>");
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} x\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\r\n"
        );
        let mut client = self.client;
        client.write_all(head.as_bytes())?;
        client.write_all(body.as_bytes())?;
        self.update(at, |passed| passed.status = status);
        Ok(true)
    }

    /// Stalls until the client disconnects or the test ends.
    fn silence(&self) {
        let _ = self
            .client
            .set_read_timeout(Some(Duration::from_millis(50)));
        let mut client = self.client;
        let full = Duration::from_secs(120);
        let start = Instant::now();
        while start.elapsed() < full && !lock(&self.shared.0).closed {
            // Unread data fills the buffers, as in a dead network; a closed client is an end of
            // file.
            match client.peek(&mut [0]) {
                Ok(0) => return,
                Ok(_) => std::thread::sleep(Duration::from_millis(50)),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
        }
        let _ = client.flush();
    }

    fn note(&self, method: &str, target: &str) -> (usize, Option<Fault>, bool) {
        let mut state = lock(&self.shared.0);
        state.passed.push(Passed {
            method: method.to_owned(),
            target: target.to_owned(),
            up: 0,
            down: 0,
            status: 0,
            done: false,
        });
        let mut due = None;
        for rule in &mut state.rules {
            if rule.method != method || !target.contains(&rule.part) || rule.times == 0 {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.times -= 1;
            due = Some(rule.fault.clone());
            break;
        }
        (state.passed.len() - 1, due, state.check_digests)
    }

    fn update(&self, at: usize, change: impl FnOnce(&mut Passed)) {
        // `forget` may have been called.
        if let Some(passed) = lock(&self.shared.0).passed.get_mut(at) {
            change(passed);
        }
        self.shared.1.notify_all();
    }
}

/// Copies this number of bytes; true if all arrived.
fn copy(
    from: &mut impl Read,
    to: &mut impl Write,
    length: u64,
    flip: Option<u64>,
    mut passed: impl FnMut(u64),
) -> std::io::Result<bool> {
    let mut buffer = vec![0; 64 << 10];
    let mut at = 0;
    while at < length {
        let max = usize::try_from(length - at)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = from.read(&mut buffer[..max])?;
        if read == 0 {
            return Ok(false);
        }
        let end = at + read as u64;
        if let Some(flip) = flip.filter(|flip| (at..end).contains(flip)) {
            buffer[usize::try_from(flip - at).unwrap_or(0)] ^= 1;
        }
        to.write_all(&buffer[..read])?;
        passed(read as u64);
        at = end;
    }
    Ok(true)
}

/// CRC32 bit by bit: a second implementation to check the first.
fn crc32(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256)
        .map(|byte| {
            (0..8).fold(byte, |crc: u32, _| {
                crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        })
        .collect();
    !bytes.iter().fold(!0, |crc, byte| {
        table[((crc ^ u32::from(*byte)) & 255) as usize] ^ crc >> 8
    })
}

/// Base64 of the four bytes of a CRC.
fn base64(bytes: &[u8; 4]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let all = bytes
        .iter()
        .fold(0u64, |all, byte| all << 8 | u64::from(*byte))
        << 4;
    let digits = (0..6)
        .rev()
        .map(|at| char::from(DIGITS[(all >> (6 * at) & 63) as usize]));
    digits.collect::<String>() + "=="
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_of_the_check_string() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(base64(&0xcbf4_3926_u32.to_be_bytes()), "y/Q5Jg==");
    }
}

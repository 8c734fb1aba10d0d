//! Connects the hosts to the first one.
//!
//! Handshake: a host sends the greeting, its rank and a random number; the first host answers with
//! a random number of its own and with a code (HMAC) of both numbers and the job's key; the host
//! sends its code, and gets its slot. Connections that are abandoned, or not from a host of this
//! job, get none. Slow and silent peers do not block others.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use diagnostics::atomic_dir::random_name;
use diagnostics::{Error, hmac_sha256, sanitize};

use super::{POLL_INTERVAL, ProcessGroup, WAITS, invalid_address};

/// Greeting of both sides; other peers are disconnected.
pub(super) const HELLO: &[u8; 16] = b"trainyard meet 3";
/// Length of a rank.
const RANK_LEN: usize = 4;
/// Length of a random number in hexadecimal digits.
const NONCE_LEN: usize = 32;
/// Length of a code in hexadecimal digits.
const CODE_LEN: usize = 64;
/// Length of a request: greeting, rank and random number.
const REQUEST_LEN: usize = HELLO.len() + RANK_LEN + NONCE_LEN;
/// Length of an answer: greeting, random number and code.
const ANSWER_LEN: usize = HELLO.len() + NONCE_LEN + CODE_LEN;
/// Time limit of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit on pending connections; beyond it the oldest is dropped. Most machines allow 1024 open
/// files per process, and no job has this many hosts.
const MAX_PENDING: usize = 256;

/// The reason for a first host that accepts connections, or not, and sends nothing.
const SILENT: &str = "it has not answered in time";

/// The key of a job.
type Key = [u8; 32];

/// Returns the code of one side for a request and the random number of the first host.
fn code(key: &Key, side: &str, request: &[u8], nonce: &[u8]) -> String {
    hmac_sha256(key, &[side.as_bytes(), request, nonce].concat())
}

/// A connection whose handshake is not complete.
struct PendingPeer {
    stream: TcpStream,
    accepted_at: Instant,
    received: Vec<u8>,
    /// Random number of this side.
    nonce: String,
    answered: bool,
}

/// State of a handshake.
#[derive(Debug, PartialEq)]
enum Handshake {
    Pending,
    /// The host of this rank waits for an answer.
    Requested(usize),
    /// The host of this rank has the key.
    Done(usize),
    Rejected,
}

impl PendingPeer {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            accepted_at: Instant::now(),
            received: Vec::new(),
            nonce: random_name(),
            answered: false,
        })
    }

    /// Reads the available bytes.
    fn poll(&mut self, key: &Key) -> Handshake {
        let mut bytes = [0; REQUEST_LEN + CODE_LEN];
        let rest = &mut bytes[self.received.len()..];
        match self.stream.read(rest) {
            Ok(0) => return Handshake::Rejected,
            Ok(count) => self.received.extend_from_slice(&rest[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Handshake::Rejected,
        }
        let hello = &self.received[..self.received.len().min(HELLO.len())];
        if !HELLO.starts_with(hello) || self.accepted_at.elapsed() > HANDSHAKE_TIMEOUT {
            return Handshake::Rejected;
        }
        let Some((request, theirs)) = self.received.split_at_checked(REQUEST_LEN) else {
            return Handshake::Pending;
        };
        let mut rank = [0; RANK_LEN];
        rank.copy_from_slice(&request[HELLO.len()..][..RANK_LEN]);
        let rank = u32::from_le_bytes(rank) as usize;
        match (self.answered, theirs.len()) {
            (false, 0) => Handshake::Requested(rank),
            (true, CODE_LEN) => {
                let expected = code(key, "host", request, self.nonce.as_bytes());
                match theirs == expected.as_bytes() {
                    true => Handshake::Done(rank),
                    false => Handshake::Rejected,
                }
            }
            (true, _) => Handshake::Pending,
            (false, _) => Handshake::Rejected,
        }
    }

    fn answer(&mut self, key: &Key) -> bool {
        self.answered = true;
        let code = code(key, "first host", &self.received, self.nonce.as_bytes());
        let answer = [&HELLO[..], self.nonce.as_bytes(), code.as_bytes()].concat();
        // Never blocks: so few bytes fit into any buffer.
        self.stream.write_all(&answer).is_ok()
    }
}

/// True if the slot is empty or its connection is closed.
fn is_free(slot: Option<&TcpStream>) -> bool {
    slot.is_none_or(|stream| match stream.peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    })
}

/// Polls all pending peers, and moves those that are done to their slots.
fn poll_peers(pending: &mut Vec<PendingPeer>, slots: &mut [Option<TcpStream>], key: &Key) {
    for mut peer in std::mem::take(pending) {
        let handshake = peer.poll(key);
        let (Handshake::Requested(rank) | Handshake::Done(rank)) = handshake else {
            if handshake == Handshake::Pending {
                pending.push(peer);
            }
            continue;
        };
        let slot = rank.checked_sub(1).and_then(|slot| slots.get_mut(slot));
        let Some(slot) = slot.filter(|slot| is_free(slot.as_ref())) else {
            continue;
        };
        if handshake == Handshake::Done(rank) {
            *slot = Some(peer.stream);
        } else if peer.answer(key) {
            pending.push(peer);
        }
    }
}

/// Listens on the address of the first host. Listens on all interfaces if the name of the host has
/// no address here, or only the loopback address, as on Debian: others could not connect to it.
fn listen(address: &str) -> Result<TcpListener, Error> {
    let invalid = || invalid_address(address);
    let (host, port) = address.rsplit_once(':').ok_or_else(invalid)?;
    let port: u16 = port.parse().map_err(|_| invalid())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_name = host.parse::<IpAddr>().is_err() && host != "localhost";
    let mut found: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_or(Vec::new(), Iterator::collect);
    found.retain(|address| !(is_name && address.ip().is_loopback()));
    let bound = match TcpListener::bind(&found[..]) {
        Err(error) if found.is_empty() || error.kind() == io::ErrorKind::AddrNotAvailable => {
            TcpListener::bind(("0.0.0.0", port))
        }
        bound => bound,
    };
    bound.map_err(|error| cannot_listen(address, &error))
}

fn cannot_listen(address: &str, error: &io::Error) -> Error {
    let address = sanitize(address);
    Error::new(format!("cannot wait for the other hosts on `{address}`: {error}")).help(
        "set TRAINYARD_LEADER to the same `host:port` on all hosts, with a port that is free on the first",
    )
}

impl ProcessGroup {
    /// Returns connections to all other hosts, in order of rank.
    pub(super) fn accept_all(&self, address: &str, end: Instant) -> Result<Vec<TcpStream>, Error> {
        let cannot = |error: io::Error| cannot_listen(address, &error);
        let listener = listen(address)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let mut slots: Vec<Option<TcpStream>> =
            self.hosts.names.iter().skip(1).map(|_| None).collect();
        let mut pending = Vec::new();
        loop {
            while pending.len() < MAX_PENDING {
                match listener.accept() {
                    Ok((stream, _)) => pending.extend(PendingPeer::new(stream)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // Closed before it was accepted.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => return Err(cannot(error)),
                }
            }
            poll_peers(&mut pending, &mut slots, &self.hosts.key);
            let Some(missing) = slots.iter().position(Option::is_none) else {
                break;
            };
            if pending.len() >= MAX_PENDING {
                pending.remove(0);
            }
            self.wait(end, || {
                let name = sanitize(&self.hosts.names[missing + 1]);
                format!("the host `{name}` did not connect, or is of another job or key")
            })?;
        }
        let slots: Vec<TcpStream> = slots.into_iter().flatten().collect();
        for slot in &slots {
            slot.set_nonblocking(false).map_err(cannot)?;
        }
        Ok(slots)
    }

    /// Returns a connection to the first host.
    pub(super) fn join(&self, address: &str, end: Instant) -> Result<TcpStream, Error> {
        let mut why = SILENT.to_owned();
        let mut answered = false;
        loop {
            let (send, connected) = mpsc::channel();
            let (name, rank, key) = (address.to_owned(), self.hosts.rank, self.hosts.key);
            // On its own thread: the system's resolver may take many seconds.
            std::thread::spawn(move || {
                // The receiver is gone after a stop.
                let _ = send.send(connect(&name, rank, &key));
            });
            loop {
                match connected.recv_timeout(POLL_INTERVAL) {
                    Ok(Ok(stream)) => return Ok(stream),
                    Ok(Err(error)) if error.kind() == io::ErrorKind::Other => {
                        (answered, why) = (true, error.to_string());
                    }
                    // The other job may end first: its answer says more than a refused connection.
                    Ok(Err(_)) if answered => {}
                    Ok(Err(error)) if WAITS.contains(&error.kind()) => SILENT.clone_into(&mut why),
                    Ok(Err(error)) => why = error.to_string(),
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                }
                self.wait(end, || {
                    let address = sanitize(address);
                    format!("the first host does not answer at `{address}`: {why}")
                })?;
            }
        }
    }
}

pub(super) fn connect(address: &str, rank: usize, key: &Key) -> io::Result<TcpStream> {
    let addresses = address.to_socket_addrs()?;
    let mut last = io::Error::other("it has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, HANDSHAKE_TIMEOUT) {
            Ok(stream) => match greet(&stream, rank, key) {
                Ok(()) => return Ok(stream),
                Err(error) => last = error,
            },
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The handshake of a host.
fn greet(mut stream: &TcpStream, rank: usize, key: &Key) -> io::Result<()> {
    stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
    let rank = (rank as u32).to_le_bytes();
    let request = [&HELLO[..], &rank, random_name().as_bytes()].concat();
    stream.write_all(&request)?;
    let mut answer = [0; ANSWER_LEN];
    stream.read_exact(&mut answer)?;
    let (hello, rest) = answer.split_at(HELLO.len());
    let (nonce, theirs) = rest.split_at(NONCE_LEN);
    if hello != HELLO {
        return Err(io::Error::other("another program answers there"));
    }
    if theirs != code(key, "first host", &request, nonce).as_bytes() {
        return Err(io::Error::other(
            "a host of another job, or with another TRAINYARD_HOST_KEY, answers there",
        ));
    }
    stream.write_all(code(key, "host", &request, nonce).as_bytes())
}

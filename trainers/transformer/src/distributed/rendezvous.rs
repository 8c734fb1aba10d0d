//! Connects the hosts to the first one.
//!
//! Handshake: a host sends the greeting and its rank, the first host answers, the host confirms,
//! and gets its slot. Connections that are abandoned or not from a host get none. Slow and silent
//! peers do not block others.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use diagnostics::{Error, sanitize};

use super::{ProcessGroup, invalid_address};

/// Greeting of both sides; other peers are disconnected.
pub(super) const HELLO: &[u8; 16] = b"trainyard meet 2";
/// Length of a request: greeting and rank. The confirmation is the greeting again.
const REQUEST_LEN: usize = HELLO.len() + 4;
const HANDSHAKE_LEN: usize = REQUEST_LEN + HELLO.len();
/// Time limit of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit on pending connections; beyond it the oldest is dropped. Most machines allow 1024 open
/// files per process, and no job has this many hosts.
const MAX_PENDING: usize = 256;

/// A connection whose handshake is not complete.
struct PendingPeer {
    stream: TcpStream,
    accepted_at: Instant,
    received: Vec<u8>,
    answered: bool,
}

/// State of a handshake.
#[derive(Debug, PartialEq)]
enum Handshake {
    Pending,
    /// The host of this rank waits for an answer.
    Requested(usize),
    /// The host of this rank has confirmed.
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
            answered: false,
        })
    }

    /// Reads the available bytes.
    fn poll(&mut self) -> Handshake {
        let mut bytes = [0; HANDSHAKE_LEN];
        let rest = &mut bytes[self.received.len()..];
        match self.stream.read(rest) {
            Ok(0) => return Handshake::Rejected,
            Ok(count) => self.received.extend_from_slice(&rest[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Handshake::Rejected,
        }
        let (hello, more) = self.received.split_at(self.received.len().min(HELLO.len()));
        let (rank, again) = more.split_at(more.len().min(REQUEST_LEN - HELLO.len()));
        if !HELLO.starts_with(hello)
            || !HELLO.starts_with(again)
            || (!again.is_empty() && !self.answered)
            || self.accepted_at.elapsed() > HANDSHAKE_TIMEOUT
        {
            return Handshake::Rejected;
        }
        match rank.try_into() {
            Ok(rank) => {
                let rank = u32::from_le_bytes(rank) as usize;
                match again.len() == HELLO.len() {
                    true => Handshake::Done(rank),
                    false if self.answered => Handshake::Pending,
                    false => Handshake::Requested(rank),
                }
            }
            Err(_) => Handshake::Pending,
        }
    }

    fn answer(&mut self) -> bool {
        self.answered = true;
        // Never blocks: so few bytes fit into any buffer.
        self.stream.write_all(HELLO).is_ok()
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
fn poll_peers(pending: &mut Vec<PendingPeer>, slots: &mut [Option<TcpStream>]) {
    for mut peer in std::mem::take(pending) {
        let handshake = peer.poll();
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
        } else if peer.answer() {
            pending.push(peer);
        }
    }
}

impl ProcessGroup {
    /// Returns connections to all other hosts, in order of rank.
    pub(super) fn accept_all(
        &self,
        address: &str,
        end: Instant,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<TcpStream>, Error> {
        let port = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let port: u16 = port.ok_or_else(|| invalid_address(address))?;
        let cannot = |error: io::Error| {
            Error::new(format!("cannot wait for the other hosts on port `{port}`: {error}")).help("set TRAINYARD_LEADER to the same `host:port` on all hosts, with a port that is free on the first")
        };
        let listener = TcpListener::bind(("0.0.0.0", port)).map_err(cannot)?;
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
            poll_peers(&mut pending, &mut slots);
            let Some(missing) = slots.iter().position(Option::is_none) else {
                break;
            };
            if pending.len() >= MAX_PENDING {
                pending.remove(0);
            }
            self.wait(end, stopped, || {
                let name = sanitize(&self.hosts.names[missing + 1]);
                format!("the host `{name}` did not connect")
            })?;
        }
        let slots: Vec<TcpStream> = slots.into_iter().flatten().collect();
        for slot in &slots {
            slot.set_nonblocking(false).map_err(cannot)?;
        }
        Ok(slots)
    }

    /// Returns a connection to the first host.
    pub(super) fn join(
        &self,
        address: &str,
        end: Instant,
        stopped: &dyn Fn() -> bool,
    ) -> Result<TcpStream, Error> {
        loop {
            let why = match connect(address, self.hosts.rank) {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            self.wait(end, stopped, || {
                format!(
                    "the first host does not answer at `{}`: {why}",
                    sanitize(address)
                )
            })?;
        }
    }
}

fn connect(address: &str, rank: usize) -> io::Result<TcpStream> {
    let addresses = address.to_socket_addrs()?;
    let mut last = io::Error::other("it has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, HANDSHAKE_TIMEOUT) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
                stream.write_all(&[&HELLO[..], &(rank as u32).to_le_bytes()].concat())?;
                let mut answer = [0; HELLO.len()];
                stream.read_exact(&mut answer)?;
                if &answer == HELLO {
                    stream.write_all(HELLO)?;
                    return Ok(stream);
                }
                last = io::Error::other("another program answers there");
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

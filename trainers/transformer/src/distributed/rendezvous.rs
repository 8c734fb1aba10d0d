//! How the other hosts come to the first one. A host says hello and its rank, the first one answers, the host says that it
//! has heard so, and has its seat: a connection that its host has given up, and strangers, get none. Nobody who is slow or
//! silent holds up the others.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use diagnostics::{Error, sanitize};

use super::{ProcessGroup, invalid_address};

/// What all say; others who knock are sent away.
pub(super) const HELLO: &[u8; 16] = b"trainyard meet 2";
/// HELLO and a rank, and HELLO once more behind the answer.
const REQUEST_LEN: usize = HELLO.len() + 4;
const HANDSHAKE_LEN: usize = REQUEST_LEN + HELLO.len();
/// Time for all of it.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Guests before the door; where there are as many, the first of them has to go. A process may have 1024 open files on most
/// machines, and no job has so many hosts.
const MAX_PENDING: usize = 256;

/// Somebody before the door.
struct PendingPeer {
    stream: TcpStream,
    accepted_at: Instant,
    received: Vec<u8>,
    answered: bool,
}

/// What a guest has come to.
#[derive(Debug, PartialEq)]
enum Handshake {
    Pending,
    /// A host of this rank waits for an answer.
    Requested(usize),
    /// It has heard the answer.
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

    /// Hears what has come by now.
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
        // So few bytes fit into any buffer.
        self.stream.write_all(HELLO).is_ok()
    }
}

/// Whether nobody has this seat, or who has it has gone.
fn is_free(slot: Option<&TcpStream>) -> bool {
    slot.is_none_or(|stream| match stream.peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    })
}

/// Hears all guests, and seats those who have said all.
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
    /// All other hosts, in the order of their ranks.
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
                    // It has gone before it was let in.
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
                format!("the host `{name}` did not come")
            })?;
        }
        let slots: Vec<TcpStream> = slots.into_iter().flatten().collect();
        for slot in &slots {
            slot.set_nonblocking(false).map_err(cannot)?;
        }
        Ok(slots)
    }

    /// The first host.
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
                last = io::Error::other("somebody else answers there");
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

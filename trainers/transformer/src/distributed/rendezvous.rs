//! How the other hosts come to the first one. A host says hello and its rank, the first one answers, the host says that it
//! has heard so, and has its seat: a connection that its host has given up, and strangers, get none. Nobody who is slow or
//! silent holds up the others.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use diagnostics::{Error, sanitize};

use super::{Meeting, unusable};

/// What all say; others who knock are sent away.
pub(super) const HELLO: &[u8; 16] = b"trainyard meet 2";
/// HELLO and a rank, and HELLO once more behind the answer.
const RANK: usize = HELLO.len() + 4;
const ALL: usize = RANK + HELLO.len();
/// Time for all of it.
const HELLO_TIME: Duration = Duration::from_secs(5);
/// Guests before the door; where there are as many, the first of them has to go. A process may have 1024 open files on most
/// machines, and no job has so many hosts.
const MOST_GUESTS: usize = 256;

/// Somebody before the door.
struct Guest {
    stream: TcpStream,
    came: Instant,
    said: Vec<u8>,
    answered: bool,
}

/// What a guest has come to.
#[derive(Debug, PartialEq)]
enum Word {
    Waits,
    /// A host of this rank waits for an answer.
    Asks(usize),
    /// It has heard the answer.
    Sits(usize),
    Goes,
}

impl Guest {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            came: Instant::now(),
            said: Vec::new(),
            answered: false,
        })
    }

    /// Hears what has come by now.
    fn hear(&mut self) -> Word {
        let mut bytes = [0; ALL];
        let rest = &mut bytes[self.said.len()..];
        match self.stream.read(rest) {
            Ok(0) => return Word::Goes,
            Ok(count) => self.said.extend_from_slice(&rest[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Word::Goes,
        }
        let (hello, more) = self.said.split_at(self.said.len().min(HELLO.len()));
        let (rank, again) = more.split_at(more.len().min(RANK - HELLO.len()));
        if !HELLO.starts_with(hello)
            || !HELLO.starts_with(again)
            || (!again.is_empty() && !self.answered)
            || self.came.elapsed() > HELLO_TIME
        {
            return Word::Goes;
        }
        match rank.try_into() {
            Ok(rank) => {
                let rank = u32::from_le_bytes(rank) as usize;
                match again.len() == HELLO.len() {
                    true => Word::Sits(rank),
                    false if self.answered => Word::Waits,
                    false => Word::Asks(rank),
                }
            }
            Err(_) => Word::Waits,
        }
    }

    fn answer(&mut self) -> bool {
        self.answered = true;
        // So few bytes fit into any buffer.
        self.stream.write_all(HELLO).is_ok()
    }
}

/// Whether nobody has this seat, or who has it has gone.
fn is_free(seat: Option<&TcpStream>) -> bool {
    seat.is_none_or(|stream| match stream.peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    })
}

/// Hears all guests, and seats those who have said all.
fn serve(guests: &mut Vec<Guest>, seats: &mut [Option<TcpStream>]) {
    for mut guest in std::mem::take(guests) {
        let word = guest.hear();
        let (Word::Asks(rank) | Word::Sits(rank)) = word else {
            if word == Word::Waits {
                guests.push(guest);
            }
            continue;
        };
        let seat = rank.checked_sub(1).and_then(|seat| seats.get_mut(seat));
        let Some(seat) = seat.filter(|seat| is_free(seat.as_ref())) else {
            continue;
        };
        if word == Word::Sits(rank) {
            *seat = Some(guest.stream);
        } else if guest.answer() {
            guests.push(guest);
        }
    }
}

impl Meeting {
    /// All other hosts, in the order of their ranks.
    pub(super) fn receive(
        &self,
        place: &str,
        end: Instant,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<TcpStream>, Error> {
        let port = place.rsplit(':').next().and_then(|port| port.parse().ok());
        let port: u16 = port.ok_or_else(|| unusable(place))?;
        let cannot = |error: io::Error| {
            Error::new(format!("cannot wait for the other hosts on port `{port}`: {error}")).help("set TRAINYARD_LEADER to the same `host:port` on all hosts, with a port that is free on the first")
        };
        let listener = TcpListener::bind(("0.0.0.0", port)).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let mut seats: Vec<Option<TcpStream>> =
            self.hosts.names.iter().skip(1).map(|_| None).collect();
        let mut guests = Vec::new();
        loop {
            while guests.len() < MOST_GUESTS {
                match listener.accept() {
                    Ok((stream, _)) => guests.extend(Guest::new(stream)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // It has gone before it was let in.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => return Err(cannot(error)),
                }
            }
            serve(&mut guests, &mut seats);
            let Some(missing) = seats.iter().position(Option::is_none) else {
                break;
            };
            if guests.len() >= MOST_GUESTS {
                guests.remove(0);
            }
            self.wait(end, stopped, || {
                let name = sanitize(&self.hosts.names[missing + 1]);
                format!("the host `{name}` did not come")
            })?;
        }
        let seats: Vec<TcpStream> = seats.into_iter().flatten().collect();
        for seat in &seats {
            seat.set_nonblocking(false).map_err(cannot)?;
        }
        Ok(seats)
    }

    /// The first host.
    pub(super) fn join(
        &self,
        place: &str,
        end: Instant,
        stopped: &dyn Fn() -> bool,
    ) -> Result<TcpStream, Error> {
        loop {
            let why = match knock(place, self.hosts.rank) {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            self.wait(end, stopped, || {
                format!(
                    "the first host does not answer at `{}`: {why}",
                    sanitize(place)
                )
            })?;
        }
    }
}

fn knock(place: &str, rank: usize) -> io::Result<TcpStream> {
    let addresses = place.to_socket_addrs()?;
    let mut last = io::Error::other("it has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, HELLO_TIME) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(HELLO_TIME))?;
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

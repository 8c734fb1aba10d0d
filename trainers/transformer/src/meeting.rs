//! How the hosts of a run find each other and add up: the first one listens, the others come, and what is summed goes
//! through the first. On CPUs gradients take this way; on GPUs it carries what NCCL needs to start, and small numbers.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Failure, Hosts, shown};

use crate::engine::AllReduce;

/// Where the first host waits, unless `TRAINYARD_LEADER` says so.
const PORT: u16 = 29_400;
/// What a host says first; others who knock are sent away.
const HELLO: &[u8; 16] = b"trainyard meet 1";
/// Time for a hello: whoever is silent holds up the others.
const HELLO_TIME: Duration = Duration::from_secs(5);
/// Time between two knocks at a door that is still closed.
const PAUSE: Duration = Duration::from_millis(100);
/// No host sends more at once: the weights of a model of 10 billion numbers.
const MOST_BYTES: u64 = 40_000_000_000;

/// The hosts, connected.
#[derive(Debug)]
pub(crate) struct Meeting {
    hosts: Hosts,
    /// The first host has all others, in the order of their ranks; they have the first.
    peers: Vec<TcpStream>,
    patience: Duration,
}

impl Meeting {
    /// Waits until all are there, at most for `patience`, which every later answer may take too; `None` where there is
    /// one host alone. `stopped` ends the wait.
    pub(crate) fn of(
        hosts: &Hosts,
        patience: Duration,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, Failure> {
        let count = hosts.names.len();
        if count < 2 {
            return Ok(None);
        }
        let place = match (&hosts.leader, hosts.names.first()) {
            (Some(place), _) => place.clone(),
            (None, Some(name)) => format!("{name}:{PORT}"),
            (None, None) => return Ok(None),
        };
        let end = Instant::now() + patience;
        let mut meeting = Self {
            hosts: hosts.clone(),
            peers: Vec::new(),
            patience,
        };
        meeting.peers = if hosts.rank == 0 {
            meeting.receive(&place, end, stopped)?
        } else {
            vec![meeting.join(&place, end, stopped)?]
        };
        for peer in &meeting.peers {
            let set = peer
                .set_nodelay(true)
                .and_then(|()| peer.set_read_timeout(Some(patience)))
                .and_then(|()| peer.set_write_timeout(Some(patience)));
            set.map_err(|error| meeting.lost(0, &error))?;
        }
        Ok(Some(meeting))
    }

    /// This host's place, and how many there are.
    pub(crate) fn rank_of(&self) -> (usize, usize) {
        (self.hosts.rank, self.hosts.names.len())
    }

    fn receive(
        &self,
        place: &str,
        end: Instant,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<TcpStream>, Failure> {
        let port = place.rsplit(':').next().and_then(|port| port.parse().ok());
        let port: u16 = port.ok_or_else(|| unusable(place))?;
        let cannot = |error: io::Error| {
            Failure::other(
                format!("cannot wait for the other hosts on port `{port}`: {error}"),
                "set TRAINYARD_LEADER to the same `host:port` on all hosts, with a port that is free on the first",
            )
        };
        let listener = TcpListener::bind(("0.0.0.0", port)).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let mut found: Vec<Option<TcpStream>> =
            self.hosts.names.iter().skip(1).map(|_| None).collect();
        while let Some(missing) = found.iter().position(Option::is_none) {
            match listener.accept() {
                Ok((stream, _)) => {
                    if let Some((rank, stream)) = hello(stream)
                        && let Some(seat) = rank.checked_sub(1).and_then(|seat| found.get_mut(seat))
                    {
                        *seat = Some(stream);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(end, stopped, || {
                        format!(
                            "the host `{}` did not come",
                            shown(&self.hosts.names[missing + 1])
                        )
                    })?;
                }
                Err(error) => return Err(cannot(error)),
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn join(
        &self,
        place: &str,
        end: Instant,
        stopped: &dyn Fn() -> bool,
    ) -> Result<TcpStream, Failure> {
        loop {
            let why = match knock(place, self.hosts.rank) {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            self.wait(end, stopped, || {
                format!(
                    "the first host does not answer at `{}`: {why}",
                    shown(place)
                )
            })?;
        }
    }

    /// A pause, or why there is none any more.
    fn wait(
        &self,
        end: Instant,
        stopped: &dyn Fn() -> bool,
        what: impl Fn() -> String,
    ) -> Result<(), Failure> {
        if stopped() {
            return Err(Failure::Stopped);
        }
        if Instant::now() < end {
            thread::sleep(PAUSE);
            return Ok(());
        }
        let interface = self.hosts.interface.as_ref();
        let interface = interface.map_or(String::new(), |name| {
            format!(", network interface `{}`", shown(name))
        });
        Err(Failure::other(
            format!(
                "{} (waited `{} s`{interface})",
                what(),
                self.patience.as_secs()
            ),
            "see that all hosts of the job run and reach each other, or give them more time by --host-timeout",
        ))
    }

    /// Why an answer did not come. `peer` counts within `peers`.
    fn lost(&self, peer: usize, error: &io::Error) -> Failure {
        let number = if self.hosts.rank == 0 { peer + 1 } else { 0 };
        let name = self.hosts.names.get(number).map_or("?", String::as_str);
        Failure::other(
            format!("lost the host `{}`: {error}", shown(name)),
            "see its log; started again, the run goes on from its last checkpoint if it has --checkpoint-dir",
        )
    }

    fn send(&mut self, peer: usize, bytes: &[u8]) -> Result<(), Failure> {
        let mut stream = &self.peers[peer];
        let sent = stream
            .write_all(&(bytes.len() as u64).to_le_bytes())
            .and_then(|()| stream.write_all(bytes));
        sent.map_err(|error| self.lost(peer, &error))
    }

    fn take(&mut self, peer: usize) -> Result<Vec<u8>, Failure> {
        let mut stream = &self.peers[peer];
        let mut length = [0; 8];
        let taken = stream.read_exact(&mut length).and_then(|()| {
            let length = u64::from_le_bytes(length);
            if length > MOST_BYTES {
                return Err(io::Error::other("it sends more than a host ever does"));
            }
            let mut bytes = Vec::new();
            // Grows as bytes come, not as they are announced.
            stream.take(length).read_to_end(&mut bytes)?;
            if bytes.len() as u64 == length {
                Ok(bytes)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        });
        taken.map_err(|error| self.lost(peer, &error))
    }

    /// Gives everybody the bytes of the first host, which alone passes some.
    pub(crate) fn share(&mut self, own: Option<&[u8]>) -> Result<Vec<u8>, Failure> {
        let Some(own) = own.filter(|_| self.hosts.rank == 0) else {
            return self.take(0);
        };
        for peer in 0..self.peers.len() {
            self.send(peer, own)?;
        }
        Ok(own.to_vec())
    }

    /// Whether any host says so.
    pub(crate) fn any(&mut self, own: bool) -> Result<bool, Failure> {
        let mut votes = [f32::from(u8::from(own))];
        self.sum(&mut votes)?;
        Ok(votes[0] > 0.0)
    }
}

impl AllReduce for Meeting {
    fn sum(&mut self, values: &mut [f32]) -> Result<(), Failure> {
        if self.hosts.rank > 0 {
            self.send(0, &bytes_of(values))?;
            let sum = self.take(0)?;
            return self.put(0, values, &sum, |value, sum| *value = sum);
        }
        for peer in 0..self.peers.len() {
            let theirs = self.take(peer)?;
            self.put(peer, values, &theirs, |value, theirs| *value += theirs)?;
        }
        let sum = bytes_of(values);
        for peer in 0..self.peers.len() {
            self.send(peer, &sum)?;
        }
        Ok(())
    }
}

impl Meeting {
    fn put(
        &self,
        peer: usize,
        values: &mut [f32],
        bytes: &[u8],
        each: impl Fn(&mut f32, f32),
    ) -> Result<(), Failure> {
        let (numbers, rest) = bytes.as_chunks::<4>();
        if numbers.len() != values.len() || !rest.is_empty() {
            let error = io::Error::other("it is at another step, or of another version");
            return Err(self.lost(peer, &error));
        }
        for (value, &bytes) in values.iter_mut().zip(numbers) {
            each(value, f32::from_le_bytes(bytes));
        }
        Ok(())
    }
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn unusable(place: &str) -> Failure {
    Failure::usage(
        format!(
            "expected `host:port` in TRAINYARD_LEADER, found `{}`",
            shown(place)
        ),
        format!("use the name of the first host, such as `algo-1:{PORT}`"),
    )
}

/// Who stands before the door.
fn hello(stream: TcpStream) -> Option<(usize, TcpStream)> {
    let mut said = [0; HELLO.len() + 4];
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(HELLO_TIME)).ok()?;
    (&stream).read_exact(&mut said).ok()?;
    let rank = said.strip_prefix(HELLO)?;
    let rank = u32::from_le_bytes(rank.try_into().ok()?);
    (&stream).write_all(HELLO).ok()?;
    Some((rank as usize, stream))
}

fn knock(place: &str, rank: usize) -> io::Result<TcpStream> {
    let addresses = place.to_socket_addrs()?;
    let mut last = io::Error::other("it has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, HELLO_TIME) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(HELLO_TIME))?;
                stream.write_all(HELLO)?;
                stream.write_all(&(rank as u32).to_le_bytes())?;
                let mut answer = [0; HELLO.len()];
                stream.read_exact(&mut answer)?;
                if &answer == HELLO {
                    return Ok(stream);
                }
                last = io::Error::other("somebody else answers there");
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// So many hosts on this machine, each on a thread of its own.
    pub(crate) fn meet<T: Send>(count: usize, work: impl Fn(Meeting) -> T + Sync) -> Vec<T> {
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let hosts = |rank: usize| Hosts {
            names: (1..=count).map(|number| format!("algo-{number}")).collect(),
            rank,
            leader: Some(format!("127.0.0.1:{free}")),
            interface: Some("lo".to_owned()),
        };
        thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..count)
                .map(|rank| {
                    scope.spawn(move || {
                        let patience = Duration::from_secs(60);
                        work(
                            Meeting::of(&hosts(rank), patience, &|| false)
                                .unwrap()
                                .unwrap(),
                        )
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        })
    }

    #[test]
    fn all_hosts_have_the_same_sum() {
        let found = meet(3, |mut meeting| {
            let rank = meeting.rank_of().0;
            let mut values: Vec<f32> = (0..100_000)
                .map(|n| (n * (rank + 1)) as f32 * 0.1)
                .collect();
            meeting.sum(&mut values).unwrap();
            let voted = meeting.any(rank == 2).unwrap() && !meeting.any(false).unwrap();
            let told = meeting.share((rank == 0).then_some(b"id")).unwrap();
            (values, voted, told)
        });
        let expected = (0..100_000).map(|n| 0.6 * n as f32);
        let close = |(value, expected): (&f32, f32)| (value - expected).abs() <= 1e-5 * expected;
        assert!(found[0].0.iter().zip(expected).all(close));
        for (values, voted, told) in &found {
            assert_eq!(values, &found[0].0, "to the bit");
            assert!(*voted);
            assert_eq!(told, b"id");
        }
    }

    #[test]
    fn a_host_that_does_not_come_is_named_in_time() {
        let hosts = |rank| Hosts {
            names: vec!["algo-1".into(), "algo-2".into()],
            rank,
            leader: Some("127.0.0.1:1".to_owned()),
            interface: Some("eth0".to_owned()),
        };
        let patience = Duration::from_millis(300);
        let said = Meeting::of(&hosts(1), patience, &|| false)
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("the first host does not answer at `127.0.0.1:1`"),
            "{said}"
        );
        assert!(
            said.contains("network interface `eth0`") && said.contains("--host-timeout"),
            "{said}"
        );
        let mut first = hosts(0);
        first.leader = Some("127.0.0.1:0".to_owned());
        let said = Meeting::of(&first, patience, &|| false)
            .unwrap_err()
            .to_string();
        assert!(said.contains("the host `algo-2` did not come"), "{said}");
        first.leader = Some("algo-1".to_owned());
        let said = Meeting::of(&first, patience, &|| false)
            .unwrap_err()
            .to_string();
        assert!(said.contains("expected `host:port`"), "{said}");
        let stopped = Meeting::of(&hosts(1), Duration::from_secs(60), &|| true);
        assert!(matches!(stopped, Err(Failure::Stopped)));
    }

    #[test]
    fn hosts_out_of_step_are_noticed() {
        let found = meet(2, |mut meeting| {
            let mut values = vec![1.0; 3 + meeting.rank_of().0];
            meeting
                .sum(&mut values)
                .map_err(|failure| failure.to_string())
        });
        assert!(
            found[0]
                .as_ref()
                .unwrap_err()
                .contains("lost the host `algo-2`: it is at another step")
        );
        assert!(
            found[1]
                .as_ref()
                .unwrap_err()
                .contains("lost the host `algo-1`")
        );
    }

    /// Strangers who knock are sent away, and nobody waits for them.
    #[test]
    fn strangers_are_sent_away() {
        let (mut stranger, door) = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let stranger = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (stranger, listener.accept().unwrap().0)
        };
        stranger
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        assert!(hello(door).is_none());
    }
}

//! Process group of a run's hosts, as in `torch.distributed`: the first host listens, the others
//! connect, and sums go through the first. CPU engines reduce gradients this way; with GPUs it
//! carries only NCCL's id and small numbers.

mod rendezvous;
#[cfg(test)]
pub(crate) mod tests;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use diagnostics::{Error, sanitize};
use training::Hosts;

use crate::engine::AllReduce;

/// Port of the first host, unless `TRAINYARD_LEADER` gives another address.
const PORT: u16 = 29_400;
/// Time between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Limit on a message: the weights of a model with 10 billion parameters.
const MAX_MESSAGE_BYTES: u64 = 40_000_000_000;

/// The connected hosts of a run.
#[derive(Debug)]
pub(crate) struct ProcessGroup {
    hosts: Hosts,
    /// On the first host all others, in order of rank; elsewhere the first host.
    peers: Vec<TcpStream>,
    timeout: Duration,
}

impl ProcessGroup {
    /// Connects all hosts. `timeout` limits this and every later wait. Returns `None` for a single
    /// host. `stopped` cancels the wait.
    pub(crate) fn init(
        hosts: &Hosts,
        timeout: Duration,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, Error> {
        let count = hosts.names.len();
        if count < 2 {
            return Ok(None);
        }
        let address = match (&hosts.leader, hosts.names.first()) {
            (Some(address), _) => address.clone(),
            (None, Some(name)) => format!("{name}:{PORT}"),
            (None, None) => return Ok(None),
        };
        let end = Instant::now() + timeout;
        let mut group = Self {
            hosts: hosts.clone(),
            peers: Vec::new(),
            timeout,
        };
        group.peers = if hosts.rank == 0 {
            group.accept_all(&address, end, stopped)?
        } else {
            vec![group.join(&address, end, stopped)?]
        };
        for peer in &group.peers {
            let set = peer
                .set_nodelay(true)
                .and_then(|()| peer.set_read_timeout(Some(timeout)))
                .and_then(|()| peer.set_write_timeout(Some(timeout)));
            set.map_err(|error| group.peer_error(0, &error))?;
        }
        Ok(Some(group))
    }

    /// Returns this host's rank and the number of hosts.
    pub(crate) fn rank_and_size(&self) -> (usize, usize) {
        (self.hosts.rank, self.hosts.names.len())
    }

    /// Sleeps until the next poll.
    ///
    /// # Errors
    ///
    /// If the run was stopped or the time is over.
    fn wait(
        &self,
        end: Instant,
        stopped: &dyn Fn() -> bool,
        what: impl Fn() -> String,
    ) -> Result<(), Error> {
        if stopped() {
            return Err(Error::stopped());
        }
        if Instant::now() < end {
            thread::sleep(POLL_INTERVAL);
            return Ok(());
        }
        let interface = self.hosts.interface.as_ref();
        let interface = interface.map_or(String::new(), |name| {
            format!(", network interface `{}`", sanitize(name))
        });
        Err(Error::new(format!(
                "{} (waited `{} s`{interface})",
                what(),
                self.timeout.as_secs()
            )).help("check that all hosts of the job run and can reach each other, or increase --host-timeout"))
    }

    /// Returns the error for a lost connection. `peer` is an index of `peers`.
    fn peer_error(&self, peer: usize, error: &io::Error) -> Error {
        let number = if self.hosts.rank == 0 { peer + 1 } else { 0 };
        let name = self.hosts.names.get(number).map_or("?", String::as_str);
        Error::new(format!("lost the host `{}`: {error}", sanitize(name))).help(
            "see its log; with --checkpoint-dir a restarted job resumes from its last checkpoint",
        )
    }

    fn send(&mut self, peer: usize, bytes: &[u8]) -> Result<(), Error> {
        let mut stream = &self.peers[peer];
        let sent = stream
            .write_all(&(bytes.len() as u64).to_le_bytes())
            .and_then(|()| stream.write_all(bytes));
        sent.map_err(|error| self.peer_error(peer, &error))
    }

    fn receive(&mut self, peer: usize) -> Result<Vec<u8>, Error> {
        let mut stream = &self.peers[peer];
        let mut length = [0; 8];
        let taken = stream.read_exact(&mut length).and_then(|()| {
            let length = u64::from_le_bytes(length);
            if length > MAX_MESSAGE_BYTES {
                return Err(io::Error::other("its message is too long"));
            }
            let mut bytes = Vec::new();
            // Grows with the data received, not with the announced length.
            stream.take(length).read_to_end(&mut bytes)?;
            if bytes.len() as u64 == length {
                Ok(bytes)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        });
        taken.map_err(|error| self.peer_error(peer, &error))
    }

    /// Broadcasts the bytes of the first host, which passes `Some`.
    pub(crate) fn broadcast(&mut self, own: Option<&[u8]>) -> Result<Vec<u8>, Error> {
        let Some(own) = own.filter(|_| self.hosts.rank == 0) else {
            return self.receive(0);
        };
        for peer in 0..self.peers.len() {
            self.send(peer, own)?;
        }
        Ok(own.to_vec())
    }

    /// Broadcasts the numbers of the first host.
    pub(crate) fn broadcast_f64<const N: usize>(
        &mut self,
        own: [f64; N],
    ) -> Result<[f64; N], Error> {
        let bytes = own.map(f64::to_le_bytes).concat();
        let bytes = self.broadcast(Some(&bytes))?;
        let (numbers, rest) = bytes.as_chunks::<8>();
        let found = <[[u8; 8]; N]>::try_from(numbers).ok();
        match found.filter(|_| rest.is_empty()) {
            Some(numbers) => Ok(numbers.map(f64::from_le_bytes)),
            None => Err(self.peer_error(0, &out_of_step())),
        }
    }

    /// True on all hosts if any host passes true.
    pub(crate) fn any_rank(&mut self, own: bool) -> Result<bool, Error> {
        let mut votes = [f32::from(u8::from(own))];
        self.sum(&mut votes)?;
        Ok(votes[0] > 0.0)
    }
}

impl AllReduce for ProcessGroup {
    fn sum(&mut self, values: &mut [f32]) -> Result<(), Error> {
        if self.hosts.rank > 0 {
            self.send(0, &bytes_of(values))?;
            let sum = self.receive(0)?;
            return self.combine(0, values, &sum, |value, sum| *value = sum);
        }
        for peer in 0..self.peers.len() {
            let theirs = self.receive(peer)?;
            self.combine(peer, values, &theirs, |value, theirs| *value += theirs)?;
        }
        let sum = bytes_of(values);
        for peer in 0..self.peers.len() {
            self.send(peer, &sum)?;
        }
        Ok(())
    }
}

impl ProcessGroup {
    fn combine(
        &self,
        peer: usize,
        values: &mut [f32],
        bytes: &[u8],
        each: impl Fn(&mut f32, f32),
    ) -> Result<(), Error> {
        let (numbers, rest) = bytes.as_chunks::<4>();
        if numbers.len() != values.len() || !rest.is_empty() {
            return Err(self.peer_error(peer, &out_of_step()));
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

fn out_of_step() -> io::Error {
    io::Error::other("it is at another step, or of another version")
}

fn invalid_address(address: &str) -> Error {
    Error::usage(format!(
        "expected `host:port` in TRAINYARD_LEADER, found `{}`",
        sanitize(address)
    ))
    .help(format!(
        "use the name of the first host, such as `algo-1:{PORT}`"
    ))
}

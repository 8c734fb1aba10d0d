//! Process group of a run's hosts, as in `torch.distributed`: the first host listens, the others
//! connect, and sums go through the first. CPU engines reduce gradients this way; with GPUs it
//! carries only NCCL's id and small numbers.
//!
//! Hosts prove that they have the job's key when they connect. After that nothing is encrypted or
//! authenticated, so the network between the hosts must be private.

mod rendezvous;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diagnostics::{Error, sanitize};
use serde_json::json;
use training::Hosts;

use crate::engine::AllReduce;

/// Port of the first host, unless `TRAINYARD_LEADER` gives another address.
const PORT: u16 = 29_400;
/// Time between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Maximum length of a state or of arguments, as JSON.
pub(crate) const MAX_STATE_BYTES: usize = 1 << 20;
/// Time that the other hosts have to finish a message after a stop signal: SageMaker kills after
/// 120 s.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// Errors of a socket without bytes for a poll interval.
const WAITS: [io::ErrorKind; 3] = [
    io::ErrorKind::WouldBlock,
    io::ErrorKind::TimedOut,
    io::ErrorKind::Interrupted,
];

/// The end of the time for an operation of all hosts.
struct Deadline {
    end: Instant,
    /// Set once a stop signal is seen.
    stop_end: Option<Instant>,
}

enum DeadlineState {
    Waiting,
    Stopped,
    Over,
}

impl Deadline {
    fn after(timeout: Duration) -> Self {
        Self {
            end: Instant::now() + timeout,
            stop_end: None,
        }
    }

    fn check(&mut self, stopped: bool) -> DeadlineState {
        let now = Instant::now();
        if stopped && now >= *self.stop_end.get_or_insert(now + STOP_GRACE) {
            DeadlineState::Stopped
        } else if now >= self.end {
            DeadlineState::Over
        } else {
            DeadlineState::Waiting
        }
    }
}

/// The connected hosts of a run.
#[derive(Debug)]
pub(crate) struct ProcessGroup {
    hosts: Hosts,
    /// On the first host all others, in order of rank; elsewhere the first host.
    peers: Vec<TcpStream>,
    timeout: Duration,
    /// Set by a stop signal.
    stop: Arc<AtomicBool>,
}

impl ProcessGroup {
    /// Connects all hosts and compares their arguments. `timeout` limits this and every later
    /// operation. Returns `None` for a single host. `stop` ends the wait at once, and later
    /// operations soon.
    pub(crate) fn init(
        hosts: &Hosts,
        timeout: Duration,
        stop: Arc<AtomicBool>,
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
            stop,
        };
        group.peers = if hosts.rank == 0 {
            group.accept_all(&address, end)?
        } else {
            vec![group.join(&address, end)?]
        };
        for peer in &group.peers {
            let set = peer
                .set_nodelay(true)
                .and_then(|()| peer.set_read_timeout(Some(POLL_INTERVAL)))
                .and_then(|()| peer.set_write_timeout(Some(POLL_INTERVAL)));
            set.map_err(|error| group.peer_error(0, &error))?;
        }
        group.check_arguments()?;
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
    fn wait(&self, end: Instant, what: impl Fn() -> String) -> Result<(), Error> {
        if self.stop.load(Ordering::Relaxed) {
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

    /// Moves `length` bytes by calls of `transfer`, which gets the number of bytes so far and
    /// returns how many it has moved.
    fn transfer(
        &self,
        peer: usize,
        length: usize,
        end: &mut Deadline,
        mut transfer: impl FnMut(usize) -> io::Result<usize>,
    ) -> Result<(), Error> {
        // After a stop signal hosts end at different times.
        let failed = |error: io::Error| match self.stop.load(Ordering::Relaxed) {
            true => Error::stopped(),
            false => self.peer_error(peer, &error),
        };
        let mut done = 0;
        while done < length {
            match transfer(done) {
                Ok(0) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => done += count,
                // No bytes for a poll interval.
                Err(error) if WAITS.contains(&error.kind()) => {}
                Err(error) => return Err(failed(error)),
            }
            if done < length {
                match end.check(self.stop.load(Ordering::Relaxed)) {
                    DeadlineState::Waiting => {}
                    DeadlineState::Stopped => return Err(Error::stopped()),
                    DeadlineState::Over => {
                        let seconds = self.timeout.as_secs();
                        let late = format!("no complete message in {seconds} s (--host-timeout)");
                        return Err(failed(io::Error::new(io::ErrorKind::TimedOut, late)));
                    }
                }
            }
        }
        Ok(())
    }

    fn send(&self, peer: usize, bytes: &[u8], end: &mut Deadline) -> Result<(), Error> {
        let mut stream = &self.peers[peer];
        for bytes in [&(bytes.len() as u64).to_le_bytes()[..], bytes] {
            self.transfer(peer, bytes.len(), end, |done| stream.write(&bytes[done..]))?;
        }
        Ok(())
    }

    /// Receives a message whose length is in `lengths`: others are refused before they take memory.
    fn receive(
        &self,
        peer: usize,
        lengths: RangeInclusive<usize>,
        end: &mut Deadline,
    ) -> Result<Vec<u8>, Error> {
        let mut stream = &self.peers[peer];
        let mut header = [0; 8];
        self.transfer(peer, 8, end, |done| stream.read(&mut header[done..]))?;
        let length = usize::try_from(u64::from_le_bytes(header)).ok();
        let Some(length) = length.filter(|length| lengths.contains(length)) else {
            return Err(self.peer_error(peer, &out_of_step()));
        };
        let mut bytes = vec![0; length];
        self.transfer(peer, length, end, |done| stream.read(&mut bytes[done..]))?;
        Ok(bytes)
    }

    /// Broadcasts the bytes of the first host, which passes `Some`; at most `max` bytes.
    pub(crate) fn broadcast(&mut self, own: Option<&[u8]>, max: usize) -> Result<Vec<u8>, Error> {
        let mut end = Deadline::after(self.timeout);
        let Some(own) = own.filter(|_| self.hosts.rank == 0) else {
            return self.receive(0, 0..=max, &mut end);
        };
        for peer in 0..self.peers.len() {
            self.send(peer, own, &mut end)?;
        }
        Ok(own.to_vec())
    }

    /// Refuses hosts with other arguments than the first: they would train together to a model of
    /// neither.
    fn check_arguments(&mut self) -> Result<(), Error> {
        let own = json!(self.hosts.arguments).to_string();
        let shared = self.broadcast(Some(own.as_bytes()), MAX_STATE_BYTES)?;
        let first: BTreeMap<String, String> =
            serde_json::from_slice(&shared).map_err(|_| self.peer_error(0, &out_of_step()))?;
        let own = &self.hosts.arguments;
        let mut names = first.keys().chain(own.keys());
        let different = names
            .find(|&name| first.get(name) != own.get(name))
            .cloned();
        if !self.any_rank(different.is_some())? {
            return Ok(());
        }
        let text = |value: Option<&String>| match value {
            Some(value) => format!("`{}`", sanitize(value)),
            None => "nothing".to_owned(),
        };
        let found = different.map_or("others on another host (see its log)".to_owned(), |name| {
            let (there, here) = (
                text(first.get(&name)),
                text(self.hosts.arguments.get(&name)),
            );
            format!(
                "{here} for `{}` and {there} on the first host",
                sanitize(&name)
            )
        });
        Err(Error::new(format!(
            "expected the same arguments on all hosts, found {found}"
        ))
        .help("give all hosts the same hyperparameters, version and pretrained model"))
    }

    /// Broadcasts the numbers of the first host.
    pub(crate) fn broadcast_f64<const N: usize>(
        &mut self,
        own: [f64; N],
    ) -> Result<[f64; N], Error> {
        let bytes = own.map(f64::to_le_bytes).concat();
        let bytes = self.broadcast(Some(&bytes), bytes.len())?;
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
        let mut end = Deadline::after(self.timeout);
        let length = size_of_val(values);
        if self.hosts.rank > 0 {
            self.send(0, &bytes_of(values), &mut end)?;
            let sum = self.receive(0, length..=length, &mut end)?;
            return self.combine(0, values, &sum, |value, sum| *value = sum);
        }
        for peer in 0..self.peers.len() {
            let theirs = self.receive(peer, length..=length, &mut end)?;
            self.combine(peer, values, &theirs, |value, theirs| *value += theirs)?;
        }
        let sum = bytes_of(values);
        for peer in 0..self.peers.len() {
            self.send(peer, &sum, &mut end)?;
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

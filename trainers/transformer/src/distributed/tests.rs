//! Tests with hosts as threads of this process.

use diagnostics::ErrorKind;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::*;

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

fn host(rank: usize, count: usize, port: u16) -> Hosts {
    Hosts {
        names: (1..=count).map(|number| format!("algo-{number}")).collect(),
        rank,
        leader: Some(format!("127.0.0.1:{port}")),
        interface: Some("lo".to_owned()),
        ..Hosts::default()
    }
}

/// Runs a function on hosts that are threads of this process.
pub(crate) fn run_hosts<T: Send>(count: usize, work: impl Fn(ProcessGroup) -> T + Sync) -> Vec<T> {
    let free = free_port();
    let hosts = |rank| host(rank, count, free);
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count)
            .map(|rank| {
                scope.spawn(move || {
                    let timeout = Duration::from_secs(60);
                    work(
                        ProcessGroup::init(&hosts(rank), timeout, Arc::default())
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
fn all_hosts_get_same_sum() {
    let found = run_hosts(3, |mut group| {
        let rank = group.rank_and_size().0;
        let mut values: Vec<f32> = (0..100_000)
            .map(|n| (n * (rank + 1)) as f32 * 0.1)
            .collect();
        group.sum(&mut values).unwrap();
        let voted = group.any_rank(rank == 2).unwrap() && !group.any_rank(false).unwrap();
        let id = group.broadcast((rank == 0).then_some(b"id"), 2).unwrap();
        (values, voted, id)
    });
    let expected = (0..100_000).map(|n| 0.6 * n as f32);
    let close = |(value, expected): (&f32, f32)| (value - expected).abs() <= 1e-5 * expected;
    assert!(found[0].0.iter().zip(expected).all(close));
    for (values, voted, id) in &found {
        assert_eq!(values, &found[0].0, "to the bit");
        assert!(*voted);
        assert_eq!(id, b"id");
    }
}

#[test]
fn missing_host_is_named_after_timeout() {
    let hosts = |rank| Hosts {
        names: vec!["algo-1".into(), "algo-2".into()],
        rank,
        leader: Some("127.0.0.1:1".to_owned()),
        interface: Some("eth0".to_owned()),
        ..Hosts::default()
    };
    let timeout = Duration::from_millis(300);
    let message = ProcessGroup::init(&hosts(1), timeout, Arc::default())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("the first host does not answer at `127.0.0.1:1`"),
        "{message}"
    );
    assert!(
        message.contains("network interface `eth0`") && message.contains("--host-timeout"),
        "{message}"
    );
    let mut first = hosts(0);
    first.leader = Some("127.0.0.1:0".to_owned());
    let message = ProcessGroup::init(&first, timeout, Arc::default())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("the host `algo-2` did not connect"),
        "{message}"
    );
    first.leader = Some("algo-1".to_owned());
    let message = ProcessGroup::init(&first, timeout, Arc::default())
        .unwrap_err()
        .to_string();
    assert!(message.contains("expected `host:port`"), "{message}");
    let stopped = ProcessGroup::init(&hosts(1), Duration::from_secs(60), Arc::new(true.into()));
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Stopped);
}

#[test]
fn hosts_out_of_step_are_errors() {
    let found = run_hosts(2, |mut group| {
        let mut values = vec![1.0; 3 + group.rank_and_size().0];
        group.sum(&mut values).map_err(|error| error.to_string())
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

#[test]
fn broadcast_sends_numbers_of_first_host() {
    let found = run_hosts(3, |mut group| {
        let rank = group.rank_and_size().0 as f64;
        group
            .broadcast_f64([rank + 0.1, f64::MIN_POSITIVE])
            .unwrap()
    });
    assert_eq!(found, [[0.1, f64::MIN_POSITIVE]; 3]);
}

/// Connects and sends bytes, once the port is open.
fn connect(port: u16, bytes: &[u8]) -> TcpStream {
    loop {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.write_all(bytes).unwrap();
            return stream;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Silent peers, other protocols and abandoned connections neither block nor take a slot.
#[test]
fn other_peers_do_not_block_hosts() {
    let port = free_port();
    let timeout = Duration::from_secs(60);
    let hello = |rank: u32| [&rendezvous::HELLO[..], &rank.to_le_bytes(), &[b'0'; 32]].concat();
    let start = Instant::now();
    thread::scope(|scope| {
        let first = scope.spawn(move || {
            let mut group = ProcessGroup::init(&host(0, 2, port), timeout, Arc::default())
                .unwrap()
                .unwrap();
            group.any_rank(false).unwrap()
        });
        let silent: Vec<_> = (0..30).map(|_| connect(port, b"")).collect();
        let other = connect(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let beyond = connect(port, &hello(2));
        // As a host that has timed out and connects again.
        let waits = connect(port, &hello(1));
        drop(connect(port, &hello(1)));
        thread::sleep(Duration::from_millis(200));
        let mut second = ProcessGroup::init(&host(1, 2, port), timeout, Arc::default())
            .unwrap()
            .unwrap();
        assert!(second.any_rank(true).unwrap());
        assert!(first.join().unwrap());
        drop((silent, other, beyond, waits));
    });
    assert!(start.elapsed() < Duration::from_secs(4), "held up");
}

/// A slot is taken once, unless its connection is closed.
#[test]
fn taken_slot_is_refused() {
    let port = free_port();
    thread::scope(|scope| {
        let timeout = Duration::from_secs(60);
        let join =
            |rank, timeout| ProcessGroup::init(&host(rank, 3, port), timeout, Arc::default());
        let first = scope.spawn(move || join(0, timeout).unwrap().unwrap().any_rank(false));
        let second = scope.spawn(move || join(1, timeout).unwrap().unwrap().any_rank(false));
        // Until the second host has its slot, on a loaded machine too; it waits for the third.
        thread::sleep(Duration::from_secs(2));
        let again = join(1, Duration::from_millis(300)).unwrap_err();
        let message = again.to_string();
        assert!(
            message.contains("the first host does not answer"),
            "{message}"
        );
        let third = scope.spawn(move || join(2, timeout).unwrap().unwrap().any_rank(true));
        for host in [first, second, third] {
            assert!(host.join().unwrap().unwrap());
        }
    });
}

mod attacks {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(2);

    /// Returns the error of the first of two hosts, whose peer has the key and then does `evil`,
    /// and the seconds that it took.
    fn first_host_with(
        stop: Arc<AtomicBool>,
        timeout: Duration,
        evil: impl FnOnce(TcpStream) + Send,
    ) -> (Error, f64) {
        let port = free_port();
        let start = Instant::now();
        let error = thread::scope(|scope| {
            let first = scope.spawn(move || ProcessGroup::init(&host(0, 2, port), timeout, stop));
            let peer = loop {
                let address = format!("127.0.0.1:{port}");
                match rendezvous::connect(&address, 1, &[0; 32]) {
                    Ok(stream) => break stream,
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            };
            evil(peer);
            first.join().unwrap().unwrap_err()
        });
        (error, start.elapsed().as_secs_f64())
    }

    /// ATTACK F6: a stranger without the job's key gets no slot, and no vote.
    #[test]
    fn host_of_another_job_gets_no_slot() {
        let port = free_port();
        let with_key = |rank, key| Hosts {
            key: [key; 32],
            ..host(rank, 2, port)
        };
        thread::scope(|scope| {
            let join = |hosts: Hosts, timeout| {
                scope.spawn(move || ProcessGroup::init(&hosts, timeout, Arc::default()))
            };
            let first = join(with_key(0, 1), 5 * TIMEOUT);
            let stranger = join(with_key(1, 2), TIMEOUT).join().unwrap();
            let message = stranger.unwrap_err().to_string();
            assert!(message.contains("a host of another job"), "{message}");
            // The slot is free for the right one.
            let second = join(with_key(1, 1), 5 * TIMEOUT);
            assert!(first.join().unwrap().is_ok() && second.join().unwrap().is_ok());
        });
    }

    /// ATTACK F6: hosts with another seed, rate, dropout or other weights do not train together.
    #[test]
    fn other_arguments_are_refused() {
        let port = free_port();
        let found: Vec<String> = thread::scope(|scope| {
            let start = |rank: usize| {
                let value = ["1", "2"][rank].to_owned();
                let hosts = Hosts {
                    arguments: BTreeMap::from([("--seed".to_owned(), value)]),
                    ..host(rank, 2, port)
                };
                scope.spawn(move || ProcessGroup::init(&hosts, 5 * TIMEOUT, Arc::default()))
            };
            let hosts = [start(0), start(1)];
            hosts
                .map(|host| host.join().unwrap().unwrap_err().to_string())
                .into()
        });
        assert!(
            found[0].contains("found others on another host"),
            "{}",
            found[0]
        );
        let expected = "found `2` for `--seed` and `1` on the first host";
        assert!(found[1].contains(expected), "{}", found[1]);
    }

    /// ATTACK F6: 39 GB are announced: refused before memory is taken.
    #[test]
    fn length_of_a_message_is_known_before() {
        let (error, seconds) = first_host_with(Arc::default(), 30 * TIMEOUT, |mut peer| {
            peer.write_all(&39_000_000_000_u64.to_le_bytes()).unwrap();
            thread::sleep(Duration::from_secs(1));
        });
        assert!(
            error.to_string().contains("it is at another step"),
            "{error}"
        );
        assert!(seconds < 20.0, "{seconds}");
    }

    /// ATTACK F6: single bytes do not prolong the time of a message.
    #[test]
    fn dripped_message_ends_in_time() {
        let (error, seconds) = first_host_with(Arc::default(), TIMEOUT, |mut peer| {
            while peer.write_all(&[0]).is_ok() {
                thread::sleep(TIMEOUT / 4);
            }
        });
        assert!(
            error.to_string().contains("no complete message in 2 s"),
            "{error}"
        );
        assert!(seconds < 10.0, "{seconds}");
    }

    /// ATTACK F6: a stop signal ends the wait for a silent host.
    #[test]
    fn stop_does_not_wait_for_silent_hosts() {
        let stop = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&stop);
        let (error, seconds) = first_host_with(watched, 60 * TIMEOUT, |peer| {
            stop.store(true, Ordering::Relaxed);
            thread::sleep(STOP_GRACE + TIMEOUT);
            drop(peer);
        });
        assert_eq!(error.kind(), ErrorKind::Stopped);
        assert!(seconds < 20.0, "{seconds}");
    }

    /// ATTACK F6: the first host listens on its address only.
    #[test]
    fn other_interfaces_are_closed() {
        let port = free_port();
        thread::scope(|scope| {
            let first = host(0, 2, port);
            scope.spawn(move || ProcessGroup::init(&first, TIMEOUT, Arc::default()).unwrap_err());
            drop(connect(port, b""));
            // Another address of the loopback interface.
            assert!(TcpStream::connect(("127.0.0.2", port)).is_err());
        });
    }
}

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
                        ProcessGroup::init(&hosts(rank), timeout, &|| false)
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
        let id = group.broadcast((rank == 0).then_some(b"id")).unwrap();
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
    };
    let timeout = Duration::from_millis(300);
    let message = ProcessGroup::init(&hosts(1), timeout, &|| false)
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
    let message = ProcessGroup::init(&first, timeout, &|| false)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("the host `algo-2` did not connect"),
        "{message}"
    );
    first.leader = Some("algo-1".to_owned());
    let message = ProcessGroup::init(&first, timeout, &|| false)
        .unwrap_err()
        .to_string();
    assert!(message.contains("expected `host:port`"), "{message}");
    let stopped = ProcessGroup::init(&hosts(1), Duration::from_secs(60), &|| true);
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
    let hello = |rank: u32| [&rendezvous::HELLO[..], &rank.to_le_bytes()].concat();
    let start = Instant::now();
    thread::scope(|scope| {
        let first = scope.spawn(move || {
            let mut group = ProcessGroup::init(&host(0, 2, port), timeout, &|| false)
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
        let mut second = ProcessGroup::init(&host(1, 2, port), timeout, &|| false)
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
        let join = |rank, timeout| ProcessGroup::init(&host(rank, 3, port), timeout, &|| false);
        let first = scope.spawn(move || join(0, timeout).unwrap().unwrap().any_rank(false));
        let mut second = join(1, timeout).unwrap().unwrap();
        // The second host is connected before the first has filled its slot.
        thread::sleep(Duration::from_millis(300));
        let again = join(1, Duration::from_millis(300)).unwrap_err();
        let message = again.to_string();
        assert!(
            message.contains("the first host does not answer"),
            "{message}"
        );
        let third = scope.spawn(move || join(2, timeout).unwrap().unwrap().any_rank(true));
        assert!(second.any_rank(false).unwrap());
        assert!(first.join().unwrap().unwrap() && third.join().unwrap().unwrap());
    });
}

//! Processes with a time limit, which end together with their children.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Time limit, long enough for a loaded machine: only a hang exceeds it.
const RUN_TIMEOUT: Duration = Duration::from_secs(180);

/// The result of a process.
#[derive(Debug)]
pub struct Outcome {
    /// Exit status.
    pub status: ExitStatus,
    /// Its standard output; invalid UTF-8 is replaced.
    pub stdout: String,
    /// Its standard error; invalid UTF-8 is replaced.
    pub stderr: String,
    /// Wall time from start to end.
    pub seconds: f64,
}

impl Outcome {
    /// The exit code; `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Both streams.
    pub fn output(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// Panics with both streams unless the exit code is `code`.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert!(
            self.code() == Some(code),
            "expected exit code {code}, found {}\n--- stdout\n{}\n--- stderr\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Parses standard output as one JSON object.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value @ serde_json::Value::Object(_)) => value,
            other => panic!(
                "expected one JSON object on stdout, found {other:?}\n--- stdout\n{}",
                self.stdout
            ),
        }
    }
}

/// A running process.
pub struct Running {
    child: Child,
    streams: [Option<JoinHandle<Vec<u8>>>; 2],
    started: Instant,
}

/// Starts a process in a new process group, without standard input.
///
/// # Panics
/// If it cannot be started.
pub fn start(mut command: Command) -> Running {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let started = Instant::now();
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {:?}: {error}", command.get_program()));
    let streams = [
        child.stdout.take().map(reader),
        child.stderr.take().map(reader),
    ];
    Running {
        child,
        streams,
        started,
    }
}

/// A full pipe would block the process, so each stream has a thread that reads it.
fn reader(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A broken stream is treated as closed: the output so far is still useful.
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

impl Running {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn sigint(&self) {
        signal(self.pid(), Signal::INT);
    }

    /// Sends SIGTERM to the process itself, as a container engine does.
    pub fn sigterm(&self) {
        signal(self.pid(), Signal::TERM);
    }

    /// Sends SIGKILL to the process, as a container engine does after its timeout.
    pub fn sigkill(&self) {
        signal(self.pid(), Signal::KILL);
    }

    /// The child of this process; `unshare --fork` has exactly one.
    pub fn only_child(&self) -> Option<u32> {
        std::fs::read_dir("/proc").ok()?.find_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // `pid (name) state parent ...`; the name may contain anything, so search after the
            // bracket.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
            (parent.parse() == Ok(self.pid())).then_some(pid)
        })
    }

    /// Waits until the process `pid` catches SIGTERM; false if it ended first.
    ///
    /// # Panics
    /// If it has no handler after some seconds.
    pub fn wait_for_handler(&mut self, pid: u32) -> bool {
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            if catches_sigterm(pid) {
                return true;
            }
            if self.ended() {
                return false;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        panic!("the process does not catch SIGTERM, 10 s after its start");
    }

    /// Sends SIGTERM to the child of this process, an `unshare`, soon after the child has installed
    /// a handler.
    ///
    /// # Panics
    /// If there is no child, or it ends before.
    pub fn sigterm_to_process_1(&mut self) {
        let until = Instant::now() + Duration::from_secs(20);
        // It starts as a copy of `unshare`.
        let pid = loop {
            assert!(
                Instant::now() < until && !self.ended(),
                "process 1 does not start"
            );
            match self.only_child() {
                Some(pid) => break pid,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        assert!(self.wait_for_handler(pid), "ended before SIGTERM");
        std::thread::sleep(Duration::from_millis(200));
        signal(pid, Signal::TERM);
    }

    /// True if it has ended.
    pub fn ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits until it ends, at most this long; true if it ended.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.ended() {
            std::thread::sleep(Duration::from_micros(200));
        }
        self.ended()
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// If it does not end within `limit`; the process group is killed then.
    #[track_caller]
    pub fn finish(mut self, limit: Duration) -> Outcome {
        let until = Instant::now() + limit;
        while !self.ended() {
            if Instant::now() > until {
                self.kill_group();
                let outcome = self.collect();
                panic!(
                    "not done after {limit:?}, killed\n--- stdout\n{}\n--- stderr\n{}",
                    outcome.stdout, outcome.stderr
                );
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.collect()
    }

    fn collect(&mut self) -> Outcome {
        let status = self.child.wait().expect("a child can be waited for");
        let seconds = self.started.elapsed().as_secs_f64();
        // Grandchildren may hold the streams open.
        self.kill_group();
        let [stdout, stderr] = self.streams.each_mut().map(|stream| {
            let bytes = stream
                .take()
                .and_then(|thread| thread.join().ok())
                .unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Outcome {
            status,
            stdout,
            stderr,
            seconds,
        }
    }

    fn kill_group(&self) {
        if let Some(group) = Pid::from_raw(self.pid().cast_signed()) {
            // Usually it has ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_group();
        // Reap it; `wait` after a wait gives the same status again.
        let _ = self.child.wait();
    }
}

/// Sends a signal; a process that has ended is not an error.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        let _ = kill_process(pid, signal);
    }
}

/// True if the process has a handler for SIGTERM, according to the kernel.
fn catches_sigterm(pid: u32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
        return false;
    };
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        // Bit n - 1 is signal n; SIGTERM is 15.
        .is_some_and(|mask| mask >> 14 & 1 == 1)
}

/// Runs a process to its end, with a generous limit.
///
/// # Panics
/// If it cannot be started or hangs.
#[track_caller]
pub fn run(command: Command) -> Outcome {
    run_within(command, RUN_TIMEOUT)
}

/// Runs a process that has to end within `limit`.
///
/// # Panics
/// If it cannot be started, or does not end in time.
#[track_caller]
pub fn run_within(command: Command, limit: Duration) -> Outcome {
    start(command).finish(limit)
}

//! A private registry: `docker-registry` on a free port with passwords; it ends with the test.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The user with all permissions.
pub const REGISTRY_USER: &str = "canary-user";
/// Its password; it must appear only in requests.
pub const REGISTRY_PASSWORD: &str = "canary-registry-password-0001";

/// The user above, and the user of moto's ECR (`AWS`, `123456789012-auth-token`). bcrypt at its
/// lowest cost, made with Python's `crypt.crypt(password, "$2b$04$abcdefghijklmnopqrstuu")`.
const HTPASSWD: &str = "\
canary-user:$2b$04$abcdefghijklmnopqrstuuy7H3CG7ObpIqaSKQNZB9TaoLLIj5yWy
AWS:$2b$04$abcdefghijklmnopqrstuu/cMn6kFoLFEf9ShbIPSVtJoiKQtizZG
";

/// A running registry.
pub struct Registry {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
}

/// Starts a registry and waits until it answers.
///
/// # Panics
/// If `docker-registry` is not installed or does not start.
pub fn registry() -> Registry {
    let folder = TempDir::new().expect("a temporary folder can be created");
    std::fs::write(folder.path().join("htpasswd"), HTPASSWD).expect("it can be written");
    let mut registry = Registry {
        child: None,
        port: free_port(),
        folder,
    };
    // Another process may take the port before the start.
    for _ in 0..5 {
        if registry.start() {
            return registry;
        }
        registry.port = free_port();
    }
    panic!(
        "docker-registry did not start, its log:\n{}",
        registry.log()
    );
}

/// Returns a free port.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

impl Registry {
    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its folder, with passwords only as hashes.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its log, one line per request.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Number of uploaded blobs without manifests.
    pub fn uploads(&self) -> usize {
        let log = self.log();
        let lines = log.lines().filter(|line| line.contains("\"PUT /v2/"));
        lines
            .filter(|line| line.contains("/blobs/uploads/") && line.contains("\" 201 "))
            .count()
    }

    /// Kills it; its data stays.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Its process id, for a thread that kills it.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it again after [`Registry::kill`], at the same address with the same store.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.kill();
        assert!(
            self.start(),
            "docker-registry did not start again:\n{}",
            self.log()
        );
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// False if it ended at once.
    fn start(&mut self) -> bool {
        let folder = self.folder.path().display().to_string();
        let config = self.folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\n\
             storage:\n  filesystem:\n    rootdirectory: {folder}/store\n  delete:\n    enabled: true\n\
             http:\n  addr: {}\n  secret: not-a-secret\n\
             auth:\n  htpasswd:\n    realm: test\n    path: {folder}/htpasswd\n",
            self.address()
        );
        std::fs::write(&config, text).expect("it can be written");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("it can be written");
        let errors = log.try_clone().expect("a file can be shared");
        // It ends with the process of the test.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "docker-registry", "serve"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .expect("`setpriv` starts");
        self.child = Some(child);
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            if self.answers() {
                return true;
            }
            let ended = self
                .child
                .as_mut()
                .is_none_or(|child| child.try_wait().is_ok_and(|status| status.is_some()));
            if ended {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
        false
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address()) else {
            return false;
        };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let mut answer = String::new();
        stream
            .write_all(b"GET /v2/ HTTP/1.0\r\n\r\n")
            .and_then(|()| stream.read_to_string(&mut answer))
            .is_ok_and(|_| answer.contains(" 401 "))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.kill();
    }
}

//! Servers over TLS, in Python.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::run;

/// Creates `ca.pem`, and `cert.pem` with `key.pem` for 127.0.0.1, signed by it.
///
/// # Panics
/// If `openssl` fails.
pub fn certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command
            .args(arguments.split_whitespace())
            .current_dir(folder);
        run(command).expect_code(0);
    };
    std::fs::write(folder.join("san"), "subjectAltName=IP:127.0.0.1").expect("written");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!(
        "req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"
    ));
    openssl(&format!(
        "req {key} -subj /CN=leaf -keyout key.pem -out leaf.csr"
    ));
    openssl(
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out cert.pem",
    );
}

/// A server, which ends on drop.
pub struct PythonServer {
    server: Child,
    /// Address, such as `127.0.0.1:8000`.
    pub address: String,
}

impl PythonServer {
    /// Starts a script in `folder`, which prints its port when it listens on 127.0.0.1.
    ///
    /// # Panics
    /// If `TRAINYARD_AWS_PYTHON` is not set, or the script does not start.
    #[must_use]
    pub fn start(script: &str, folder: &Path) -> Self {
        let python = std::env::var_os("TRAINYARD_AWS_PYTHON").expect("a Python");
        let mut server = Command::new(python)
            .args(["-c", script])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut port = String::new();
        BufReader::new(server.stdout.take().expect("a pipe"))
            .read_line(&mut port)
            .expect("a port");
        Self {
            server,
            address: format!("127.0.0.1:{}", port.trim()),
        }
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

//! The Docker engine: public reports.

use testkit::{PythonServer, certificates};

use super::*;

/// An engine that requires a client certificate; prints its port.
const ENGINE: &str = r#"
import http.server, json, ssl
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answers = {"_ping": "OK", "version": json.dumps({"Version": "28.0.0", "ApiVersion": "1.47", "MinAPIVersion": "1.24"}), "info": json.dumps({"OSType": "linux", "Architecture": "x86_64"})}
        body = answers.get(self.path.split("/")[-1].split("?")[0], "[]").encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_HEAD = do_GET
    def log_message(self, *arguments): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
context.load_verify_locations("ca.pem")
context.verify_mode = ssl.CERT_REQUIRED
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// Returns state, text and help of doctor's check of the engine.
fn docker(moto: &Moto, variables: &[(&str, &str)]) -> (String, String, String) {
    let mut command = trainyard(moto);
    command.args(["doctor", "--json"]);
    command
        .env_remove("DOCKER_HOST")
        .envs(variables.iter().copied());
    check(&run(command).json(), "docker")
}

/// LAUNCHER 06: engines over TLS, by environment and by context; ssh is refused.
#[test]
fn engine_over_tls_is_found() {
    let moto = moto();
    let folder = moto.home().join("certs");
    std::fs::create_dir(&folder).expect("a folder");
    certificates(&folder);
    let server = PythonServer::start(ENGINE, &folder);
    let host = format!("tcp://{}", server.address);
    let path = folder.to_str().expect("UTF-8");
    let host = ("DOCKER_HOST", host.as_str());
    let by_variables = docker(
        &moto,
        &[host, ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", path)],
    );
    let plain = docker(&moto, &[host]);
    let missing = docker(&moto, &[host, ("DOCKER_TLS_VERIFY", "1")]);

    let config = moto.home().join(".docker");
    let name = sha256("remote");
    let meta = config.join("contexts/meta").join(&name);
    let tls = config.join("contexts/tls").join(&name).join("docker");
    for folder in [&meta, &tls] {
        std::fs::create_dir_all(folder).expect("a folder");
    }
    let text = format!(
        r#"{{"Name": "remote", "Endpoints": {{"docker": {{"Host": "{}", "SkipTLSVerify": false}}}}}}"#,
        host.1
    );
    std::fs::write(meta.join("meta.json"), text).expect("written");
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        std::fs::copy(folder.join(name), tls.join(name)).expect("copied");
    }
    std::fs::write(
        config.join("config.json"),
        r#"{"currentContext": "remote"}"#,
    )
    .expect("written");
    let by_context = docker(&moto, &[]);
    drop(server);

    for found in [by_variables, by_context] {
        assert!(
            found.0 == "ok" && found.1.contains("engine 28.0.0 on linux/"),
            "{found:?}"
        );
    }
    assert!(plain.2.contains("set DOCKER_TLS_VERIFY=1"), "{plain:?}");
    assert!(missing.1.contains(".docker/ca.pem"), "{missing:?}");
    let ssh = docker(&moto, &[("DOCKER_HOST", "ssh://me@host")]);
    assert!(
        ssh.1.contains("connections through ssh are not supported")
            && ssh
                .2
                .contains("ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock me@host"),
        "{ssh:?}"
    );
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

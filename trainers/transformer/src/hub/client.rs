//! Downloads from the hub.
//!
//! The hub is not trusted with more than the content of the files: its token is not sent to other
//! hosts, no name that it sends is used as a path without a check, and a hub that is silent or slow
//! is an error.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use diagnostics::{Error, sanitize, sha256_file};
use tempfile::TempPath;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Agent, Body};

use super::cache::{ModelCache, is_plain_name};

/// Maximum redirects of a request.
const MAX_REDIRECTS: usize = 5;
/// Maximum retries: broken connections are common in downloads of 400 MB.
const MAX_RETRIES: u32 = 3;
/// Time limit to connect, and to wait for bytes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Slower downloads are errors, so that single bytes do not prolong a download forever.
const MIN_BYTES_PER_SECOND: u64 = 1_000;
/// Bytes per read.
const BUFFER_BYTES: usize = 1 << 17;

/// Error of a request.
pub(super) enum DownloadError {
    /// The hub answered with this HTTP status.
    Status(u16),
    /// Anything else; the text may come from the hub.
    Other(String),
    /// The cache cannot be written.
    Cache(Error),
}

/// The client of a hub.
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    /// Revision of the models.
    revision: String,
    token: Option<String>,
}

/// The version of a file, from the headers of the hub.
#[derive(Clone, Debug, Default, PartialEq)]
struct Version {
    commit: String,
    etag: String,
    /// True if the etag is the SHA-256 of the content (files in large file storage).
    is_sha256: bool,
}

/// A download that is not complete.
struct Partial {
    file: File,
    path: TempPath,
    bytes: u64,
    version: Version,
}

impl Client {
    /// Creates a client; `token` is sent to the host of `endpoint` only.
    pub(super) fn new(endpoint: &str, revision: &str, token: Option<String>) -> Self {
        Self::with_timeout(endpoint, revision, token, IDLE_TIMEOUT)
    }

    fn with_timeout(endpoint: &str, revision: &str, token: Option<String>, idle: Duration) -> Self {
        let limit = Some(idle);
        let config = Agent::config_builder()
            // Redirects are followed here.
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_resolve(limit)
            .timeout_connect(limit)
            .timeout_send_request(limit)
            .timeout_recv_response(limit)
            .timeout_per_read(limit)
            .timeout_per_write(limit)
            .user_agent(concat!("trainyard/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.new_agent(),
            endpoint: endpoint.to_owned(),
            revision: revision.to_owned(),
            token,
        }
    }

    fn url(&self, id: &str, name: &str) -> String {
        let revision = self.revision.replace('/', "%2F");
        format!("{}/{id}/resolve/{revision}/{name}", self.endpoint)
    }

    /// Checks that a file exists.
    pub(super) fn find(&self, id: &str, name: &str) -> Result<(), DownloadError> {
        self.get(&self.url(id, name), 0).map(|_| ())
    }

    /// Downloads a file of a model to the cache. Returns its path.
    pub(super) fn download(
        &self,
        id: &str,
        name: &str,
        cache: &ModelCache,
    ) -> Result<PathBuf, DownloadError> {
        let url = self.url(id, name);
        let (file, path) = cache.new_file().map_err(DownloadError::Cache)?;
        let mut partial = Partial {
            file,
            path,
            bytes: 0,
            version: Version::default(),
        };
        let mut retries = 0;
        loop {
            match self.receive(&url, &mut partial) {
                Ok(()) => break,
                Err(DownloadError::Other(_) | DownloadError::Status(500..))
                    if retries < MAX_RETRIES =>
                {
                    retries += 1;
                    std::thread::sleep(Duration::from_millis(300) * retries);
                }
                Err(failure) => return Err(failure),
            }
        }
        let Version { commit, etag, .. } = &partial.version;
        let stored = cache.store(partial.path, commit, etag, name);
        stored.map_err(DownloadError::Cache)
    }

    /// Receives the rest of a file.
    fn receive(&self, url: &str, partial: &mut Partial) -> Result<(), DownloadError> {
        let (response, version) = self.get(url, partial.bytes)?;
        let range = response.headers().get("content-range");
        let range = range
            .and_then(|range| range.to_str().ok())
            .unwrap_or_default();
        let is_rest = range.starts_with(&format!("bytes {}-", partial.bytes));
        if response.status() == 206 && !(is_rest && version == partial.version) {
            partial.bytes = 0;
            return Err(DownloadError::Other("the file was replaced".to_owned()));
        }
        if response.status() == 200 {
            partial.bytes = 0;
        }
        partial.version = version;
        partial.copy(response.into_body())?;
        if partial.version.is_sha256 {
            let found = sha256_file(&partial.path).map_err(DownloadError::Cache)?;
            if found != partial.version.etag {
                partial.bytes = 0;
                return Err(DownloadError::Other(
                    "the content has another SHA-256".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// Requests the content of a file from byte `from` on, also if the hub sends to another host.
    fn get(&self, url: &str, from: u64) -> Result<(Response<Body>, Version), DownloadError> {
        let mut url = parse(url)?;
        let home = parse(&self.endpoint)?;
        let mut version = None;
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self
                .agent
                .get(url.clone())
                .header("accept-encoding", "identity");
            if from > 0 {
                request = request.header("range", format!("bytes={from}-"));
            }
            if let Some(token) = self.token.as_ref().filter(|_| is_same_host(&url, &home)) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let response = request
                .call()
                .map_err(|error| DownloadError::Other(error.to_string()))?;
            if version.is_none() {
                version = Version::read(response.headers())?;
            }
            match response.status().as_u16() {
                200 | 206 => {
                    let lacks =
                        || DownloadError::Other("it sends no X-Repo-Commit or ETag".to_owned());
                    return Ok((response, version.ok_or_else(lacks)?));
                }
                300..400 => url = redirect(&url, response.headers())?,
                status => return Err(DownloadError::Status(status)),
            }
        }
        Err(DownloadError::Other("too many redirects".to_owned()))
    }
}

impl Version {
    /// Reads the headers of an answer; `None` if it does not have both.
    fn read(headers: &HeaderMap) -> Result<Option<Self>, DownloadError> {
        let get = |name: &str| {
            let text = headers.get(name)?.to_str().ok()?;
            Some(text.trim_start_matches("W/").trim_matches('"').to_owned())
        };
        let linked = get("x-linked-etag");
        let is_sha256 = linked.as_ref().is_some_and(|etag| etag.len() == 64);
        let (Some(commit), Some(etag)) = (get("x-repo-commit"), linked.or_else(|| get("etag")))
        else {
            return Ok(None);
        };
        for name in [&commit, &etag] {
            if !is_plain_name(name) {
                let name = sanitize(name);
                return Err(DownloadError::Other(format!(
                    "`{name}` is not a commit or ETag"
                )));
            }
        }
        Ok(Some(Self {
            commit,
            etag,
            is_sha256,
        }))
    }
}

impl Partial {
    /// Writes the body after the bytes that were received before.
    fn copy(&mut self, body: Body) -> Result<(), DownloadError> {
        let failed = |error: std::io::Error| DownloadError::Other(error.to_string());
        self.file.set_len(self.bytes).map_err(failed)?;
        self.file
            .seek(SeekFrom::Start(self.bytes))
            .map_err(failed)?;
        let expected = body.content_length().map(|length| self.bytes + length);
        let (start, before) = (Instant::now(), self.bytes);
        let mut reader = body.into_reader();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = reader.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                break;
            }
            let written = self.file.write_all(&buffer[..count]);
            written.map_err(|error| DownloadError::Cache(Error::io("write", &self.path)(error)))?;
            self.bytes += count as u64;
            let allowed = (self.bytes - before) / MIN_BYTES_PER_SECOND;
            if start.elapsed() > IDLE_TIMEOUT + Duration::from_secs(allowed) {
                return Err(DownloadError::Other("it sends too slowly".to_owned()));
            }
        }
        match expected {
            Some(expected) if expected != self.bytes => Err(DownloadError::Other(
                "the connection ended early".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

fn parse(url: &str) -> Result<Uri, DownloadError> {
    let url: Result<Uri, _> = url.parse();
    url.map_err(|error| DownloadError::Other(format!("invalid address: {error}")))
}

/// True if a secret for `home` may be sent to `url`.
fn is_same_host(url: &Uri, home: &Uri) -> bool {
    let host = |url: &Uri| {
        let host = url.host().map(str::to_lowercase);
        (url.scheme_str().map(str::to_owned), host, url.port_u16())
    };
    host(url) == host(home)
}

/// Returns the address of a redirect: any on the same host, another one with `https` unless the
/// hub itself has no encryption.
fn redirect(from: &Uri, headers: &HeaderMap) -> Result<Uri, DownloadError> {
    let location = headers
        .get("location")
        .and_then(|value| value.to_str().ok());
    let location =
        location.ok_or_else(|| DownloadError::Other("a redirect to nowhere".to_owned()))?;
    let mut to = parse(location)?.into_parts();
    if to.authority.is_none() {
        to.scheme = from.scheme().cloned();
        to.authority = from.authority().cloned();
    }
    let to = Uri::from_parts(to).map_err(|error| DownloadError::Other(error.to_string()))?;
    let is_web = |url: &Uri| matches!(url.scheme_str(), Some("https" | "http"));
    if !is_web(&to) || (from.scheme_str() == Some("https") && to.scheme_str() != Some("https")) {
        return Err(DownloadError::Other(
            "a redirect without encryption".to_owned(),
        ));
    }
    Ok(to)
}

#[cfg(test)]
mod attacks {
    use std::io::{BufRead as _, BufReader};
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;
    use std::sync::{Arc, Mutex};
    use std::thread;

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    /// A hub on this machine that answers each connection with `answer(path)`, and then waits if
    /// the answer is not complete. Keeps the requests.
    struct FakeHub {
        endpoint: String,
        requests: Arc<Mutex<Vec<String>>>,
    }

    impl FakeHub {
        fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let endpoint = format!("http://{}", listener.local_addr().unwrap());
            let requests = Arc::new(Mutex::new(Vec::new()));
            let kept = Arc::clone(&requests);
            thread::spawn(move || {
                let mut open: Vec<TcpStream> = Vec::new();
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let reader = BufReader::new(stream.try_clone().unwrap());
                    let lines = reader.lines().map_while(Result::ok);
                    let lines: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                    let answer = answer(lines.first().map_or("", String::as_str));
                    kept.lock().unwrap().push(lines.join("\n").to_lowercase());
                    stream.write_all(answer.as_bytes()).unwrap();
                    if answer.ends_with('$') {
                        open.push(stream);
                    }
                }
            });
            Self { endpoint, requests }
        }

        fn requests(&self) -> Vec<String> {
            self.requests.lock().unwrap().clone()
        }
    }

    fn answer(status: &str, headers: &[(&str, &str)], body: &str) -> String {
        let headers = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        let (headers, length) = (headers.collect::<String>(), body.len());
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        )
    }

    fn download(endpoint: &str, idle: u64) -> (tempfile::TempDir, Result<PathBuf, DownloadError>) {
        download_revision(endpoint, "main", idle)
    }

    fn download_revision(
        endpoint: &str,
        revision: &str,
        idle: u64,
    ) -> (tempfile::TempDir, Result<PathBuf, DownloadError>) {
        let home = tempfile::tempdir().unwrap();
        let cache = ModelCache::new(&home.path().join("hub"), "some/model", revision);
        let (token, idle) = (Some("secret-token".to_owned()), Duration::from_millis(idle));
        let client = Client::with_timeout(endpoint, revision, token, idle);
        let found = client.download("some/model", "config.json", &cache);
        (home, found)
    }

    /// Issue 17: a branch, a tag and a commit are cached where Python's library looks for them.
    #[test]
    fn revisions_are_cached_as_by_huggingface_hub() {
        let headers = [("X-Repo-Commit", COMMIT), ("ETag", "abc")];
        let text = answer("200 OK", &headers, "{}");
        for (revision, requested, has_reference) in [
            ("main", "main", true),
            ("v1.0", "v1.0", true),
            ("refs/pr/1", "refs%2fpr%2f1", true),
            (COMMIT, COMMIT, false),
        ] {
            let text = text.clone();
            let hub = FakeHub::start(move |_| text.clone());
            let (home, found) = download_revision(&hub.endpoint, revision, 5_000);
            let path = format!("get /some/model/resolve/{requested}/config.json ");
            assert!(hub.requests()[0].starts_with(&path), "{:?}", hub.requests());
            let cache = home.path().join("hub");
            let reference = cache.join("models--some--model/refs").join(revision);
            let expected = has_reference.then(|| COMMIT.to_owned());
            assert_eq!(std::fs::read_to_string(reference).ok(), expected);
            let (found, own) = (
                message(found),
                ModelCache::new(&cache, "some/model", revision).get("config.json"),
            );
            assert_eq!(own.unwrap().display().to_string(), found);
            let arguments = [cache.as_path(), Path::new(revision)];
            let theirs = testkit::torch_judge("hub_cache", &arguments);
            assert_eq!(theirs["path"], found);
            for other in ["v2", "0".repeat(40).as_str()] {
                let other = ModelCache::new(&cache, "some/model", other);
                assert_eq!(other.get("config.json"), None);
            }
        }
        let hub = FakeHub::start(move |_| text.clone());
        let (home, found) = download_revision(&hub.endpoint, &"1".repeat(40), 5_000);
        let message = message(found);
        assert!(
            message.contains("expected a file of the commit `1111"),
            "{message}"
        );
        assert!(files(home.path()).is_empty(), "{:?}", files(home.path()));
    }

    fn message(found: Result<PathBuf, DownloadError>) -> String {
        match found {
            Err(DownloadError::Other(message)) => message,
            Err(DownloadError::Status(status)) => status.to_string(),
            Err(DownloadError::Cache(error)) => error.to_string(),
            Ok(path) => path.display().to_string(),
        }
    }

    /// All files below a folder.
    fn files(dir: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let below = |path: PathBuf| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        };
        entries.flat_map(below).collect()
    }

    /// ATTACK F7: the token goes to the hub, and not to the host that it redirects to.
    #[test]
    fn token_stays_with_the_hub() {
        let storage = FakeHub::start(|_| answer("200 OK", &[("ETag", "\"../x\"")], "{}"));
        let location = format!("{}/blob?signature=1", storage.endpoint);
        let hub = FakeHub::start(move |path| match path.contains("/moved/") {
            true => {
                let headers = [
                    ("X-Repo-Commit", COMMIT),
                    ("X-Linked-ETag", "\"abc\""),
                    ("Location", location.as_str()),
                ];
                answer("302 Found", &headers, "")
            }
            false => answer(
                "307 Temporary Redirect",
                &[("Location", "/moved/config.json")],
                "",
            ),
        });
        let (home, found) = download(&hub.endpoint, 5_000);
        let path = home.path().join("hub/models--some--model");
        let file = path.join("snapshots").join(COMMIT).join("config.json");
        assert_eq!(message(found), file.display().to_string());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{}");
        assert_eq!(
            std::fs::read_link(&file).unwrap(),
            Path::new("../../blobs/abc")
        );
        assert_eq!(
            std::fs::read_to_string(path.join("refs/main")).unwrap(),
            COMMIT
        );
        assert_eq!(files(&path).len(), 3, "{:?}", files(&path));
        assert_eq!(hub.requests().len(), 2);
        assert!(
            hub.requests()
                .iter()
                .all(|request| request.contains("bearer secret-token"))
        );
        assert!(
            !storage.requests()[0].contains("secret-token"),
            "{:?}",
            storage.requests()
        );
    }

    /// ATTACK F7: names that leave the cache are refused.
    #[test]
    fn names_of_the_hub_do_not_leave_the_cache() {
        for (commit, etag) in [
            ("../../../../evil", "abc"),
            (COMMIT, "../../evil"),
            (COMMIT, "/tmp/evil"),
            ("..", "abc"),
            (COMMIT, ""),
        ] {
            let headers = [("X-Repo-Commit", commit), ("ETag", etag)]
                .map(|(name, value)| (name, format!("\"{value}\"")));
            let hub = FakeHub::start(move |_| {
                let headers = headers
                    .each_ref()
                    .map(|(name, value)| (*name, value.as_str()));
                answer("200 OK", &headers, "evil")
            });
            let (home, found) = download(&hub.endpoint, 5_000);
            let message = message(found);
            assert!(message.contains("is not a commit or ETag"), "{message}");
            assert!(files(home.path()).is_empty(), "{:?}", files(home.path()));
        }
    }

    /// ATTACK F7: a silent hub is an error, before the headers and within the content.
    #[test]
    fn silent_hub_is_an_error() {
        let headers = [("X-Repo-Commit", COMMIT), ("ETag", "abc")];
        let half = answer("200 OK", &headers, "0123456789");
        let half = format!("{}$", half.trim_end_matches("789"));
        for text in ["HTTP/1.1 200 OK\r\n$".to_owned(), half] {
            let hub = FakeHub::start(move |_| text.clone());
            let start = Instant::now();
            let (_home, found) = download(&hub.endpoint, 200);
            assert!(message(found).contains("timeout"));
            assert!(start.elapsed() < Duration::from_secs(10));
        }
    }

    /// ATTACK F7: a broken download continues where it ended; a wrong content is refused.
    #[test]
    fn broken_download_continues() {
        let headers = [("X-Repo-Commit", COMMIT), ("ETag", "abc")];
        let whole = answer("200 OK", &headers, "0123456789");
        let hub = FakeHub::start({
            let calls = Mutex::new(0);
            move |_| {
                *calls.lock().unwrap() += 1;
                match *calls.lock().unwrap() {
                    1 => whole.trim_end_matches("456789").to_owned(),
                    _ => {
                        let range = ("Content-Range", "bytes 4-9/10");
                        let headers = [&headers[..], &[range]].concat();
                        answer("206 Partial Content", &headers, "456789")
                    }
                }
            }
        });
        let (_home, found) = download(&hub.endpoint, 5_000);
        assert_eq!(
            std::fs::read_to_string(message(found)).unwrap(),
            "0123456789"
        );
        assert!(hub.requests()[1].contains("range: bytes=4-"));

        let sum = "0".repeat(64);
        let hub = FakeHub::start(move |_| {
            let headers = [("X-Repo-Commit", COMMIT), ("X-Linked-ETag", sum.as_str())];
            answer("200 OK", &headers, "0123456789")
        });
        let (_home, found) = download(&hub.endpoint, 5_000);
        assert_eq!(message(found), "the content has another SHA-256");
    }

    /// ATTACK F7: no redirect from https to http, and no other scheme.
    #[test]
    fn redirects_keep_encryption() {
        let to = |from: &str, location: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("location", location.parse().unwrap());
            redirect(&from.parse().unwrap(), &headers)
                .ok()
                .map(|url| url.to_string())
        };
        let hub = "https://hub/x";
        assert_eq!(to(hub, "/y?z").as_deref(), Some("https://hub/y?z"));
        assert_eq!(to(hub, "https://cdn/y").as_deref(), Some("https://cdn/y"));
        assert_eq!(to(hub, "http://hub/y"), None);
        assert_eq!(to(hub, "file:///etc/passwd"), None);
        assert_eq!(
            to("http://hub/x", "http://cdn/y").as_deref(),
            Some("http://cdn/y")
        );
        let same = |url: &str| is_same_host(&url.parse().unwrap(), &hub.parse().unwrap());
        assert!(same("https://HUB/z") && same("https://user@hub/z"));
        assert!(!same("http://hub/z") && !same("https://hub:444/z"));
        assert!(!same("https://hub@evil/z") && !same("https://hub.evil/z"));
    }
}

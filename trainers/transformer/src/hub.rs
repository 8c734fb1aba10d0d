//! Pretrained models from the Hugging Face hub, in the cache shared with its Python library.
//!
//! Cached files need no network. If the hub is unreachable, the error comes within a second: a
//! connection is tried first, with a shorter time limit than that of downloads.

mod cache;
mod client;

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use diagnostics::{Error, sanitize};
use sagemaker::{Env, env_vars};

use self::cache::{ModelCache, is_revision};
use self::client::{Client, DownloadError};
use crate::config::{CONFIG, Config};
use crate::tokenizer::{ADDED_TOKENS, SPECIAL_TOKENS_MAP, TOKENIZER, TOKENIZER_CONFIG};
use crate::weights::{INDEX, PICKLE, WEIGHTS, refuse_pickle, shards};

const ENDPOINT: &str = "https://huggingface.co";
/// Time limit to connect: a user at a prompt waits a second for "offline".
const CONNECT_TIMEOUT: Duration = Duration::from_millis(900);

/// Revision of a model if none is given.
const MAIN: &str = "main";

/// Splits a name, such as `owner/name@v1.0`, into id and revision.
fn split_name(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, MAIN))
}

/// True if a name can be that of a model of the hub: the id `name` or `owner/name`, perhaps with a
/// branch, tag or commit after `@`.
pub(crate) fn is_name(name: &str) -> bool {
    let (id, revision) = split_name(name);
    let good = |part: &str| {
        let mut bytes = part.bytes();
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            // The hub's limit on names.
            && part.len() <= 96
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let parts: Vec<&str> = id.split('/').collect();
    parts.len() <= 2 && parts.into_iter().all(good) && is_revision(revision)
}

/// A model of the hub that is downloaded.
struct HubModel<'a> {
    /// Id and revision, as given.
    name: &'a str,
    id: &'a str,
    revision: &'a str,
    cached: ModelCache,
    cache: PathBuf,
    endpoint: String,
    env: &'a Env,
    /// Created for the first download.
    client: Option<Client>,
}

/// Returns the folder of a complete model, by a name with [`is_name`].
pub(crate) fn fetch(name: &str, env: &Env) -> Result<PathBuf, Error> {
    let cache = cache(env).ok_or_else(|| {
        Error::new(format!("expected a folder for models of the hub such as `{name}`, found none of HF_HUB_CACHE, HF_HOME and HOME")).help("set HF_HOME, or pass --pretrained-model a folder")
    })?;
    let endpoint = env
        .get(env_vars::HF_ENDPOINT)
        .and_then(|value| value.to_str());
    let (id, revision) = split_name(name);
    let mut model = HubModel {
        name,
        id,
        revision,
        cached: ModelCache::new(&cache, id, revision),
        cache,
        endpoint: endpoint
            .unwrap_or(ENDPOINT)
            .trim_end_matches('/')
            .to_owned(),
        env,
        client: None,
    };
    let config = model.require(CONFIG)?;
    model.require(TOKENIZER)?;
    model.weights()?;
    if model.client.is_some() {
        for name in [TOKENIZER_CONFIG, SPECIAL_TOKENS_MAP, ADDED_TOKENS] {
            model.try_get(name)?;
        }
    }
    // All files of a commit are links in one folder.
    Ok(config.parent().map(Path::to_owned).unwrap_or_default())
}

/// Returns the cache folder, as Python's huggingface_hub does.
fn cache(env: &Env) -> Option<PathBuf> {
    let folder = |variable| env.get(variable).map(PathBuf::from);
    let caches = || {
        let home = || Some(folder(env_vars::HOME)?.join(".cache"));
        folder(env_vars::XDG_CACHE_HOME).or_else(home)
    };
    let home = || folder(env_vars::HF_HOME).or_else(|| Some(caches()?.join("huggingface")));
    folder(env_vars::HF_HUB_CACHE).or_else(|| Some(home()?.join("hub")))
}

impl HubModel<'_> {
    /// Returns the path of a required file.
    fn require(&mut self, name: &str) -> Result<PathBuf, Error> {
        self.try_get(name)?.ok_or_else(|| {
            Error::new(format!(
                "expected `{name}` in the model `{}` of the hub, found none",
                self.name
            ))
            .help(match self.revision {
                MAIN => "choose a model in the layout of transformers, with its fast tokenizer",
                _ => {
                    "check the revision, and that the model has the layout of transformers, with its \
                     fast tokenizer"
                }
            })
        })
    }

    fn weights(&mut self) -> Result<(), Error> {
        if self.cached.get(INDEX).is_none() && self.try_get(WEIGHTS)?.is_some() {
            return Ok(());
        }
        let Some(index) = self.try_get(INDEX)? else {
            return match self.try_get(PICKLE) {
                Ok(Some(path)) => {
                    let config = self.cached.get(CONFIG).unwrap_or_default();
                    let class = Config::auto_class(config.parent().unwrap_or(Path::new("")));
                    let revision = Some(self.revision).filter(|revision| *revision != MAIN);
                    Err(refuse_pickle(&path, (self.id, revision), class))
                }
                _ => self.require(WEIGHTS).map(|_| ()),
            };
        };
        let text = std::fs::read(&index).map_err(Error::io("read", &index))?;
        let names = shards(&text).map_err(|why| {
            let message = format!("`{}` cannot be used: {}", index.display(), sanitize(&why));
            Error::new(message).help("choose another model")
        })?;
        names
            .iter()
            .try_for_each(|name| self.require(name).map(|_| ()))
    }

    /// Returns the path of a file; `None` if the model does not have it.
    fn try_get(&mut self, name: &str) -> Result<Option<PathBuf>, Error> {
        if let Some(path) = self.cached.get(name) {
            return Ok(Some(path));
        }
        let client = match self.client.take() {
            Some(client) => client,
            None => self.connect(name)?,
        };
        let got = if name == PICKLE {
            // Only its existence matters.
            client.find(self.id, name).map(|()| PathBuf::from(name))
        } else {
            client.download(self.id, name, &self.cached)
        };
        self.client = Some(client);
        match got {
            Ok(path) => Ok(Some(path)),
            Err(DownloadError::Status(404)) => Ok(None),
            Err(failure) => Err(self.download_error(name, failure)),
        }
    }

    fn connect(&self, missing: &str) -> Result<Client, Error> {
        let offline = self.env.get(env_vars::HF_HUB_OFFLINE);
        if offline.is_some_and(|value| {
            !["0", "false", "no", "off"].contains(&&*value.to_string_lossy().to_lowercase())
        }) {
            return Err(self.offline(missing, "HF_HUB_OFFLINE is set"));
        }
        let mut proxies = env_vars::PROXIES.iter().map(|&proxy| self.env.get(proxy));
        let proxy = proxies.find_map(|proxy| Some(proxy?.to_str()?.to_owned()));
        // With a proxy, NO_PROXY may still allow direct connections.
        if let Err(why) = proxy.as_deref().map_or(Err(String::new()), probe)
            && let Err(direct) = probe(&self.endpoint)
        {
            let why = match proxy {
                Some(_) => format!("the proxy {why}, and {direct}"),
                None => direct,
            };
            return Err(self.offline(missing, &why));
        }
        Ok(Client::new(&self.endpoint, self.revision, self.token()))
    }

    /// Returns the token of `HF_TOKEN`, or of the file `token` in `HF_HOME`.
    fn token(&self) -> Option<String> {
        let given = self.env.get(env_vars::HF_TOKEN);
        let given = given.map(|token| token.to_string_lossy().into_owned());
        let stored = || std::fs::read_to_string(self.cache.parent()?.join("token")).ok();
        let token = given.or_else(stored)?.trim().to_owned();
        (!token.is_empty()).then_some(token)
    }

    fn offline(&self, missing: &str, why: &str) -> Error {
        Error::new(format!(
                "expected `{missing}` of the model `{}` in the cache `{}`, found none, and the hub is unreachable: {why}",
                self.name,
                self.cache.display()
            )).help("download the model where there is a network, or pass --pretrained-model a folder with config.json, \
             model.safetensors and tokenizer.json")
    }

    fn download_error(&self, name: &str, failure: DownloadError) -> Error {
        let (status, why) = match failure {
            DownloadError::Cache(error) => return error,
            DownloadError::Other(why) => (None, why),
            DownloadError::Status(status) => (Some(status), format!("HTTP {status}")),
        };
        let (message, help) = match status {
            Some(code @ (401 | 403)) => (
                format!(
                    "the hub refuses `{name}` of `{}` (HTTP {code}): the model does not exist or is private",
                    self.name
                ),
                "check the id, or set HF_TOKEN to a token that may read it",
            ),
            _ => (
                format!(
                    "cannot download `{name}` of `{}` from {}: {}",
                    self.name,
                    sanitize(&self.endpoint),
                    sanitize(&why)
                ),
                "try again; complete files are kept",
            ),
        };
        Error::new(message).help(help)
    }
}

/// Tries to connect to an address such as `https://host` or `http://user:password@proxy:3128`.
fn probe(endpoint: &str) -> Result<(), String> {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("https", endpoint));
    let host = rest.split('/').next().unwrap_or_default();
    // Messages must not contain a proxy's password.
    let host = host.rsplit('@').next().unwrap_or_default().to_owned();
    let port = match scheme {
        "http" => 80,
        "https" => 443,
        // SOCKS
        _ => 1080,
    };
    let own_port = host.rsplit_once(':').map(|(_, end)| end.parse::<u16>());
    let name = match own_port {
        Some(Ok(_)) => host.clone(),
        _ => format!("{host}:{port}"),
    };
    let start = Instant::now();
    let (answer, found) = mpsc::channel();
    // The system's resolver has its own timeout of many seconds.
    std::thread::spawn(move || {
        let found = name
            .to_socket_addrs()
            .map(Iterator::collect::<Vec<SocketAddr>>);
        // The receiver is gone if it took too long.
        let _ = answer.send(found);
    });
    let addresses = match found.recv_timeout(CONNECT_TIMEOUT) {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(format!("`{}` is not found: {error}", sanitize(&host))),
        Err(_) => return Err(format!("`{}` is not found in time", sanitize(&host))),
    };
    let mut last = "it has no address".to_owned();
    for address in addresses {
        let left = CONNECT_TIMEOUT.saturating_sub(start.elapsed());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(_) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
    }
    Err(format!("`{}` does not answer: {last}", sanitize(&host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_and_not_paths() {
        for good in [
            "bert-base-uncased",
            "sentence-transformers/all-MiniLM-L6-v2",
            "a/b_c.d",
            "a@main",
            "a/b@v1.0",
            "a/b@refs/pr/1",
            "a/b@0123456789abcdef0123456789abcdef01234567",
        ] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "", "/a", "a/", "a/b/c", "../a", "./a", "a b", "a/..", "ä", "a?b", "-a", "a@", "@b",
            "a@../b", "a@b/..", "a@/b", "a@b//c", "a@b c", "a@b@c", "a@b?c", "a@ä",
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn cache_is_that_of_huggingface_hub() {
        let found = |variables: &[(&str, &str)]| cache(&Env::from_map(variables.iter().copied()));
        let mut variables = Vec::new();
        assert_eq!(found(&variables), None);
        for (name, value, expected) in [
            ("HOME", "/h", "/h/.cache/huggingface/hub"),
            ("XDG_CACHE_HOME", "/x", "/x/huggingface/hub"),
            ("HF_HOME", "/f", "/f/hub"),
            ("HF_HUB_CACHE", "/c", "/c"),
        ] {
            variables.push((name, value));
            assert_eq!(found(&variables), Some(PathBuf::from(expected)), "{name}");
        }
    }

    #[test]
    fn unreachable_hosts_fail_fast() {
        let start = Instant::now();
        assert!(
            probe("http://127.0.0.1:1")
                .unwrap_err()
                .contains("does not answer")
        );
        let proxy = probe("http://user:secret@127.0.0.1:1").unwrap_err();
        assert!(proxy.contains("`127.0.0.1:1`") && !proxy.contains("secret"));
        // An address that never answers (RFC 5737).
        assert!(probe("http://192.0.2.1").is_err());
        assert!(probe("https://nowhere.invalid/x").is_err());
        assert!(start.elapsed() < 3 * CONNECT_TIMEOUT + Duration::from_millis(500));
    }
}

//! Settings of the server.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use diagnostics::Error;
use sagemaker::Env;
use sagemaker::env_vars::{self, Variable};

use crate::traces::Collector;

/// Maximum bytes of the body of a request: SageMaker's limit of real-time requests.
pub(crate) const MAX_BODY_BYTES: usize = 6 << 20;
/// Maximum bytes of a request of a batch transform job, SageMaker's limit.
pub(crate) const MAX_BATCH_BYTES: usize = 100 << 20;

/// Settings of the server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address and port; port 0 is any free one.
    pub address: SocketAddr,
    /// Number of threads that score.
    pub threads: usize,
    /// Time from a request to its answer, at most.
    pub timeout: Duration,
    /// Maximum number of requests that wait for a thread.
    pub max_queue: usize,
    /// True if `GET /` is a page.
    pub ui: bool,
    /// Secret that requests must have.
    pub api_key: Option<ApiKey>,
    /// Folder of the model; `None` if models are loaded by requests.
    pub model_dir: Option<PathBuf>,
    /// Maximum memory of models that are loaded by requests, in bytes.
    pub model_bytes: u64,
    /// Settings of a batch transform job; `None` otherwise.
    pub batch: Option<Batch>,
    /// Collector of traces; `None` if there are no traces.
    pub collector: Option<Collector>,
}

/// Secret of a server. Its debug form does not have it.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// Keeps a secret.
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// Compares a key with the secret in a time that depends on the length only.
    pub(crate) fn is_equal(&self, given: &[u8]) -> bool {
        let secret = self.0.as_bytes();
        let differences = given
            .iter()
            .zip(secret)
            .fold(0u8, |all, (a, b)| all | (a ^ b));
        given.len() == secret.len() && differences == 0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// Settings of a batch transform job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Maximum bytes of a request; `None` for 0, which means no limit.
    pub max_payload: Option<usize>,
    /// True if a request has one record.
    pub is_single_record: bool,
    /// Maximum number of requests at the same time.
    pub max_concurrent: usize,
}

impl Batch {
    /// Reads SageMaker's variables; `None` outside of a batch transform job.
    ///
    /// # Errors
    /// A variable has a wrong value.
    pub fn from_env(env: &Env, threads: usize) -> Result<Option<Self>, Error> {
        if !flag(env, env_vars::BATCH) {
            return Ok(None);
        }
        let megabytes = number(env, env_vars::MAX_PAYLOAD)?.unwrap_or(6);
        let payload = megabytes.saturating_mul(1 << 20).min(MAX_BATCH_BYTES);
        let concurrent = number(env, env_vars::MAX_CONCURRENT)?.unwrap_or(threads);
        let strategy = env.get(env_vars::BATCH_STRATEGY);
        Ok(Some(Self {
            max_payload: Some(payload).filter(|bytes| *bytes > 0),
            is_single_record: strategy.is_some_and(|strategy| {
                strategy.to_string_lossy().to_lowercase().replace('_', "") == "singlerecord"
            }),
            max_concurrent: concurrent.max(1),
        }))
    }
}

/// True if a variable is `true` or `1`.
pub fn flag(env: &Env, variable: Variable) -> bool {
    env.get(variable).is_some_and(|value| {
        let value = value.to_string_lossy().to_lowercase();
        value == "true" || value == "1"
    })
}

/// Reads a variable with a number.
///
/// # Errors
/// It is not a whole number.
pub fn number(env: &Env, variable: Variable) -> Result<Option<usize>, Error> {
    let Some(value) = env.get(variable) else {
        return Ok(None);
    };
    let value = value.to_string_lossy();
    value.trim().parse().map(Some).map_err(|_| {
        let name = variable.name;
        let value = diagnostics::sanitize(&value);
        Error::usage(format!(
            "expected a whole number in `{name}`, found `{value}`"
        ))
        .help(format!("correct or unset `{name}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_compared_whole_and_not_printed() {
        let key = ApiKey::new("abc".to_owned());
        assert!(key.is_equal(b"abc"));
        for other in [&b""[..], b"ab", b"abcd", b"abx"] {
            assert!(!key.is_equal(other));
        }
        assert_eq!(format!("{key:?}"), "ApiKey(..)");
    }

    #[test]
    fn batch_transform_has_sagemakers_variables() {
        let batch = |variables: &[(&str, &str)]| {
            Batch::from_env(&Env::from_map(variables.iter().copied()), 2)
        };
        assert_eq!(batch(&[]).unwrap(), None);
        let default = Batch {
            max_payload: Some(6 << 20),
            is_single_record: false,
            max_concurrent: 2,
        };
        assert_eq!(
            batch(&[("SAGEMAKER_BATCH", "true")]).unwrap(),
            Some(default)
        );
        let own = [
            ("SAGEMAKER_BATCH", "True"),
            ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "100"),
            ("SAGEMAKER_BATCH_STRATEGY", "SINGLE_RECORD"),
            ("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", "8"),
        ];
        let expected = Batch {
            max_payload: Some(100 << 20),
            is_single_record: true,
            max_concurrent: 8,
        };
        assert_eq!(batch(&own).unwrap(), Some(expected));
        let unlimited = [
            ("SAGEMAKER_BATCH", "1"),
            ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "0"),
        ];
        assert_eq!(batch(&unlimited).unwrap().unwrap().max_payload, None);
        let wrong = [
            ("SAGEMAKER_BATCH", "1"),
            ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "six"),
        ];
        let error = batch(&wrong).unwrap_err().to_string();
        assert!(error.contains("found `six`"), "{error}");
    }
}

//! Environment variables that Trainyard reads.
//!
//! SageMaker itself sets only `TRAINING_JOB_NAME` and `TRAINING_JOB_ARN`; the `SM_*` names come
//! from AWS's Python toolkit and are supported for scripts that set them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// An environment variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Name; `<NAME>` is a placeholder for a channel.
    pub name: &'static str,
    /// Description for the manual; one line.
    pub meaning: &'static str,
}

macro_rules! variables {
    ($($constant:ident = $name:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $constant: Variable = Variable { name: $name, meaning: $meaning };)*

        /// All variables that are read.
        pub const ALL: &[Variable] = &[
            $($constant,)*
            PROXIES[0], PROXIES[1], PROXIES[2], PROXIES[3], PROXIES[4], PROXIES[5],
        ];
    };
}

variables! {
    BASE_DIR = "SAGEMAKER_BASE_DIR", "folder that replaces /opt/ml";
    MODEL_DIR = "SM_MODEL_DIR", "folder for the model; by default `model` in the base folder";
    OUTPUT_DATA_DIR = "SM_OUTPUT_DATA_DIR", "folder for reports; by default `output/data` in the base folder";
    CHANNEL = "SM_CHANNEL_<NAME>", "file or folder of the channel; by default `input/data/<name>` in the base folder";
    JOB_NAME = "TRAINING_JOB_NAME", "name of the training job; set only in training containers";
    JOB_ARN = "TRAINING_JOB_ARN", "ARN of the training job; hosts of other jobs are refused";
    HOST_KEY = "TRAINYARD_HOST_KEY",
        "secret of a job with several hosts; hosts with another one are refused";
    LEADER = "TRAINYARD_LEADER",
        "`host:port` of the rendezvous on the first of several hosts; by default its name and 29400";
    BIND_TO_PORT = "SAGEMAKER_BIND_TO_PORT", "port of `serve`; by default 8080";
    BATCH = "SAGEMAKER_BATCH", "true: `serve` runs in a batch transform job";
    BATCH_STRATEGY = "SAGEMAKER_BATCH_STRATEGY",
        "SINGLE_RECORD: a request of a batch transform job has one record";
    MAX_PAYLOAD = "SAGEMAKER_MAX_PAYLOAD_IN_MB",
        "maximum size of a request of a batch transform job; 0: no limit";
    MAX_CONCURRENT = "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS",
        "maximum number of requests of a batch transform job at the same time";
    MULTI_MODEL = "SAGEMAKER_MULTI_MODEL", "true: `serve` loads models by requests";
    OTEL_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT",
        "address of an OpenTelemetry collector; `serve` sends traces to `/v1/traces` below it";
    OTEL_TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "address to which `serve` sends traces; comes before the one without `TRACES`";
    OTEL_SERVICE_NAME = "OTEL_SERVICE_NAME",
        "name of the service in traces; by default that of the trainer";
    OTEL_TRACES_SAMPLER = "OTEL_TRACES_SAMPLER",
        "which requests are traced; by default `parentbased_always_on`";
    OTEL_TRACES_SAMPLER_ARG = "OTEL_TRACES_SAMPLER_ARG",
        "fraction of the requests that `traceidratio` and `parentbased_traceidratio` trace";
    OTEL_SDK_DISABLED = "OTEL_SDK_DISABLED", "true: no traces";
    NO_COLOR = "NO_COLOR", "1: no colours on a terminal";
    HOME = "HOME", "home folder; `.cache/huggingface` below it is the cache of pretrained models";
    XDG_CACHE_HOME = "XDG_CACHE_HOME",
        "cache folder; `huggingface` below it is the cache of pretrained models; by default `~/.cache`";
    HF_HOME = "HF_HOME",
        "Hugging Face home folder; `hub` below it is the cache of pretrained models; by default `~/.cache/huggingface`";
    HF_HUB_CACHE = "HF_HUB_CACHE", "cache of pretrained models; by default `hub` in `HF_HOME`";
    HF_HUB_OFFLINE = "HF_HUB_OFFLINE", "1: use only cached pretrained models";
    HF_TOKEN = "HF_TOKEN", "token for private models of the hub; by default the content of `HF_HOME/token`";
    HF_ENDPOINT = "HF_ENDPOINT", "address of the hub; by default `https://huggingface.co`";
}

const fn proxy(name: &'static str) -> Variable {
    Variable {
        name,
        meaning: "proxy for connections to the hub",
    }
}

/// Proxies for connections to the hub; the first that is set is used.
pub const PROXIES: [Variable; 6] = [
    proxy("ALL_PROXY"),
    proxy("all_proxy"),
    proxy("HTTPS_PROXY"),
    proxy("https_proxy"),
    proxy("HTTP_PROXY"),
    proxy("http_proxy"),
];

pub(crate) const CHANNEL_PREFIX: &str = "SM_CHANNEL_";

/// A snapshot of the environment; tests pass their own.
#[derive(Debug, Clone, Default)]
pub struct Env(BTreeMap<OsString, OsString>);

impl Env {
    /// Returns the environment of this process.
    pub fn process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// Creates an environment with only these variables.
    pub fn from_map<K: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    /// Returns the value of a variable. Empty means not set, like `${NAME:-default}` in a shell.
    pub fn get(&self, variable: Variable) -> Option<&OsStr> {
        self.by_name(variable.name)
    }

    /// Returns names (in lower case) and values of all `SM_CHANNEL_<NAME>`.
    pub(crate) fn channels(&self) -> impl Iterator<Item = (String, &OsStr)> {
        self.0
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(key, value)| {
                let name = key.to_str()?.strip_prefix(CHANNEL_PREFIX)?;
                (!name.is_empty()).then(|| (name.to_lowercase(), value.as_os_str()))
            })
    }

    /// Returns the value of `SM_CHANNEL_<NAME>`. The toolkit uses `SM_CHANNEL_MY-DATA` for
    /// `my-data`, which shells cannot export, so `SM_CHANNEL_MY_DATA` is accepted too.
    pub(crate) fn channel(&self, name: &str) -> Option<&OsStr> {
        let upper = name.to_uppercase();
        let plain = variable_name(&upper);
        [upper, plain]
            .iter()
            .find_map(|name| self.by_name(&format!("{CHANNEL_PREFIX}{name}")))
    }

    fn by_name(&self, name: &str) -> Option<&OsStr> {
        self.0
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }
}

/// Replaces characters that are invalid in shell variable names by `_`.
pub(crate) fn variable_name(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = ALL.iter().map(|variable| variable.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|variable| !variable.meaning.is_empty()));
    }

    #[test]
    fn channel_prefix_matches_the_list() {
        assert_eq!(CHANNEL.name, format!("{CHANNEL_PREFIX}<NAME>"));
    }

    #[test]
    fn empty_value_is_not_set() {
        let env = Env::from_map([
            ("SM_MODEL_DIR", ""),
            ("SM_CHANNEL_TRAIN", ""),
            ("SM_CHANNEL_", "x"),
        ]);
        assert_eq!(env.get(MODEL_DIR), None);
        assert_eq!(env.channel("train"), None);
        assert_eq!(env.channels().count(), 0);
    }

    #[test]
    fn both_spellings_of_a_channel_are_read() {
        let toolkit = Env::from_map([("SM_CHANNEL_MY-DATA.V2", "/a")]);
        let shell = Env::from_map([("SM_CHANNEL_MY_DATA_V2", "/b")]);
        assert_eq!(toolkit.channel("my-data.v2"), Some(OsStr::new("/a")));
        assert_eq!(shell.channel("my-data.v2"), Some(OsStr::new("/b")));
    }

    #[test]
    fn process_environment_is_read() {
        // cargo sets it for every test, so this needs no set_var.
        let cargo = Variable {
            name: "CARGO_MANIFEST_DIR",
            meaning: "",
        };
        assert_eq!(
            Env::process().get(cargo),
            Some(OsStr::new(env!("CARGO_MANIFEST_DIR")))
        );
    }
}

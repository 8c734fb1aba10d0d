//! The environment variables that Trainyard reads, in one list.
//!
//! SageMaker itself sets only `TRAINING_JOB_NAME` and `TRAINING_JOB_ARN`; the `SM_*` names come
//! from AWS's Python toolkit and are honoured so that scripts which set them keep working.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// A variable's name and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// The name; `<NAME>` stands for the channel of `SM_CHANNEL_<NAME>`.
    pub name: &'static str,
    /// One line for the manual.
    pub meaning: &'static str,
}

/// The folder that stands for `/opt/ml`.
pub const BASE_DIR: Variable = Variable {
    name: "SAGEMAKER_BASE_DIR",
    meaning: "folder that stands for /opt/ml",
};

/// Where the model goes.
pub const MODEL_DIR: Variable = Variable {
    name: "SM_MODEL_DIR",
    meaning: "folder for the model; by default `model` in the base folder",
};

/// Where reports go.
pub const OUTPUT_DATA_DIR: Variable = Variable {
    name: "SM_OUTPUT_DATA_DIR",
    meaning: "folder for reports; by default `output/data` in the base folder",
};

/// The file or folder of one channel.
pub const CHANNEL: Variable = Variable {
    name: "SM_CHANNEL_<NAME>",
    meaning: "file or folder of the channel; by default `input/data/<name>` in the base folder",
};

/// The training job's name, which SageMaker sets.
pub const JOB_NAME: Variable = Variable {
    name: "TRAINING_JOB_NAME",
    meaning: "name of the training job; its presence says that a container is running",
};

/// Where a job of several hosts meets.
pub const LEADER: Variable = Variable {
    name: "TRAINYARD_LEADER",
    meaning: "`host:port` on which the first of several hosts waits for the others; by default its name and 29400",
};

/// The user's folder.
pub const HOME: Variable = Variable {
    name: "HOME",
    meaning: "folder below which `.cache/huggingface` is the cache of pretrained models",
};

/// The user's folder for caches.
pub const XDG_CACHE_HOME: Variable = Variable {
    name: "XDG_CACHE_HOME",
    meaning: "folder whose `huggingface` is the cache of pretrained models; by default `~/.cache`",
};

/// The cache of pretrained models.
pub const HF_HOME: Variable = Variable {
    name: "HF_HOME",
    meaning: "folder whose `hub` is the cache of pretrained models; by default `~/.cache/huggingface`",
};

/// The cache of pretrained models itself.
pub const HF_HUB_CACHE: Variable = Variable {
    name: "HF_HUB_CACHE",
    meaning: "the cache of pretrained models; by default `hub` in `HF_HOME`",
};

/// Whether the hub may be asked.
pub const HF_HUB_OFFLINE: Variable = Variable {
    name: "HF_HUB_OFFLINE",
    meaning: "1: pretrained models come from the cache alone",
};

/// The user's token.
pub const HF_TOKEN: Variable = Variable {
    name: "HF_TOKEN",
    meaning: "token for models of the hub that are not public; by default the one of `HF_HOME/token`",
};

/// The hub's address.
pub const HF_ENDPOINT: Variable = Variable {
    name: "HF_ENDPOINT",
    meaning: "address of the hub; by default https://huggingface.co",
};

const fn proxy(name: &'static str) -> Variable {
    Variable {
        name,
        meaning: "proxy for connections to the hub",
    }
}

/// The proxy that a connection to the hub goes through, in any spelling; the first that is set.
pub const PROXIES: [Variable; 6] = [
    proxy("ALL_PROXY"),
    proxy("all_proxy"),
    proxy("HTTPS_PROXY"),
    proxy("https_proxy"),
    proxy("HTTP_PROXY"),
    proxy("http_proxy"),
];

/// Every variable that is read. [`Env::get`] takes nothing else.
pub const ALL: &[Variable] = &[
    BASE_DIR,
    MODEL_DIR,
    OUTPUT_DATA_DIR,
    CHANNEL,
    JOB_NAME,
    LEADER,
    HOME,
    XDG_CACHE_HOME,
    HF_HOME,
    HF_HUB_CACHE,
    HF_HUB_OFFLINE,
    HF_TOKEN,
    HF_ENDPOINT,
    PROXIES[0],
    PROXIES[1],
    PROXIES[2],
    PROXIES[3],
    PROXIES[4],
    PROXIES[5],
];

pub(crate) const CHANNEL_PREFIX: &str = "SM_CHANNEL_";

/// A snapshot of the environment, so that a test can bring its own.
#[derive(Debug, Clone, Default)]
pub struct Env(BTreeMap<OsString, OsString>);

impl Env {
    /// The environment of this process.
    pub fn process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// An environment with these variables alone.
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

    /// The variable's value. Set to nothing counts as not set, as in a shell's `${NAME:-default}`.
    pub fn get(&self, variable: Variable) -> Option<&OsStr> {
        self.by_name(variable.name)
    }

    /// Names (in lower case) and values of all `SM_CHANNEL_<NAME>`.
    pub(crate) fn channels(&self) -> impl Iterator<Item = (String, &OsStr)> {
        self.0
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(key, value)| {
                let name = key.to_str()?.strip_prefix(CHANNEL_PREFIX)?;
                (!name.is_empty()).then(|| (name.to_lowercase(), value.as_os_str()))
            })
    }

    /// The value of `SM_CHANNEL_<NAME>`. The toolkit turns `my-data` into `SM_CHANNEL_MY-DATA`,
    /// which no shell can export, so `SM_CHANNEL_MY_DATA` does as well.
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

/// `name` with everything that a shell does not allow in a variable's name as `_`.
pub(crate) fn variable_name(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_each_name_once() {
        let mut names: Vec<_> = ALL.iter().map(|variable| variable.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|variable| !variable.meaning.is_empty()));
    }

    #[test]
    fn the_prefix_is_the_listed_one() {
        assert_eq!(CHANNEL.name, format!("{CHANNEL_PREFIX}<NAME>"));
    }

    #[test]
    fn empty_is_not_set() {
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
    fn both_spellings_of_a_channel() {
        let toolkit = Env::from_map([("SM_CHANNEL_MY-DATA.V2", "/a")]);
        let shell = Env::from_map([("SM_CHANNEL_MY_DATA_V2", "/b")]);
        assert_eq!(toolkit.channel("my-data.v2"), Some(OsStr::new("/a")));
        assert_eq!(shell.channel("my-data.v2"), Some(OsStr::new("/b")));
    }

    #[test]
    fn the_real_environment_is_read() {
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

//! The server for a trainer's models.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dataset::join_pair;
use diagnostics::Error;
use evaluation::report::ClassFeatures;
use sagemaker::{Paths, env_vars};
use serve::{ApiKey, Batch, Classifier, Collector, Config, Load, ModelInfo, Scorer};
use training::memory;

use super::super::{Loaded, load};
use super::ServeArgs;
use crate::{Model, Trainer, model_dir};

/// Port of SageMaker's containers.
const PORT: u16 = 8080;
/// Memory for models that are loaded by requests, if the available memory is unknown.
const MODEL_BYTES: u64 = 1 << 30;
/// Texts of the batch for which a model builds its tables, such as those of look-ups.
const WARM_UP_TEXTS: usize = 32;

pub(in crate::command) fn run<T: Trainer>(
    paths: &Paths,
    args: &ServeArgs,
    own: T::PredictArgs,
) -> Result<(), Error> {
    let config = config(paths, args, T::NAME)?;
    let threads = config.threads;
    let load: Load = Arc::new(move |dir: &Path| -> Result<Arc<dyn Classifier>, Error> {
        let loaded = load::<T>(dir, own.clone(), threads)?;
        let hosted = Arc::new(Hosted {
            info: info::<T>(dir, &loaded),
            loaded,
        });
        warm_up(&hosted);
        Ok(hosted)
    });
    serve::run(config, load)
}

fn config(paths: &Paths, args: &ServeArgs, program: &'static str) -> Result<Config, Error> {
    let env = paths.env();
    let is_multi = args.model_dir.is_none() && serve::flag(env, env_vars::MULTI_MODEL);
    // The program of a container is process 1, or SageMaker's folder for models exists.
    let model = paths.model_dir();
    let folder = match is_multi {
        true => paths.base().join("models"),
        false => model.clone(),
    };
    let in_container = std::process::id() == 1 || (args.model_dir.is_none() && folder.is_dir());
    let default_host = match in_container {
        true => Ipv4Addr::UNSPECIFIED,
        false => Ipv4Addr::LOCALHOST,
    };
    let threads = args.threads().get();
    let available = memory::available(Path::new("/"));
    let key = args.api_key_file.as_deref().map(api_key);
    Ok(Config {
        address: SocketAddr::new(
            args.host.unwrap_or(IpAddr::V4(default_host)),
            port(paths, args)?,
        ),
        threads,
        timeout: Duration::from_secs(args.timeout),
        max_queue: args.max_queue,
        ui: !args.no_ui,
        api_key: key.transpose()?.map(ApiKey::new),
        model_dir: (!is_multi).then(|| args.model_dir.clone().unwrap_or(model)),
        model_bytes: available.map_or(MODEL_BYTES, |bytes| bytes / 2),
        batch: Batch::from_env(env, threads)?,
        collector: Collector::from_env(env, program)?,
    })
}

fn port(paths: &Paths, args: &ServeArgs) -> Result<u16, Error> {
    if let Some(port) = args.port {
        return Ok(port);
    }
    let variable = env_vars::BIND_TO_PORT;
    let Some(port) = serve::number(paths.env(), variable)? else {
        return Ok(PORT);
    };
    u16::try_from(port).map_err(|_| {
        let name = variable.name;
        let message = format!(
            "expected a port up to {} in `{name}`, found `{port}`",
            u16::MAX
        );
        Error::usage(message).help(format!("correct or unset `{name}`"))
    })
}

fn api_key(path: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let key = text.trim();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!(
            "expected a key of visible ASCII characters in `{}`",
            path.display()
        );
        let help = format!("write one: openssl rand -hex 32 > {}", path.display());
        return Err(Error::usage(message).help(help));
    }
    Ok(key.to_owned())
}

/// A loaded model that answers requests.
struct Hosted<M: Model> {
    info: ModelInfo,
    loaded: Loaded<M>,
}

fn info<T: Trainer>(dir: &Path, model: &Loaded<T::Model>) -> ModelInfo {
    let columns = model_dir::columns(dir);
    let mut text_columns = vec![columns.text];
    text_columns.extend(columns.other_texts);
    ModelInfo {
        program: T::NAME.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        classes: model.classes().to_vec(),
        multi_label: model.is_multi_label(),
        text_pair: model.is_text_pair(),
        text_columns,
        no_header: columns.no_header,
        label_separator: columns.label_separator,
        max_batch_bytes: T::Model::BLOCK_BYTES,
    }
}

/// Scores a batch in the background: some models build tables for their first large batch, with
/// which single texts are faster too.
fn warm_up<M: Model>(hosted: &Arc<Hosted<M>>) {
    let hosted = Arc::clone(hosted);
    let score = move || {
        let text = match hosted.info.text_pair {
            true => join_pair("", ""),
            false => String::new(),
        };
        let texts = [text.as_str(); WARM_UP_TEXTS];
        // Requests get the same error.
        let _ = hosted.loaded.predict(&mut hosted.loaded.scratch(), &texts);
    };
    // Without a thread, the first large request builds the tables.
    let _ = std::thread::Builder::new()
        .name("warm-up".to_owned())
        .spawn(score);
}

impl<M: Model> Classifier for Hosted<M> {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn scorer(self: Arc<Self>) -> Scorer {
        let mut scratch = self.loaded.scratch();
        Box::new(move |texts| self.loaded.predict(&mut scratch, texts))
    }

    fn explain(&self, text: &str, top: usize) -> Result<Vec<ClassFeatures>, Error> {
        self.loaded.explain(Some(text), top)
    }
}

#[cfg(test)]
mod tests {
    use sagemaker::Env;

    use super::*;

    fn args(words: &[&str]) -> ServeArgs {
        use clap::{Args as _, Command, FromArgMatches as _};
        let command = ServeArgs::augment_args(Command::new("serve").no_binary_name(true));
        let matches = command.try_get_matches_from(words).unwrap();
        ServeArgs::from_arg_matches(&matches).unwrap()
    }

    fn address(variables: &[(&str, &str)], words: &[&str]) -> String {
        let paths = Paths::new(Env::from_map(variables.iter().copied()));
        config(&paths, &args(words), "toy")
            .unwrap()
            .address
            .to_string()
    }

    #[test]
    fn address_is_local_outside_of_a_container() {
        let home = tempfile::tempdir().unwrap();
        let base = home.path().to_str().unwrap();
        let outside = [("SAGEMAKER_BASE_DIR", base)];
        assert_eq!(address(&outside, &[]), "127.0.0.1:8080");
        assert_eq!(address(&outside, &["--host=::1", "--port=0"]), "[::1]:0");
        let port = [
            ("SAGEMAKER_BASE_DIR", base),
            ("SAGEMAKER_BIND_TO_PORT", "9000"),
        ];
        assert_eq!(address(&port, &["--model-dir=x"]), "127.0.0.1:9000");
        let multi = [
            ("SAGEMAKER_BASE_DIR", base),
            ("SAGEMAKER_MULTI_MODEL", "true"),
        ];
        assert_eq!(address(&multi, &[]), "127.0.0.1:8080");
        fs::create_dir(home.path().join("models")).unwrap();
        assert_eq!(address(&multi, &[]), "0.0.0.0:8080");
        assert_eq!(address(&multi, &["--model-dir=x"]), "127.0.0.1:8080");
        assert_eq!(address(&outside, &[]), "127.0.0.1:8080");
        fs::create_dir(home.path().join("model")).unwrap();
        assert_eq!(address(&outside, &[]), "0.0.0.0:8080");
        assert_eq!(address(&outside, &["--model-dir=x"]), "127.0.0.1:8080");
        let paths = Paths::new(Env::from_map([("SAGEMAKER_BIND_TO_PORT", "70000")]));
        assert!(config(&paths, &args(&[]), "toy").is_err());
    }

    #[test]
    fn key_is_one_visible_word() {
        let home = tempfile::tempdir().unwrap();
        let key = |text: &str| {
            let path = home.path().join("key");
            fs::write(&path, text).unwrap();
            api_key(&path)
        };
        assert_eq!(key("secret\n").unwrap(), "secret");
        assert!(key("\n").is_err() && key("a b").is_err() && key("ä").is_err());
    }
}

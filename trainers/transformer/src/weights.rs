//! The weights of a checkpoint, by the names of transformers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use diagnostics::{Error, sanitize};
use safetensors::tensor::Dtype;
use training::{Random, TensorError, TensorFile};

use crate::architecture::{Architecture, Parameter, Part, Role};
use crate::engine::Params;

pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// Pickled weights: loading them can run any code.
pub(crate) const PICKLE: &str = "pytorch_model.bin";

/// Prefixes of an encoder's names in a checkpoint with a head.
const PREFIXES: [&str; 4] = ["bert.", "roberta.", "distilbert.", "mpnet."];
/// Prefixes of programs that wrap a model: `torch.compile`, `DataParallel`, Lightning.
const WRAPPERS: [&str; 3] = ["_orig_mod.", "module.", "model."];

/// Loaded weights.
pub(crate) struct Loaded {
    pub(crate) params: Params,
    /// Names of the head's parameters that were initialized.
    pub(crate) initialized: Vec<String>,
    pub(crate) last_layer: LastLayer,
}

/// The last layer of a checkpoint's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastLayer {
    Missing,
    /// It is for other classes, or of another size.
    Unused,
    /// Its rows are used for the classes that it has.
    Used,
}

/// Treatment of the checkpoint's head.
#[derive(Clone, Debug)]
pub(crate) struct HeadInit {
    /// Row of each class in its last layer; `None` for a class that is initialized.
    pub(crate) rows: Vec<Option<usize>>,
    /// Number of rows of its last layer.
    pub(crate) labels: usize,
    /// Standard deviation and seed of initialized weights.
    pub(crate) initializer_range: f64,
    pub(crate) seed: u64,
}

impl HeadInit {
    /// Returns the shape of a parameter in the checkpoint.
    fn shape(&self, parameter: &Parameter) -> Vec<usize> {
        match (parameter.role, parameter.shape.split_first()) {
            (Role::HeadOut(_), Some((_, width))) => [&[self.labels][..], width].concat(),
            _ => parameter.shape.clone(),
        }
    }

    /// Returns the initialized rows, replaced where the checkpoint has the class.
    fn rows_of_classes(&self, found: &[f32], mut values: Vec<f32>) -> Vec<f32> {
        let width = found.len() / self.labels.max(1);
        for (class, row) in self.rows.iter().enumerate() {
            if let Some(row) = row {
                values[class * width..][..width].copy_from_slice(&found[row * width..][..width]);
            }
        }
        values
    }
}

/// Returns the weight files of a folder, by the index if there is one.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    if dir.join(WEIGHTS).exists() {
        return Ok(vec![dir.join(WEIGHTS)]);
    }
    let path = dir.join(INDEX);
    let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
    Ok(shards(&text)
        .map_err(|why| damaged(&path, &why))?
        .into_iter()
        .map(|name| dir.join(name))
        .collect())
}

/// Returns the file names in an index.
pub(crate) fn shards(index: &[u8]) -> Result<BTreeSet<String>, String> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(index).map_err(|error| error.to_string())?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    // An untrusted index must not point out of the folder.
    match names
        .iter()
        .find(|name| Path::new(name).file_name() != Some(name.as_ref()))
    {
        Some(name) => Err(format!("`{}` is not a file name", sanitize(name))),
        None => Ok(names),
    }
}

/// Reads all parameters as f32, on up to two threads.
pub(crate) fn load(
    files: &[PathBuf],
    architecture: &Architecture,
    head: &HeadInit,
    threads: usize,
) -> Result<Loaded, Error> {
    let open = |path: &PathBuf| TensorFile::open(path).map_err(|error| unreadable(path, error));
    let open = files.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let mut place = BTreeMap::new();
    for (number, file) in open.iter().enumerate() {
        for name in file.names() {
            // Of several names, the one with the fewest prefixes, as in transformers.
            let key = canonical(&name);
            let found: Option<&(usize, String)> = place.get(&key);
            if found.is_none_or(|(_, other)| name.len() < other.len()) {
                place.insert(key, (number, name));
            }
        }
    }
    let mut initialized = Vec::new();
    let mut last_layer = LastLayer::Missing;
    let mut sources = Vec::new();
    let parameters = architecture.parameters();
    for (number, parameter) in parameters.iter().enumerate() {
        let found = place.get(&canonical(&parameter.name));
        let found = found.filter(|(file, name)| match parameter.role {
            Role::HeadOut(_) => {
                let fits = open[*file].shape(name) == Some(head.shape(parameter).as_slice());
                let used = fits && head.rows.iter().any(Option::is_some);
                last_layer = match used && last_layer != LastLayer::Unused {
                    true => LastLayer::Used,
                    false => LastLayer::Unused,
                };
                used
            }
            _ => true,
        });
        if found.is_none() {
            match in_head(parameter.role) {
                true => initialized.push(parameter.name.clone()),
                false => return Err(missing(files, parameter, place.keys())),
            }
        }
        sources.push(Source {
            number: number as u64,
            parameter,
            found: found.map(|(file, name)| (*file, name.as_str())),
        });
    }
    // Half of the time is spent by the kernel on page faults.
    let (own, others) = match threads {
        1 => sources.split_at(sources.len()),
        _ => sources.split_at(half_point(&parameters)),
    };
    let values = std::thread::scope(|scope| {
        let other = scope.spawn(|| values(&open, others, head));
        let mut values = values(&open, own, head)?;
        values.extend(match other.join() {
            Ok(others) => others?,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        Ok::<_, Error>(values)
    })?;
    Ok(Loaded {
        params: values,
        initialized,
        last_layer,
    })
}

/// Source of a parameter.
struct Source<'a> {
    /// Index of the parameter.
    number: u64,
    parameter: &'a Parameter,
    /// File and name in it; `None` if the parameter is initialized.
    found: Option<(usize, &'a str)>,
}

/// Returns how many of the first parameters make half of all numbers.
fn half_point(parameters: &[Parameter]) -> usize {
    let size = |parameter: &Parameter| parameter.shape.iter().product::<usize>();
    let half = parameters.iter().map(size).sum::<usize>() / 2;
    let mut sum = 0;
    let below = parameters.iter().take_while(|parameter| {
        sum += size(parameter);
        sum <= half
    });
    below.count().max(1).min(parameters.len())
}

/// Reads or initializes parameters.
fn values(files: &[TensorFile], sources: &[Source<'_>], head: &HeadInit) -> Result<Params, Error> {
    let values = sources.iter().map(|source| {
        let parameter = source.parameter;
        let initial = || initial(parameter, source.number, head);
        let Some((file, name)) = source.found else {
            return Ok(initial());
        };
        let found = read(&files[file], name, &head.shape(parameter))?;
        Ok(match parameter.role {
            Role::HeadOut(_) => head.rows_of_classes(&found, initial()),
            _ => found,
        })
    });
    values.collect()
}

fn in_head(role: Role) -> bool {
    matches!(role, Role::HeadDense(_) | Role::HeadOut(_))
}

fn read(file: &TensorFile, name: &str, expected: &[usize]) -> Result<Vec<f32>, Error> {
    let path = file.path().to_owned();
    let shape = file.shape(name).unwrap_or_default().to_vec();
    if shape != expected {
        return Err(Error::new(format!(
            "expected `{}` of shape {expected:?} by `config.json`, found {shape:?} in `{}`",
            sanitize(name),
            path.display()
        ))
        .help("take configuration and weights from the same model"));
    }
    let float = [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16];
    if let Some(found) = file.dtype(name).filter(|dtype| !float.contains(dtype)) {
        return Err(Error::new(format!(
            "expected `{}` of type F64, F32, F16 or BF16, found {found:?} in `{}`",
            sanitize(name),
            path.display()
        ))
        .help("take the model that was quantized, or save it with dtype=torch.float32"));
    }
    let array = file.read(name).map_err(|error| unreadable(&path, error))?;
    match array.data.iter().all(|number| number.is_finite()) {
        true => Ok(array.data),
        false => Err(damaged(
            &path,
            &format!("its tensor `{name}` has numbers that are not finite"),
        )),
    }
}

/// Returns normal weights and zero biases, as transformers does.
fn initial(parameter: &Parameter, number: u64, head: &HeadInit) -> Vec<f32> {
    let count = parameter.shape.iter().product();
    if let Role::HeadDense(Part::Bias) | Role::HeadOut(Part::Bias) = parameter.role {
        return vec![0.0; count];
    }
    let mut random = Random::new(head.seed, &[number]);
    (0..count)
        .map(|_| (head.initializer_range * random.normal()) as f32)
        .collect()
}

/// Removes the prefixes of wrappers and of the encoder; old checkpoints call weight and bias of a
/// layer norm gamma and beta.
fn canonical(mut name: &str) -> String {
    while let Some(rest) = WRAPPERS
        .iter()
        .find_map(|wrapper| name.strip_prefix(wrapper))
    {
        name = rest;
    }
    let name = PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    match name.rsplit_once('.') {
        Some((norm, "gamma")) => format!("{norm}.weight"),
        Some((norm, "beta")) => format!("{norm}.bias"),
        _ => name.to_owned(),
    }
}

fn missing<'a>(
    files: &[PathBuf],
    parameter: &Parameter,
    mut names: impl Iterator<Item = &'a String>,
) -> Error {
    let first = files.first().map_or(Path::new(WEIGHTS), PathBuf::as_path);
    let more = match files.len() {
        0 | 1 => String::new(),
        count => format!(" and `{}` more files", count - 1),
    };
    Error::new(format!(
            "expected the tensor `{}` in `{}`{more}, found none, with or without the prefix before the first dot",
            parameter.name,
            first.display()
        )).help(match names.any(|name| name.contains(".lora_A.")) {
            true => {
                "a LoRA adapter is not merged into the weights: merge it, in Python, with peft's \
                 `merge_and_unload`, and save the model again"
            }
            false => {
                "check that the weights are those of the whole encoder that `config.json` describes"
            }
        })
}

/// Returns the error for pickled weights of a model, perhaps at a revision of the hub. `class` is
/// the class of transformers that loads them.
pub(crate) fn refuse_pickle(
    path: &Path,
    (model, revision): (&str, Option<&str>),
    class: &str,
) -> Error {
    let model = format!("\"{}\"", sanitize(model));
    let model = match revision {
        None => model,
        Some(revision) => format!("{model}, revision=\"{revision}\""),
    };
    Error::new(format!(
            "expected weights in `{WEIGHTS}`, found `{}`: a pickle can run any program when it is loaded, and is refused",
            path.display()
        )).help(format!(
            "convert it once, in Python, if you trust it: `from transformers import {class}, \
             AutoTokenizer; {class}.from_pretrained({model}).save_pretrained(\"converted\"); \
             AutoTokenizer.from_pretrained({model}).save_pretrained(\"converted\")`, and use the \
             folder `converted`"
        ))
}

pub(crate) fn unreadable(path: &Path, error: TensorError) -> Error {
    match error {
        TensorError::Io(error) => Error::io("read", path)(error),
        TensorError::Format(why) => damaged(path, &why),
    }
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::new(format!(
        "`{}` cannot be used: {}",
        path.display(),
        sanitize(why)
    ))
    .help("copy or download the model again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_names_have_no_prefix() {
        for (found, expected) in [
            ("bert.pooler.dense.bias", "pooler.dense.bias"),
            ("embeddings.LayerNorm.gamma", "embeddings.LayerNorm.weight"),
            (
                "bert.embeddings.LayerNorm.beta",
                "embeddings.LayerNorm.bias",
            ),
            ("classifier.weight", "classifier.weight"),
            (
                "_orig_mod.module.bert.pooler.dense.bias",
                "pooler.dense.bias",
            ),
            (
                "roberta.encoder.layer.0.output.dense.weight",
                "encoder.layer.0.output.dense.weight",
            ),
            (
                "mpnet.encoder.relative_attention_bias.weight",
                "encoder.relative_attention_bias.weight",
            ),
        ] {
            assert_eq!(canonical(found), expected);
        }
    }

    #[test]
    fn index_cannot_point_out_of_its_folder() {
        let index =
            |file: &str| format!(r#"{{"weight_map": {{"a": "{file}", "b": "x.safetensors"}}}}"#);
        let names = shards(index("y.safetensors").as_bytes()).unwrap();
        assert_eq!(
            names.into_iter().collect::<Vec<_>>(),
            ["x.safetensors", "y.safetensors"]
        );
        for evil in ["../y", "/etc/passwd", "a/b", ".."] {
            assert!(
                shards(index(evil).as_bytes())
                    .unwrap_err()
                    .contains("is not a file name")
            );
        }
        assert!(shards(b"{}").is_err());
    }
}

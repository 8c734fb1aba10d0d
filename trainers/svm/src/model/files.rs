//! The model folder: `model.safetensors`, `config.json`, `vocabulary.txt`. No pickle; docs/model-folder.md reads it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use diagnostics::Error;
use harness::model_dir::{CONFIG, TENSORS, VOCABULARY, check_format, read, unreadable, write};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use text::features::Terms;

use super::{Recipe, SvmModel, TrainedMachine};
use crate::calibrate::Platt;
use crate::kernel::{KernelConfig, KernelMachine};
use crate::machines::outputs;

const FORMAT: &str = "trainyard-svm";
const VERSION: u32 = 1;

#[derive(serde::Serialize, serde::Deserialize)]
struct Config {
    format: String,
    version: u32,
    id2label: BTreeMap<u32, String>,
    label2id: BTreeMap<String, u32>,
    #[serde(flatten)]
    recipe: Recipe,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kernel: Option<KernelConfig>,
}

/// Named arrays on their way into or out of a safetensors file.
pub(crate) type Arrays = BTreeMap<String, Array>;

/// A dense row-major array.
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Data,
}

pub(crate) enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Array {
    /// Rows of equal length.
    pub(crate) fn rows(rows: &[Vec<f32>]) -> Self {
        let width = rows.first().map_or(0, Vec::len);
        Self {
            shape: vec![rows.len(), width],
            data: Data::F32(rows.concat()),
        }
    }

    fn bytes(&self) -> (Dtype, Vec<u8>) {
        match &self.data {
            Data::F32(data) => (
                Dtype::F32,
                data.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ),
            Data::F64(data) => (
                Dtype::F64,
                data.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ),
        }
    }
}

pub(super) fn save(model: &SvmModel, dir: &Path) -> Result<(), Error> {
    let mut arrays = Arrays::new();
    arrays.insert("scale".to_owned(), Array::rows(&model.scale));
    let mut kernel = None;
    match &model.machine {
        TrainedMachine::Linear {
            coefficients,
            intercepts,
        } => {
            arrays.insert("coefficients".to_owned(), Array::rows(coefficients));
            let data = Data::F32(intercepts.clone());
            arrays.insert(
                "intercepts".to_owned(),
                Array {
                    shape: vec![intercepts.len()],
                    data,
                },
            );
        }
        TrainedMachine::Kernel(machine) => kernel = Some(machine.save(&mut arrays)),
    }
    if !model.platt.is_empty() {
        let data = Data::F64(
            model
                .platt
                .iter()
                .flat_map(|platt| [platt.a, platt.b])
                .collect(),
        );
        arrays.insert(
            "platt".to_owned(),
            Array {
                shape: vec![model.platt.len(), 2],
                data,
            },
        );
    }
    let ids = || (0..).zip(model.classes.iter().cloned());
    let config = Config {
        format: FORMAT.to_owned(),
        version: VERSION,
        id2label: ids().collect(),
        label2id: ids().map(|(id, label)| (label, id)).collect(),
        recipe: model.recipe.clone(),
        kernel,
    };
    let mut json =
        serde_json::to_string_pretty(&config).map_err(|error| unreadable(dir, CONFIG, error))?;
    json.push('\n');
    write(dir, CONFIG, json.as_bytes())?;
    write(dir, VOCABULARY, model.terms.as_lines().as_bytes())?;
    write(dir, TENSORS, &serialize(dir, &arrays)?)
}

fn serialize(dir: &Path, arrays: &Arrays) -> Result<Vec<u8>, Error> {
    let bytes: Vec<_> = arrays
        .iter()
        .map(|(name, array)| (name, &array.shape, array.bytes()))
        .collect();
    let mut views = Vec::new();
    for (name, shape, (dtype, bytes)) in &bytes {
        let view = TensorView::new(*dtype, shape.to_vec(), bytes)
            .map_err(|error| unreadable(dir, TENSORS, error))?;
        views.push((name.as_str(), view));
    }
    safetensors::serialize(views, None).map_err(|error| unreadable(dir, TENSORS, error))
}

pub(super) fn load(dir: &Path) -> Result<SvmModel, Error> {
    let json = read(dir, CONFIG)?;
    let config: Config =
        serde_json::from_slice(&json).map_err(|error| unreadable(dir, CONFIG, error))?;
    check_format(dir, (FORMAT, VERSION), (&config.format, config.version))?;
    check(&config).map_err(|error| unreadable(dir, CONFIG, error))?;
    let classes: Vec<String> = config.id2label.into_values().collect();
    let text = String::from_utf8(read(dir, VOCABULARY)?)
        .map_err(|error| unreadable(dir, VOCABULARY, error))?;
    let terms = Terms::parse(text);
    if !terms.is_sorted() {
        return Err(unreadable(
            dir,
            VOCABULARY,
            "expected one term per line in code point order, found another order",
        ));
    }
    let file = read(dir, TENSORS)?;
    let tensors =
        SafeTensors::deserialize(&file).map_err(|error| unreadable(dir, TENSORS, error))?;
    let tensors = Tensors { dir, tensors };
    let outputs = outputs(classes.len());
    let scale = tensors.rows("scale", None, terms.len())?;
    if classes.len() < 2 || (scale.len() != 1 && scale.len() != outputs) {
        return Err(unreadable(
            dir,
            TENSORS,
            "the number of classes does not fit the arrays",
        ));
    }
    let machine = match &config.kernel {
        Some(kernel) => {
            TrainedMachine::Kernel(KernelMachine::load(kernel, &tensors, outputs, terms.len())?)
        }
        None => TrainedMachine::Linear {
            coefficients: tensors.rows("coefficients", Some(outputs), terms.len())?,
            intercepts: tensors.f32("intercepts", &[outputs])?,
        },
    };
    let platt = match tensors.tensors.tensor("platt") {
        Err(_) => Vec::new(),
        Ok(_) => tensors
            .f64("platt", &[outputs, 2])?
            .chunks_exact(2)
            .map(|ab| Platt { a: ab[0], b: ab[1] })
            .collect(),
    };
    Ok(SvmModel {
        classes,
        terms,
        recipe: config.recipe,
        scale,
        machine,
        platt,
        lookup: OnceLock::new(),
    })
}

/// Refuses what training never writes and predicting could not do.
fn check(config: &Config) -> Result<(), String> {
    let Recipe {
        max_ngrams,
        min_word_length,
        ..
    } = config.recipe;
    if !(1..=usize::from(u8::MAX)).contains(&max_ngrams) {
        return Err(format!(
            "expected `max_ngrams` from 1 to {}, found `{max_ngrams}`",
            u8::MAX
        ));
    }
    if !(1..=2).contains(&min_word_length) {
        return Err(format!(
            "expected `min_word_length` 1 or 2, found `{min_word_length}`"
        ));
    }
    match (0..)
        .zip(config.id2label.keys())
        .find(|(id, key)| id != *key)
    {
        Some((id, key)) => Err(format!(
            "expected the ids of `id2label` to count from 0, found `{key}` in place of `{id}`"
        )),
        None => Ok(()),
    }
}

/// The arrays of a file, checked for shape and type.
pub(crate) struct Tensors<'a> {
    dir: &'a Path,
    tensors: SafeTensors<'a>,
}

impl Tensors<'_> {
    fn view(&self, name: &str, dtype: Dtype) -> Result<TensorView<'_>, Error> {
        let view = self
            .tensors
            .tensor(name)
            .map_err(|error| unreadable(self.dir, TENSORS, error))?;
        if view.dtype() != dtype {
            let found = view.dtype();
            let message = format!("expected `{name}` of type {dtype:?}, found {found:?}");
            return Err(unreadable(self.dir, TENSORS, message));
        }
        Ok(view)
    }

    fn shaped(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<TensorView<'_>, Error> {
        let view = self.view(name, dtype)?;
        if view.shape() != shape {
            let message = format!(
                "expected `{name}` of shape {shape:?}, found {:?}",
                view.shape()
            );
            return Err(unreadable(self.dir, TENSORS, message));
        }
        Ok(view)
    }

    pub(crate) fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        Ok(floats(self.shaped(name, Dtype::F32, shape)?.data()))
    }

    pub(crate) fn f64(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, Error> {
        let view = self.shaped(name, Dtype::F64, shape)?;
        Ok(view
            .data()
            .as_chunks::<8>()
            .0
            .iter()
            .map(|&bytes| f64::from_le_bytes(bytes))
            .collect())
    }

    /// Rows and width of an array of rank 2.
    pub(crate) fn shape(&self, name: &str) -> Result<(usize, usize), Error> {
        let view = self
            .tensors
            .tensor(name)
            .map_err(|error| unreadable(self.dir, TENSORS, error))?;
        match view.shape() {
            &[rows, width] => Ok((rows, width)),
            found => Err(unreadable(
                self.dir,
                TENSORS,
                format!("expected `{name}` of rank 2, found shape {found:?}"),
            )),
        }
    }

    /// (rows, width) as one vector per row; any number of rows if none is given.
    pub(crate) fn rows(
        &self,
        name: &str,
        rows: Option<usize>,
        width: usize,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let rows = match rows {
            Some(rows) => rows,
            None => self.shape(name)?.0,
        };
        let flat = self.f32(name, &[rows, width])?;
        Ok(flat
            .chunks_exact(width.max(1))
            .map(<[f32]>::to_vec)
            .collect())
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect()
}

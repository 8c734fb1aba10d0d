//! Dense arrays in and out of a safetensors file.

use std::collections::BTreeMap;
use std::path::Path;

use diagnostics::Error;
use harness::model_dir::{TENSORS, unreadable};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// Arrays by name.
pub(crate) type Arrays = BTreeMap<String, Array>;

/// A dense row-major array.
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Data,
}

/// Elements in row-major order.
pub(crate) enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Array {
    /// Array of rank 2 from rows of equal length.
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

/// Returns the bytes of a safetensors file; `dir` is for messages.
pub(crate) fn serialize(dir: &Path, arrays: &Arrays) -> Result<Vec<u8>, Error> {
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

/// Tensors of a model folder, checked for shape and type when they are read.
pub(crate) struct Tensors<'a> {
    dir: &'a Path,
    tensors: SafeTensors<'a>,
}

impl<'a> Tensors<'a> {
    pub(crate) fn new(dir: &'a Path, file: &'a [u8]) -> Result<Self, Error> {
        let tensors =
            SafeTensors::deserialize(file).map_err(|error| unreadable(dir, TENSORS, error))?;
        Ok(Self { dir, tensors })
    }
}

impl Tensors<'_> {
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

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

    /// Returns (rows, width) of an array of rank 2.
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

    /// Reads an array of shape (rows, width) as one vector per row; `None` allows any number of
    /// rows.
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

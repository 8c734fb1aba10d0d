//! Dense arrays in and out of a safetensors file.

use std::collections::BTreeMap;
use std::path::Path;

use diagnostics::Error;
use harness::model_dir::{TENSORS, unreadable};
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};

/// Arrays by name.
pub(crate) type Arrays = BTreeMap<&'static str, Array>;

/// A dense row-major array, in the bytes of the file.
pub(crate) struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    pub(crate) fn f32(shape: &[usize], data: &[f32]) -> Self {
        let bytes = data.iter().flat_map(|value| value.to_le_bytes());
        Self::new(Dtype::F32, shape, bytes.collect())
    }

    pub(crate) fn f64(shape: &[usize], data: &[f64]) -> Self {
        let bytes = data.iter().flat_map(|value| value.to_le_bytes());
        Self::new(Dtype::F64, shape, bytes.collect())
    }

    /// Array of rank 2 from rows of equal length.
    pub(crate) fn rows(rows: &[Vec<f32>]) -> Self {
        let width = rows.first().map_or(0, Vec::len);
        Self::f32(&[rows.len(), width], &rows.concat())
    }

    fn new(dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Self {
        Self {
            dtype,
            shape: shape.to_vec(),
            bytes,
        }
    }
}

/// Returns the bytes of a safetensors file; `dir` is for messages.
pub(crate) fn serialize(dir: &Path, arrays: &Arrays) -> Result<Vec<u8>, Error> {
    let views = arrays.iter().map(|(&name, array)| {
        let view = TensorView::new(array.dtype, array.shape.clone(), &array.bytes)?;
        Ok((name, view))
    });
    let views: Result<Vec<_>, SafeTensorError> = views.collect();
    views
        .and_then(|views| safetensors::serialize(views, None))
        .map_err(|error| unreadable(dir, TENSORS, error))
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

    fn view(&self, name: &str) -> Result<TensorView<'_>, Error> {
        self.tensors
            .tensor(name)
            .map_err(|error| unreadable(self.dir, TENSORS, error))
    }

    fn shaped(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<TensorView<'_>, Error> {
        let view = self.view(name)?;
        let message = if view.dtype() != dtype {
            format!(
                "expected `{name}` of type {dtype:?}, found {:?}",
                view.dtype()
            )
        } else if view.shape() != shape {
            format!(
                "expected `{name}` of shape {shape:?}, found {:?}",
                view.shape()
            )
        } else {
            return Ok(view);
        };
        Err(unreadable(self.dir, TENSORS, message))
    }

    pub(crate) fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let view = self.shaped(name, Dtype::F32, shape)?;
        let (fours, _) = view.data().as_chunks();
        Ok(fours.iter().map(|&four| f32::from_le_bytes(four)).collect())
    }

    pub(crate) fn f64(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, Error> {
        let view = self.shaped(name, Dtype::F64, shape)?;
        let (eights, _) = view.data().as_chunks();
        Ok(eights
            .iter()
            .map(|&eight| f64::from_le_bytes(eight))
            .collect())
    }

    /// Returns (rows, width) of an array of rank 2.
    pub(crate) fn shape(&self, name: &str) -> Result<(usize, usize), Error> {
        match self.view(name)?.shape() {
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

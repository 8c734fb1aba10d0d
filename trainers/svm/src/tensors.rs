//! Dense arrays in and out of a safetensors file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use diagnostics::Error;
use harness::model_dir::{TENSORS, unreadable};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo, TensorView};

use crate::weights::OutputWeights;

/// Arrays by name.
pub(crate) type Arrays<'a> = BTreeMap<&'static str, Array<'a>>;

/// A dense row-major array.
pub(crate) struct Array<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Data<'a>,
}

enum Data<'a> {
    /// The bytes of the file.
    Bytes(Vec<u8>),
    /// Written one after the other, because the dense rows of many classes would take gigabytes.
    Rows(&'a [OutputWeights]),
}

impl<'a> Array<'a> {
    pub(crate) fn f32(shape: &[usize], data: &[f32]) -> Self {
        Self::new(Dtype::F32, shape, Data::Bytes(f32_bytes(data)))
    }

    pub(crate) fn f64(shape: &[usize], data: &[f64]) -> Self {
        let bytes = data.iter().flat_map(|value| value.to_le_bytes());
        Self::new(Dtype::F64, shape, Data::Bytes(bytes.collect()))
    }

    /// Array of rank 2 from rows of equal length.
    pub(crate) fn rows(rows: &[Vec<f32>]) -> Self {
        let width = rows.first().map_or(0, Vec::len);
        Self::f32(&[rows.len(), width], &rows.concat())
    }

    /// Array of rank 2 from the weights of each output.
    pub(crate) fn weights(rows: &'a [OutputWeights]) -> Self {
        let width = rows.first().map_or(0, OutputWeights::width);
        Self::new(Dtype::F32, &[rows.len(), width], Data::Rows(rows))
    }

    fn new(dtype: Dtype, shape: &[usize], data: Data<'a>) -> Self {
        Self {
            dtype,
            shape: shape.to_vec(),
            data,
        }
    }

    fn len(&self) -> usize {
        match &self.data {
            Data::Bytes(bytes) => bytes.len(),
            Data::Rows(rows) => rows.iter().map(|row| row.width() * size_of::<f32>()).sum(),
        }
    }

    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        match &self.data {
            Data::Bytes(bytes) => file.write_all(bytes),
            Data::Rows(rows) => rows
                .iter()
                .try_for_each(|row| file.write_all(&f32_bytes(&row.dense()))),
        }
    }
}

fn f32_bytes(data: &[f32]) -> Vec<u8> {
    data.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn f32_values(bytes: &[u8]) -> Vec<f32> {
    let (fours, _) = bytes.as_chunks();
    fours.iter().map(|&four| f32::from_le_bytes(four)).collect()
}

/// Writes the safetensors file of the model folder `dir`.
pub(crate) fn write_arrays(dir: &Path, arrays: &Arrays<'_>) -> Result<(), Error> {
    let path = dir.join(TENSORS);
    let mut sorted: Vec<_> = arrays.iter().collect();
    // The order of `safetensors::serialize`: 8-byte values first, for their alignment.
    sorted
        .sort_by(|(name, left), (other, right)| right.dtype.cmp(&left.dtype).then(name.cmp(other)));
    let mut end = 0;
    let infos = sorted.iter().map(|(name, array)| {
        let start = end;
        end += array.len();
        let info = TensorInfo {
            dtype: array.dtype,
            shape: array.shape.clone(),
            data_offsets: (start, end),
        };
        ((**name).to_owned(), info)
    });
    let header = Metadata::new(None, infos.collect());
    let header = header.map_err(|error| unreadable(dir, TENSORS, error))?;
    let header = serde_json::to_vec(&header);
    let mut header = header.map_err(|error| unreadable(dir, TENSORS, error))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let put = || -> io::Result<()> {
        let mut file = BufWriter::new(File::create(&path)?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for (_, array) in &sorted {
            array.write(&mut file)?;
        }
        file.flush()
    };
    put().map_err(Error::io("write", &path))
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
        Ok(f32_values(self.shaped(name, Dtype::F32, shape)?.data()))
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
        let view = self.shaped(name, Dtype::F32, &[rows, width])?;
        let rows = view.data().chunks_exact(size_of::<f32>() * width.max(1));
        Ok(rows.map(f32_values).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_file_is_that_of_the_safetensors_crate() {
        let weights = [
            OutputWeights::new(vec![0.0, 0.0, 2.0, 0.0, 0.0]),
            OutputWeights::new(vec![1.0, 2.0, 3.0, -0.0, 0.5]),
        ];
        let dense: Vec<f32> = weights
            .iter()
            .flat_map(|row| row.dense().to_vec())
            .collect();
        let mut arrays = Arrays::new();
        arrays.insert("scale", Array::rows(&[vec![1.5, 2.5, 0.25]]));
        arrays.insert("coefficients", Array::weights(&weights));
        arrays.insert("platt", Array::f64(&[1, 2], &[-1.0, 0.5]));
        let dir = tempfile::tempdir().unwrap();
        write_arrays(dir.path(), &arrays).unwrap();
        let bytes = [
            f32_bytes(&[1.5, 2.5, 0.25]),
            f32_bytes(&dense),
            [-1.0f64, 0.5]
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect(),
        ];
        let view = |dtype, shape: &[usize], at: usize| {
            TensorView::new(dtype, shape.to_vec(), &bytes[at]).unwrap()
        };
        let views = [
            ("scale", view(Dtype::F32, &[1, 3], 0)),
            ("coefficients", view(Dtype::F32, &[2, 5], 1)),
            ("platt", view(Dtype::F64, &[1, 2], 2)),
        ];
        let expected = safetensors::serialize(views, None).unwrap();
        assert!(std::fs::read(dir.path().join(TENSORS)).unwrap() == expected);
    }
}

//! Dense arrays of f32 and f64 in and out of `model.safetensors`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use diagnostics::Error;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo, TensorView};

use super::{TENSORS, unreadable};

/// Arrays by name.
pub type Arrays<'a> = BTreeMap<&'static str, Array<'a>>;

/// A dense row-major array.
pub struct Array<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Data<'a>,
}

enum Data<'a> {
    /// The bytes of the file.
    Bytes(Vec<u8>),
    /// The row of this number; rows of f32 are written one after the other.
    Rows(Box<dyn Fn(usize) -> Cow<'a, [f32]> + 'a>),
}

impl<'a> Array<'a> {
    /// Creates an array of f32.
    pub fn f32(shape: &[usize], data: &[f32]) -> Self {
        Self::new(Dtype::F32, shape, Data::Bytes(f32_bytes(data)))
    }

    /// Creates an array of f64.
    pub fn f64(shape: &[usize], data: &[f64]) -> Self {
        let bytes = data.iter().flat_map(|value| value.to_le_bytes());
        Self::new(Dtype::F64, shape, Data::Bytes(bytes.collect()))
    }

    /// Creates an array of rank 2 from rows of equal length.
    pub fn rows(rows: &[Vec<f32>]) -> Self {
        let width = rows.first().map_or(0, Vec::len);
        Self::f32(&[rows.len(), width], &rows.concat())
    }

    /// Creates an array of this shape whose rows are computed one after the other while it is
    /// written, because together the dense rows of many classes would take gigabytes.
    pub fn from_rows(shape: [usize; 2], row: impl Fn(usize) -> Cow<'a, [f32]> + 'a) -> Self {
        Self::new(Dtype::F32, &shape, Data::Rows(Box::new(row)))
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
            Data::Rows(_) => self.shape.iter().product::<usize>() * size_of::<f32>(),
        }
    }

    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        match &self.data {
            Data::Bytes(bytes) => file.write_all(bytes),
            Data::Rows(row) => {
                (0..self.shape[0]).try_for_each(|index| file.write_all(&f32_bytes(&row(index))))
            }
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
///
/// # Errors
/// The file cannot be written.
pub fn write_arrays(dir: &Path, arrays: &Arrays<'_>) -> Result<(), Error> {
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
pub struct Tensors<'a> {
    dir: &'a Path,
    tensors: SafeTensors<'a>,
}

impl<'a> Tensors<'a> {
    /// Reads the header of a file; `dir` is for messages.
    ///
    /// # Errors
    /// It is not a safetensors file.
    pub fn new(dir: &'a Path, file: &'a [u8]) -> Result<Self, Error> {
        let tensors =
            SafeTensors::deserialize(file).map_err(|error| unreadable(dir, TENSORS, error))?;
        Ok(Self { dir, tensors })
    }
}

impl Tensors<'_> {
    /// True if there is an array of this name.
    pub fn contains(&self, name: &str) -> bool {
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

    /// Reads an array of f32.
    ///
    /// # Errors
    /// It is missing, or has another type or shape.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        Ok(f32_values(self.shaped(name, Dtype::F32, shape)?.data()))
    }

    /// Reads an array of f64.
    ///
    /// # Errors
    /// It is missing, or has another type or shape.
    pub fn f64(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, Error> {
        let view = self.shaped(name, Dtype::F64, shape)?;
        let (eights, _) = view.data().as_chunks();
        Ok(eights
            .iter()
            .map(|&eight| f64::from_le_bytes(eight))
            .collect())
    }

    /// Returns (rows, width) of an array of rank 2.
    ///
    /// # Errors
    /// It is missing or has another rank.
    pub fn shape(&self, name: &str) -> Result<(usize, usize), Error> {
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
    ///
    /// # Errors
    /// It is missing, or has another type or shape.
    pub fn rows(
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
        let dense = [0.0f32, 0.0, 2.0, 0.0, 0.0, 1.0, 2.0, 3.0, -0.0, 0.5];
        let mut arrays = Arrays::new();
        arrays.insert("scale", Array::rows(&[vec![1.5, 2.5, 0.25]]));
        let row = |row: usize| Cow::Borrowed(&dense[5 * row..][..5]);
        arrays.insert("coefficients", Array::from_rows([2, 5], row));
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

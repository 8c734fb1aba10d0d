//! Reads and writes safetensors files one tensor at a time, so that no model is in memory twice.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use diagnostics::Error;

/// An f32 tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Array {
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub data: Vec<f32>,
}

/// Tensors by name.
pub type Arrays = BTreeMap<String, Array>;

/// A borrowed f32 tensor, to be written.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    /// Name in the file.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: &'a [usize],
    /// Values, row-major.
    pub data: &'a [f32],
}

/// Returns all arrays with `prefix` before their names.
pub fn prefixed<'a>(prefix: &str, arrays: &'a Arrays) -> impl Iterator<Item = Tensor<'a>> {
    arrays.iter().map(move |(name, array)| Tensor {
        name: format!("{prefix}{name}"),
        shape: &array.shape,
        data: &array.data,
    })
}

/// An error of reading a safetensors file.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not a safetensors file, or lacks the requested tensor.
    #[error("{0}")]
    Format(String),
}

/// The limit of the format, in bytes.
const MAX_HEADER: u64 = 100_000_000;
/// Bytes of the header's length, which precedes it.
const PREFIX: u64 = 8;
/// Bytes converted at a time.
const CHUNK: usize = 1 << 18;

/// Writes f32 tensors to a new file, sorted by name, with `metadata` in the header.
pub fn write_tensors(
    path: &Path,
    metadata: &[(&str, &str)],
    mut tensors: Vec<Tensor<'_>>,
) -> Result<(), Error> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut end = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = end;
        end += size_of_val(tensor.data);
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape: tensor.shape.to_vec(),
            data_offsets: (start, end),
        };
        (tensor.name.clone(), info)
    });
    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    let metadata: HashMap<String, String> = metadata.iter().map(owned).collect();
    let metadata = (!metadata.is_empty()).then_some(metadata);
    let header = Metadata::new(metadata, infos.collect()).map_err(|error| error.to_string());
    let header =
        header.and_then(|header| serde_json::to_vec(&header).map_err(|error| error.to_string()));
    let mut header = header.map_err(|error| {
        Error::new(format!("cannot write `{}`: {error}", path.display())).help("please report it")
    })?;
    // The format allows 8-byte values, which need this alignment.
    header.resize(header.len().next_multiple_of(8), b' ');
    put(path, &header, &tensors).map_err(Error::io("write", path))
}

fn put(path: &Path, header: &[u8], tensors: &[Tensor<'_>]) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(CHUNK, File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header)?;
    let mut bytes = Vec::with_capacity(CHUNK);
    for values in tensors
        .iter()
        .flat_map(|tensor| tensor.data.chunks(CHUNK / 4))
    {
        bytes.clear();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        file.write_all(&bytes)?;
    }
    file.flush()
}

/// Reads all tensors of a file. They must be f32.
pub fn read_tensors(path: &Path) -> Result<Arrays, TensorError> {
    let file = TensorFile::open(path)?;
    let mut arrays = Arrays::new();
    for name in file.names() {
        if file.dtype(&name) != Some(Dtype::F32) {
            let found = file.dtype(&name);
            return Err(TensorError::Format(format!(
                "expected `{name}` of type F32, found {}",
                found.map_or_else(String::new, |found| format!("{found:?}"))
            )));
        }
        let array = file.read(&name)?;
        arrays.insert(name, array);
    }
    Ok(arrays)
}

/// An open safetensors file with a checked header: tensors lie within the file and do not overlap.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: File,
    /// Offset of the data, in bytes.
    start: u64,
    header: Metadata,
}

impl TensorFile {
    /// Reads the header.
    pub fn open(path: &Path) -> Result<Self, TensorError> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let bad = |text: String| TensorError::Format(text);
        let mut prefix = [0; PREFIX as usize];
        if length < PREFIX {
            return Err(bad(format!("expected a header, found `{length}` bytes")));
        }
        file.read_exact(&mut prefix)?;
        let size = u64::from_le_bytes(prefix);
        // Checked before allocating: the file is untrusted.
        if size > MAX_HEADER.min(length - PREFIX) {
            return Err(bad(format!(
                "expected a header of at most `{}` bytes, found one of `{size}`",
                MAX_HEADER.min(length - PREFIX)
            )));
        }
        let mut text = vec![0; size as usize];
        file.read_exact(&mut text)?;
        let header: Metadata = serde_json::from_slice(&text)
            .map_err(|error| bad(format!("the header is damaged: {error}")))?;
        let start = PREFIX + size;
        let expected = start.saturating_add(header.data_len() as u64);
        if expected != length {
            return Err(bad(format!(
                "expected `{expected}` bytes by its header, found `{length}`"
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            start,
            header,
        })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of all tensors, in the order of the data.
    pub fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// Dimensions of a tensor, if it exists.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.info(name).map(|info| info.shape.as_slice())
    }

    /// Data type of a tensor, if it exists.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.header.info(name).map(|info| info.dtype)
    }

    /// Reads a tensor of type F64, F32, F16 or BF16 as f32.
    pub fn read(&self, name: &str) -> Result<Array, TensorError> {
        let missing = || TensorError::Format(format!("expected `{name}`, found none"));
        let info = self.header.info(name).ok_or_else(missing)?;
        let (from, to) = info.data_offsets;
        let convert: fn(&[u8], &mut Vec<f32>) = match info.dtype {
            Dtype::F32 => |bytes, values| {
                values.extend(
                    bytes
                        .as_chunks()
                        .0
                        .iter()
                        .map(|&four| f32::from_le_bytes(four)),
                );
            },
            Dtype::F64 => |bytes, values| {
                let eights = bytes.as_chunks().0.iter();
                values.extend(eights.map(|&eight| f64::from_le_bytes(eight) as f32));
            },
            Dtype::F16 => |bytes, values| {
                let twos = bytes.as_chunks().0.iter();
                values.extend(twos.map(|&two| f16_to_f32(u16::from_le_bytes(two))));
            },
            Dtype::BF16 => |bytes, values| {
                let twos = bytes.as_chunks().0.iter();
                let wide = |two| u32::from(u16::from_le_bytes(two)) << 16;
                values.extend(twos.map(|&two| f32::from_bits(wide(two))));
            },
            other => {
                return Err(TensorError::Format(format!(
                    "expected `{name}` of type F64, F32, F16 or BF16, found {other:?}"
                )));
            }
        };
        let shape = info.shape.clone();
        let mut data = Vec::with_capacity(shape.iter().product());
        let mut buffer = vec![0; CHUNK.min(to - from)];
        let mut at = from;
        while at < to {
            let part = &mut buffer[..CHUNK.min(to - at)];
            self.file.read_exact_at(part, self.start + at as u64)?;
            convert(part, &mut data);
            at += part.len();
        }
        Ok(Array { shape, data })
    }
}

/// Converts IEEE 754 binary16 to f32.
fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10) & 0x1f, u32::from(bits) & 0x3ff);
    let size = match exponent {
        0 => fraction as f32 / 16_777_216.0,
        0x1f => f32::from_bits(0x7f80_0000 | fraction << 13),
        _ => f32::from_bits((exponent + 112) << 23 | fraction << 13),
    };
    f32::from_bits(size.to_bits() | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor<'a>(name: &str, shape: &'a [usize], data: &'a [f32]) -> Tensor<'a> {
        let name = name.to_owned();
        Tensor { name, shape, data }
    }

    /// Returns a file with this header and `rest` zero bytes after it.
    fn file(header: &str, rest: usize) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + rest, 0);
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn written_tensors_are_read_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let many: Vec<f32> = (0..200_000).map(|x| x as f32 / 7.0).collect();
        let tensors = vec![
            tensor("b", &[2, 100_000], &many),
            tensor("a", &[], &[-0.0]),
            tensor("none", &[0, 3], &[]),
        ];
        write_tensors(file.path(), &[("format", "pt")], tensors).unwrap();
        let arrays = read_tensors(file.path()).unwrap();
        assert_eq!(arrays.keys().collect::<Vec<_>>(), ["a", "b", "none"]);
        assert_eq!(arrays["b"].data, many);
        assert_eq!(arrays["b"].shape, [2, 100_000]);
        assert!(arrays["a"].data[0].is_sign_negative());
        // The crate that defines the format agrees.
        let bytes = std::fs::read(file.path()).unwrap();
        let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(theirs.tensor("b").unwrap().shape(), [2, 100_000]);
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    }

    #[test]
    fn half_precision_is_converted() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 2f32.powi(-24)),
            (0x0400, 2f32.powi(-14)),
            (0x3555, 0.333_251_95),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(f16_to_f32(bits), value, "{bits:x}");
        }
        assert!(f16_to_f32(0x7e00).is_nan());
        let header = r#"{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}"#;
        let file = file(header, 4);
        let mut bytes = std::fs::read(file.path()).unwrap();
        let end = bytes.len();
        bytes[end - 2..].copy_from_slice(&0x3f80u16.to_le_bytes());
        std::fs::write(file.path(), bytes).unwrap();
        let found = TensorFile::open(file.path()).unwrap().read("x").unwrap();
        assert_eq!(found.data, [0.0, 1.0]);
    }

    /// Each is refused before its claimed size is allocated.
    #[test]
    fn malformed_files_are_refused() {
        let entry = |offsets: &str, shape: &str| {
            format!(r#"{{"x":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        let overlapping = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
        for (name, header, rest) in [
            ("overlapping", overlapping.to_owned(), 12),
            ("hole", entry("[4,8]", "[1]"), 8),
            ("beyond", entry("[0,8]", "[2]"), 4),
            ("truncated", entry("[0,4000000000]", "[1000000000]"), 4),
            ("backwards", entry("[8,0]", "[2]"), 8),
            ("size", entry("[0,8]", "[3]"), 8),
            ("overflow", entry("[0,8]", "[4611686018427387905,4]"), 8),
            ("more than the header says", entry("[0,8]", "[2]"), 9),
            ("text", "no JSON".to_owned(), 0),
            ("deep", "[".repeat(100_000), 0),
        ] {
            let file = file(&header, rest);
            let error = TensorFile::open(file.path()).unwrap_err();
            assert!(matches!(error, TensorError::Format(_)), "{name}: {error}");
        }
        for prefix in [u64::MAX, 100_000_001, 90] {
            let file = file("", 80);
            let mut bytes = std::fs::read(file.path()).unwrap();
            bytes[..8].copy_from_slice(&prefix.to_le_bytes());
            std::fs::write(file.path(), bytes).unwrap();
            let error = TensorFile::open(file.path()).unwrap_err().to_string();
            assert!(
                error.contains("expected a header of at most `80` bytes"),
                "{error}"
            );
        }
    }

    #[test]
    fn other_data_types_are_refused() {
        let header = r#"{"x":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
        let file = file(header, 8);
        let error = TensorFile::open(file.path())
            .unwrap()
            .read("x")
            .unwrap_err();
        assert!(error.to_string().contains("found I64"), "{error}");
        let error = read_tensors(file.path()).unwrap_err().to_string();
        assert_eq!(error, "expected `x` of type F32, found I64");
    }
}

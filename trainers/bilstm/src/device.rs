//! Where the numbers are worked on.

use std::ffi::CStr;
use std::str::FromStr;
use std::sync::OnceLock;

use clap::ValueEnum;
use diagnostics::Error;
use tch::{Cuda, Device, Kind, TchError, Tensor};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// All GPUs, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// All GPUs.
    Cuda,
    /// This GPU.
    CudaIndex(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || "expected auto, cpu, cuda or cuda:N".to_owned();
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            other => {
                let index = other.strip_prefix("cuda:").ok_or_else(unknown)?;
                index.parse().map(Self::CudaIndex).map_err(|_| unknown())
            }
        }
    }
}

/// Which numbers a GPU trains with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// 32 bits everywhere
    Full,
    /// 16 bits where it is safe, with a scaled loss (Micikevicius et al. 2018)
    Mixed,
}

/// The devices to train on, one replica of the network each, and whether in mixed precision.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Devices {
    pub(crate) all: Vec<Device>,
    pub(crate) mixed: bool,
}

impl DeviceChoice {
    /// The devices of this machine that were asked for. A GPU is tried out first: what this libtorch has no code for is
    /// refused before any data is read.
    pub(crate) fn find(self, precision: Option<Precision>) -> Result<Devices, Error> {
        let gpus = match self {
            Self::Cpu => Gpus::default(),
            _ => Gpus::find(),
        };
        let devices = self.among(&gpus, precision)?;
        for &device in devices.all.iter().filter(|device| device.is_cuda()) {
            try_out(device).map_err(failed)?;
        }
        Ok(devices)
    }

    /// Whether it can only be a GPU.
    pub(crate) fn is_gpu(self) -> bool {
        matches!(self, Self::Cuda | Self::CudaIndex(_))
    }

    fn among(self, gpus: &Gpus, precision: Option<Precision>) -> Result<Devices, Error> {
        let wanted = match self {
            Self::Auto | Self::Cpu => 0,
            Self::Cuda => 1,
            Self::CudaIndex(index) => index.saturating_add(1),
        };
        if gpus.count < wanted {
            return Err(gpus.too_few(wanted));
        }
        let all = match self {
            Self::CudaIndex(index) => vec![Device::Cuda(index)],
            Self::Auto | Self::Cuda if gpus.count > 0 => {
                (0..gpus.count).map(Device::Cuda).collect()
            }
            _ => vec![Device::Cpu],
        };
        let gpu = all.iter().any(|device| device.is_cuda());
        if !gpu && precision == Some(Precision::Mixed) {
            return Err(Error::new("expected a GPU for --precision mixed, found none: half precision is slower on a CPU").help("leave --precision out"));
        }
        let mixed = gpu && precision != Some(Precision::Full);
        Ok(Devices { all, mixed })
    }
}

/// A product of small matrices, which needs a kernel and cuBLAS.
fn try_out(device: Device) -> Result<(), TchError> {
    let ones = Tensor::f_ones([2, 2], (Kind::Float, device))?; // (2, 2) f32
    let product = ones.f_matmul(&ones)?; // (2, 2) f32
    product.f_sum(Kind::Float)?.f_double_value(&[]).map(|_| ())
}

/// Rows of a batch below which a thread of its own is not worth it: matrices of few rows are slow.
const LEAST_ROWS: usize = 8;

impl Devices {
    /// On a CPU a replica for each of so many threads, as far as batches of this size go round.
    pub(crate) fn with_threads(mut self, threads: usize, batch_size: usize) -> Self {
        if self.all == [Device::Cpu] {
            self.all = vec![Device::Cpu; threads.min(batch_size / LEAST_ROWS).max(1)];
        }
        self
    }
}

/// The GPUs that libtorch can use.
#[derive(Default)]
struct Gpus {
    count: usize,
    /// Why libtorch's CUDA part could not be loaded.
    missing: Option<String>,
}

impl Gpus {
    fn find() -> Self {
        static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
        Self {
            missing: LOADED.get_or_init(load_cuda).clone().err(),
            count: usize::try_from(Cuda::device_count()).unwrap_or(0),
        }
    }

    fn too_few(&self, wanted: usize) -> Error {
        let found = self.count;
        let expected = format!("expected `{wanted}` or more GPUs, found `{found}`");
        match &self.missing {
            // The usual case, and the loader's words for it would only hide it.
            Some(why) if why.contains("libtorch_cuda.so: cannot open") => Error::new(format!("{expected}: this libtorch is for CPUs alone")).help("use --device cpu, or build with a libtorch for CUDA: trainers/bilstm/get-libtorch cuda"),
            Some(why) => Error::new(format!("{expected}: libtorch's CUDA part cannot be loaded: {why}")).help("use --device cpu, or install what is missing"),
            None if found == 0 => Error::new(format!(
                    "{expected}: libtorch has its CUDA part, but finds no GPU with a driver that fits"
                )).help("use --device cpu, or see what `nvidia-smi` says: CUDA 13 needs driver 580 or newer, CUDA 12 needs 525"),
            None => Error::new(expected).help("use --device cuda for all that there are"),
        }
    }
}

/// Loads libtorch's CUDA part if it is installed. The linker drops a library that no symbol is taken from, so the
/// program depends on the CPU part alone; the CUDA part registers itself when it is loaded.
fn load_cuda() -> Result<(), String> {
    let flags = libc::RTLD_NOW | libc::RTLD_GLOBAL;
    #[expect(unsafe_code, reason = "there is no safe way to load a library")]
    // SAFETY: the name is a C string. The library's initialisers register kernels, as they do in any program that links
    // it; they run before any other thread of ours calls libtorch. dlerror's text is this thread's and is copied before
    // the thread calls the loader again.
    let error = unsafe {
        if !libc::dlopen(c"libtorch_cuda.so".as_ptr(), flags).is_null() {
            return Ok(());
        }
        let error = libc::dlerror();
        (!error.is_null()).then(|| CStr::from_ptr(error).to_string_lossy().into_owned())
    };
    Err(error.unwrap_or_else(|| "the loader does not say why".to_owned()))
}

/// libtorch's word for what failed, and what can be done.
pub(crate) fn failed(error: TchError) -> Error {
    let text = match error {
        TchError::Torch(text) => text,
        other => other.to_string(),
    };
    let first = text.lines().next().unwrap_or_default().trim();
    let memory = text.contains("out of memory") || text.contains("can't allocate memory");
    let help = if memory {
        "lower --batch-size, --seq-len or --hidden-size"
    } else if text.contains("no kernel image") {
        "use --device cpu, or a libtorch that has code for this GPU, such as the cu126 build for a V100: docs/cuda.md"
    } else {
        "lower --batch-size if memory may be short; else please report it with the command that you typed"
    };
    Error::new(format!("libtorch failed: {first}")).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_count(count: usize) -> Gpus {
        let missing = None;
        Gpus { count, missing }
    }

    #[test]
    fn devices_are_what_was_asked_for() {
        let found = |text: &str, gpus| {
            let choice: DeviceChoice = text.parse().unwrap();
            choice.among(&of_count(gpus), None)
        };
        let of = |all: &[Device], mixed| Devices {
            all: all.to_vec(),
            mixed,
        };
        assert_eq!(found("auto", 0).unwrap(), of(&[Device::Cpu], false));
        assert_eq!(
            found("auto", 2).unwrap(),
            of(&[Device::Cuda(0), Device::Cuda(1)], true)
        );
        assert_eq!(found("cpu", 2).unwrap(), of(&[Device::Cpu], false));
        assert_eq!(found("cuda:1", 2).unwrap(), of(&[Device::Cuda(1)], true));
        for (text, gpus) in [("cuda", 0), ("cuda:2", 2), ("cuda:18446744073709551615", 2)] {
            let message = found(text, gpus).unwrap_err().to_string();
            assert!(message.contains("help: use --device c"), "{message}");
        }
        assert!(
            "cuda:x".parse::<DeviceChoice>().is_err() && "gpu".parse::<DeviceChoice>().is_err()
        );
    }

    #[test]
    fn mixed_precision_is_for_gpus() {
        assert!(
            DeviceChoice::Auto
                .among(&of_count(0), Some(Precision::Mixed))
                .is_err()
        );
        assert!(
            !DeviceChoice::Auto
                .among(&of_count(1), Some(Precision::Full))
                .unwrap()
                .mixed
        );
    }

    #[test]
    fn why_there_is_no_gpu_is_said() {
        let message = |why: Option<&str>| {
            let missing = why.map(str::to_owned);
            let gpus = Gpus { count: 0, missing };
            DeviceChoice::Cuda
                .among(&gpus, None)
                .unwrap_err()
                .to_string()
        };
        let absent = "libtorch_cuda.so: cannot open shared object file: No such file or directory";
        for (why, expected) in [
            (
                Some(absent),
                "is for CPUs alone\n  help: use --device cpu, or build with",
            ),
            (
                Some("libnccl.so.2: cannot open shared object file"),
                "cannot be loaded: libnccl.so.2",
            ),
            (None, "finds no GPU with a driver that fits"),
        ] {
            let message = message(why);
            assert!(message.contains(expected), "{message}");
        }
        let foreign = TchError::Torch(
            "CUDA error: no kernel image is available for execution on the device".to_owned(),
        );
        assert!(failed(foreign).to_string().contains("docs/cuda.md"));
    }
}

//! Where the numbers are worked on.

use std::str::FromStr;

use clap::ValueEnum;
use harness::Failure;
use tch::{Cuda, Device, TchError};

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
    /// The devices of this machine that were asked for.
    pub(crate) fn find(self, precision: Option<Precision>) -> Result<Devices, Failure> {
        let gpus = match self {
            Self::Cpu => 0,
            _ => gpus(),
        };
        self.among(gpus, precision)
    }

    fn among(self, gpus: usize, precision: Option<Precision>) -> Result<Devices, Failure> {
        let wanted = match self {
            Self::Auto | Self::Cpu => 0,
            Self::Cuda => 1,
            Self::CudaIndex(index) => index + 1,
        };
        if gpus < wanted {
            return Err(Failure::other(
                format!("expected `{wanted}` or more GPUs that libtorch can use, found `{gpus}`"),
                "use --device cpu, or install the CUDA libtorch and a driver that fits it",
            ));
        }
        let all = match self {
            Self::CudaIndex(index) => vec![Device::Cuda(index)],
            Self::Auto | Self::Cuda if gpus > 0 => (0..gpus).map(Device::Cuda).collect(),
            _ => vec![Device::Cpu],
        };
        let gpu = all[0].is_cuda();
        if !gpu && precision == Some(Precision::Mixed) {
            return Err(Failure::other(
                "expected a GPU for --precision mixed, found none: half precision is slower on a CPU",
                "leave --precision out",
            ));
        }
        let mixed = gpu && precision != Some(Precision::Full);
        Ok(Devices { all, mixed })
    }
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

/// How many GPUs libtorch can use.
fn gpus() -> usize {
    load_cuda();
    usize::try_from(Cuda::device_count()).unwrap_or(0)
}

/// Loads libtorch's CUDA part if it is installed. The linker drops a library that no symbol is taken from, so the
/// program depends on the CPU part alone; the CUDA part registers itself when it is loaded.
fn load_cuda() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let flags = libc::RTLD_NOW | libc::RTLD_GLOBAL;
        #[expect(unsafe_code, reason = "there is no safe way to load a library")]
        // SAFETY: the name is a C string. The library's initialisers register kernels, as they do in any program that
        // links it; they run before any other thread of ours calls libtorch.
        unsafe {
            libc::dlopen(c"libtorch_cuda.so".as_ptr(), flags);
        }
    });
}

/// libtorch's word for what failed, and what can be done.
pub(crate) fn failed(error: TchError) -> Failure {
    let text = match error {
        TchError::Torch(text) => text,
        other => other.to_string(),
    };
    let first = text.lines().next().unwrap_or_default().trim();
    let memory = text.contains("out of memory") || text.contains("can't allocate memory");
    let help = if memory {
        "lower --batch-size, --seq-len or --hidden-size"
    } else {
        "lower --batch-size if memory may be short; else please report it with the command that you typed"
    };
    Failure::other(format!("libtorch failed: {first}"), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_what_was_asked_for() {
        let found = |text: &str, gpus| {
            let choice: DeviceChoice = text.parse().unwrap();
            choice.among(gpus, None)
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
        for (text, gpus) in [("cuda", 0), ("cuda:2", 2)] {
            let message = found(text, gpus).unwrap_err().to_string();
            assert!(message.contains("help: use --device cpu"), "{message}");
        }
        assert!(
            "cuda:x".parse::<DeviceChoice>().is_err() && "gpu".parse::<DeviceChoice>().is_err()
        );
    }

    #[test]
    fn mixed_precision_is_for_gpus() {
        assert!(DeviceChoice::Auto.among(0, Some(Precision::Mixed)).is_err());
        assert!(
            !DeviceChoice::Auto
                .among(1, Some(Precision::Full))
                .unwrap()
                .mixed
        );
    }
}

//! Devices of libtorch.

use std::ffi::CStr;
use std::sync::OnceLock;

use diagnostics::Error;
use tch::{Cuda, Device, Kind, TchError, Tensor};
use training::{DeviceChoice, Precision};

/// The devices to train on, one replica of the network each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Devices {
    pub(crate) all: Vec<Device>,
    /// True for mixed precision.
    pub(crate) mixed: bool,
}

/// Returns the chosen devices of this machine. Each GPU runs a small computation first: a GPU that
/// this libtorch has no kernels for is refused before any data is read.
///
/// # Errors
/// If there are too few GPUs, one does not work, or mixed precision is chosen for the CPU.
pub(crate) fn find_devices(
    choice: DeviceChoice,
    precision: Option<Precision>,
) -> Result<Devices, Error> {
    let gpus = match choice {
        DeviceChoice::Cpu => Gpus::default(),
        _ => Gpus::find(),
    };
    let devices = gpus.choose(choice, precision)?;
    for &device in devices.all.iter().filter(|device| device.is_cuda()) {
        check_kernels(device).map_err(torch_error)?;
    }
    Ok(devices)
}

/// Multiplies small matrices, which needs kernels and cuBLAS.
fn check_kernels(device: Device) -> Result<(), TchError> {
    let ones = Tensor::f_ones([2, 2], (Kind::Float, device))?; // (2, 2) f32
    let product = ones.f_matmul(&ones)?; // (2, 2) f32
    product.f_sum(Kind::Float)?.f_double_value(&[]).map(|_| ())
}

/// Minimum rows of a batch per thread: matrices of fewer rows are slow.
const MIN_ROWS_PER_THREAD: usize = 8;

impl Devices {
    /// Returns the names of all devices, such as `cpu` or `cuda:0`.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |device: &Device| match device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".to_owned(),
        };
        self.all.iter().map(name).collect()
    }

    /// On a CPU, sets one replica per thread, as far as the batch size allows.
    pub(crate) fn with_threads(mut self, threads: usize, batch_size: usize) -> Self {
        if self.all == [Device::Cpu] {
            self.all = vec![Device::Cpu; threads.min(batch_size / MIN_ROWS_PER_THREAD).max(1)];
        }
        self
    }
}

/// The GPUs that libtorch can use.
#[derive(Default)]
struct Gpus {
    count: usize,
    /// Error of loading libtorch's CUDA part.
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

    fn choose(&self, choice: DeviceChoice, precision: Option<Precision>) -> Result<Devices, Error> {
        let indices = choice.gpus(self.count, |expected| self.too_few(expected))?;
        let mixed = Precision::is_mixed(precision, !indices.is_empty())?;
        let all = match indices.is_empty() {
            true => vec![Device::Cpu],
            false => indices.into_iter().map(Device::Cuda).collect(),
        };
        Ok(Devices { all, mixed })
    }

    fn too_few(&self, wanted: usize) -> Error {
        let found = self.count;
        let expected = format!("expected `{wanted}` or more GPUs, found `{found}`");
        match &self.missing {
            // The usual case; the message of the loader would hide it.
            Some(why) if why.contains("libtorch_cuda.so: cannot open") => Error::new(format!("{expected}: this libtorch supports CPUs only")).help("use --device cpu, or build with a libtorch for CUDA: trainers/bilstm/get-libtorch cuda"),
            Some(why) => Error::new(format!("{expected}: libtorch's CUDA part cannot be loaded: {why}")).help("use --device cpu, or install what is missing"),
            None if found == 0 => Error::new(format!(
                    "{expected}: libtorch supports CUDA, but finds no GPU with a compatible driver"
                )).help("use --device cpu, or check the driver with `nvidia-smi`: CUDA 13 needs 580 or newer, CUDA 12 needs 525"),
            None => Error::new(expected).help("use --device cuda for all GPUs"),
        }
    }
}

/// Loads libtorch's CUDA part if it is installed. The linker drops a library without used symbols,
/// so the program links the CPU part only; the CUDA part registers itself when it is loaded.
fn load_cuda() -> Result<(), String> {
    let flags = libc::RTLD_NOW | libc::RTLD_GLOBAL;
    #[expect(unsafe_code, reason = "there is no safe way to load a library")]
    // SAFETY: the name is a C string. The library's initialisers register kernels, as in any
    // program that links it; they run before another thread calls libtorch. dlerror's text belongs
    // to this thread and is copied before the next call of the loader.
    let error = unsafe {
        if !libc::dlopen(c"libtorch_cuda.so".as_ptr(), flags).is_null() {
            return Ok(());
        }
        let error = libc::dlerror();
        (!error.is_null()).then(|| CStr::from_ptr(error).to_string_lossy().into_owned())
    };
    Err(error.unwrap_or_else(|| "the loader gives no reason".to_owned()))
}

/// Converts an error of libtorch.
pub(crate) fn torch_error(error: TchError) -> Error {
    let text = match error {
        TchError::Torch(text) => text,
        other => other.to_string(),
    };
    let first = text.lines().next().unwrap_or_default().trim();
    let memory = text.contains("out of memory") || text.contains("can't allocate memory");
    let help = if memory {
        "lower --batch-size, --seq-len or --hidden-size"
    } else if text.contains("no kernel image") {
        "use --device cpu, or a libtorch with kernels for this GPU, such as the cu126 build for a V100: docs/guide/gpus.md"
    } else {
        "lower --batch-size if memory may be short; else please report it with the command line"
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
    fn device_choices_become_devices() {
        let found = |text: &str, gpus| {
            let choice: DeviceChoice = text.parse().unwrap();
            of_count(gpus).choose(choice, None)
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
    fn mixed_precision_needs_a_gpu() {
        assert!(
            of_count(0)
                .choose(DeviceChoice::Auto, Some(Precision::Mixed))
                .is_err()
        );
        assert!(
            !of_count(1)
                .choose(DeviceChoice::Auto, Some(Precision::Full))
                .unwrap()
                .mixed
        );
    }

    #[test]
    fn errors_state_why_there_is_no_gpu() {
        let message = |why: Option<&str>| {
            let missing = why.map(str::to_owned);
            let gpus = Gpus { count: 0, missing };
            gpus.choose(DeviceChoice::Cuda, None)
                .unwrap_err()
                .to_string()
        };
        let absent = "libtorch_cuda.so: cannot open shared object file: No such file or directory";
        for (why, expected) in [
            (
                Some(absent),
                "supports CPUs only\n  help: use --device cpu, or build with",
            ),
            (
                Some("libnccl.so.2: cannot open shared object file"),
                "cannot be loaded: libnccl.so.2",
            ),
            (None, "finds no GPU with a compatible driver"),
        ] {
            let message = message(why);
            assert!(message.contains(expected), "{message}");
        }
        let foreign = TchError::Torch(
            "CUDA error: no kernel image is available for execution on the device".to_owned(),
        );
        assert!(
            torch_error(foreign)
                .to_string()
                .contains("docs/guide/gpus.md")
        );
    }
}

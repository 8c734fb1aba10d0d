//! Engines by device.

use diagnostics::Error;
use training::{DeviceChoice, Precision};

use crate::architecture::Architecture;
use crate::cpu::CpuEngine;
use crate::distributed::ProcessGroup;
use crate::engine::{Engine, Params};

/// The devices of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EngineDevice {
    Cpu,
    /// Indices, at least one.
    Gpus(Vec<usize>),
}

/// The GPUs that this program can use.
#[cfg_attr(
    not(test),
    allow(
        dead_code,
        reason = "programs with and without CUDA construct different ones"
    )
)]
enum Gpus {
    /// The program was built without CUDA.
    NotBuilt,
    /// The driver is missing or failed, with its message.
    Unusable(String),
    Count(usize),
}

/// Returns the chosen devices of this machine.
///
/// # Errors
/// If there are too few GPUs, or mixed precision is chosen for the CPU.
pub(crate) fn find(
    choice: DeviceChoice,
    precision: Option<Precision>,
) -> Result<EngineDevice, Error> {
    let gpus = match choice {
        DeviceChoice::Cpu => Gpus::Count(0),
        _ => gpus(),
    };
    let place = gpus.choose(choice)?;
    Precision::is_mixed(precision, place != EngineDevice::Cpu)?;
    Ok(place)
}

impl Gpus {
    fn choose(&self, choice: DeviceChoice) -> Result<EngineDevice, Error> {
        let count = match self {
            Self::Count(count) => *count,
            Self::NotBuilt | Self::Unusable(_) => 0,
        };
        let indices = choice.gpus(count, |expected| self.too_few(expected))?;
        Ok(match indices.is_empty() {
            true => EngineDevice::Cpu,
            false => EngineDevice::Gpus(indices),
        })
    }

    fn too_few(&self, expected: usize) -> Error {
        match self {
            Self::NotBuilt => Error::new(
                "expected a program with CUDA for --device cuda, this one was built without",
            )
            .help(
                "use --device cpu, or build one: `cargo build --release -p transformer --features cuda` \
                 (docs/guide/gpus.md)",
            ),
            Self::Unusable(why) => Error::new(format!(
                "expected a GPU for --device cuda, but its driver does not answer: {why}"
            ))
            .help("use --device cpu, or check the driver with `nvidia-smi`"),
            Self::Count(count) => Error::new(format!(
                "expected `{expected}` or more GPUs, found `{count}`"
            ))
            .help("use --device cpu, or an index that `nvidia-smi -L` lists"),
        }
    }
}

/// Settings of an engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) device: DeviceChoice,
    pub(crate) precision: Option<Precision>,
    pub(crate) threads: usize,
}

impl Setup {
    /// Returns an engine with these weights, of which `frozen` do not change, for a run on the
    /// hosts of the group.
    pub(crate) fn engine(
        self,
        architecture: &Architecture,
        values: Params,
        frozen: &[bool],
        group: Option<&mut ProcessGroup>,
    ) -> Result<Box<dyn Engine>, Error> {
        match find(self.device, self.precision)? {
            EngineDevice::Cpu => {
                let engine = CpuEngine::new(architecture, values, self.threads, frozen)?;
                Ok(Box::new(engine))
            }
            EngineDevice::Gpus(gpus) => self.on_gpus(gpus, architecture, &values, frozen, group),
        }
    }

    #[cfg(not(feature = "candle"))]
    fn on_gpus(
        self,
        _: Vec<usize>,
        _: &Architecture,
        _: &Params,
        _: &[bool],
        _: Option<&mut ProcessGroup>,
    ) -> Result<Box<dyn Engine>, Error> {
        // Unreachable: without CUDA no GPU is found.
        Err(
            Error::new("expected a program with CUDA, this one was built without")
                .help("use --device cpu"),
        )
    }

    #[cfg(feature = "candle")]
    fn on_gpus(
        self,
        gpus: Vec<usize>,
        architecture: &Architecture,
        values: &Params,
        frozen: &[bool],
        group: Option<&mut ProcessGroup>,
    ) -> Result<Box<dyn Engine>, Error> {
        use crate::candle::{CandleEngine, EngineOptions};
        let trained: Vec<bool> = frozen.iter().map(|frozen| !frozen).collect();
        let options = EngineOptions {
            gpus,
            precision: self.precision,
            trained: &trained,
            hosts: group,
        };
        Ok(Box::new(CandleEngine::new(architecture, values, options)?))
    }
}

#[cfg(not(feature = "cuda"))]
fn gpus() -> Gpus {
    Gpus::NotBuilt
}

#[cfg(feature = "cuda")]
fn gpus() -> Gpus {
    use candle_core::cuda_backend::cudarc::driver::CudaContext;
    match CudaContext::device_count() {
        Ok(count) => Gpus::Count(usize::try_from(count).unwrap_or(0)),
        Err(error) => Gpus::Unusable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, gpus: &Gpus) -> Result<EngineDevice, String> {
        let choice: DeviceChoice = text.parse()?;
        gpus.choose(choice).map_err(|error| error.to_string())
    }

    #[test]
    fn device_choices_become_devices() {
        let (none, two) = (Gpus::Count(0), Gpus::Count(2));
        assert_eq!(found("auto", &none), Ok(EngineDevice::Cpu));
        assert_eq!(found("auto", &Gpus::NotBuilt), Ok(EngineDevice::Cpu));
        assert_eq!(
            found("auto", &Gpus::Unusable(String::new())),
            Ok(EngineDevice::Cpu)
        );
        assert_eq!(found("auto", &two), Ok(EngineDevice::Gpus(vec![0, 1])));
        assert_eq!(found("cuda", &two), Ok(EngineDevice::Gpus(vec![0, 1])));
        assert_eq!(found("cpu", &two), Ok(EngineDevice::Cpu));
        assert_eq!(found("cuda:1", &two), Ok(EngineDevice::Gpus(vec![1])));
        for text in ["gpu", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(found(text, &two).is_err(), "{text}");
        }
    }

    #[test]
    fn errors_state_what_is_missing() {
        for (text, gpus, expected) in [
            ("cuda", Gpus::NotBuilt, "this one was built without"),
            (
                "cuda:0",
                Gpus::Unusable("no driver".into()),
                "does not answer: no driver",
            ),
            (
                "cuda",
                Gpus::Count(0),
                "expected `1` or more GPUs, found `0`",
            ),
            (
                "cuda:2",
                Gpus::Count(2),
                "expected `3` or more GPUs, found `2`",
            ),
            (
                "cuda:18446744073709551615",
                Gpus::Count(2),
                "or more GPUs, found `2`",
            ),
        ] {
            let message = found(text, &gpus).unwrap_err();
            assert!(message.contains(expected), "{message}");
            assert!(message.contains("help: use --device cpu"), "{message}");
        }
    }

    #[test]
    fn mixed_precision_needs_a_gpu() {
        assert!(find(DeviceChoice::Cpu, Some(Precision::Mixed)).is_err());
        assert_eq!(find(DeviceChoice::Cpu, None).unwrap(), EngineDevice::Cpu);
    }
}

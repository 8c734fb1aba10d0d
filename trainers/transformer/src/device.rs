//! Where the numbers are worked on.

use std::str::FromStr;

use clap::ValueEnum;
use diagnostics::Error;

use crate::architecture::Architecture;
use crate::cpu::CpuEngine;
use crate::distributed::Meeting;
use crate::engine::{Engine, Values};

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

/// Which numbers a GPU works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// 32 bits everywhere
    Full,
    /// 16 bits where it is safe: bf16, or f16 with a scaled loss where the GPU has no bf16 (Micikevicius et al. 2018)
    Mixed,
}

/// The devices that compute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Cpu,
    /// By number; one or more.
    Gpus(Vec<usize>),
}

/// What this machine and this program have.
#[cfg_attr(
    not(test),
    allow(
        dead_code,
        reason = "programs with and without CUDA find different ones"
    )
)]
enum Gpus {
    /// The program was built without CUDA.
    NotBuilt,
    /// No driver, or one that says no; in its words.
    Unusable(String),
    Count(usize),
}

impl DeviceChoice {
    /// The devices of this machine that were asked for.
    pub(crate) fn find(self, precision: Option<Precision>) -> Result<Place, Error> {
        let gpus = match self {
            Self::Cpu => Gpus::Count(0),
            _ => gpus(),
        };
        let place = self.among(&gpus)?;
        if place == Place::Cpu && precision == Some(Precision::Mixed) {
            return Err(Error::new("expected a GPU for --precision mixed, found none: half precision is slower on a CPU").help("leave --precision out"));
        }
        Ok(place)
    }

    fn among(self, gpus: &Gpus) -> Result<Place, Error> {
        let count = match gpus {
            Gpus::Count(count) => *count,
            Gpus::NotBuilt | Gpus::Unusable(_) => 0,
        };
        let wanted = match self {
            Self::Auto | Self::Cpu => 0,
            Self::Cuda => 1,
            Self::CudaIndex(index) => index.saturating_add(1),
        };
        if count < wanted {
            return Err(match gpus {
                Gpus::NotBuilt => Error::new("expected a program with CUDA for --device cuda, this one was built without").help("use --device cpu, or build one: `cargo build --release -p transformer --features cuda` \
                     (docs/cuda.md)"),
                Gpus::Unusable(why) => Error::new(format!(
                        "expected a GPU for --device cuda, but its driver does not answer: {why}"
                    )).help("use --device cpu, or look at what `nvidia-smi` says"),
                Gpus::Count(count) => Error::new(format!("expected `{wanted}` or more GPUs, found `{count}`")).help("use --device cpu, or a number that `nvidia-smi -L` lists"),
            });
        }
        Ok(match self {
            Self::CudaIndex(index) => Place::Gpus(vec![index]),
            Self::Auto | Self::Cuda if count > 0 => Place::Gpus((0..count).collect()),
            _ => Place::Cpu,
        })
    }
}

/// How an engine is to work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) device: DeviceChoice,
    pub(crate) precision: Option<Precision>,
    pub(crate) threads: usize,
}

impl Setup {
    /// An engine with these weights, of which `frozen` do not change, for a run on the hosts of the meeting.
    pub(crate) fn engine(
        self,
        architecture: &Architecture,
        values: Values,
        frozen: &[bool],
        meeting: Option<&mut Meeting>,
    ) -> Result<Box<dyn Engine>, Error> {
        match self.device.find(self.precision)? {
            Place::Cpu => {
                let engine = CpuEngine::new(architecture, values, self.threads, frozen)?;
                Ok(Box::new(engine))
            }
            gpus @ Place::Gpus(_) => self.on_gpus(gpus, architecture, &values, frozen, meeting),
        }
    }

    #[cfg(not(feature = "candle"))]
    fn on_gpus(
        self,
        _: Place,
        _: &Architecture,
        _: &Values,
        _: &[bool],
        _: Option<&mut Meeting>,
    ) -> Result<Box<dyn Engine>, Error> {
        // Without CUDA no GPU is ever found.
        Err(
            Error::new("expected a program with CUDA, this one was built without")
                .help("use --device cpu"),
        )
    }

    #[cfg(feature = "candle")]
    fn on_gpus(
        self,
        place: Place,
        architecture: &Architecture,
        values: &Values,
        frozen: &[bool],
        meeting: Option<&mut Meeting>,
    ) -> Result<Box<dyn Engine>, Error> {
        use crate::candle::{CandleEngine, Hosts, Setting};
        let trained: Vec<bool> = frozen.iter().map(|frozen| !frozen).collect();
        let hosts = meeting.map(|meeting| {
            let (rank, count) = meeting.rank_of();
            Hosts {
                rank,
                count,
                exchange: Box::new(move |own| meeting.share(own)),
            }
        });
        let setting = Setting {
            place,
            precision: self.precision,
            trained: &trained,
            hosts,
        };
        Ok(Box::new(CandleEngine::new(architecture, values, setting)?))
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

    fn found(text: &str, gpus: &Gpus) -> Result<Place, String> {
        let choice: DeviceChoice = text.parse()?;
        choice.among(gpus).map_err(|error| error.to_string())
    }

    #[test]
    fn devices_are_what_was_asked_for() {
        let (none, two) = (Gpus::Count(0), Gpus::Count(2));
        assert_eq!(found("auto", &none), Ok(Place::Cpu));
        assert_eq!(found("auto", &Gpus::NotBuilt), Ok(Place::Cpu));
        assert_eq!(
            found("auto", &Gpus::Unusable(String::new())),
            Ok(Place::Cpu)
        );
        assert_eq!(found("auto", &two), Ok(Place::Gpus(vec![0, 1])));
        assert_eq!(found("cuda", &two), Ok(Place::Gpus(vec![0, 1])));
        assert_eq!(found("cpu", &two), Ok(Place::Cpu));
        assert_eq!(found("cuda:1", &two), Ok(Place::Gpus(vec![1])));
        for text in ["gpu", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(found(text, &two).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
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
    fn mixed_precision_is_for_gpus() {
        assert!(DeviceChoice::Cpu.find(Some(Precision::Mixed)).is_err());
        assert_eq!(DeviceChoice::Cpu.find(None).unwrap(), Place::Cpu);
    }
}

//! Where the numbers are worked on.

use std::str::FromStr;

use clap::ValueEnum;
use harness::Failure;

use crate::architecture::Architecture;
use crate::engine::{Engine, Values};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU.
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
    /// 16 bits where it is safe: bf16 where the chip has it, else f16 with a scaled loss (Micikevicius et al. 2018)
    Mixed,
}

/// How an engine is to work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) device: DeviceChoice,
    pub(crate) precision: Option<Precision>,
    pub(crate) threads: usize,
}

impl Setup {
    /// Refuses what this machine or this program cannot do.
    pub(crate) fn check(self) -> Result<(), Failure> {
        match self.device {
            DeviceChoice::Cuda | DeviceChoice::CudaIndex(_) => {
                return Err(Failure::other(
                    "expected a GPU that this program can use, found none: it was built without CUDA",
                    "use --device cpu, or build with `--features cuda`",
                ));
            }
            DeviceChoice::Auto | DeviceChoice::Cpu => {}
        }
        if self.precision == Some(Precision::Mixed) {
            return Err(Failure::other(
                "expected a GPU for --precision mixed, found none: half precision is slower on a CPU",
                "leave --precision out",
            ));
        }
        Ok(())
    }

    /// An engine with these weights, of which `frozen` do not change.
    pub(crate) fn engine(
        self,
        architecture: &Architecture,
        values: Values,
        frozen: &[bool],
    ) -> Result<Box<dyn Engine>, Failure> {
        self.check()?;
        let _ = (architecture, values, frozen);
        Err(Failure::other("no engine", "wait"))
    }
}

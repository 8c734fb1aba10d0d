//! Devices of networks: the values of `--device` and `--precision`.

use std::str::FromStr;

use clap::ValueEnum;
use diagnostics::Error;

/// The value of `--device`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// All GPUs, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// All GPUs, at least one.
    Cuda,
    /// The GPU with this index.
    CudaIndex(usize),
}

/// Data type of training on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// 32-bit floats everywhere
    Full,
    /// 16-bit floats where it is safe, with loss scaling for f16 (Micikevicius et al. 2018)
    Mixed,
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

impl DeviceChoice {
    /// True if only a GPU will do.
    pub fn is_gpu(self) -> bool {
        matches!(self, Self::Cuda | Self::CudaIndex(_))
    }

    /// Returns the indices of the chosen GPUs on a machine with `count` usable ones; none: the CPU.
    ///
    /// # Errors
    /// If there are too few GPUs: `too_few` of the expected number.
    pub fn gpus(
        self,
        count: usize,
        too_few: impl FnOnce(usize) -> Error,
    ) -> Result<Vec<usize>, Error> {
        let expected = match self {
            Self::Auto | Self::Cpu => 0,
            Self::Cuda => 1,
            Self::CudaIndex(index) => index.saturating_add(1),
        };
        if count < expected {
            return Err(too_few(expected));
        }
        Ok(match self {
            Self::Cpu => Vec::new(),
            Self::Auto | Self::Cuda => (0..count).collect(),
            Self::CudaIndex(index) => vec![index],
        })
    }
}

impl Precision {
    /// True if training on these devices uses mixed precision: the default on GPUs.
    ///
    /// # Errors
    /// If mixed precision is chosen for a CPU.
    pub fn is_mixed(choice: Option<Self>, on_gpu: bool) -> Result<bool, Error> {
        if !on_gpu && choice == Some(Self::Mixed) {
            return Err(Error::new(
                "expected a GPU for --precision mixed, found none: half precision is slower on a CPU",
            )
            .help("leave --precision out"));
        }
        Ok(on_gpu && choice != Some(Self::Full))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(text: &str, count: usize) -> Result<Vec<usize>, String> {
        let choice: DeviceChoice = text.parse()?;
        choice
            .gpus(count, |expected| Error::new(expected.to_string()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn choices_become_gpu_indices() {
        assert_eq!(chosen("auto", 0), Ok(vec![]));
        assert_eq!(chosen("auto", 2), Ok(vec![0, 1]));
        assert_eq!(chosen("cuda", 2), Ok(vec![0, 1]));
        assert_eq!(chosen("cpu", 2), Ok(vec![]));
        assert_eq!(chosen("cuda:1", 2), Ok(vec![1]));
        for text in ["gpu", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(chosen(text, 2).is_err(), "{text}");
        }
    }

    #[test]
    fn too_few_gpus_are_refused() {
        for (text, count, expected) in [
            ("cuda", 0, "1"),
            ("cuda:2", 2, "3"),
            ("cuda:18446744073709551615", 2, "18446744073709551615"),
        ] {
            assert!(
                chosen(text, count).unwrap_err().contains(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn mixed_precision_needs_a_gpu() {
        assert!(Precision::is_mixed(Some(Precision::Mixed), false).is_err());
        assert!(!Precision::is_mixed(None, false).unwrap());
        assert!(Precision::is_mixed(None, true).unwrap());
        assert!(!Precision::is_mixed(Some(Precision::Full), true).unwrap());
    }
}

use std::fmt;

use diagnostics::{Error, Result};

/// Value of `--instance-type`: the backend that runs a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Instance {
    /// SageMaker.
    Cloud {
        /// `ml.m5.large`
        instance_type: String,
        /// Number of instances, at least 1.
        count: u32,
    },
    /// `local`, `local_gpu`: the local Docker engine.
    Docker {
        /// True if the container gets all GPUs.
        gpu: bool,
    },
    /// `local-process`: the trainer's binary on this machine.
    Process,
}

impl Instance {
    /// Reads `--instance-type`.
    pub(crate) fn parse(text: &str, count: u32) -> Result<Self> {
        let instance = match text {
            "local" => Self::Docker { gpu: false },
            "local_gpu" => Self::Docker { gpu: true },
            "local-process" => Self::Process,
            _ if is_cloud(text) => {
                return Ok(Self::Cloud {
                    instance_type: text.to_owned(),
                    count,
                });
            }
            _ => {
                return Err(Error::usage(format!("`{text}` is not an instance type")).help(
                    "expected one of SageMaker's, such as `ml.m5.large`, or `local`, `local_gpu`, `local-process`",
                ));
            }
        };
        if count != 1 {
            return Err(Error::usage(format!(
                "`--instance-count {count}` needs a cloud instance, found `{text}`"
            ))
            .help("leave it out, or pass an instance type such as `ml.m5.large`"));
        }
        Ok(instance)
    }

    /// True if SageMaker runs it.
    pub(crate) fn is_cloud(&self) -> bool {
        matches!(self, Self::Cloud { .. })
    }
}

/// True for `ml.FAMILY.SIZE`. SageMaker checks that the type exists.
fn is_cloud(text: &str) -> bool {
    let mut parts = text.split('.');
    let word = |part: Option<&str>| {
        part.is_some_and(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
    };
    parts.next() == Some("ml") && word(parts.next()) && word(parts.next()) && parts.next().is_none()
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cloud { instance_type, .. } => f.write_str(instance_type),
            Self::Docker { gpu: false } => f.write_str("local"),
            Self::Docker { gpu: true } => f.write_str("local_gpu"),
            Self::Process => f.write_str("local-process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_instance_types() {
        for name in [
            "ml.m5.large",
            "ml.p3.16xlarge",
            "ml.g5.xlarge",
            "ml.c6gn.2xlarge",
            "ml.u-6tb1.metal",
        ] {
            let instance = Instance::parse(name, 2).expect("a SageMaker type");
            assert!(instance.is_cloud());
            assert_eq!(instance.to_string(), name);
        }
        for name in ["local", "local_gpu", "local-process"] {
            let instance = Instance::parse(name, 1).expect("a local type");
            assert!(!instance.is_cloud());
            assert_eq!(instance.to_string(), name);
            assert!(Instance::parse(name, 2).is_err());
        }
        for name in [
            "m5.large",
            "ml.m5",
            "ml.m5.large.x",
            "ml..large",
            "ML.m5.large",
            "Local",
            "",
        ] {
            assert!(Instance::parse(name, 1).is_err(), "{name}");
        }
    }
}

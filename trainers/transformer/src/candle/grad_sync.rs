//! Gradient synchronization over devices.

use candle_core::{Device, Tensor};
use diagnostics::Error;

use super::candle_error;
use crate::distributed::ProcessGroup;

/// All-reduce of the gradients of several devices.
pub(super) enum GradSync {
    /// Through host memory.
    Host,
    /// By NCCL, over the devices of all hosts.
    #[cfg(feature = "nccl")]
    Nccl(super::nccl::NcclGroup),
}

impl GradSync {
    pub(super) fn new(devices: &[Device], hosts: Option<&mut ProcessGroup>) -> Result<Self, Error> {
        let gpus = devices.iter().all(Device::is_cuda);
        #[cfg(feature = "nccl")]
        if gpus && (devices.len() > 1 || hosts.is_some()) {
            return super::nccl::NcclGroup::new(devices, hosts).map(Self::Nccl);
        }
        if gpus && hosts.is_some_and(|hosts| hosts.rank_and_size().1 > 1) {
            return Err(Error::new("expected a program with NCCL for a run on several hosts with GPUs, this one was built without").help("build it with --features nccl (docs/guide/gpus.md), or run on one host"));
        }
        Ok(Self::Host)
    }

    /// True if sums already include all hosts.
    pub(super) fn spans_hosts(&self) -> bool {
        match self {
            Self::Host => false,
            #[cfg(feature = "nccl")]
            Self::Nccl(world) => world.spans_hosts(),
        }
    }

    /// Replaces each vector (len) f32 by the sum of all.
    pub(super) fn sum(&self, vectors: &[&Tensor]) -> Result<(), Error> {
        match self {
            Self::Host => sum_on_host(vectors).map_err(candle_error),
            #[cfg(feature = "nccl")]
            Self::Nccl(world) => world.sum(vectors),
        }
    }
}

fn sum_on_host(vectors: &[&Tensor]) -> candle_core::Result<()> {
    let [first, others @ ..] = vectors else {
        return Ok(());
    };
    if others.is_empty() {
        return Ok(());
    }
    let mut sum = first.to_device(&Device::Cpu)?; // (len) f32
    for other in others {
        sum = (sum + other.to_device(&Device::Cpu)?)?;
    }
    for vector in vectors {
        vector.slice_set(&sum.to_device(vector.device())?, 0, 0)?;
    }
    Ok(())
}

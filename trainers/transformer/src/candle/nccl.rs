//! All-reduce over GPUs by NCCL. **Tested with a single GPU only**: the available machine (H200)
//! had one, and NCCL refuses two ranks on one GPU.

use std::ffi::c_char;

use candle_core::backend::BackendDevice;
use candle_core::cuda_backend::cudarc::driver::CudaStream;
use candle_core::cuda_backend::cudarc::nccl::result::{NcclError, group_end, group_start};
use candle_core::cuda_backend::cudarc::nccl::safe::{Comm, Id, ReduceOp};
use candle_core::{
    CpuStorage, CudaStorage, Device, Error as CandleError, InplaceOp1, Layout, Tensor,
};
use diagnostics::Error;
use std::sync::Arc;

use crate::distributed::ProcessGroup;

/// Bytes of NCCL's unique id (nccl.h, NCCL_UNIQUE_ID_BYTES).
const ID_BYTES: usize = 128;

/// A GPU's communicator.
struct Member(Comm);

#[expect(unsafe_code, reason = "cudarc leaves the choice to its user")]
// SAFETY: NCCL lets any thread use a communicator, one at a time (NCCL User Guide, "Thread
// Safety"); a member is only accessible through its `NcclGroup`, which is not `Sync`.
unsafe impl Send for Member {}

/// Communicators of this host's GPUs, in order.
pub(super) struct NcclGroup {
    members: Vec<Member>,
    hosts: usize,
}

fn nccl_error(error: NcclError) -> Error {
    Error::new(format!("NCCL failed: {error:?}")).help("set NCCL_DEBUG=INFO to see why; on several hosts NCCL_SOCKET_IFNAME has to name the network interface")
}

impl NcclGroup {
    /// Each host must have the same number of GPUs.
    pub(super) fn new(devices: &[Device], hosts: Option<&mut ProcessGroup>) -> Result<Self, Error> {
        let streams: Vec<Arc<CudaStream>> = devices
            .iter()
            .map(|device| Ok(device.as_cuda_device()?.cuda_stream()))
            .collect::<Result<_, CandleError>>()
            .map_err(super::candle_error)?;
        let Some(hosts) = hosts.filter(|hosts| hosts.rank_and_size().1 > 1) else {
            let members = Comm::from_devices(streams).map_err(nccl_error)?;
            return Ok(Self {
                members: members.into_iter().map(Member).collect(),
                hosts: 1,
            });
        };
        let (rank, world_size) = hosts.rank_and_size();
        let own = match rank {
            0 => Some(
                Id::new()
                    .map_err(nccl_error)?
                    .internal()
                    .map(|byte| byte as u8),
            ),
            _ => None,
        };
        // NCCL needs no more to find the other processes.
        let bytes = hosts.broadcast(own.as_ref().map(<[u8; ID_BYTES]>::as_slice), ID_BYTES)?;
        let bytes: [u8; ID_BYTES] = bytes.try_into().map_err(|bytes: Vec<u8>| {
            Error::new(format!(
                "expected `{ID_BYTES}` bytes from the first host, found `{}`",
                bytes.len()
            ))
            .help("start the same version on all hosts")
        })?;
        let id = bytes.map(|byte| byte as c_char);
        let (first, all) = (rank * streams.len(), world_size * streams.len());
        // Each call waits for all others, so each has a thread.
        let members = std::thread::scope(|scope| {
            let threads: Vec<_> = streams
                .into_iter()
                .enumerate()
                .map(|(number, stream)| scope.spawn(move || join(stream, first + number, all, id)))
                .collect();
            let members = threads.into_iter().map(|thread| match thread.join() {
                Ok(member) => member,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            members.collect::<Result<Vec<_>, Error>>()
        })?;
        Ok(Self {
            members,
            hosts: world_size,
        })
    }

    pub(super) fn spans_hosts(&self) -> bool {
        self.hosts > 1
    }

    /// Replaces each vector (len) f32 by the sum over all GPUs of all hosts.
    pub(super) fn sum(&self, vectors: &[&Tensor]) -> Result<(), Error> {
        // One thread drives all GPUs: without a group the first call would deadlock.
        group_start().map_err(nccl_error)?;
        let sums = vectors.iter().zip(&self.members);
        let all = sums.map(|(vector, member)| vector.inplace_op1(&Sum(member)));
        let done = all.collect::<Result<(), CandleError>>();
        group_end().map_err(nccl_error)?;
        done.map_err(super::candle_error)?;
        for vector in vectors {
            // NCCL's errors are reported here.
            let device = vector
                .device()
                .as_cuda_device()
                .map_err(super::candle_error)?;
            device.synchronize().map_err(super::candle_error)?;
        }
        Ok(())
    }
}

fn join(
    stream: Arc<CudaStream>,
    rank: usize,
    all: usize,
    id: [c_char; ID_BYTES],
) -> Result<Member, Error> {
    // NCCL uses the thread's current GPU.
    let bound = stream.context().bind_to_thread();
    bound.map_err(|error| super::candle_error(CandleError::Msg(error.to_string())))?;
    Comm::from_rank(stream, rank, all, Id::uninit(id))
        .map(Member)
        .map_err(nccl_error)
}

/// Sums a vector over all members.
struct Sum<'a>(&'a Member);

impl InplaceOp1 for Sum<'_> {
    fn name(&self) -> &'static str {
        "nccl-sum"
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        candle_core::bail!("NCCL sums on GPUs alone")
    }

    fn cuda_fwd(&self, storage: &mut CudaStorage, layout: &Layout) -> candle_core::Result<()> {
        let values = storage.as_cuda_slice_mut::<f32>()?;
        if layout.start_offset() != 0 || layout.shape().elem_count() != values.len() {
            candle_core::bail!("expected a whole vector, found a part of one");
        }
        let done = self.0.0.all_reduce_in_place(values, &ReduceOp::Sum);
        done.map_err(|error| CandleError::Msg(format!("NCCL failed: {error:?}")))?;
        Ok(())
    }
}

/// Returns groups of one GPU: a communicator of one process, and one that others could have joined.
#[cfg(test)]
pub(super) fn groups(device: &Device) -> [NcclGroup; 2] {
    let stream = device.as_cuda_device().unwrap().cuda_stream();
    let id = Id::new().unwrap().internal().to_owned();
    let joined = NcclGroup {
        members: vec![join(stream, 0, 1, id).unwrap()],
        hosts: 1,
    };
    [
        NcclGroup::new(std::slice::from_ref(device), None).unwrap(),
        joined,
    ]
}

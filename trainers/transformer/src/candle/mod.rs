//! The GPU engine, on candle's tensors: one replica per device, each for a part of a batch's rows.
//!
//! Tested on candle's CPU device; bench/gpu_transformer.py checks and measures it on a GPU (so far
//! an H200).

mod attention;
mod dropout;
mod forward_backward;
mod grad_sync;
mod loss;
#[cfg(feature = "nccl")]
mod nccl;
mod net;
mod ops;
mod param_layout;
#[cfg(test)]
mod tests;

use candle_core::{DType, Device, Error as CandleError, Tensor};
use diagnostics::Error;

use crate::architecture::Architecture;
use crate::distributed::ProcessGroup;
use crate::engine::{AdamWStep, AllReduce, Batch, Engine, LossTarget, Params, TrainerState};
use training::Precision;

use grad_sync::GradSync;
use net::Net;
use param_layout::ParamLayout;

/// Options of the engine.
pub(crate) struct EngineOptions<'a> {
    /// Indices of GPUs; empty: the CPU.
    pub(crate) gpus: Vec<usize>,
    /// `None`: mixed on GPUs, full on the CPU.
    pub(crate) precision: Option<Precision>,
    /// True for trained parameters, in the order of `Architecture::parameters`.
    pub(crate) trained: &'a [bool],
    /// The other hosts of the run, if NCCL sums over them.
    pub(crate) hosts: Option<&'a mut ProcessGroup>,
}

/// Engine of candle tensors.
pub(crate) struct CandleEngine {
    /// One replica per device; only their gradients differ.
    nets: Vec<Net>,
    grad_sync: GradSync,
    /// True if each replica has the summed gradients instead of its own.
    synced: bool,
}

/// Converts a candle error and adds help.
fn candle_error(error: CandleError) -> Error {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default().trim();
    let help = if text.to_ascii_lowercase().contains("out of memory") {
        "lower --batch-size or --max-len, or accumulate gradients of smaller batches"
    } else {
        "lower --batch-size if memory may be short; otherwise please report it with the command line"
    };
    Error::new(format!("candle failed: {first}")).help(help)
}

impl CandleEngine {
    /// Creates an engine with these parameters.
    pub(crate) fn new(
        architecture: &Architecture,
        params: &Params,
        options: EngineOptions<'_>,
    ) -> Result<Self, Error> {
        let devices = match options.gpus.as_slice() {
            [] => vec![(Device::Cpu, DType::F32)],
            gpus => gpus
                .iter()
                .map(|&index| open_gpu(index, options.precision))
                .collect::<Result<_, _>>()?,
        };
        Self::on(architecture, params, &devices, options)
    }

    fn on(
        architecture: &Architecture,
        params: &Params,
        devices: &[(Device, DType)],
        options: EngineOptions<'_>,
    ) -> Result<Self, Error> {
        let net = |(device, dtype): &(Device, DType)| {
            let layout = ParamLayout::new(architecture, options.trained);
            Net::new(architecture, layout, params, device, *dtype).map_err(candle_error)
        };
        let all: Vec<Device> = devices.iter().map(|(device, _)| device.clone()).collect();
        Ok(Self {
            nets: devices.iter().map(net).collect::<Result<_, _>>()?,
            grad_sync: GradSync::new(&all, options.hosts)?,
            synced: false,
        })
    }

    /// Applies a task to each replica's part of the rows; results are in order of the rows.
    fn map_shares<T: Send>(
        &self,
        batch: &Batch,
        task: impl Fn(&Net, Batch, usize) -> candle_core::Result<T> + Sync,
    ) -> Result<Vec<T>, Error> {
        let rows = batch.lengths.len();
        let size = rows.div_ceil(self.nets.len()).max(1);
        let work: Vec<_> = (0..rows)
            .step_by(size)
            .map(|first| (first, batch.part(first..rows.min(first + size))))
            .zip(&self.nets)
            .collect();
        par_map(work, |((first, share), net)| task(net, share, first))
    }

    /// Sums the replicas' gradients; with NCCL, those of all hosts.
    fn sum(&mut self) -> Result<(), Error> {
        if !self.synced {
            let gradients = self.nets.iter().map(Net::gradients);
            let gradients: Vec<&Tensor> =
                gradients.collect::<Result<_, _>>().map_err(candle_error)?;
            self.grad_sync.sum(&gradients)?;
            self.synced = true;
        }
        Ok(())
    }
}

/// Runs a task per item, on a thread each if there are several.
fn par_map<I: Send, T: Send>(
    items: Vec<I>,
    task: impl Fn(I) -> candle_core::Result<T> + Sync,
) -> Result<Vec<T>, Error> {
    if items.len() < 2 {
        return items
            .into_iter()
            .map(|item| task(item).map_err(candle_error))
            .collect();
    }
    std::thread::scope(|scope| {
        let task = &task;
        let threads: Vec<_> = items
            .into_iter()
            .map(|item| scope.spawn(move || task(item)))
            .collect();
        threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(answer) => answer.map_err(candle_error),
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

/// Parses the compute capability of the build, such as `80` or `90a`; empty if the build used that
/// of a GPU it found.
#[cfg(any(feature = "cuda", test))]
fn min_capability(built: &str) -> Option<i32> {
    let digits = built.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    digits.replace('.', "").parse().ok()
}

/// Returns the half precision for a GPU of this capability and this program.
#[cfg(any(feature = "cuda", test))]
fn half_dtype(capability: i32, built: &str) -> DType {
    // bf16 exists since Ampere (CUDA C++ Programming Guide, "Arithmetic Instructions"), and candle
    // compiles its bf16 kernels only for 80 and above (candle-kernels, src/compatibility.cuh).
    if capability.min(min_capability(built).unwrap_or(capability)) >= 80 {
        DType::BF16
    } else {
        DType::F16
    }
}

#[cfg(not(feature = "cuda"))]
fn open_gpu(number: usize, _: Option<Precision>) -> Result<(Device, DType), Error> {
    Err(Error::new(format!(
        "expected a program with CUDA for GPU `{number}`, this one was built without"
    ))
    .help("use --device cpu"))
}

/// Opens a GPU; returns it with its dtype.
#[cfg(feature = "cuda")]
fn open_gpu(number: usize, precision: Option<Precision>) -> Result<(Device, DType), Error> {
    // Its own stream: candle's default is the stream of the calling thread, and threads here are
    // short-lived.
    let device = Device::new_cuda_with_stream(number).map_err(candle_error)?;
    let Device::Cuda(cuda) = &device else {
        return Err(candle_error(CandleError::Msg(
            "expected a CUDA device".to_owned(),
        )));
    };
    let (major, minor) = cuda
        .cuda_stream()
        .context()
        .compute_capability()
        .map_err(|error| candle_error(CandleError::Msg(error.to_string())))?;
    let built = env!("TRAINYARD_COMPUTE_CAP");
    let capability = major * 10 + minor;
    if min_capability(built).is_some_and(|min_capability| capability < min_capability) {
        return Err(Error::new(format!(
                "expected a GPU of compute capability `{built}` or more, as this program was built for, \
                 found `{capability}`"
            )).help("build it with CUDA_COMPUTE_CAP set to the GPU's (docs/guide/gpus.md), or use --device cpu"));
    }
    let dtype = match precision {
        Some(Precision::Full) => DType::F32,
        Some(Precision::Mixed) | None => half_dtype(capability, built),
    };
    #[expect(unsafe_code, reason = "candle's switch for a single stream")]
    // SAFETY: all work on the device uses this one stream, so memory is neither freed nor written
    // before earlier work is done.
    unsafe {
        cuda.disable_event_tracking();
    }
    Ok((device, dtype))
}

impl Engine for CandleEngine {
    fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>, Error> {
        batch.check(&self.nets[0].architecture)?;
        let parts = self.map_shares(batch, |net, share, _| {
            let (logits, _) = net.forward(&net.tokens(&share)?, None, false)?; // (rows, classes) f32
            logits.flatten_all()?.to_vec1::<f32>()
        })?;
        Ok(parts.concat())
    }

    fn accumulate(&mut self, batch: &Batch, target: &LossTarget<'_>) -> Result<f64, Error> {
        batch.check(&self.nets[0].architecture)?;
        if self.synced {
            // The first replica keeps the sum so far.
            par_map(self.nets.iter().skip(1).collect(), |net| {
                net.gradients()?.zero_set()
            })?;
            self.synced = false;
        }
        let losses = self.map_shares(batch, |net, share, first| {
            let rows = share.lengths.len();
            let target = target.part(first..first + rows);
            let tokens = net.tokens(&share)?;
            let (logits, tape) = net.forward(&tokens, target.dropout_key, true)?; // (rows, classes) f32
            let (loss, gradient) = loss::loss(&logits.flatten_all()?.to_vec1::<f32>()?, &target);
            let gradient = Tensor::from_vec(gradient, (rows, ()), &net.device)?; // (rows, classes) f32
            net.backward(&tokens, tape, &gradient)?;
            Ok(loss)
        })?;
        Ok(losses.iter().sum())
    }

    fn all_reduce(&mut self, all: &mut dyn AllReduce) -> Result<(), Error> {
        self.sum()?;
        if self.grad_sync.spans_hosts() {
            return Ok(());
        }
        let first = &self.nets[0];
        let mut values = first
            .gradients()
            .and_then(Tensor::to_vec1::<f32>)
            .map_err(candle_error)?;
        all.sum(&mut values)?;
        let len = first.layout.len;
        let sum = Tensor::from_vec(values, len, &Device::Cpu).map_err(candle_error)?; // (len) f32
        par_map(self.nets.iter().collect(), |net| {
            net.gradients()?
                .slice_set(&sum.to_device(&net.device)?, 0, 0)
        })?;
        Ok(())
    }

    fn gradient_norm(&mut self) -> Result<f64, Error> {
        self.sum()?;
        self.nets[0].gradient_norm().map_err(candle_error)
    }

    fn optimizer_step(&mut self, adamw: &AdamWStep) -> Result<(), Error> {
        self.sum()?;
        par_map(self.nets.iter().collect(), |net| net.optimizer_step(adamw))?;
        self.zero_grad()
    }

    fn zero_grad(&mut self) -> Result<(), Error> {
        par_map(self.nets.iter().collect(), |net| {
            net.gradients()?.zero_set()
        })?;
        self.synced = false;
        Ok(())
    }

    #[cfg(test)]
    fn gradients(&mut self) -> Result<Params, Error> {
        self.sum()?;
        let first = &self.nets[0];
        let gradients = first.gradients().map_err(candle_error)?;
        first.layout.unpack(gradients, false).map_err(candle_error)
    }

    fn weights(&self) -> Result<Params, Error> {
        let first = &self.nets[0];
        first
            .layout
            .unpack(&first.weights, false)
            .map_err(candle_error)
    }

    fn save(&self) -> Result<TrainerState, Error> {
        let first = &self.nets[0];
        let buffers = first.buffers().map_err(candle_error)?;
        let values = |vector, trained| first.layout.unpack(vector, trained).map_err(candle_error);
        Ok(TrainerState {
            weights: values(&first.weights, false)?,
            first: values(&buffers.first, true)?,
            second: values(&buffers.second, true)?,
        })
    }

    fn restore(&mut self, saved: &TrainerState) -> Result<(), Error> {
        par_map(self.nets.iter().collect(), |net| net.restore(saved))?;
        self.zero_grad()
    }

    fn needs_loss_scaling(&self) -> bool {
        self.nets[0].dtype == DType::F16
    }

    fn device(&self) -> String {
        let names = self.nets.iter().map(Net::name);
        names.collect::<Vec<_>>().join(", ")
    }
}

//! The engine for GPUs, on candle's tensors: a network per device with the same weights, each of which takes its share of
//! a batch's rows.
//!
//! It is tested on candle's CPU device; bench/gpu_transformer.py checks and measures it on a GPU, which was an H200 so far.

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
use crate::device::Place;
use crate::engine::{AllReduce, Batch, Engine, Saved, Target, Update, Values};
use training::Precision;

pub(crate) use grad_sync::Hosts;

use grad_sync::Link;
use net::Net;
use param_layout::Plan;

/// How the engine is to compute.
pub(crate) struct Setting<'a> {
    pub(crate) place: Place,
    /// `None`: mixed on GPUs, full on the CPU.
    pub(crate) precision: Option<Precision>,
    /// Which parameters learn, in the order of `Architecture::parameters`.
    pub(crate) trained: &'a [bool],
    /// The other hosts of the run, if NCCL is to sum over them.
    pub(crate) hosts: Option<Hosts<'a>>,
}

/// See the module.
pub(crate) struct CandleEngine {
    /// One per device, equal but for their gradients.
    nets: Vec<Net>,
    link: Link,
    /// Whether each network has the sum of all gradients, not its own share.
    summed: bool,
}

/// candle's word for what failed, and what can be done.
fn failed(error: CandleError) -> Error {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default().trim();
    let help = if text.to_ascii_lowercase().contains("out of memory") {
        "lower --batch-size or --max-len, or accumulate gradients of smaller batches"
    } else {
        "lower --batch-size if memory may be short; else please report it with the command that you typed"
    };
    Error::new(format!("candle failed: {first}")).help(help)
}

impl CandleEngine {
    /// A network with these weights.
    pub(crate) fn new(
        architecture: &Architecture,
        weights: &Values,
        setting: Setting<'_>,
    ) -> Result<Self, Error> {
        let devices = match &setting.place {
            Place::Cpu => vec![(Device::Cpu, DType::F32)],
            Place::Gpus(numbers) => numbers
                .iter()
                .map(|&number| gpu(number, setting.precision))
                .collect::<Result<_, _>>()?,
        };
        Self::on(architecture, weights, &devices, setting)
    }

    fn on(
        architecture: &Architecture,
        weights: &Values,
        devices: &[(Device, DType)],
        setting: Setting<'_>,
    ) -> Result<Self, Error> {
        let net = |(device, dtype): &(Device, DType)| {
            let plan = Plan::new(architecture, setting.trained);
            Net::new(architecture, plan, weights, device, *dtype).map_err(failed)
        };
        let all: Vec<Device> = devices.iter().map(|(device, _)| device.clone()).collect();
        Ok(Self {
            nets: devices.iter().map(net).collect::<Result<_, _>>()?,
            link: Link::new(&all, setting.hosts)?,
            summed: false,
        })
    }

    /// What each network makes of its share of the rows, in their order.
    fn shared<T: Send>(
        &self,
        batch: &Batch,
        task: impl Fn(&Net, Batch, usize) -> candle_core::Result<T> + Sync,
    ) -> Result<Vec<T>, Error> {
        let size = batch.lengths.len().div_ceil(self.nets.len()).max(1);
        let share = |first: usize, lengths: &[usize]| Batch {
            ids: batch.ids[first * batch.seq..][..lengths.len() * batch.seq].to_vec(),
            lengths: lengths.to_vec(),
            seq: batch.seq,
        };
        let shares = batch.lengths.chunks(size).enumerate();
        let work: Vec<_> = shares
            .map(|(number, lengths)| (number * size, share(number * size, lengths)))
            .zip(&self.nets)
            .collect();
        each(work, |((first, share), net)| task(net, share, first))
    }

    /// Sums the networks' gradients, and where NCCL does it those of all hosts.
    fn sum(&mut self) -> Result<(), Error> {
        if !self.summed {
            let gradients = self.nets.iter().map(Net::gradients);
            let gradients: Vec<&Tensor> = gradients.collect::<Result<_, _>>().map_err(failed)?;
            self.link.sum(&gradients)?;
            self.summed = true;
        }
        Ok(())
    }
}

/// Runs a task per item, each on a thread of its own if there are several.
fn each<I: Send, T: Send>(
    items: Vec<I>,
    task: impl Fn(I) -> candle_core::Result<T> + Sync,
) -> Result<Vec<T>, Error> {
    if items.len() < 2 {
        return items
            .into_iter()
            .map(|item| task(item).map_err(failed))
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
                Ok(answer) => answer.map_err(failed),
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

/// The compute capability that a program was built for, such as `80` or `90a`; none is noted where it is that of a GPU that
/// the build found.
#[cfg(any(feature = "cuda", test))]
fn least(built: &str) -> Option<i32> {
    let digits = built.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    digits.replace('.', "").parse().ok()
}

/// The half precision of a GPU of this capability, with this program.
#[cfg(any(feature = "cuda", test))]
fn half(capability: i32, built: &str) -> DType {
    // bf16 came with Ampere (CUDA C++ Programming Guide, "Arithmetic Instructions"), and candle compiles its kernels for
    // it at 80 and above alone (candle-kernels, src/compatibility.cuh).
    if capability.min(least(built).unwrap_or(capability)) >= 80 {
        DType::BF16
    } else {
        DType::F16
    }
}

#[cfg(not(feature = "cuda"))]
fn gpu(number: usize, _: Option<Precision>) -> Result<(Device, DType), Error> {
    Err(Error::new(format!(
        "expected a program with CUDA for GPU `{number}`, this one was built without"
    ))
    .help("use --device cpu"))
}

/// A GPU and what it trains with.
#[cfg(feature = "cuda")]
fn gpu(number: usize, precision: Option<Precision>) -> Result<(Device, DType), Error> {
    // A stream of its own: candle's default is the stream of the calling thread, and threads come and go here.
    let device = Device::new_cuda_with_stream(number).map_err(failed)?;
    let Device::Cuda(cuda) = &device else {
        return Err(failed(CandleError::Msg(
            "expected a CUDA device".to_owned(),
        )));
    };
    let (major, minor) = cuda
        .cuda_stream()
        .context()
        .compute_capability()
        .map_err(|error| failed(CandleError::Msg(error.to_string())))?;
    let built = env!("TRAINYARD_COMPUTE_CAP");
    let capability = major * 10 + minor;
    if least(built).is_some_and(|least| capability < least) {
        return Err(Error::new(format!(
                "expected a GPU of compute capability `{built}` or more, as this program was built for, \
                 found `{capability}`"
            )).help("build it with CUDA_COMPUTE_CAP set to the GPU's (docs/cuda.md), or use --device cpu"));
    }
    let dtype = match precision {
        Some(Precision::Full) => DType::F32,
        Some(Precision::Mixed) | None => half(capability, built),
    };
    #[expect(unsafe_code, reason = "candle's way to say that one stream is enough")]
    // SAFETY: all work on the device goes to this one stream, so memory is neither freed nor written before what was
    // started earlier is done.
    unsafe {
        cuda.disable_event_tracking();
    }
    Ok((device, dtype))
}

impl Engine for CandleEngine {
    fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>, Error> {
        batch.check(&self.nets[0].architecture)?;
        let parts = self.shared(batch, |net, share, _| {
            let (logits, _) = net.forward(&net.tokens(&share)?, None, false)?; // (rows, classes) f32
            logits.flatten_all()?.to_vec1::<f32>()
        })?;
        Ok(parts.concat())
    }

    fn accumulate(&mut self, batch: &Batch, target: &Target<'_>) -> Result<f64, Error> {
        batch.check(&self.nets[0].architecture)?;
        if self.summed {
            // The first network keeps the sum so far.
            each(self.nets.iter().skip(1).collect(), |net| {
                net.gradients()?.zero_set()
            })?;
            self.summed = false;
        }
        let losses = self.shared(batch, |net, share, first| {
            let rows = share.lengths.len();
            let mut target = target.clone();
            target.labels = &target.labels[first..first + rows];
            if let Some(noise) = &mut target.noise {
                noise.first_row += first as u64;
            }
            let tokens = net.tokens(&share)?;
            let (logits, tape) = net.forward(&tokens, target.noise, true)?; // (rows, classes) f32
            let (loss, gradient) = loss::loss(&logits.flatten_all()?.to_vec1::<f32>()?, &target);
            let gradient = Tensor::from_vec(gradient, (rows, ()), &net.device)?; // (rows, classes) f32
            net.backward(&tokens, tape, &gradient)?;
            Ok(loss)
        })?;
        Ok(losses.iter().sum())
    }

    fn reduce(&mut self, all: &mut dyn AllReduce) -> Result<(), Error> {
        self.sum()?;
        if self.link.spans_hosts() {
            return Ok(());
        }
        let first = &self.nets[0];
        let mut values = first
            .gradients()
            .and_then(Tensor::to_vec1::<f32>)
            .map_err(failed)?;
        all.sum(&mut values)?;
        let len = first.plan.len;
        let sum = Tensor::from_vec(values, len, &Device::Cpu).map_err(failed)?; // (len) f32
        each(self.nets.iter().collect(), |net| {
            net.gradients()?
                .slice_set(&sum.to_device(&net.device)?, 0, 0)
        })?;
        Ok(())
    }

    fn gradient_norm(&mut self) -> Result<f64, Error> {
        self.sum()?;
        self.nets[0].gradient_norm().map_err(failed)
    }

    fn update(&mut self, update: &Update) -> Result<(), Error> {
        self.sum()?;
        each(self.nets.iter().collect(), |net| net.update(update))?;
        self.discard()
    }

    fn discard(&mut self) -> Result<(), Error> {
        each(self.nets.iter().collect(), |net| {
            net.gradients()?.zero_set()
        })?;
        self.summed = false;
        Ok(())
    }

    #[cfg(test)]
    fn gradients(&mut self) -> Result<Values, Error> {
        self.sum()?;
        let first = &self.nets[0];
        let gradients = first.gradients().map_err(failed)?;
        first.plan.unpack(gradients, false).map_err(failed)
    }

    fn weights(&self) -> Result<Values, Error> {
        let first = &self.nets[0];
        first.plan.unpack(&first.weights, false).map_err(failed)
    }

    fn save(&self) -> Result<Saved, Error> {
        let first = &self.nets[0];
        let learning = first.learning().map_err(failed)?;
        let values = |vector, trained| first.plan.unpack(vector, trained).map_err(failed);
        Ok(Saved {
            weights: values(&first.weights, false)?,
            first: values(&learning.first, true)?,
            second: values(&learning.second, true)?,
        })
    }

    fn restore(&mut self, saved: &Saved) -> Result<(), Error> {
        each(self.nets.iter().collect(), |net| net.restore(saved))?;
        self.discard()
    }

    fn is_scaled(&self) -> bool {
        self.nets[0].dtype == DType::F16
    }

    fn device(&self) -> String {
        let names = self.nets.iter().map(Net::name);
        names.collect::<Vec<_>>().join(", ")
    }
}

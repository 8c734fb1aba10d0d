//! Data-parallel training: each replica computes the gradients of a part of the batch; they are
//! summed on the first.
//!
//! On GPUs a replica is a network of its own. On a CPU it is a thread with the same weights, or,
//! for an even number of threads, a pair of threads, one per direction of the LSTM. libtorch's own
//! threads synchronise at every time step of an LSTM, which costs more than it gains: on two cores
//! a step takes PyTorch 215 ms with them and 183 ms without, and this code 82 ms
//! (bench/runs/2026-11-26-amd-epyc-bilstm-step).

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tch::{Device, TchError, Tensor, no_grad};
use training::Arrays;

use crate::directions::{self, BackwardWorker, Request, Response};
use crate::net::{Dropout, Net, Shape};
use crate::step::{Gradients, Step, gradients, worker_panicked};

/// Networks with equal weights.
pub(crate) struct Replicas {
    nets: Vec<Net>,
    /// One per network; empty for a single network.
    workers: Vec<Worker>,
    mixed: bool,
}

impl Replicas {
    /// Returns networks with these values, one per device; `None` if the values do not fit the
    /// shape. Repeated CPU devices share one network.
    pub(crate) fn new(
        shape: &Shape,
        arrays: &Arrays,
        devices: &[Device],
        mixed: bool,
    ) -> Result<Option<Self>, TchError> {
        let mut nets: Vec<Net> = Vec::new();
        for &device in devices {
            let net = match nets.first() {
                Some(first) if first.device == device => Some(first.share()),
                _ => Net::new(shape, arrays, device)?,
            };
            match net {
                Some(net) => nets.push(net),
                None => return Ok(None),
            }
        }
        if nets.is_empty() {
            return Ok(None);
        }
        let several = nets.len() > 1;
        let workers = nets
            .iter()
            .filter(|_| several)
            .map(|net| Worker::start(net.share(), mixed))
            .collect();
        Ok(Some(Self {
            nets,
            workers,
            mixed,
        }))
    }

    /// The network that the optimizer updates.
    pub(crate) fn first(&self) -> &Net {
        &self.nets[0]
    }

    /// The weights of the first network, for the optimizer.
    pub(crate) fn parameters(&mut self) -> &mut [Tensor] {
        &mut self.nets[0].parameters
    }

    /// Computes loss and gradients of a step.
    pub(crate) fn gradients(&mut self, step: Step) -> Result<Gradients, TchError> {
        let total_weight = step.total_weight();
        if self.workers.is_empty() {
            return gradients(&self.nets[0], &step, total_weight, self.mixed);
        }
        let pairs = self.nets[0].device == Device::Cpu && self.workers.len().is_multiple_of(2);
        let per_part = if pairs { 2 } else { 1 };
        let parts = self.workers.len() / per_part;
        let size = step.rows.len().div_ceil(parts).max(1);
        self.send_parts(&step, total_weight, size, per_part)?;
        let sent = step.rows.len().div_ceil(size);
        let mut sum: Option<Gradients> = None;
        for worker in self.workers.iter().step_by(per_part).take(sent) {
            let ReplicaResponse::Gradients(part) = worker.receive()? else {
                return Err(worker_panicked());
            };
            match &mut sum {
                None => sum = Some(part),
                Some(sum) => sum.add(part)?,
            }
        }
        sum.ok_or_else(|| TchError::Shape("a step without rows".to_owned()))
    }

    /// Sends each part of `size` rows to the next `per_part` workers.
    fn send_parts(
        &self,
        step: &Step,
        total_weight: f64,
        size: usize,
        per_part: usize,
    ) -> Result<(), TchError> {
        let parts = step.rows.chunks(size).zip(step.labels.chunks(size));
        let workers = self.workers.chunks(per_part);
        for ((number, (rows, labels)), workers) in parts.enumerate().zip(workers) {
            // The values of these rows, `width` each; nothing if there are no values.
            let part = |values: &[f32], width: usize| {
                let range = number * size * width..(number * size + rows.len()) * width;
                values.get(range).unwrap_or_default().to_vec()
            };
            let part = Step {
                rows: rows.to_vec(),
                labels: labels.to_vec(),
                indicators: part(&step.indicators, step.class_weights.len()),
                class_weights: step.class_weights.clone(),
                other_weights: step.other_weights.clone(),
                row_weights: part(&step.row_weights, 1),
                dropout: step.dropout.map(|dropout| Dropout {
                    first_row: number * size,
                    ..dropout
                }),
                loss_scale: step.loss_scale,
            };
            match workers {
                [worker] => worker.send(ReplicaRequest::Gradients(part, total_weight, None))?,
                [worker, helper, ..] => {
                    let ((requests, received), (sender, responses)) = (channel(), channel());
                    helper.send(ReplicaRequest::Backward(received, sender))?;
                    let backward = BackwardWorker {
                        requests,
                        responses,
                    };
                    worker.send(ReplicaRequest::Gradients(
                        part,
                        total_weight,
                        Some(backward),
                    ))?;
                }
                [] => {}
            }
        }
        Ok(())
    }

    /// Copies the weights of the first network to the others.
    pub(crate) fn broadcast(&mut self) -> Result<(), TchError> {
        let [first, others @ ..] = self.nets.as_mut_slice() else {
            return Ok(());
        };
        no_grad(|| {
            for net in others.iter_mut().filter(|net| net.device != first.device) {
                for (to, from) in net.parameters.iter_mut().zip(&first.parameters) {
                    to.f_copy_(from)?;
                }
            }
            Ok(())
        })
    }

    /// Computes the logits of each batch, in order, one batch per worker at a time; `None` if
    /// stopped.
    pub(crate) fn logits(
        &self,
        batches: &mut dyn Iterator<Item = Vec<Vec<u32>>>,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Vec<f32>>>, TchError> {
        let mut all = Vec::new();
        if self.workers.is_empty() {
            for batch in batches {
                if stopped() {
                    return Ok(None);
                }
                all.push(self.first().logits(&batch)?);
            }
            return Ok(Some(all));
        }
        loop {
            if stopped() {
                return Ok(None);
            }
            let mut sent = 0;
            for (worker, batch) in self.workers.iter().zip(&mut *batches) {
                worker.send(ReplicaRequest::Logits(batch))?;
                sent += 1;
            }
            if sent == 0 {
                return Ok(Some(all));
            }
            for worker in &self.workers[..sent] {
                match worker.receive()? {
                    ReplicaResponse::Logits(logits) => all.push(logits),
                    ReplicaResponse::Gradients(_) => return Err(worker_panicked()),
                }
            }
        }
    }
}

/// A thread with a network. It lives as long as its replicas: libtorch caches prepared kernels per
/// thread.
struct Worker {
    requests: Sender<ReplicaRequest>,
    responses: Receiver<Result<ReplicaResponse, TchError>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Worker {
    /// Waits for the thread, so that its memory is free once the replicas are dropped.
    fn drop(&mut self) {
        // Closes the channel, which ends the thread.
        drop(std::mem::replace(&mut self.requests, channel().0));
        if let Some(thread) = self.thread.take() {
            // A panic was reported when the thread did not respond.
            let _ = thread.join();
        }
    }
}

/// A request to the thread of a replica.
enum ReplicaRequest {
    /// Rows, sum of the weights of the whole step, and the worker of the backward direction
    /// if it is another one.
    Gradients(Step, f64, Option<BackwardWorker>),
    /// The backward direction of the rows of another worker, which sends the requests.
    Backward(Receiver<Request>, Sender<Result<Response, TchError>>),
    Logits(Vec<Vec<u32>>),
}

/// The response to a [`ReplicaRequest`].
enum ReplicaResponse {
    Gradients(Gradients),
    Logits(Vec<f32>),
}

impl Worker {
    fn start(net: Net, mixed: bool) -> Self {
        let (requests, received) = channel::<ReplicaRequest>();
        let (done, responses) = channel();
        let thread = std::thread::spawn(move || {
            // libtorch's own threads; the setting is per thread.
            tch::set_num_threads(1);
            for request in received {
                let response = match request {
                    ReplicaRequest::Gradients(step, total, Some(backward)) => {
                        directions::gradients(&net, &step, total, &backward)
                            .map(ReplicaResponse::Gradients)
                    }
                    ReplicaRequest::Gradients(step, total, None) => {
                        gradients(&net, &step, total, mixed).map(ReplicaResponse::Gradients)
                    }
                    ReplicaRequest::Backward(requests, responses) => {
                        directions::serve(&net, requests, &responses);
                        continue;
                    }
                    ReplicaRequest::Logits(rows) => net.logits(&rows).map(ReplicaResponse::Logits),
                };
                if done.send(response).is_err() {
                    break;
                }
            }
        });
        Self {
            requests,
            responses,
            thread: Some(thread),
        }
    }

    fn send(&self, request: ReplicaRequest) -> Result<(), TchError> {
        self.requests.send(request).map_err(|_| worker_panicked())
    }

    fn receive(&self) -> Result<ReplicaResponse, TchError> {
        self.responses.recv().map_err(|_| worker_panicked())?
    }
}

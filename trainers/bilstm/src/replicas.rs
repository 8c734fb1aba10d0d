//! Data parallel training: each replica takes its share of a batch, the gradients are summed on the first.
//!
//! On GPUs a replica is a network of its own. On a CPU it is a thread with the same weights, or two threads, one per direction
//! of the LSTM, where their number is even: libtorch's own
//! threads meet at every time step of an LSTM, which costs more than it gains: on two cores PyTorch takes 215 ms a step with
//! them and 183 without, this 82 (bench/runs/2026-11-26-amd-epyc-bilstm-step).

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tch::{Device, Reduction, TchError, Tensor, autocast, no_grad};

use crate::batches::Batch;
use crate::directions::{self, Ask, Other, Told};
use crate::evaluate;
use crate::net::{Dropout, Net, Shape};
use training::Arrays;

/// Networks of equal weights.
pub(crate) struct Replicas {
    nets: Vec<Net>,
    /// One per network, if there are several.
    workers: Vec<Worker>,
    mixed: bool,
}

/// The rows of a step, or a replica's share of them.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) rows: Vec<Vec<u32>>,
    pub(crate) labels: Vec<u32>,
    pub(crate) class_weights: Vec<f32>,
    pub(crate) dropout: Option<Dropout>,
    /// What the loss is multiplied by, so that its gradients fit into half precision.
    pub(crate) loss_scale: f64,
}

/// The mean loss of a step, and its gradients times `loss_scale`.
pub(crate) struct Gradients {
    pub(crate) loss: f64,
    /// f32, in the shapes of the parameters
    pub(crate) tensors: Vec<Tensor>,
}

impl Replicas {
    /// Networks with these values, one per device; `None` where the values do not fit the shape. Several times the CPU
    /// is one network that several threads use.
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

    /// The network that the others follow.
    pub(crate) fn first(&self) -> &Net {
        &self.nets[0]
    }

    /// The weights that a step changes.
    pub(crate) fn parameters(&mut self) -> &mut [Tensor] {
        &mut self.nets[0].parameters
    }

    /// Loss and gradients of a step.
    pub(crate) fn gradients(&mut self, step: Step) -> Result<Gradients, TchError> {
        let weight = |&label: &u32| f64::from(step.class_weights[label as usize]);
        let total = step.labels.iter().map(weight).sum();
        if self.workers.is_empty() {
            return gradients(&self.nets[0], &step, total, self.mixed);
        }
        let pairs = self.nets[0].device == Device::Cpu && self.workers.len().is_multiple_of(2);
        let each = if pairs { 2 } else { 1 };
        let size = step.rows.len().div_ceil(self.workers.len() / each).max(1);
        let shares = step
            .rows
            .chunks(size)
            .zip(step.labels.chunks(size))
            .enumerate();
        for ((number, (rows, labels)), workers) in shares.zip(self.workers.chunks(each)) {
            let share = Step {
                rows: rows.to_vec(),
                labels: labels.to_vec(),
                class_weights: step.class_weights.clone(),
                dropout: step.dropout.map(|dropout| Dropout {
                    first_row: number * size,
                    ..dropout
                }),
                ..step
            };
            match workers {
                [worker] => worker.ask(Task::Gradients(share, total, None))?,
                [worker, helper, ..] => {
                    let ((asks, asked), (tell, told)) = (channel(), channel());
                    helper.ask(Task::Help(asked, tell))?;
                    worker.ask(Task::Gradients(share, total, Some(Other { asks, told })))?;
                }
                [] => {}
            }
        }
        let asked = step.rows.len().div_ceil(size);
        let mut sum: Option<Gradients> = None;
        for worker in self.workers.iter().step_by(each).take(asked) {
            let Answer::Gradients(share) = worker.answer()? else {
                return Err(died());
            };
            match &mut sum {
                None => sum = Some(share),
                Some(sum) => sum.add(share)?,
            }
        }
        sum.ok_or_else(|| TchError::Shape("a step without rows".to_owned()))
    }

    /// Gives the weights of the first network to the others.
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
}

impl Gradients {
    fn add(&mut self, other: Self) -> Result<(), TchError> {
        self.loss += other.loss;
        for (sum, gradient) in self.tensors.iter_mut().zip(other.tensors) {
            let _ = sum.f_add_(&gradient.f_to(sum.device())?)?;
        }
        Ok(())
    }
}

fn gradients(net: &Net, step: &Step, total: f64, mixed: bool) -> Result<Gradients, TchError> {
    let batch = Batch::new(&step.rows, net.shape.pad, net.device)?;
    let forward = || net.forward(&batch, step.dropout);
    // (batch, classes) f32
    let logits = if mixed {
        autocast(true, forward)
    } else {
        forward()
    }?;
    let (loss, scaled) = loss_of(&logits, step, total)?;
    let tensors = Tensor::f_run_backward(&[scaled], &net.parameters, false, false)?;
    Ok(Gradients {
        loss: loss.f_double_value(&[])?,
        tensors,
    })
}

/// The loss of logits of (batch, classes), as its share of the step's mean; and what gradients are taken of: the same, scaled.
pub(crate) fn loss_of(
    logits: &Tensor,
    step: &Step,
    total: f64,
) -> Result<(Tensor, Tensor), TchError> {
    let device = logits.device();
    let labels: Vec<i64> = step.labels.iter().map(|&label| label.into()).collect();
    let labels = Tensor::f_from_slice(&labels)?.f_to(device)?; // (batch) int64
    // PyTorch's default: a label that is left out, and none of ours.
    let ignored = -100;
    let weights = Tensor::f_from_slice(&step.class_weights)?.f_to(device)?; // (classes) f32
    // () f32, this and all below
    let sum = logits.f_cross_entropy_loss(&labels, Some(&weights), Reduction::Sum, ignored, 0.0)?;
    let loss = sum.f_mul_scalar(1.0 / total)?;
    let scaled = loss.f_mul_scalar(step.loss_scale)?;
    Ok((loss, scaled))
}

/// A thread with a network. It lives as long as its replicas do: libtorch keeps what it prepared per thread.
struct Worker {
    tasks: Sender<Task>,
    answers: Receiver<Result<Answer, TchError>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Worker {
    /// Waits for the thread, so that what it holds is free when the replicas are gone.
    fn drop(&mut self) {
        // Without its sender the thread finds the end of its tasks.
        drop(std::mem::replace(&mut self.tasks, channel().0));
        if let Some(thread) = self.thread.take() {
            // A thread that died has answered nobody, which was noticed then.
            let _ = thread.join();
        }
    }
}

enum Task {
    /// And what the class weights of all rows of the step sum up to, and who has the backward direction, if not this thread.
    Gradients(Step, f64, Option<Other>),
    /// The backward direction of another thread's step; the answers go to that one.
    Help(Receiver<Ask>, Sender<Result<Told, TchError>>),
    Logits(Vec<Vec<u32>>),
}

enum Answer {
    Gradients(Gradients),
    Logits(Vec<f32>),
}

impl Worker {
    fn start(net: Net, mixed: bool) -> Self {
        let (tasks, todo) = channel::<Task>();
        let (done, answers) = channel();
        let thread = std::thread::spawn(move || {
            // Of libtorch's own threads, which each thread sets for itself.
            tch::set_num_threads(1);
            for task in todo {
                let answer = match task {
                    Task::Gradients(step, total, Some(other)) => {
                        directions::gradients(&net, &step, total, &other).map(Answer::Gradients)
                    }
                    Task::Gradients(step, total, None) => {
                        gradients(&net, &step, total, mixed).map(Answer::Gradients)
                    }
                    Task::Help(asks, told) => {
                        directions::help(&net, asks, &told);
                        continue;
                    }
                    Task::Logits(rows) => evaluate::of_batch(&net, &rows).map(Answer::Logits),
                };
                if done.send(answer).is_err() {
                    break;
                }
            }
        });
        Self {
            tasks,
            answers,
            thread: Some(thread),
        }
    }

    fn ask(&self, task: Task) -> Result<(), TchError> {
        self.tasks.send(task).map_err(|_| died())
    }

    fn answer(&self) -> Result<Answer, TchError> {
        self.answers.recv().map_err(|_| died())?
    }
}

pub(crate) fn died() -> TchError {
    TchError::Torch("a thread of a replica died".to_owned())
}

impl Replicas {
    /// The logits of each batch, in order, as many at a time as there are workers; `None` if it was stopped.
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
                all.push(evaluate::of_batch(self.first(), &batch)?);
            }
            return Ok(Some(all));
        }
        loop {
            if stopped() {
                return Ok(None);
            }
            let mut asked = 0;
            for (worker, batch) in self.workers.iter().zip(&mut *batches) {
                worker.ask(Task::Logits(batch))?;
                asked += 1;
            }
            if asked == 0 {
                return Ok(Some(all));
            }
            for worker in &self.workers[..asked] {
                match worker.answer()? {
                    Answer::Logits(logits) => all.push(logits),
                    Answer::Gradients(_) => return Err(died()),
                }
            }
        }
    }
}

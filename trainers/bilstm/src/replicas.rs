//! One network per device: each takes its share of a batch, the gradients are summed on the first.

use tch::{Device, Reduction, TchError, Tensor, autocast, no_grad};

use crate::batches::Batch;
use crate::net::{Arrays, Dropout, Net, Shape};

/// Networks of equal weights, one per device.
pub(crate) struct Replicas {
    nets: Vec<Net>,
    mixed: bool,
}

/// The rows of a step.
pub(crate) struct Step<'a> {
    pub(crate) rows: Vec<&'a [u32]>,
    pub(crate) labels: Vec<u32>,
    pub(crate) class_weights: &'a [f32],
    pub(crate) dropout: Option<Dropout>,
    /// What the loss is multiplied by, so that its gradients fit into half precision.
    pub(crate) loss_scale: f64,
}

/// The mean loss of a step, and its gradients times `loss_scale`.
pub(crate) struct Gradients {
    pub(crate) loss: f64,
    pub(crate) tensors: Vec<Tensor>,
}

impl Replicas {
    /// Networks with these values; `None` where the values do not fit the shape.
    pub(crate) fn new(
        shape: &Shape,
        arrays: &Arrays,
        devices: &[Device],
        mixed: bool,
    ) -> Result<Option<Self>, TchError> {
        let mut nets = Vec::new();
        for &device in devices {
            match Net::new(shape, arrays, device)? {
                Some(net) => nets.push(net),
                None => return Ok(None),
            }
        }
        Ok((!nets.is_empty()).then_some(Self { nets, mixed }))
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
    pub(crate) fn gradients(&mut self, step: &Step<'_>) -> Result<Gradients, TchError> {
        let total: f64 = step
            .labels
            .iter()
            .map(|&label| f64::from(step.class_weights[label as usize]))
            .sum();
        let share = step.rows.len().div_ceil(self.nets.len()).max(1);
        let mixed = self.mixed;
        let shares = step
            .rows
            .chunks(share)
            .zip(step.labels.chunks(share))
            .zip(&mut self.nets)
            .enumerate();
        let mut work: Vec<Share<'_>> = shares
            .map(|(number, ((rows, labels), net))| Share {
                first_row: number * share,
                rows,
                labels,
                net,
            })
            .collect();
        let mut results = if let [only] = work.as_mut_slice() {
            vec![only.gradients(step, total, mixed)]
        } else {
            std::thread::scope(|scope| {
                let threads: Vec<_> = work
                    .iter_mut()
                    .map(|share| scope.spawn(move || share.gradients(step, total, mixed)))
                    .collect();
                let died = || Err(TchError::Torch("a thread of a replica died".to_owned()));
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or_else(|_| died()))
                    .collect()
            })
        };
        let others = results.split_off(1);
        let none = || Err(TchError::Shape("a step without rows".to_owned()));
        let mut sum = results.pop().unwrap_or_else(none)?;
        for other in others {
            let other = other?;
            sum.loss += other.loss;
            for (sum, gradient) in sum.tensors.iter_mut().zip(other.tensors) {
                let _ = sum.f_add_(&gradient.f_to(sum.device())?)?;
            }
        }
        Ok(sum)
    }

    /// Gives the weights of the first network to the others.
    pub(crate) fn broadcast(&mut self) -> Result<(), TchError> {
        let [first, others @ ..] = self.nets.as_mut_slice() else {
            return Ok(());
        };
        no_grad(|| {
            for net in others {
                for (to, from) in net.parameters.iter_mut().zip(&first.parameters) {
                    to.f_copy_(from)?;
                }
            }
            Ok(())
        })
    }
}

/// What one replica does of a step.
struct Share<'a> {
    first_row: usize,
    rows: &'a [&'a [u32]],
    labels: &'a [u32],
    net: &'a mut Net,
}

impl Share<'_> {
    fn gradients(
        &mut self,
        step: &Step<'_>,
        total: f64,
        mixed: bool,
    ) -> Result<Gradients, TchError> {
        let net = &*self.net;
        let batch = Batch::new(self.rows, net.shape.pad, net.device)?;
        let dropout = step.dropout.map(|dropout| Dropout {
            first_row: self.first_row,
            ..dropout
        });
        let logits = if mixed {
            autocast(true, || net.forward(&batch, dropout))
        } else {
            net.forward(&batch, dropout)
        }?;
        let labels: Vec<i64> = self.labels.iter().map(|&label| label.into()).collect();
        let labels = Tensor::f_from_slice(&labels)?.f_to(net.device)?;
        let weights = Tensor::f_from_slice(step.class_weights)?.f_to(net.device)?;
        let sum =
            logits.f_cross_entropy_loss(&labels, Some(&weights), Reduction::Sum, -100, 0.0)?;
        let loss = sum.f_mul_scalar(1.0 / total)?;
        let scaled = loss.f_mul_scalar(step.loss_scale)?;
        let tensors = Tensor::f_run_backward(&[scaled], &net.parameters, false, false)?;
        Ok(Gradients {
            loss: loss.f_double_value(&[])?,
            tensors,
        })
    }
}

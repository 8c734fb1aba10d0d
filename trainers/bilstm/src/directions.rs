//! A step on two threads of a CPU, one per direction of the LSTM. Each thread has only the
//! recurrent weights of its direction in its cache, and multiplies them with all rows at once. With
//! half of the rows each, both threads would read all weights.
//!
//! Autograd runs a graph on one thread, so the graph is split where the directions join: the inputs
//! and outputs of each layer are leaves.

use std::sync::mpsc::{Receiver, Sender};

use tch::{TchError, Tensor};

use crate::batches::Batch;
use crate::net::Net;
use crate::step::{Gradients, Step, losses, worker_panicked};

/// A request of the forward thread to the backward thread.
pub(crate) enum Request {
    /// Computes the outputs of the next layer, for inputs of (batch, seq, inputs) and the reversal
    /// of [`crate::batches::Padding`].
    Outputs(Tensor, Option<Tensor>),
    /// Computes the gradients of the topmost layer without any, for those of its outputs,
    /// (batch, seq, hidden).
    Gradients(Tensor),
}

/// The response to a [`Request`]: the outputs (batch, seq, hidden), or the gradients for the inputs
/// and the four parameters.
pub(crate) type Response = Vec<Tensor>;

/// The channels to the backward thread.
pub(crate) struct BackwardWorker {
    pub(crate) requests: Sender<Request>,
    pub(crate) responses: Receiver<Result<Response, TchError>>,
}

impl BackwardWorker {
    fn send(&self, request: Request) -> Result<(), TchError> {
        self.requests.send(request).map_err(|_| worker_panicked())
    }

    fn receive(&self) -> Result<Response, TchError> {
        self.responses.recv().map_err(|_| worker_panicked())?
    }
}

/// A layer of the split graph. All tensors are (batch, seq, width).
struct Layer {
    /// Inputs, still part of the graph below.
    inputs: Tensor,
    /// Inputs as a leaf, and outputs of the forward direction.
    leaf: Tensor,
    forwards: Tensor,
    /// Outputs of both directions, as leaves for the next layer.
    outputs: [Tensor; 2],
}

/// Returns the same values as a leaf of a new graph.
fn leaf(values: &Tensor) -> Result<Tensor, TchError> {
    values.f_detach()?.f_set_requires_grad(true)
}

/// Backpropagates the gradient of `outputs` to `leaves`: a vector-Jacobian product.
fn backpropagate(
    outputs: &Tensor,
    gradient: &Tensor,
    leaves: &[&Tensor],
) -> Result<Vec<Tensor>, TchError> {
    let sum = outputs.f_mul(gradient)?.f_sum(outputs.f_kind()?)?; // ()
    Tensor::f_run_backward(&[&sum], leaves, false, false)
}

/// Computes loss and gradients of a step, on this thread and the backward thread. `total_weight`:
/// see [`Step::total_weight`], of all parts.
pub(crate) fn gradients(
    net: &Net,
    step: &Step,
    total_weight: f64,
    backward: &BackwardWorker,
) -> Result<Gradients, TchError> {
    let batch = Batch::new(&step.rows, net.shape.pad, net.device)?;
    let mut layers: Vec<Layer> = Vec::new();
    let mut states = net.embedded(&batch)?; // (batch, seq, emb)
    for layer in 0..net.shape.num_layers {
        let inputs = net.dropped(states, layer, &batch, step.dropout)?;
        let reversal = batch.padding.as_ref().map(|padding| &padding.reversal);
        let reversal = reversal.map(Tensor::shallow_clone);
        backward.send(Request::Outputs(inputs.f_detach()?, reversal))?;
        let leaf_of_inputs = leaf(&inputs)?;
        let forwards = net.forwards(&leaf_of_inputs, layer)?;
        let backwards = backward.receive()?.pop().ok_or_else(worker_panicked)?;
        let outputs = [leaf(&forwards)?, leaf(&backwards)?];
        states = Tensor::f_cat(&outputs, 2)?; // (batch, seq, 2 * hidden)
        layers.push(Layer {
            inputs,
            leaf: leaf_of_inputs,
            forwards,
            outputs,
        });
    }
    let (loss, scaled) = losses(
        &net.head(&states, &batch, step.dropout)?,
        step,
        total_weight,
    )?;
    let head = &net.parameters[1 + 8 * net.shape.num_layers..];
    let tops = layers.last().map(|top| &top.outputs).into_iter().flatten();
    let leaves: Vec<&Tensor> = head.iter().chain(tops).collect();
    let mut of_head = Tensor::f_run_backward(&[&scaled], &leaves, false, false)?;
    // From the last layer to the first; the gradients are concatenated in the opposite order.
    let mut of_outputs = of_head.split_off(head.len());
    let mut found: Vec<Vec<Tensor>> = vec![of_head];
    for (number, layer) in layers.iter().enumerate().rev() {
        let [of_forwards, of_backwards] = &of_outputs[..] else {
            return Err(worker_panicked());
        };
        backward.send(Request::Gradients(of_backwards.shallow_clone()))?;
        let own = net.lstm(number)[..4].iter();
        let leaves: Vec<&Tensor> = std::iter::once(&layer.leaf).chain(own).collect();
        let mut own = backpropagate(&layer.forwards, of_forwards, &leaves)?;
        let mut others = backward.receive()?;
        let of_inputs = own.remove(0).f_add(&others.remove(0))?; // (batch, seq, inputs)
        own.extend(others);
        found.push(own);
        let below: Vec<&Tensor> = match number.checked_sub(1) {
            Some(below) => layers[below].outputs.iter().collect(),
            None => vec![&net.parameters[0]],
        };
        of_outputs = backpropagate(&layer.inputs, &of_inputs, &below)?;
    }
    found.push(of_outputs);
    Ok(Gradients {
        loss: loss.f_double_value(&[])?,
        tensors: found.into_iter().rev().flatten().collect(),
    })
}

/// Answers the requests of the forward thread until it closes its channel.
pub(crate) fn serve(
    net: &Net,
    requests: Receiver<Request>,
    responses: &Sender<Result<Response, TchError>>,
) {
    let mut layers: Vec<(Tensor, Tensor)> = Vec::new();
    for request in requests {
        let response = match request {
            Request::Outputs(inputs, reversal) => {
                outputs(net, &mut layers, &inputs, reversal.as_ref())
            }
            Request::Gradients(gradient) => gradients_of_last(net, &mut layers, &gradient),
        };
        if responses.send(response).is_err() {
            break;
        }
    }
}

fn outputs(
    net: &Net,
    layers: &mut Vec<(Tensor, Tensor)>,
    inputs: &Tensor,
    reversal: Option<&Tensor>,
) -> Result<Response, TchError> {
    let inputs = leaf(inputs)?;
    let parameters = &net.lstm(layers.len())[4..];
    let outputs = net.backwards(&inputs, parameters, reversal)?;
    let detached = outputs.f_detach()?;
    layers.push((inputs, outputs));
    Ok(vec![detached])
}

fn gradients_of_last(
    net: &Net,
    layers: &mut Vec<(Tensor, Tensor)>,
    gradient: &Tensor,
) -> Result<Response, TchError> {
    let (inputs, outputs) = layers.pop().ok_or_else(worker_panicked)?;
    let own = net.lstm(layers.len())[4..].iter();
    let leaves: Vec<&Tensor> = std::iter::once(&inputs).chain(own).collect();
    backpropagate(&outputs, gradient, &leaves)
}

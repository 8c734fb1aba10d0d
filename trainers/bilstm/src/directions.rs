//! A step on two threads of a CPU, one per direction of the LSTM: each has the recurrent weights of its direction alone in its
//! cache, and multiplies them with all rows at once. Half the rows each would read all weights twice.
//!
//! Autograd runs a graph on one thread, so the graph is cut where the directions meet: each layer's inputs and outputs are leaves.

use std::sync::mpsc::{Receiver, Sender};

use tch::{TchError, Tensor};

use crate::batches::Batch;
use crate::net::Net;
use crate::replicas::{Gradients, Step, died, loss_of};

/// What the thread of the forward direction wants of the other.
pub(crate) enum Ask {
    /// Outputs of the next layer, for inputs of (batch, seq, inputs) and the padding's reversal.
    Outputs(Tensor, Option<Tensor>),
    /// Gradients of the last layer that has none yet, for those of its outputs, (batch, seq, hidden).
    Gradients(Tensor),
}

/// The other thread's answer.
pub(crate) enum Told {
    /// (batch, seq, hidden)
    Outputs(Tensor),
    /// Of the inputs and the four parameters.
    Gradients(Vec<Tensor>),
}

/// The thread of the backward direction, as the other one sees it.
pub(crate) struct Other {
    pub(crate) asks: Sender<Ask>,
    pub(crate) told: Receiver<Result<Told, TchError>>,
}

impl Other {
    fn ask(&self, ask: Ask) -> Result<(), TchError> {
        self.asks.send(ask).map_err(|_| died())
    }

    fn outputs(&self) -> Result<Tensor, TchError> {
        match self.told.recv().map_err(|_| died())?? {
            Told::Outputs(outputs) => Ok(outputs),
            Told::Gradients(_) => Err(died()),
        }
    }

    fn gradients(&self) -> Result<Vec<Tensor>, TchError> {
        match self.told.recv().map_err(|_| died())?? {
            Told::Gradients(gradients) => Ok(gradients),
            Told::Outputs(_) => Err(died()),
        }
    }
}

/// A layer of a graph that is cut. All are (batch, seq, width).
struct Cut {
    /// What comes from below, before it was cut off.
    inputs: Tensor,
    /// The forward direction's inputs and outputs.
    leaf: Tensor,
    forwards: Tensor,
    /// The outputs of both directions, as the next layer begins with them.
    outputs: [Tensor; 2],
}

/// The same values, from which a graph begins.
fn leaf(values: &Tensor) -> Result<Tensor, TchError> {
    values.f_detach()?.f_set_requires_grad(true)
}

/// Gradients of `leaves`, for those of `outputs`.
fn pulled(
    outputs: &Tensor,
    gradient: &Tensor,
    leaves: &[&Tensor],
) -> Result<Vec<Tensor>, TchError> {
    let sum = outputs.f_mul(gradient)?.f_sum(outputs.f_kind()?)?; // ()
    Tensor::f_run_backward(&[&sum], leaves, false, false)
}

/// Loss and gradients of a step, with the `other` thread's help. `total`: the class weights of all rows of the step.
pub(crate) fn gradients(
    net: &Net,
    step: &Step,
    total: f64,
    other: &Other,
) -> Result<Gradients, TchError> {
    let batch = Batch::new(&step.rows, net.shape.pad, net.device)?;
    let mut layers: Vec<Cut> = Vec::new();
    let mut states = net.embedded(&batch)?; // (batch, seq, emb)
    for layer in 0..net.shape.num_layers {
        let inputs = net.dropped(states, layer, &batch, step.dropout)?;
        let reversal = batch.padding.as_ref().map(|padding| &padding.reversal);
        let asked = Ask::Outputs(inputs.f_detach()?, reversal.map(Tensor::shallow_clone));
        other.ask(asked)?;
        let leaf_of_inputs = leaf(&inputs)?;
        let forwards = net.forwards(&leaf_of_inputs, layer)?;
        let outputs = [leaf(&forwards)?, leaf(&other.outputs()?)?];
        states = Tensor::f_cat(&outputs, 2)?; // (batch, seq, 2 * hidden)
        layers.push(Cut {
            inputs,
            leaf: leaf_of_inputs,
            forwards,
            outputs,
        });
    }
    let (loss, scaled) = loss_of(&net.head(&states, &batch, step.dropout)?, step, total)?;
    let head = &net.parameters[1 + 8 * net.shape.num_layers..];
    let tops = layers.last().map(|top| &top.outputs).into_iter().flatten();
    let leaves: Vec<&Tensor> = head.iter().chain(tops).collect();
    let mut of_head = Tensor::f_run_backward(&[&scaled], &leaves, false, false)?;
    // From the last layer to the first; what is found is put together the other way round.
    let mut meeting = of_head.split_off(head.len());
    let mut found: Vec<Vec<Tensor>> = vec![of_head];
    for (layer, cut) in layers.iter().enumerate().rev() {
        let [of_forwards, of_backwards] = &meeting[..] else {
            return Err(died());
        };
        other.ask(Ask::Gradients(of_backwards.shallow_clone()))?;
        let own = net.lstm(layer)[..4].iter();
        let leaves: Vec<&Tensor> = std::iter::once(&cut.leaf).chain(own).collect();
        let mut own = pulled(&cut.forwards, of_forwards, &leaves)?;
        let mut others = other.gradients()?;
        let of_inputs = own.remove(0).f_add(&others.remove(0))?; // (batch, seq, inputs)
        own.extend(others);
        found.push(own);
        let below: Vec<&Tensor> = match layer.checked_sub(1) {
            Some(below) => layers[below].outputs.iter().collect(),
            None => vec![&net.parameters[0]],
        };
        meeting = pulled(&cut.inputs, &of_inputs, &below)?;
    }
    found.push(meeting);
    Ok(Gradients {
        loss: loss.f_double_value(&[])?,
        tensors: found.into_iter().rev().flatten().collect(),
    })
}

/// The backward direction's thread: answers until nobody asks any more.
pub(crate) fn help(net: &Net, asks: Receiver<Ask>, told: &Sender<Result<Told, TchError>>) {
    let mut layers: Vec<(Tensor, Tensor)> = Vec::new();
    for ask in asks {
        let answer = match ask {
            Ask::Outputs(inputs, reversal) => outputs(net, &mut layers, &inputs, reversal.as_ref()),
            Ask::Gradients(gradient) => gradients_of_last(net, &mut layers, &gradient),
        };
        if told.send(answer).is_err() {
            break;
        }
    }
}

fn outputs(
    net: &Net,
    layers: &mut Vec<(Tensor, Tensor)>,
    inputs: &Tensor,
    reversal: Option<&Tensor>,
) -> Result<Told, TchError> {
    let inputs = leaf(inputs)?;
    let parameters = &net.lstm(layers.len())[4..];
    let outputs = net.backwards(&inputs, parameters, reversal)?;
    let answer = outputs.f_detach()?;
    layers.push((inputs, outputs));
    Ok(Told::Outputs(answer))
}

fn gradients_of_last(
    net: &Net,
    layers: &mut Vec<(Tensor, Tensor)>,
    gradient: &Tensor,
) -> Result<Told, TchError> {
    let (inputs, outputs) = layers.pop().ok_or_else(died)?;
    let own = net.lstm(layers.len())[4..].iter();
    let leaves: Vec<&Tensor> = std::iter::once(&inputs).chain(own).collect();
    pulled(&outputs, gradient, &leaves).map(Told::Gradients)
}

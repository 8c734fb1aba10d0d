use std::sync::mpsc::{Receiver, Sender, channel};

use clap::{Args as _, Command, FromArgMatches as _};
use dataset::{Encode as _, RowRef, RowTable, Split};
use training::progress::Progress;
use training::stop::Stop;
use training::{FitParams, TrainPlan, fit};

use super::*;
use crate::architecture::Family;
use crate::params::{TransformerArgs, TransformerParams};
use crate::reference::small;
use crate::tokenizer::tests::tokens;
use crate::tokenizer::{EncodedRows, Encoder};

/// A call of the engine.
#[derive(Debug, PartialEq)]
enum Call {
    /// Loss scale.
    Accumulate(f64),
    Discard,
    /// Step, rate, weight decay and gradient factor.
    Update(u64, f64, f64, f64),
}

/// An engine in half precision with given gradient norms.
struct Fake {
    norms: Vec<f64>,
    calls: Sender<Call>,
}

impl Engine for Fake {
    fn logits(&mut self, _: &Batch) -> Result<Vec<f32>, Error> {
        Ok(Vec::new())
    }
    fn accumulate(&mut self, _: &Batch, target: &LossTarget<'_>) -> Result<f64, Error> {
        self.calls
            .send(Call::Accumulate(target.loss_scale))
            .unwrap();
        Ok(0.25)
    }
    fn all_reduce(&mut self, _: &mut dyn crate::engine::AllReduce) -> Result<(), Error> {
        Ok(())
    }
    fn gradient_norm(&mut self) -> Result<f64, Error> {
        Ok(self.norms.remove(0))
    }
    fn optimizer_step(&mut self, update: &AdamWStep) -> Result<(), Error> {
        let AdamWStep {
            step,
            rate,
            weight_decay,
            scale,
            ..
        } = *update;
        let call = Call::Update(step, rate, weight_decay, scale);
        self.calls.send(call).unwrap();
        Ok(())
    }
    fn zero_grad(&mut self) -> Result<(), Error> {
        self.calls.send(Call::Discard).unwrap();
        Ok(())
    }
    fn gradients(&mut self) -> Result<Params, Error> {
        Ok(Vec::new())
    }
    fn weights(&self) -> Result<Params, Error> {
        Ok(Vec::new())
    }
    fn save(&self) -> Result<TrainerState, Error> {
        Err(Error::new("nothing is saved"))
    }
    fn restore(&mut self, _: &TrainerState) -> Result<(), Error> {
        Ok(())
    }
    fn needs_loss_scaling(&self) -> bool {
        true
    }
    fn device(&self) -> String {
        "fake".to_owned()
    }
}

fn params(flags: &str) -> TransformerParams {
    let command = TransformerArgs::augment_args(Command::new("train"));
    let matches = command.get_matches_from(format!("train {flags}").split(' '));
    TransformerArgs::from_arg_matches(&matches)
        .unwrap()
        .check()
        .unwrap()
}

/// A context of three rows in one step, for two epochs.
fn context<'a>(params: &'a TransformerParams, table: &'a RowTable) -> TrainContext<'a> {
    let mut encoder = Encoder::new(Some(&std::sync::Arc::new(tokens(8))));
    ["good", "bad", "good film"]
        .iter()
        .for_each(|text| encoder.encode(text));
    TrainContext {
        params,
        plan: TrainPlan {
            labels: &table.labels,
            sets: None,
            classes: &table.classes,
            train: vec![0, 1, 2],
            validation: Vec::new(),
            rows_per_step: 3,
            params: FitParams {
                epochs: 2,
                buckets: false,
                patience: None,
                ..params.fit.clone()
            },
        },
        table,
        rows: EncodedRows::new(table, vec![encoder]).unwrap(),
        architecture: small(Family::Bert),
        class_weights: vec![1.0; 2],
        other_weights: Vec::new(),
    }
}

/// An overflow changes only the loss scale; the next step is the first for AdamW.
#[test]
fn overflow_is_skipped_and_the_next_step_is_the_first_update() {
    let params = params("--learning-rate 0.01 --clip-norm 2 --weight-decay 0.5");
    let table = RowTable {
        order: (0..3).map(|index| RowRef { encoder: 0, index }).collect(),
        labels: vec![1, 0, 1],
        label_sets: None,
        splits: vec![Split::Train; 3],
        hashes: Vec::new(),
        places: Vec::new(),
        weights: Vec::new(),
        classes: vec!["0".to_owned(), "1".to_owned()],
        sources: Vec::new(),
        split_off: false,
    };
    let context = context(&params, &table);
    let (calls, received): (Sender<Call>, Receiver<Call>) = channel();
    let state = TrainState::default();
    let scale = state.loss_scale(true);
    let mut learner = TransformerLearner {
        context: &context,
        // Four times --clip-norm, without the loss scale.
        engine: Box::new(Fake {
            norms: vec![f64::INFINITY, 8.0 * scale / 2.0],
            calls,
        }),
        group: None,
        parameters: Vec::new(),
        dropout: 0,
    };
    let progress = std::sync::Arc::new(Progress::new(false));
    let mut run = Run::new(1, 0, Stop::default(), progress);
    let fitted = fit(&mut learner, &context.plan, state, None, &mut run).unwrap();
    assert_eq!((fitted.state.step, fitted.state.updates()), (2, 1));
    assert_eq!(fitted.state.skipped, 1);
    let received: Vec<Call> = received.try_iter().collect();
    assert_eq!(
        received[..3],
        [
            Call::Accumulate(scale),
            Call::Discard,
            Call::Accumulate(scale / 2.0)
        ]
    );
    let Call::Update(step, rate, decay, factor) = received[3] else {
        panic!("expected an update: {received:?}");
    };
    assert_eq!((step, rate, decay), (1, context.plan.rate(1), 0.5));
    assert!((factor * scale / 2.0 - 0.25).abs() < 1e-6, "{factor}");
}

use std::sync::mpsc::{Receiver, Sender, channel};

use clap::{Args as _, Command, FromArgMatches as _};
use dataset::{Encode as _, RowRef, RowTable, Split};
use training::Plan;

use super::*;
use crate::architecture::Family;
use crate::params::{TransformerArgs, TransformerParams};
use crate::reference::small;
use crate::tokenizer::tests::tokens;
use crate::tokenizer::{Encoder, Rows};

/// What the engine was told.
#[derive(Debug, PartialEq)]
enum Told {
    /// The loss's factor.
    Learn(f64),
    Discard,
    /// Step, rate, decay and the gradients' factor.
    Update(u64, f64, f64, f64),
}

/// An engine of half precision whose gradients have the lengths that it is given.
struct Fake {
    norms: Vec<f64>,
    told: Sender<Told>,
}

impl Engine for Fake {
    fn logits(&mut self, _: &Batch) -> Result<Vec<f32>, Error> {
        Ok(Vec::new())
    }
    fn accumulate(&mut self, _: &Batch, target: &Target<'_>) -> Result<f64, Error> {
        self.told.send(Told::Learn(target.loss_scale)).unwrap();
        Ok(0.25)
    }
    fn reduce(&mut self, _: &mut dyn crate::engine::AllReduce) -> Result<(), Error> {
        Ok(())
    }
    fn gradient_norm(&mut self) -> Result<f64, Error> {
        Ok(self.norms.remove(0))
    }
    fn update(&mut self, update: &Update) -> Result<(), Error> {
        let Update {
            step,
            rate,
            weight_decay,
            scale,
            ..
        } = *update;
        let told = Told::Update(step, rate, weight_decay, scale);
        self.told.send(told).unwrap();
        Ok(())
    }
    fn discard(&mut self) -> Result<(), Error> {
        self.told.send(Told::Discard).unwrap();
        Ok(())
    }
    fn gradients(&mut self) -> Result<Values, Error> {
        Ok(Vec::new())
    }
    fn weights(&self) -> Result<Values, Error> {
        Ok(Vec::new())
    }
    fn save(&self) -> Result<Saved, Error> {
        Err(strange("nothing is saved"))
    }
    fn restore(&mut self, _: &Saved) -> Result<(), Error> {
        Ok(())
    }
    fn is_scaled(&self) -> bool {
        true
    }
    fn device(&self) -> String {
        "fake".to_owned()
    }
}

fn params(flags: &str) -> TransformerParams {
    let command = TransformerArgs::augment_args(Command::new("train"));
    let typed = command.get_matches_from(format!("train {flags}").split(' '));
    TransformerArgs::from_arg_matches(&typed)
        .unwrap()
        .check()
        .unwrap()
}

/// A job of three rows in one step.
fn job<'a>(params: &'a TransformerParams, table: &'a RowTable) -> Job<'a> {
    let mut encoder = Encoder::new(Some(&std::sync::Arc::new(tokens(8))));
    ["good", "bad", "good film"]
        .iter()
        .for_each(|text| encoder.encode(text));
    let plan = Plan {
        epochs: 10,
        rows: 3,
        steps_per_epoch: 1,
        learning_rate: params.learning_rate,
        schedule: params.schedule,
        warm_up: params.warm_up,
    };
    Job {
        params,
        plan,
        table,
        rows: Rows::new(table, vec![encoder]).unwrap(),
        architecture: small(Family::Bert),
        step_rows: 3,
        train: vec![0, 1, 2],
        validation: Vec::new(),
        class_weights: vec![1.0; 2],
    }
}

/// What overflowed changes nothing but the loss's factor; the next step is the first for AdamW.
#[test]
fn an_overflow_is_skipped_and_the_next_step_is_learnt() {
    let params = params("--learning-rate 0.01 --clip-norm 2 --weight-decay 0.5");
    let table = RowTable {
        order: (0..3).map(|index| RowRef { shard: 0, index }).collect(),
        labels: vec![1, 0, 1],
        splits: vec![Split::Train; 3],
        hashes: Vec::new(),
        places: Vec::new(),
        classes: vec!["0".to_owned(), "1".to_owned()],
        sources: Vec::new(),
    };
    let job = job(&params, &table);
    let (told, heard): (Sender<Told>, Receiver<Told>) = channel();
    let state = Counters::default();
    let scale = state.loss_scale(true);
    let mut learner = Learner {
        job: &job,
        // Four times as long as --clip-norm lets it be, once the factor is out.
        engine: Box::new(Fake {
            norms: vec![f64::INFINITY, 8.0 * scale / 2.0],
            told,
        }),
        meeting: None,
        parameters: Vec::new(),
        noise: 0,
        state,
        best: None,
    };
    for skipped in [1, 1] {
        let outcome = learner.step(&job.train).unwrap();
        assert!(matches!(outcome, Outcome::Done));
        assert_eq!(learner.state.skipped, skipped);
    }
    assert_eq!((learner.state.step, learner.state.updates()), (2, 1));
    let heard: Vec<Told> = heard.try_iter().collect();
    assert_eq!(
        heard[..3],
        [Told::Learn(scale), Told::Discard, Told::Learn(scale / 2.0)]
    );
    let Told::Update(step, rate, decay, factor) = heard[3] else {
        panic!("expected an update: {heard:?}");
    };
    assert_eq!((step, rate, decay), (1, job.plan.rate(1), 0.5));
    assert!((factor * scale / 2.0 - 0.25).abs() < 1e-6, "{factor}");
}

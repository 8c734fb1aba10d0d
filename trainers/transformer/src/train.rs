//! The training run, from the rows to the model.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dataset::RowTable;
use diagnostics::Error;
use harness::Trained;
use harness::trainer::SplitScores;
use serde_json::{Map, Value, json};
use training::{Fitted, Run, TrainPlan, fit};

use crate::device::Setup;
use crate::distributed::ProcessGroup;
use crate::engine::Params;
use crate::learner::{TrainContext, TransformerLearner};
use crate::model::TransformerModel;
use crate::params::TransformerParams;
use crate::tokenizer::{EncodedRows, Encoder};
use crate::weights::Loaded;

pub(crate) fn train(
    params: &TransformerParams,
    table: &RowTable,
    encoders: Vec<Encoder>,
    run: &mut Run,
) -> Result<Trained<TransformerModel>, Error> {
    table.check_classes()?;
    let pretrained = params.pretrained()?;
    let rows = EncodedRows::new(table, encoders)?;
    let architecture = pretrained.architecture(table.classes.len(), params.dropout)?;
    let hosts = run.hosts().names.len().max(1);
    let rows_per_step = params.batch_size * params.accumulate * hosts;
    let plan = TrainPlan::new(table, rows_per_step, &params.fit);
    let context = TrainContext {
        params,
        class_weights: params.class_weight.weights(table, &plan.train),
        plan,
        table,
        rows,
        architecture,
    };
    if run.stopped() {
        return Err(Error::stopped());
    }
    run.progress("loading the pretrained model");
    let seed = run.stream("head");
    let Loaded {
        params: values,
        initialized: fresh,
    } = pretrained.load(&context.architecture, &table.classes, seed, run.threads())?;
    let timeout = Duration::from_secs(params.host_timeout);
    let mut group = ProcessGroup::init(run.hosts(), timeout, run.stop_flag())?;
    if let Some(group) = &mut group {
        check_same_data(&context, group)?;
    }
    let frozen = context.frozen();
    let engine =
        setup(params, run).engine(&context.architecture, values, &frozen, group.as_mut())?;
    let (mut learner, state, best) = TransformerLearner::start(&context, engine, group, run)?;
    let fitted = fit(&mut learner, &context.plan, state, best, run)?;
    let details = details(&context, &learner, &fitted, &fresh);
    // Frees moments and gradients.
    drop(learner);
    finish(&context, fitted, details, run)
}

fn finish(
    context: &TrainContext<'_>,
    Fitted { best, error, .. }: Fitted<Params>,
    details: Map<String, Value>,
    run: &Run,
) -> Result<Trained<TransformerModel>, Error> {
    let values = best.weights;
    let frozen = vec![true; values.len()];
    let mut scores = SplitScores::default();
    if run.hosts().rank == 0 {
        let mut engine = setup(context.params, run).engine(
            &context.architecture,
            values.clone(),
            &frozen,
            None,
        )?;
        scores = SplitScores::of(best.scores, run, |split| {
            context.scores(engine.as_mut(), &context.table.of(split), run)
        })?;
    }
    let pretrained = context.params.pretrained()?;
    let classes = context.table.classes.clone();
    let model = TransformerModel {
        config: pretrained.config.trained(&classes, pretrained.max_len),
        classes,
        architecture: context.architecture.clone(),
        tokens: Arc::clone(&pretrained.tokens),
        extras: pretrained.extras()?,
        params: values,
        engine: Mutex::new(None),
    };
    Ok(Trained {
        model,
        scores,
        details,
        error,
    })
}

/// Returns the `details` of metrics.json.
fn details(
    context: &TrainContext<'_>,
    learner: &TransformerLearner<'_>,
    Fitted { state, best, .. }: &Fitted<Params>,
    fresh: &[String],
) -> Map<String, Value> {
    let parameters = context.architecture.parameters();
    let count = |counts: &dyn Fn(bool) -> bool| -> usize {
        let parts = parameters.iter().zip(context.frozen());
        let counted = parts.filter(|(_, frozen)| counts(*frozen));
        counted
            .map(|(parameter, _)| parameter.shape.iter().product::<usize>())
            .sum()
    };
    let pretrained = context.params.pretrained();
    let details = [
        ("steps", json!(state.step)),
        ("epochs", json!(state.epoch)),
        ("model_of_epoch", json!(best.epoch)),
        (
            "pretrained_model",
            json!(pretrained.map_or("", |found| found.name())),
        ),
        ("parameters", json!(count(&|_| true))),
        ("trained_parameters", json!(count(&|frozen| !frozen))),
        ("initialised", json!(fresh)),
        ("rows_per_step", json!(context.plan.rows_per_step)),
        ("devices", json!(learner.device())),
        ("skipped_steps", json!(state.skipped)),
    ];
    details
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

fn setup(params: &TransformerParams, run: &Run) -> Setup {
    Setup {
        device: params.device,
        precision: params.precision,
        threads: run.threads(),
    }
}

/// Refuses hosts with different rows, as with `ShardedByS3Key`: their batches would differ.
fn check_same_data(context: &TrainContext<'_>, group: &mut ProcessGroup) -> Result<(), Error> {
    let mut content = Vec::new();
    for (row, label) in (0..).zip(&context.table.labels) {
        content.extend(label.to_le_bytes());
        content.extend(context.rows.ids(row).iter().flat_map(|id| id.to_le_bytes()));
    }
    let own = diagnostics::sha256(&content);
    let leads = group.rank_and_size().0 == 0;
    let first = group.broadcast(leads.then_some(own.as_bytes()), own.len())?;
    // All hosts must fail: otherwise the others would wait for one that has ended.
    if group.any_rank(first != own.as_bytes())? {
        return Err(Error::new(
            "expected the same rows on all hosts, found others than on the first",
        )
        .help("give every host all data: `FullyReplicated`, which is the default of a channel"));
    }
    Ok(())
}

//! The training run, from the rows to the model.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dataset::RowTable;
use diagnostics::{Error, ErrorKind};
use harness::Trained;
use harness::trainer::{SplitScores, Summary};
use serde_json::{Map, Value, json};
use training::{Fitted, Learner as _, Run, TrainPlan, fit};

use crate::device::Setup;
use crate::distributed::ProcessGroup;
use crate::engine::{Engine, Params, Tokens};
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
    let class_weight = params.class_weight.resolve(&table.classes, run)?;
    let pretrained = params.pretrained()?;
    let rows = EncodedRows::new(table, encoders)?;
    let architecture = pretrained.architecture(table.classes.len(), params.dropout)?;
    let hosts = run.hosts().names.len().max(1);
    let rows_per_step = params.batch_size * params.accumulate * hosts;
    let plan = TrainPlan::new(table, rows_per_step, &params.fit);
    let mut context = TrainContext {
        params,
        class_weights: class_weight.weights(table, &plan.train),
        other_weights: class_weight.other_weights(table, &plan.train),
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
        last_layer,
    } = pretrained.load(&context.architecture, &table.classes, seed, run.threads())?;
    if let Some(warning) = pretrained.head_warning(&table.classes, last_layer) {
        run.warn(warning);
    }
    let timeout = Duration::from_secs(params.host_timeout);
    let mut group = ProcessGroup::init(run.hosts(), timeout, run.stop_flag())?;
    if let Some(group) = &mut group {
        check_same_data(&context, group)?;
    }
    let copy = params.fit.refit.then(|| values.clone());
    let first = fit_once(&context, values, group, run)?;
    let (mut fitted, device, group, stopped) = first;
    let details = details(&context, device, &fitted, &fresh);
    let first_plan = context.plan.clone();
    let plan = fitted.refit_plan(&first_plan, table, stopped);
    let mut refitted = false;
    if let (Some(plan), Some(values)) = (plan, copy) {
        score_validation(&context, &mut fitted, run)?;
        run.progress_refit(plan.train.len());
        context.class_weights = class_weight.weights(table, &plan.train);
        context.other_weights = class_weight.other_weights(table, &plan.train);
        context.plan = plan;
        let again = fit_once(&context, values, group, &mut run.again());
        refitted = fitted.adopt(again.map(|(fitted, ..)| fitted), run);
    }
    let summary = Summary::of_fit(&fitted, &first_plan, refitted);
    let mut trained = finish(&context, fitted, run)?;
    trained.scores.refitted = refitted;
    Ok(Trained {
        details,
        summary,
        ..trained
    })
}

/// The result of a fit, the name of its device, the connections to the other hosts, and true if
/// any host was stopped.
type FitResult = (Fitted<Params>, String, Option<ProcessGroup>, bool);

fn fit_once(
    context: &TrainContext<'_>,
    values: Params,
    mut group: Option<ProcessGroup>,
    run: &mut Run,
) -> Result<FitResult, Error> {
    let setup = setup(context.params, run);
    let engine = setup.engine(
        &context.architecture,
        values,
        &context.frozen(),
        group.as_mut(),
    )?;
    let (mut learner, state, best) = TransformerLearner::start(context, engine, group, run)?;
    let fitted = fit(&mut learner, &context.plan, state, best, run)?;
    // Hosts that do not answer after a stop signal have ended: the model is kept.
    let stopped = match learner.sync_stop(run.stopped()) {
        Err(error) if error.kind() == ErrorKind::Stopped => true,
        synced => synced?,
    };
    // Moments and gradients end with the learner.
    Ok((fitted, learner.device(), learner.into_group(), stopped))
}

/// Scores the validation rows by the best weights if that was not done, as after a resume: the
/// weights of a second training will have seen them.
fn score_validation(
    context: &TrainContext<'_>,
    fitted: &mut Fitted<Params>,
    run: &Run,
) -> Result<(), Error> {
    if fitted.best.scores.is_none() && run.hosts().rank == 0 {
        let mut engine = predictor(context, &fitted.best.weights, run)?;
        let rows = &context.plan.validation;
        fitted.best.scores = context.scores(engine.as_mut(), rows, run)?;
    }
    Ok(())
}

/// Returns an engine for predictions.
fn predictor(
    context: &TrainContext<'_>,
    weights: &Params,
    run: &Run,
) -> Result<Box<dyn Engine>, Error> {
    let frozen = vec![true; weights.len()];
    let setup = setup(context.params, run);
    setup.engine(&context.architecture, weights.clone(), &frozen, None)
}

fn finish(
    context: &TrainContext<'_>,
    Fitted { best, error, .. }: Fitted<Params>,
    run: &Run,
) -> Result<Trained<TransformerModel>, Error> {
    let values = best.weights;
    let mut scores = SplitScores::default();
    if run.hosts().rank == 0 {
        let mut engine = predictor(context, &values, run)?;
        scores = SplitScores::of(best.scores, context.table, run, |split| {
            context.scores(engine.as_mut(), &context.table.of(split), run)
        })?;
    }
    let pretrained = context.params.pretrained()?;
    let classes = context.table.classes.clone();
    let config = pretrained.config.trained(&classes, pretrained.max_len);
    let config = match context.params.text_pair {
        true => config.text_pair(),
        false => config,
    };
    let model = TransformerModel {
        config: match context.table.label_sets {
            None => config,
            Some(_) => config.multi_label(),
        },
        multi_label: context.table.label_sets.is_some(),
        classes,
        architecture: context.architecture.clone(),
        tokens: Arc::clone(&pretrained.tokens),
        tokenizer_config: pretrained.tokenizer_config(),
        params: values,
        engine: Mutex::new(None),
    };
    Ok(Trained {
        model,
        scores,
        details: Map::new(),
        summary: Summary::default(),
        error,
    })
}

/// Returns the `details` of metrics.json.
fn details(
    context: &TrainContext<'_>,
    device: String,
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
        ("devices", json!(device)),
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
    for row in 0..context.table.labels.len() as u32 {
        content.extend(context.table.weight(row).to_le_bytes());
        let classes = context.table.classes_of(row);
        content.extend((classes.len() as u32).to_le_bytes());
        content.extend(classes.iter().flat_map(|class| class.to_le_bytes()));
        let Tokens { ids, types } = context.rows.tokens(row);
        content.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
        content.extend(types);
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

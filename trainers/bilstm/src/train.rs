//! The training run, from the rows to the model.

use std::path::Path;
use std::sync::atomic::AtomicUsize;

use dataset::RowTable;
use diagnostics::Error;
use harness::Trained;
use harness::trainer::{SplitScores, Summary};
use serde_json::{Map, Value, json};
use tch::Device;
use training::{Arrays, Fitted, Run, TrainPlan, fit, memory};

use crate::allocator;
use crate::device::{Devices, find_devices, torch_error};
use crate::encoded::{Encoder, encode_rows};
use crate::forward::Recurrent;
use crate::learner::{LstmLearner, TrainContext};
use crate::model::{LstmModel, TextModel};
use crate::net::Shape;
use crate::params::{LstmParams, TextParams};
use crate::replicas::Replicas;
use crate::tokenizer::Tokenizer;

pub(crate) fn train(
    params: &TextParams,
    lstm: &LstmParams,
    table: &RowTable,
    encoders: Vec<Encoder>,
    run: &mut Run,
) -> Result<Trained<TextModel>, Error> {
    let devices =
        find_devices(lstm.device, lstm.precision)?.with_threads(run.threads(), lstm.batch_size);
    table.check_classes()?;
    let class_weight = params.class_weight.resolve(&table.classes, run)?;
    // libtorch's own threads: see `replicas`.
    tch::set_num_threads(1);
    let (tokenizer, rows) = encode_rows(table, encoders, lstm.vocab_size, lstm.seq_len)?;
    let plan = TrainPlan::new(table, lstm.batch_size, &lstm.fit);
    let mut context = TrainContext {
        params: lstm,
        class_weights: class_weight.weights(table, &plan.train),
        other_weights: class_weight.other_weights(table, &plan.train),
        plan,
        table,
        rows,
        shape: Shape {
            ids: tokenizer.ids(),
            pad: tokenizer.pad(),
            emb_size: lstm.emb_size,
            hidden_size: lstm.hidden_size,
            num_layers: lstm.num_layers,
            pooling: lstm.pooling,
            classes: table.classes.len(),
        },
    };
    if run.stopped() {
        return Err(Error::stopped());
    }
    if devices.all.iter().all(|device| *device == Device::Cpu) {
        check_memory(
            &context,
            devices.all.len(),
            memory::available(Path::new("/")),
        )?;
    }
    allocator::retain();
    let mut fitted = fit_once(&context, &devices, run)?;
    let first_plan = context.plan.clone();
    let details = details(&context, &devices, &fitted);
    let refitted = match fitted.refit_plan(&first_plan, table, run.stopped()) {
        Some(plan) => {
            context.class_weights = class_weight.weights(table, &plan.train);
            context.other_weights = class_weight.other_weights(table, &plan.train);
            refit(&mut context, &devices, plan, &mut fitted, run)?
        }
        None => false,
    };
    let summary = Summary::of_fit(&fitted, &first_plan, refitted);
    let mut trained = finish(&context, &devices, tokenizer, fitted, run)?;
    trained.scores.refitted = refitted;
    Ok(Trained {
        details,
        summary,
        ..trained
    })
}

fn fit_once(
    context: &TrainContext<'_>,
    devices: &Devices,
    run: &mut Run,
) -> Result<Fitted<Arrays>, Error> {
    let (mut learner, state, best) = LstmLearner::start(context, devices, run)?;
    let fitted = fit(&mut learner, &context.plan, state, best, run);
    // Frees Adam's moments and the last weights.
    drop(learner);
    allocator::purge();
    fitted
}

/// Trains again by `plan`, on all rows, and takes these weights; false if that did not end well.
fn refit<'a>(
    context: &mut TrainContext<'a>,
    devices: &Devices,
    plan: TrainPlan<'a>,
    fitted: &mut Fitted<Arrays>,
    run: &mut Run,
) -> Result<bool, Error> {
    if fitted.best.scores.is_none() {
        // After a resume: the new weights will have seen the validation rows.
        let net = Replicas::new(&context.shape, &fitted.best.weights, &devices.all, false);
        if let Some(net) = net.map_err(torch_error)? {
            fitted.best.scores = context.scores(&net, &context.plan.validation, run)?;
        }
    }
    run.progress_refit(plan.train.len());
    context.plan = plan;
    let again = fit_once(context, devices, &mut run.again());
    Ok(fitted.adopt(again, run))
}

/// Refuses a network that is far too large for the memory; otherwise the system would kill the
/// process without a message.
fn check_memory(
    context: &TrainContext<'_>,
    replicas: usize,
    left: Option<u64>,
) -> Result<(), Error> {
    let train = &context.plan.train;
    let lengths = train.iter().map(|&row| context.rows.ids(row).len());
    let longest = lengths.max().unwrap_or(0);
    let rows = context.params.batch_size.min(train.len());
    let bytes = context
        .shape
        .min_bytes(replicas, rows.saturating_mul(longest));
    match left {
        Some(left) if bytes > left => Err(Error::new(format!(
            "expected `{} MB` of memory, found `{} MB`: the network, its gradients, Adam's moments and a \
             batch of `{rows}` rows of up to `{longest}` ids do not fit",
            bytes / 1_000_000,
            left / 1_000_000
        ))
        .help("lower --hidden-size, --emb-size, --vocab-size, --batch-size or --seq-len")),
        _ => Ok(()),
    }
}

fn finish(
    context: &TrainContext<'_>,
    devices: &Devices,
    tokenizer: Tokenizer,
    fitted: Fitted<Arrays>,
    run: &Run,
) -> Result<Trained<TextModel>, Error> {
    let Fitted { best, error, .. } = fitted;
    let net =
        Replicas::new(&context.shape, &best.weights, &devices.all, false).map_err(torch_error)?;
    let score = |split| {
        let rows = context.table.of(split);
        match &net {
            Some(net) if !rows.is_empty() => context.scores(net, &rows, run),
            _ => Ok(None),
        }
    };
    let scores = SplitScores::of(best.scores, context.table, run, score)?;
    let model = LstmModel {
        classes: context.table.classes.clone(),
        multi_label: context.table.label_sets.is_some(),
        tokenizer,
        seq_len: context.params.seq_len,
        shape: context.shape.clone(),
        arrays: best.weights,
        devices: vec![Device::Cpu],
        next_device: AtomicUsize::default(),
        recurrent: Recurrent::new(),
    };
    Ok(Trained {
        model: TextModel::Bilstm(Box::new(model)),
        scores,
        details: Map::new(),
        summary: Summary::default(),
        error,
    })
}

/// Returns the `details` of metrics.json.
fn details(
    context: &TrainContext<'_>,
    devices: &Devices,
    Fitted { state, best, .. }: &Fitted<Arrays>,
) -> Map<String, Value> {
    let details = [
        ("steps", json!(state.step)),
        ("epochs", json!(state.epoch)),
        ("model_of_epoch", json!(best.epoch)),
        ("parameters", json!(context.shape.parameter_count())),
        ("ids", json!(context.shape.ids)),
        ("devices", json!(devices.names())),
        ("skipped_steps", json!(state.skipped)),
    ];
    details
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

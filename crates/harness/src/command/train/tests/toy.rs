//! A trainer of sixty steps that mix a number.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::trainer::{SplitScores, Summary};
use crate::{Model, Needs, Trained, Trainer};
use dataset::random::mix;
use dataset::{Encode, RowTable};
use diagnostics::Error;
use evaluation::history::{EpochReport, Validation};
use evaluation::metrics::Scores;
use evaluation::report::ClassFeatures;
use sagemaker::Paths;
use training::{BestMetric, Run};

const EPOCHS: u64 = 6;
const STEPS: u64 = 10;

pub(crate) struct Toy;

#[derive(clap::Args)]
pub(crate) struct ToyArgs {
    #[arg(long, default_value_t = 1)]
    learning_rate: u64,
    /// Fails after this step
    #[arg(long)]
    crash: Option<u64>,
    /// Diverges after this step
    #[arg(long)]
    nan: Option<u64>,
    /// Fails the preflight check
    #[arg(long)]
    unready: bool,
    /// Pause of each step
    #[arg(long, default_value_t = 0)]
    pause_us: u64,
    /// KiB of each checkpoint
    #[arg(long, default_value_t = 1)]
    kib: usize,
}

pub(crate) struct Nothing;

impl Encode for Nothing {
    fn encode(&mut self, _text: &str) {}
}

pub(crate) struct ToyModel {
    classes: Vec<String>,
    value: u64,
    word: String,
}

#[derive(clap::Args, Clone)]
pub(crate) struct ToyPredict {
    #[arg(long, default_value = "cpu")]
    device: String,
}

impl Trainer for Toy {
    const NAME: &'static str = "toy";
    const ABOUT: &'static str = "Train a toy";
    const CHECKPOINTS: bool = true;
    /// As if these options needed something.
    const CONDITIONAL: &'static [(&'static str, Needs)] = &[
        ("pause_us", Needs::ValidationRows),
        ("kib", Needs::SplitRows),
        ("learning_rate", Needs::SeveralHosts),
    ];
    type Args = ToyArgs;
    type Params = ToyArgs;
    type Encoder = Nothing;
    type Model = ToyModel;
    type PredictArgs = ToyPredict;

    fn check(args: ToyArgs) -> Result<ToyArgs, Error> {
        Ok(args)
    }

    fn fingerprint(_: &ToyArgs) -> std::collections::BTreeMap<String, String> {
        // These do not change the model.
        ["crash", "pause-us", "kib", "nan", "unready"]
            .map(|name| (format!("--{name}"), String::new()))
            .into()
    }

    fn preflight(params: &mut ToyArgs, _: &Paths) -> Result<(), Error> {
        match params.unready {
            true => Err(Error::new("expected a GPU, found none").help("buy one")),
            false => Ok(()),
        }
    }

    fn load_to_device(model: &mut ToyModel, args: ToyPredict, threads: usize) -> Result<(), Error> {
        model.word = format!("{} {threads}", args.device);
        Ok(())
    }

    fn encoder(_: &ToyArgs) -> Nothing {
        Nothing
    }

    fn train(
        params: &ToyArgs,
        rows: &RowTable,
        _: Vec<Nothing>,
        run: &mut Run,
    ) -> Result<Trained<ToyModel>, Error> {
        let (mut value, mut step) = (run.stream("weights"), 0);
        if let Some(restored) = run.restored() {
            let path = restored.dir.join("weights");
            let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
            (value, step) = (text[..20].parse().unwrap(), restored.step);
            assert_eq!(restored.state, json!({ "step": step }));
        }
        let mut error = None;
        while step < EPOCHS * STEPS && !run.stopped() {
            value = mix(value ^ step ^ params.learning_rate);
            step += 1;
            std::thread::sleep(Duration::from_micros(params.pause_us));
            if params.crash == Some(step) {
                return Err(Error::new("crashed").help("try again"));
            }
            if params.nan == Some(step) {
                error = Some(Error::new("the loss is NaN").help("lower --learning-rate"));
                break;
            }
            run.step(step, EPOCHS * STEPS, 1.0 / step as f64);
            if step % STEPS == 0 {
                run.epoch(report(step), BestMetric::default());
            }
            if run.checkpoint_due(step, step % STEPS == 0) {
                let text = format!("{value:020}{}", " ".repeat(params.kib * 1024));
                run.checkpoint(step, &json!({ "step": step }), |dir| {
                    let path = dir.join("weights");
                    fs::write(&path, text).map_err(Error::io("write", &path))
                })?;
            }
        }
        let validation = rows.of(dataset::Split::Validation).len();
        Ok(Trained {
            model: ToyModel {
                classes: rows.classes.clone(),
                value,
                word: String::new(),
            },
            scores: SplitScores {
                validation: Some(scores(validation)),
                ..SplitScores::default()
            },
            details: serde_json::Map::new(),
            summary: Summary::default(),
            error,
        })
    }
}

fn report(step: u64) -> EpochReport {
    let loss = 1.0 / step as f64;
    EpochReport {
        epoch: step / STEPS,
        epochs: EPOCHS,
        step,
        train_loss: loss,
        validation: Some(Validation {
            loss: loss * 1.5,
            accuracy: 1.0 - loss,
            macro_f1: 0.9 - loss,
        }),
        learning_rate: 1e-3 / step as f64,
        gradient_norm: Some(2.5),
        rows_per_second: 1234.5,
        tokens_per_second: Some(1e6),
    }
}

fn scores(rows: usize) -> Scores {
    Scores {
        classes: 2,
        decision: [1.0, 0.0].repeat(rows),
        ..Scores::default()
    }
}

impl Model for ToyModel {
    type Scratch = ();
    const BLOCK_BYTES: usize = 4096;

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn save(&self, dir: &Path) -> Result<(), Error> {
        let config = json!({ "format": "trainyard-toy", "classes": self.classes });
        for (name, text) in [
            ("config.json", config.to_string()),
            ("value", self.value.to_string()),
        ] {
            let path = dir.join(name);
            fs::write(&path, text).map_err(Error::io("write", &path))?;
        }
        Ok(())
    }

    fn load(dir: &Path) -> Result<Self, Error> {
        let config: Value =
            serde_json::from_slice(&fs::read(dir.join("config.json")).unwrap()).unwrap();
        Ok(Self {
            classes: serde_json::from_value(config["classes"].clone()).unwrap(),
            value: fs::read_to_string(dir.join("value"))
                .unwrap()
                .parse()
                .unwrap(),
            word: String::new(),
        })
    }

    fn scratch(&self) {}

    fn predict(&self, (): &mut (), texts: &[&str]) -> Result<Scores, Error> {
        assert!(!self.word.is_empty(), "`prepare` comes first");
        Ok(scores(texts.len()))
    }

    fn explain(&self, _: Option<&str>, _: usize) -> Result<Vec<ClassFeatures>, Error> {
        Ok(Vec::new())
    }
}

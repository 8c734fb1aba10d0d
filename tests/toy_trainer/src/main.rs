//! A trainer that learns the frequency of each class, as scikit-learn's `DummyClassifier` does.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgAction;
use dataset::{Encode, RowTable, Split};
use diagnostics::Error;
use evaluation::metrics::Scores;
use evaluation::report::ClassFeatures;
use harness::range::{above, number};
use harness::trainer::{SplitScores, Summary};
use harness::{Model, NoArgs, Trained, Trainer, model_dir};
use serde_json::{Map, json};
use training::{Run, Tensor, write_tensors};

const FORMAT: &str = "trainyard-toy";
const WEIGHTS: &str = "class_log_prior";

/// Zeros that make the model larger than the small disk of the contract suite.
const PADDING: [f32; 65_536] = [0.0; 65_536];

struct Toy;

#[derive(clap::Args)]
struct ToyArgs {
    /// Added to the count of each class
    #[arg(long, value_name = "A", default_value_t = 1.0, value_parser = number(above(0.0)))]
    alpha: f64,
    /// Give all classes the same prior
    #[arg(long, action = ArgAction::SetTrue)]
    uniform_prior: bool,
    /// Milliseconds that training takes
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pause: u64,
}

/// Keeps nothing of the texts.
struct NoEncoder;

impl Encode for NoEncoder {
    fn encode(&mut self, _text: &str) {}
}

struct ToyModel {
    classes: Vec<String>,
    /// `(classes,)`
    log_prior: Vec<f32>,
}

impl ToyModel {
    fn score(&self, rows: usize) -> Scores {
        Scores::of_logits(self.log_prior.repeat(rows), self.classes.len())
    }
}

impl Trainer for Toy {
    const NAME: &'static str = "toy";
    const ABOUT: &'static str = "Learn the frequency of each class";
    type Args = ToyArgs;
    type Params = ToyArgs;
    type Encoder = NoEncoder;
    type Model = ToyModel;
    type PredictArgs = NoArgs;

    fn check(args: ToyArgs) -> Result<ToyArgs, Error> {
        Ok(args)
    }

    fn encoder(_: &ToyArgs) -> NoEncoder {
        NoEncoder
    }

    fn train(
        params: &ToyArgs,
        rows: &RowTable,
        _: Vec<NoEncoder>,
        run: &mut Run,
    ) -> Result<Trained<ToyModel>, Error> {
        rows.check_classes()?;
        let mut counts = vec![params.alpha as f32; rows.classes.len()];
        for row in rows.of(Split::Train) {
            counts[rows.labels[row as usize] as usize] += 1.0;
        }
        if params.uniform_prior {
            counts.fill(params.alpha as f32);
        }
        for _ in 0..params.pause {
            if run.stopped() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let model = ToyModel {
            classes: rows.classes.clone(),
            log_prior: counts.iter().map(|count| count.ln()).collect(),
        };
        let score = |split| {
            let rows = rows.of(split).len();
            (rows > 0 && !run.stopped()).then(|| model.score(rows))
        };
        let scores = SplitScores {
            train: score(Split::Train),
            validation: score(Split::Validation),
            test: score(Split::Test),
            ..SplitScores::default()
        };
        Ok(Trained {
            scores,
            model,
            details: Map::new(),
            summary: Summary::default(),
            error: None,
        })
    }
}

impl Model for ToyModel {
    type Scratch = ();

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn save(&self, dir: &Path) -> Result<(), Error> {
        let config = json!({ "format": FORMAT, "version": 1, "classes": self.classes });
        model_dir::write(dir, model_dir::CONFIG, format!("{config:#}\n").as_bytes())?;
        let tensor = Tensor {
            name: WEIGHTS.to_owned(),
            shape: &[self.log_prior.len()],
            data: &self.log_prior,
        };
        let padding = Tensor {
            name: "padding".to_owned(),
            shape: &[PADDING.len()],
            data: &PADDING,
        };
        let path = dir.join(model_dir::TENSORS);
        write_tensors(&path, &[], vec![tensor, padding])
    }

    fn load(dir: &Path) -> Result<Self, Error> {
        let unreadable = |error: String| model_dir::unreadable(dir, model_dir::CONFIG, error);
        let config: serde_json::Value =
            serde_json::from_slice(&model_dir::read(dir, model_dir::CONFIG)?)
                .map_err(|error| unreadable(error.to_string()))?;
        let classes = serde_json::from_value(config["classes"].clone())
            .map_err(|error| unreadable(error.to_string()))?;
        let mut tensors = model_dir::tensors(dir)?;
        let weights = tensors.remove(WEIGHTS);
        let log_prior = weights.ok_or_else(|| {
            model_dir::unreadable(dir, model_dir::TENSORS, format!("no `{WEIGHTS}`"))
        })?;
        Ok(Self {
            classes,
            log_prior: log_prior.data,
        })
    }

    fn scratch(&self) {}

    fn predict(&self, _: &mut (), texts: &[&str]) -> Result<Scores, Error> {
        Ok(self.score(texts.len()))
    }

    fn explain(&self, _: Option<&str>, top: usize) -> Result<Vec<ClassFeatures>, Error> {
        let weights = vec![Vec::new(); self.classes.len()];
        Ok(ClassFeatures::strongest(&self.classes, weights, top))
    }
}

fn main() -> ExitCode {
    harness::run::<Toy>()
}

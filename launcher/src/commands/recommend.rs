//! `trainyard recommend`

mod reading;
mod report;
mod sample;
mod trial;

use std::path::PathBuf;

use clap::Args;

use self::reading::ReadArgs;
use self::report::{Network, Report, Score};
use self::sample::Sample;
use self::trial::Candidate;
use crate::context::Context;
use crate::interrupt::until_interrupted_with;
use crate::trainer::TrainerPackage;
use crate::util::{private_folder, whole_number};
use diagnostics::{Error, Exit, Result, eprint_line};

/// Maximum rows of the sample: their texts are kept in memory.
const MAX_ROWS: u32 = 10_000_000;

/// Compare the trainers on a sample of your data
///
/// Every trainer that is built trains on the same sample with its default options. Each row is
/// scored by a model that was not trained on it (cross-validation). Networks are not trained,
/// unless `--trainer` names them: their time is estimated from two short runs. Nothing is
/// downloaded.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct RecommendArgs {
    /// Labelled data: a file or a folder
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Trainer to compare; may be repeated [default: all that are built]
    #[arg(long = "trainer", value_name = "NAME")]
    trainers: Vec<String>,
    /// Rows of the sample, at random
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = whole_number(30..=MAX_ROWS))]
    rows: u32,
    /// Parts of the sample; each is scored by a model that was trained on the others
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = whole_number(2..=20))]
    folds: u32,
    #[command(flatten)]
    read: ReadArgs,
}

const EXAMPLES: &str = "\
Examples:
  trainyard recommend --data data/movie.csv
  trainyard recommend --data reviews/ --text-column review --label-column stars
  trainyard recommend --data reviews.csv --delimiter ';' --drop-missing
  trainyard recommend --data toxic.csv --multi-label --label-separator '|'
  trainyard recommend --data reviews.csv --trainer svm --trainer bag --rows 20000 --json";

/// Help after Ctrl-C.
const RESTART: &str = "run the same command again; it starts from the beginning";

pub(crate) async fn run(args: RecommendArgs, context: &Context) -> Result<Exit> {
    let report = until_interrupted_with(RESTART, compare(&args)).await?;
    context.format.print(&report, Report::text)
}

async fn compare(args: &RecommendArgs) -> Result<Report> {
    let (candidates, not_built) = candidates(&args.trainers).await?;
    // Removed after Ctrl-C too.
    let folder = private_folder("trainyard-recommend-")?;
    let sample = Sample::read(args, folder.path()).await?;
    let mut report = Report::new(&sample, not_built);
    for candidate in &candidates {
        if candidate.is_network() && args.trainers.is_empty() {
            let cost = candidate.cost(&sample).await;
            report.networks.push(Network::new(&candidate.name, cost));
            continue;
        }
        let times = sample.folds;
        eprint_line(format!("training {}, {times} times", candidate.name));
        report.trainers.push(candidate.score(&sample).await?);
    }
    report.recommended = recommended(&report.trainers).map(|score| score.name.clone());
    Ok(report)
}

/// Returns the trainers to compare, and the names of those that are not built. A trainer that the
/// user names is built.
async fn candidates(names: &[String]) -> Result<(Vec<Candidate>, Vec<String>)> {
    let (mut found, mut not_built) = (Vec::new(), Vec::new());
    for name in names {
        let binary = TrainerPackage::find(name)?.host_binary().await?;
        found.push(Candidate::new(name, binary).await?);
    }
    if !names.is_empty() {
        return Ok((found, not_built));
    }
    for package in TrainerPackage::all()? {
        match package.existing_binary() {
            None => not_built.push(package.name),
            Some(binary) => match Candidate::new(&package.name, binary).await {
                Ok(candidate) => found.push(candidate),
                // Such as `bilstm` without its libraries.
                Err(error) => {
                    eprint_line(format!("left out: {}", error.into_parts().0));
                }
            },
        }
    }
    if found.iter().any(|candidate| !candidate.is_network()) {
        return Ok((found, not_built));
    }
    Err(match (found.first(), not_built.is_empty()) {
        (Some(network), _) => {
            let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
            let message = "networks are not trained unless named, and no other trainer is built";
            Error::usage(format!("{message}: {}", names.join(", "))).help(format!(
                "build one, as in `cargo build --release -p svm`, or pass `--trainer {}`",
                network.name
            ))
        }
        (None, true) => {
            Error::usage("no trainers: the working directory is not in their repository")
                .help("name them, as in `--trainer svm`, or run this in Trainyard's repository")
        }
        (None, false) => Error::usage(format!("no trainer is built, of {}", not_built.join(", ")))
            .help("build one, as in `cargo build --release -p svm`, or name it: `--trainer svm`"),
    })
}

/// Returns the fastest trainer whose accuracy is within the interval of the best one.
fn recommended(scores: &[Score]) -> Option<&Score> {
    let best = scores
        .iter()
        .max_by(|a, b| a.accuracy.total_cmp(&b.accuracy))?;
    scores
        .iter()
        .filter(|score| score.accuracy >= best.interval.0)
        .min_by(|a, b| a.seconds.total_cmp(&b.seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(name: &str, accuracy: f64, seconds: f64) -> Score {
        Score {
            name: name.to_owned(),
            accuracy,
            interval: (accuracy - 0.02, accuracy + 0.02),
            macro_f1: accuracy,
            seconds,
            peak_rss_bytes: None,
            model_bytes: 1,
        }
    }

    #[test]
    fn fastest_of_the_equally_good_is_recommended() {
        let name = |scores: &[Score]| recommended(scores).map(|score| score.name.clone());
        let (slow, fast) = (score("slow", 0.90, 9.0), score("fast", 0.89, 1.0));
        let bad = score("bad", 0.80, 0.1);
        assert_eq!(name(&[slow, fast, bad]).as_deref(), Some("fast"));
        let (slow, fast) = (score("slow", 0.90, 9.0), score("fast", 0.87, 1.0));
        assert_eq!(name(&[fast, slow]).as_deref(), Some("slow"));
        assert_eq!(name(&[]), None);
    }
}

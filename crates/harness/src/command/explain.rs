//! `explain`: shows the strongest features per class, of the model or of one text.

use std::borrow::Cow;

use clap::{Args, Command};
use dataset::join_pair;
use diagnostics::{Error, print_json, print_line, short_label};
use evaluation::metrics::Scores;
use evaluation::report::ClassFeatures;
use serde_json::json;

use super::args::{ExplainArgs, SecondTextArgs};
use super::load;
use crate::{Model, Trainer};

pub(super) fn command<T: Trainer>() -> Command {
    let command = ExplainArgs::augment_args(Command::new("explain"));
    let command = match T::TEXT_PAIRS {
        true => SecondTextArgs::augment_args(command),
        false => command,
    };
    T::PredictArgs::augment_args(command)
        .allow_negative_numbers(true)
        .about("Show the strongest features of each class")
        .long_about(
            "Show the strongest features of each class.\n\nWithout TEXT: the strongest features of the model. With TEXT: the \
             prediction for it, and its strongest features.",
        )
        .after_help(format!(
            "Examples:\n  {name} explain --model-dir models/{name}\n  {name} explain --model-dir models/{name} \"some text\"",
            name = T::NAME
        ))
}

pub(super) fn run<T: Trainer>(args: &ExplainArgs, own: T::PredictArgs) -> Result<(), Error> {
    let model = load::<T>(&args.model_dir, own, 1)?;
    let text = text(args, model.is_text_pair())?;
    let strongest = model.explain(text.as_deref(), args.top)?;
    let scores = text
        .as_deref()
        .map(|text| model.predict(&mut model.scratch(), &[text]))
        .transpose()?;
    if let Some(scores) = scores.as_ref().filter(|_| model.is_multi_label()) {
        return print_set(args, model.classes(), scores, &strongest);
    }
    let predicted = scores.as_ref().and_then(|scores| {
        let class = *scores.predictions().first()? as usize;
        let probability = scores.probability.as_ref().map(|all| all[class]);
        Some((&model.classes()[class], probability))
    });
    if args.json {
        let predicted = predicted
            .map(|(label, probability)| json!({ "label": label, "probability": probability }));
        return print_json(&json!({ "prediction": predicted, "classes": strongest }));
    }
    if let Some((label, probability)) = predicted {
        let probability = probability.map_or_else(String::new, |p| format!(" ({p:.3})"));
        print_line(format_args!(
            "prediction: {}{probability}",
            short_label(label)
        ))?;
    }
    print_features(&strongest)
}

/// Returns the text, or the pair of texts, that is explained.
fn text(args: &ExplainArgs, is_pair: bool) -> Result<Option<Cow<'_, str>>, Error> {
    match (args.text.as_deref(), args.second.as_deref()) {
        (Some(first), Some(second)) if is_pair => Ok(Some(join_pair(first, second).into())),
        (Some(_), None) if is_pair => {
            let message = "expected two texts, found one: the model is one of pairs of texts";
            Err(Error::usage(message).help("pass the second text after the first one"))
        }
        (_, Some(_)) => {
            let message = "expected one text, found two: the model is not one of pairs of texts";
            Err(Error::usage(message).help("pass one text, in quotes"))
        }
        (text, None) => Ok(text.map(Cow::Borrowed)),
    }
}

/// Prints the labels that are predicted for a text, and the features.
fn print_set(
    args: &ExplainArgs,
    classes: &[String],
    scores: &Scores,
    strongest: &[ClassFeatures],
) -> Result<(), Error> {
    let set = scores.sets().next().unwrap_or_default();
    let probability = |class: u32| Some(scores.probability.as_ref()?[class as usize]);
    let labels: Vec<&str> = set
        .iter()
        .map(|class| classes[*class as usize].as_str())
        .collect();
    if args.json {
        let probabilities: Vec<_> = set.iter().map(|class| probability(*class)).collect();
        let predicted = json!({ "labels": labels, "probability": probabilities });
        return print_json(&json!({ "prediction": predicted, "classes": strongest }));
    }
    let shown = labels.iter().zip(&set).map(|(label, class)| {
        let probability = probability(*class).map_or_else(String::new, |p| format!(" ({p:.3})"));
        format!("{}{probability}", short_label(label))
    });
    match shown.collect::<Vec<_>>().join(", ") {
        shown if shown.is_empty() => print_line("prediction: no label")?,
        shown => print_line(format_args!("prediction: {shown}"))?,
    }
    print_features(strongest)
}

fn print_features(strongest: &[ClassFeatures]) -> Result<(), Error> {
    if strongest.iter().all(|class| class.features.is_empty()) {
        print_line("no class has features: no word of the text is in the vocabulary")?;
    }
    for class in strongest.iter().filter(|class| !class.features.is_empty()) {
        print_line(format_args!("for {}", short_label(&class.label)))?;
        for (feature, weight) in &class.features {
            print_line(format_args!("{weight:9.4}  {feature}"))?;
        }
    }
    Ok(())
}

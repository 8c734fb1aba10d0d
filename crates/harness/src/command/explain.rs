//! `explain`: the strongest features per class, of the model or of one text.

use clap::{Args, Command};
use serde_json::json;

use super::args::ExplainArgs;
use super::load;
use super::output::line;
use crate::{Model, Trainer};
use diagnostics::Error;

pub(super) fn command<T: Trainer>() -> Command {
    let command = ExplainArgs::augment_args(Command::new("explain"));
    T::PredictArgs::augment_args(command)
        .about("Show which features speak for each class, in the model or in a text")
}

pub(super) fn run<T: Trainer>(args: &ExplainArgs, own: T::PredictArgs) -> Result<(), Error> {
    let model = load::<T>(&args.model_dir, own, 1)?;
    let strongest = model.explain(args.text.as_deref(), args.top)?;
    let answer = args
        .text
        .as_deref()
        .map(|text| model.predict(&mut model.scratch(), &[text]))
        .transpose()?;
    let predicted = answer.as_ref().and_then(|scores| {
        let class = *scores.predictions().first()? as usize;
        let probability = scores.probability.as_ref().map(|all| all[class]);
        Some((&model.classes()[class], probability))
    });
    if args.json {
        let predicted = predicted
            .map(|(label, probability)| json!({ "label": label, "probability": probability }));
        line(json!({ "prediction": predicted, "classes": strongest }));
        return Ok(());
    }
    if let Some((label, probability)) = predicted {
        let probability = probability.map_or_else(String::new, |p| format!(" ({p:.3})"));
        line(format_args!(
            "prediction: {}{probability}",
            diagnostics::sanitize(label)
        ));
    }
    for class in strongest {
        line(format_args!("for {}", diagnostics::sanitize(&class.label)));
        for (feature, weight) in class.features {
            line(format_args!("{weight:9.4}  {feature}"));
        }
    }
    Ok(())
}

//! `explain`: the strongest features per class, of the model or of one text.

use clap::Command;
use serde_json::json;

use super::args::ExplainArgs;
use crate::{Failure, Model, Trainer};

pub(super) fn command() -> Command {
    Command::new("explain").about("Show which features speak for each class, in the model or in a text")
}

pub(super) fn run<T: Trainer>(args: &ExplainArgs) -> Result<(), Failure> {
    let model = T::Model::load(&args.model_dir)?;
    let strongest = model.explain(args.text.as_deref(), args.top)?;
    let answer = args.text.as_deref().map(|text| model.predict(&mut model.scratch(), &[text])).transpose()?;
    let predicted = answer.as_ref().and_then(|scores| {
        let class = *scores.predictions().first()? as usize;
        let probability = scores.probability.as_ref().map(|all| all[class]);
        Some((&model.classes()[class], probability))
    });
    if args.json {
        let predicted = predicted.map(|(label, probability)| json!({ "label": label, "probability": probability }));
        println!("{}", json!({ "prediction": predicted, "classes": strongest }));
        return Ok(());
    }
    if let Some((label, probability)) = predicted {
        let probability = probability.map_or_else(String::new, |p| format!(" ({p:.3})"));
        println!("prediction: {}{probability}", contract::shown(label));
    }
    for class in strongest {
        println!("for {}", contract::shown(&class.label));
        for (feature, weight) in class.features {
            println!("{weight:9.4}  {feature}");
        }
    }
    Ok(())
}

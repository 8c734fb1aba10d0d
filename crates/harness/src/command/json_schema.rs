//! The JSON Schema of run files, for editors.

use clap::{Arg, ArgAction, Command};
use sagemaker::trainer_description::HyperparameterSpec;
use serde_json::{Map, Value, json};

use super::describe::{ValueType, typed, value_type};

/// Returns the schema. `options`: arguments of `train` and their descriptions.
pub(super) fn schema<'a>(
    title: String,
    train: &Command,
    options: impl Iterator<Item = (&'a Arg, HyperparameterSpec)>,
) -> Value {
    let mut properties = Map::new();
    for (arg, spec) in options {
        let name = spec.name.replace('-', "_");
        for other in spec.aliases.iter().chain([&spec.name]) {
            for spelling in [other.replace('_', "-"), other.replace('-', "_")] {
                let same = json!({ "$ref": format!("#/properties/{name}") });
                properties.insert(spelling, same);
            }
        }
        properties.insert(name, property(train, arg, &spec));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn property(train: &Command, arg: &Arg, spec: &HyperparameterSpec) -> Value {
    let expected = value_type(arg);
    let mut property = Map::new();
    let mut set = |name: &str, value: Value| property.insert(name.to_owned(), value);
    let range = spec.range.clone().unwrap_or_default();
    set(
        "type",
        match expected {
            ValueType::Boolean => json!("boolean"),
            ValueType::Integer => json!("integer"),
            ValueType::Number => json!("number"),
            ValueType::Text => json!("string"),
            ValueType::Other if range.choices.is_empty() => json!(["string", "number"]),
            ValueType::Other => json!("string"),
        },
    );
    if expected != ValueType::Boolean && !range.choices.is_empty() {
        set("enum", json!(range.choices));
    }
    for (name, bound) in [("minimum", range.min), ("maximum", range.max)] {
        let number = bound.and_then(|bound| serde_json::from_str::<Value>(&bound).ok());
        if let Some(number) = number {
            set(name, number);
        }
    }
    // A default in words depends on other options.
    if let [default] = arg.get_default_values() {
        let default = default.to_string_lossy();
        set("default", typed(train, arg.get_id().as_str(), &default));
    }
    let mut value = match arg.get_action() {
        // A single value needs no array.
        ArgAction::Append => {
            json!({ "anyOf": [&property, { "type": "array", "items": &property }] })
        }
        _ => Value::Object(property),
    };
    value["description"] = json!(spec.help);
    value
}

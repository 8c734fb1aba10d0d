//! `serve`: answers requests over HTTP.

use clap::{Args, Command};

use super::args::ServeArgs;
use crate::Trainer;

#[cfg(feature = "serve")]
mod hosting;
#[cfg(feature = "serve")]
pub(super) use hosting::run;

pub(super) fn command<T: Trainer>() -> Command {
    let command = ServeArgs::augment_args(Command::new("serve"));
    T::PredictArgs::augment_args(command)
        .about("Answer requests over HTTP")
        .long_about(
            "Answer requests over HTTP.\n\nPOST /invocations classifies texts: JSON, JSON lines, CSV or plain text. GET /ping answers \
             200 when the model is loaded. Both follow SageMaker's hosting contract: `serve` is also the command of an \
             endpoint's container. GET /openapi.json describes all routes, and GET / is a page to try the \
             model.\n\nEnds after SIGTERM or Ctrl-C, when all requests are answered, within 20 seconds. TLS is the work of a \
             proxy. Needs a build with the feature `serve`, which container images have.",
        )
        .after_help(format!(
            "Examples:\n  {name} serve --model-dir models/{name}\n  \
             curl localhost:8080/invocations -H 'content-type: application/json' -d '{{\"inputs\": [\"some text\"]}}'",
            name = T::NAME
        ))
}

#[cfg(not(feature = "serve"))]
pub(super) fn run<T: Trainer>(
    _paths: &sagemaker::Paths,
    _args: &ServeArgs,
    _own: T::PredictArgs,
) -> Result<(), diagnostics::Error> {
    let name = T::NAME;
    let message = format!("this `{name}` was built without the feature `serve`");
    let help = format!("build it: cargo build --release -p {name} --features serve");
    Err(diagnostics::Error::usage(message).help(help))
}

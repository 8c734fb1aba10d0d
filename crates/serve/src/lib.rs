//! Answers requests with a model over HTTP, by SageMaker's hosting contract.
//!
//! | module | contents |
//! |---|---|
//! | [`classifier`] | the model as the server sees it |
//! | `server` | the life of the server: listens, loads, drains |
//! | `connections` | their number, idle ones, and clients that do not read |
//! | `routes`, `invocations`, `stream`, `explain` | the answers to requests |
//! | `body`, `json`, `records` | requests: types, limits, records |
//! | `render`, `reply` | answers with predictions, and others |
//! | `queue`, `engine` | batches of the texts of all requests, and the threads that score them |
//! | `models` | models in memory, also those that requests load |
//! | `metrics`, `traces`, `log` | Prometheus, OpenTelemetry, and the log |
//! | `config`, `app` | settings, and what requests share |

mod app;
mod body;
#[cfg(test)]
mod campaigns;
pub mod classifier;
mod config;
mod connections;
mod engine;
mod explain;
mod invocations;
mod json;
mod log;
mod metrics;
mod models;
#[cfg(test)]
mod over_http;
mod queue;
mod records;
mod render;
mod reply;
mod routes;
mod server;
mod stream;
#[cfg(test)]
mod testing;
mod traces;

pub use classifier::{Classifier, Load, ModelInfo, Scorer};
pub use config::{ApiKey, Batch, Config, flag, number};
pub use server::run;
pub use traces::Collector;

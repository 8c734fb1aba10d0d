//! Fine-tuning of BERT-family encoders for text classification.

mod architecture;
#[cfg(feature = "candle")]
mod candle;
mod config;
mod cpu;
mod device;
mod engine;
mod evaluate;
mod explain;
mod hub;
mod model;
mod params;
mod pretrained;
mod tokens;
mod weights;

pub use device::{DeviceChoice, Precision};

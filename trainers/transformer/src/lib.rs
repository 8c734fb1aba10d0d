//! Fine-tuning of BERT-family encoders for text classification.

mod architecture;
#[cfg(feature = "candle")]
mod candle;
mod device;
mod engine;

pub use device::{DeviceChoice, Precision};

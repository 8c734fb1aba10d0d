//! Fine-tuning of BERT-family encoders for text classification.

mod architecture;
mod cpu;
mod engine;

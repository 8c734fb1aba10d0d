//! Fine-tuning of BERT-family encoders for text classification.

mod architecture;
#[cfg(test)]
mod checks;
mod cpu;
mod engine;

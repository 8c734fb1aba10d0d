//! What every trainer shares: corpus, split, metrics, report, life cycle and command line.

pub mod data;
pub mod diagnostic;
pub mod metrics;
pub mod report;

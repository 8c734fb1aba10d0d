//! Metrics with the definitions of scikit-learn, calibration by temperature, the history of epochs,
//! and `report.html`.

pub mod history;
pub mod metrics;
pub mod report;
mod temperature;

pub use temperature::fit_temperature;

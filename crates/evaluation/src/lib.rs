//! Metrics with the definitions of scikit-learn, the history of epochs, and `report.html`.

pub mod history;
pub mod metrics;
pub mod report;

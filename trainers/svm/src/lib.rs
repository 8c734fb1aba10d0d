//! The tf-idf SVM.
pub mod features;
pub mod text;
pub mod solver;

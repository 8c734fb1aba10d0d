//! Amazon SageMaker's training contract as types.

//! TEMPORARY: interface only; the real one is being written.
use harness::corpus::RowTable;
use harness::{Failure, Run};
use crate::features::Counts;
use crate::model::files::{Arrays, Tensors};
use crate::params::{Kernel, SvmParams};

pub(crate) struct KernelMachine;
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct KernelConfig {}

pub(crate) struct Made {
    pub(crate) machine: KernelMachine,
    pub(crate) scale: Vec<Vec<f32>>,
    pub(crate) decisions: Vec<f32>,
    pub(crate) details: serde_json::Value,
}

pub(crate) fn train(_: &Counts, _: &RowTable, _: &[u32], _: (Kernel, usize), _: &SvmParams, _: &Run) -> Result<Made, Failure> {
    Err(Failure::other("", ""))
}

impl KernelMachine {
    pub(crate) fn decision(&self, _: usize, _: &[u32], _: &[f32]) -> f32 { 0.0 }
    pub(crate) fn save(&self, _: &mut Arrays) -> KernelConfig { KernelConfig {} }
    pub(crate) fn load(_: &KernelConfig, _: &Tensors<'_>, _: usize, _: usize) -> Result<Self, Failure> { Ok(Self) }
    pub(crate) fn map_columns(self, _: impl Fn(Vec<f32>) -> Vec<f32>) -> Self { self }
}

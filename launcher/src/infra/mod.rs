//! AWS resources that Trainyard needs: IAM policies, and Terraform with them.

mod hcl;
mod names;
#[cfg(test)]
mod operations;
pub(crate) mod policy;
pub(crate) mod terraform;

pub(crate) use names::{Partition, check_account, check_id, check_region, check_trainer};
pub(crate) use policy::Deployment;

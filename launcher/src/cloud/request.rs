//! Builds the `CreateTrainingJob` request of a job.

use std::time::Duration;

use aws_sdk_sagemaker::operation::create_training_job::builders::CreateTrainingJobInputBuilder;
use aws_sdk_sagemaker::types::{
    AlgorithmSpecification, Channel, CheckpointConfig, DataSource, MetricDefinition,
    OutputDataConfig, ResourceConfig, S3DataDistribution, S3DataSource, S3DataType,
    StoppingCondition, Tag, TrainingInputMode, TrainingInstanceType, VpcConfig,
};

use crate::job::{Instance, Job, S3Url};

/// Complete request; can be sent repeatedly.
pub(super) type Request = CreateTrainingJobInputBuilder;

/// Number of tags that this program adds to each job.
pub(super) const OWN_TAGS: usize = 2;

/// Values that are resolved before the request is built.
#[derive(Debug)]
pub(super) struct Resolved {
    /// ARN of the role.
    pub(super) role: String,
    /// Image URI with its registry.
    pub(super) image: String,
    /// Output prefix, shared by jobs.
    pub(super) output: String,
    pub(super) channels: Vec<(String, S3Url)>,
    pub(super) checkpoints: Option<String>,
}

/// Builds the request.
pub(super) fn build(job: &Job, resolved: &Resolved) -> Request {
    let cloud = &job.cloud;
    let channels = resolved.channels.iter();
    let vpc = (!cloud.subnets.is_empty()).then(|| {
        VpcConfig::builder()
            .set_subnets(Some(cloud.subnets.clone()))
            .set_security_group_ids(Some(cloud.security_groups.clone()))
            .build()
    });
    let checkpoints = resolved
        .checkpoints
        .as_ref()
        .map(|url| CheckpointConfig::builder().s3_uri(url).build());
    let environment =
        (!job.environment.is_empty()).then(|| job.environment.clone().into_iter().collect());
    Request::default()
        .training_job_name(job.name.as_str())
        .set_hyper_parameters(Some(job.hyperparameters.clone().into_iter().collect()))
        .algorithm_specification(algorithm(job, &resolved.image))
        .role_arn(&resolved.role)
        .set_input_data_config(Some(
            channels.map(|(name, url)| channel(name, url)).collect(),
        ))
        .output_data_config(
            OutputDataConfig::builder()
                .s3_output_path(&resolved.output)
                .set_kms_key_id(cloud.output_kms_key.clone())
                .build(),
        )
        .resource_config(resource_config(job))
        .set_vpc_config(vpc)
        .stopping_condition(stopping(job))
        .set_tags(Some(tags(job)))
        .enable_network_isolation(cloud.network_isolation)
        .enable_inter_container_traffic_encryption(cloud.encrypt_traffic)
        .enable_managed_spot_training(cloud.spot.is_some())
        .set_checkpoint_config(checkpoints)
        .set_environment(environment)
}

fn algorithm(job: &Job, image: &str) -> AlgorithmSpecification {
    let definitions = sagemaker::metrics::definitions().into_iter().map(|metric| {
        MetricDefinition::builder()
            .name(metric.name)
            .regex(metric.regex)
            .build()
    });
    let mode = TrainingInputMode::from(format!("{:?}", job.cloud.input_mode).as_str());
    AlgorithmSpecification::builder()
        .training_image(image)
        .training_input_mode(mode)
        .set_metric_definitions(Some(definitions.collect()))
        .build()
}

fn channel(name: &str, url: &S3Url) -> Channel {
    let source = S3DataSource::builder()
        .s3_data_type(S3DataType::S3Prefix)
        .s3_uri(url.to_string())
        .s3_data_distribution_type(S3DataDistribution::FullyReplicated)
        .build();
    Channel::builder()
        .channel_name(name)
        .data_source(DataSource::builder().s3_data_source(source).build())
        .build()
}

fn resource_config(job: &Job) -> ResourceConfig {
    let mut config = ResourceConfig::builder()
        .volume_size_in_gb(job.cloud.volume_gb.cast_signed())
        .set_volume_kms_key_id(job.cloud.volume_kms_key.clone())
        .set_keep_alive_period_in_seconds(job.cloud.keep_alive.map(seconds));
    if let Instance::Cloud {
        instance_type,
        count,
    } = &job.instance
    {
        config = config
            .instance_type(TrainingInstanceType::from(instance_type.as_str()))
            .instance_count(count.cast_signed());
    }
    config.build()
}

fn stopping(job: &Job) -> StoppingCondition {
    StoppingCondition::builder()
        .max_runtime_in_seconds(seconds(job.max_run))
        .set_max_wait_time_in_seconds(job.cloud.spot.map(seconds))
        .build()
}

fn tags(job: &Job) -> Vec<Tag> {
    let own = [
        ("trainyard:version", env!("CARGO_PKG_VERSION")),
        ("trainyard:trainer", job.trainer.name.as_str()),
    ];
    let users = job.cloud.tags.iter();
    own.into_iter()
        .chain(users.map(|(key, value)| (key.as_str(), value.as_str())))
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect()
}

/// True for tags of this program.
pub(super) fn is_own_tag(key: &str) -> bool {
    key.starts_with("trainyard:")
}

/// Converts to seconds; limits are checked before, so nothing saturates.
fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

//! IAM policies: only the actions in use, on the resources in use.

use serde_json::{Value, json};

use super::names::Partition;

/// Log group of training jobs, and namespace of their metrics.
const LOGS: &str = "/aws/sagemaker/TrainingJobs";
const SAGEMAKER: &str = "sagemaker.amazonaws.com";

/// Account and resources of the policies. All names are validated.
#[derive(Debug, Clone)]
pub(crate) struct Deployment {
    pub(crate) account: String,
    /// At least one.
    pub(crate) regions: Vec<String>,
    pub(crate) bucket: String,
    pub(crate) trainers: Vec<String>,
    pub(crate) role: String,
    /// ARNs.
    pub(crate) kms_keys: Vec<String>,
    pub(crate) vpc: Option<String>,
}

impl Deployment {
    pub(crate) fn partition(&self) -> Partition {
        Partition::of(self.regions.first().map_or("", String::as_str))
    }

    /// Returns the ARN of the execution role.
    pub(crate) fn role_arn(&self) -> String {
        let partition = self.partition().name;
        format!("arn:{partition}:iam::{}:role/{}", self.account, self.role)
    }

    /// Returns the ARNs of a resource in all regions.
    fn regional(&self, service: &str, resource: &str) -> Vec<String> {
        let (partition, account) = (self.partition().name, &self.account);
        let arn = |region| format!("arn:{partition}:{service}:{region}:{account}:{resource}");
        self.regions.iter().map(arn).collect()
    }

    fn repositories(&self) -> Vec<String> {
        self.trainers
            .iter()
            .flat_map(|trainer| self.regional("ecr", &format!("repository/trainyard/{trainer}")))
            .collect()
    }

    fn bucket_arn(&self) -> String {
        format!("arn:{}:s3:::{}", self.partition().name, self.bucket)
    }

    fn objects(&self) -> String {
        format!("{}/*", self.bucket_arn())
    }

    fn log_streams(&self) -> Vec<String> {
        self.regional("logs", &format!("log-group:{LOGS}:log-stream:*"))
    }

    fn log_groups(&self) -> Vec<String> {
        self.regional("logs", &format!("log-group:{LOGS}:*"))
    }

    /// Returns the policy for users who build, push, submit and follow jobs.
    pub(crate) fn launcher(&self) -> Value {
        let mut statements = self.jobs();
        statements.extend([
            allow("EcrLogin", "ecr", "GetAuthorizationToken", "*"),
            allow("Push", "ecr", PUSH, self.repositories()),
        ]);
        statements.extend(self.data());
        statements.extend(self.encrypted_data());
        document(statements)
    }

    /// Statements to submit and follow jobs.
    fn jobs(&self) -> Vec<Value> {
        vec![
            allow(
                "Jobs",
                "sagemaker",
                "AddTags CreateTrainingJob DescribeTrainingJob StopTrainingJob",
                self.regional("sagemaker", "training-job/*"),
            ),
            // Has no resource types: lists the whole account.
            allow("ListJobs", "sagemaker", "ListTrainingJobs", "*"),
            with(
                allow("PassRoleToSageMaker", "iam", "PassRole", self.role_arn()),
                json!({"StringEquals": {"iam:PassedToService": SAGEMAKER}}),
            ),
            allow("ReadRole", "iam", "GetRole", self.role_arn()),
            allow("FindLogs", "logs", "DescribeLogStreams", self.log_groups()),
            allow("ReadLogs", "logs", "GetLogEvents", self.log_streams()),
        ]
    }

    /// Statements to upload data and download models.
    fn data(&self) -> [Value; 2] {
        [
            allow(
                "Bucket",
                "s3",
                "ListBucket ListBucketMultipartUploads",
                self.bucket_arn(),
            ),
            allow(
                "Objects",
                "s3",
                "AbortMultipartUpload DeleteObject GetObject ListMultipartUploadParts PutObject",
                self.objects(),
            ),
        ]
    }

    /// Restricted to S3: the launcher itself encrypts nothing.
    fn encrypted_data(&self) -> Option<Value> {
        let through: Vec<_> = self
            .regions
            .iter()
            .map(|region| format!("s3.{region}.{}", self.partition().suffix))
            .collect();
        let statement = allow(
            "EncryptedObjects",
            "kms",
            "Decrypt GenerateDataKey",
            self.kms_keys.clone(),
        );
        let condition = json!({"StringEquals": {"kms:ViaService": through}});
        (!self.kms_keys.is_empty()).then(|| with(statement, condition))
    }

    /// Returns the policy of the execution role.
    pub(crate) fn execution(&self) -> Value {
        let mut statements = self.job_data().to_vec();
        statements.extend(self.job_reports());
        statements.extend([
            allow("EcrLogin", "ecr", "GetAuthorizationToken", "*"),
            allow(
                "Pull",
                "ecr",
                "BatchCheckLayerAvailability BatchGetImage GetDownloadUrlForLayer",
                self.repositories(),
            ),
        ]);
        if !self.kms_keys.is_empty() {
            statements.extend(self.job_keys());
        }
        if let Some(vpc) = &self.vpc {
            statements.extend(self.network(vpc));
        }
        document(statements)
    }

    /// Statements for data, model and checkpoints of a job.
    fn job_data(&self) -> [Value; 2] {
        [
            allow(
                "Bucket",
                "s3",
                "GetBucketLocation ListBucket",
                self.bucket_arn(),
            ),
            // Deleting a local checkpoint deletes it in S3.
            allow(
                "Objects",
                "s3",
                "AbortMultipartUpload DeleteObject GetObject PutObject",
                self.objects(),
            ),
        ]
    }

    /// Statements for logs and metrics of a job.
    fn job_reports(&self) -> [Value; 3] {
        [
            allow(
                "CreateLogs",
                "logs",
                "CreateLogGroup DescribeLogStreams",
                self.log_groups(),
            ),
            allow(
                "WriteLogs",
                "logs",
                "CreateLogStream PutLogEvents",
                self.log_streams(),
            ),
            with(
                // Has no resource types; restricted by namespace.
                allow("Metrics", "cloudwatch", "PutMetricData", "*"),
                json!({"StringEquals": {"cloudwatch:namespace": LOGS}}),
            ),
        ]
    }

    /// Statements for KMS keys of bucket and volumes.
    fn job_keys(&self) -> [Value; 2] {
        let keys = json!(self.kms_keys);
        [
            allow(
                "EncryptedObjects",
                "kms",
                "Decrypt DescribeKey Encrypt GenerateDataKey",
                keys.clone(),
            ),
            with(
                allow("EncryptedVolumes", "kms", "CreateGrant", keys),
                json!({"Bool": {"kms:GrantIsForAWSResource": "true"}}),
            ),
        ]
    }

    /// Statements for jobs in a VPC: SageMaker creates network interfaces with the role.
    fn network(&self, vpc: &str) -> [Value; 4] {
        let here = json!({"ArnEquals": {"ec2:Vpc": self.regional("ec2", &format!("vpc/{vpc}"))}});
        let interfaces = self.regional("ec2", "network-interface/*");
        let mut around = self.regional("ec2", "subnet/*");
        around.extend(self.regional("ec2", "security-group/*"));
        [
            allow(
                "DescribeNetworks",
                "ec2",
                "DescribeDhcpOptions DescribeNetworkInterfaces DescribeSecurityGroups \
                 DescribeSubnets DescribeVpcs",
                "*",
            ),
            with(
                allow(
                    "CreateInterfacesInVpc",
                    "ec2",
                    "CreateNetworkInterface",
                    around,
                ),
                here,
            ),
            allow(
                "Interfaces",
                "ec2",
                "CreateNetworkInterface DeleteNetworkInterface",
                interfaces.clone(),
            ),
            allow(
                "InterfacePermissions",
                "ec2",
                "CreateNetworkInterfacePermission DeleteNetworkInterfacePermission",
                interfaces,
            ),
        ]
    }

    /// Returns the bucket policy: denies unencrypted connections.
    pub(crate) fn bucket_policy(&self) -> Value {
        document(vec![json!({
            "Sid": "EncryptedConnectionsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [self.bucket_arn(), self.objects()],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        })])
    }

    /// Returns the trust policy: only SageMaker may assume the role, and only for this account.
    pub(crate) fn trust(&self) -> Value {
        document(vec![json!({
            "Sid": "SageMakerForThisAccount",
            "Effect": "Allow",
            "Principal": {"Service": SAGEMAKER},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": self.account}},
        })])
    }
}

/// ECR actions of `push` and `doctor`.
const PUSH: &str = "BatchCheckLayerAvailability BatchGetImage CompleteLayerUpload \
    CreateRepository DescribeImages GetDownloadUrlForLayer InitiateLayerUpload PutImage \
    UploadLayerPart";

fn document(statements: Vec<Value>) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// Returns a statement; `actions` are separated by spaces.
fn allow(sid: &str, service: &str, actions: &str, resource: impl Into<Value>) -> Value {
    let actions = actions
        .split(' ')
        .map(|action| format!("{service}:{action}"));
    let actions: Vec<_> = actions.collect();
    json!({"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource.into()})
}

fn with(mut statement: Value, condition: Value) -> Value {
    statement["Condition"] = condition;
    statement
}

//! AWS partitions: groups of regions with their own accounts and domains.

/// AWS partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Partition {
    /// Start of the names of its regions.
    regions: &'static str,
    /// Name, as in ARNs.
    pub(crate) name: &'static str,
    /// Domain suffix of hosts.
    pub(crate) suffix: &'static str,
    /// Region of IAM signatures: IAM has one endpoint per partition.
    pub(crate) iam_region: &'static str,
}

const AWS: Partition = Partition::new("", "aws", "amazonaws.com", "us-east-1");

const OTHERS: [Partition; 7] = [
    Partition::new("cn-", "aws-cn", "amazonaws.com.cn", "cn-north-1"),
    Partition::new("us-gov-", "aws-us-gov", "amazonaws.com", "us-gov-west-1"),
    Partition::new("us-iso-", "aws-iso", "c2s.ic.gov", "us-iso-east-1"),
    Partition::new("us-isob-", "aws-iso-b", "sc2s.sgov.gov", "us-isob-east-1"),
    Partition::new("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk", "eu-isoe-west-1"),
    Partition::new("us-isof-", "aws-iso-f", "csp.hci.ic.gov", "us-isof-south-1"),
    Partition::new("eusc-", "aws-eusc", "amazonaws.eu", "eusc-de-east-1"),
];

impl Partition {
    const fn new(
        regions: &'static str,
        name: &'static str,
        suffix: &'static str,
        iam_region: &'static str,
    ) -> Self {
        Self {
            regions,
            name,
            suffix,
            iam_region,
        }
    }

    /// Returns the partition of a region; `aws` for unknown regions.
    pub(crate) fn of(region: &str) -> Self {
        let of_region = |partition: &Self| region.starts_with(partition.regions);
        OTHERS.into_iter().find(of_region).unwrap_or(AWS)
    }

    /// Returns the host of IAM; the two oldest contain no region.
    pub(crate) fn iam_host(self) -> String {
        match self.name {
            "aws" => "iam.amazonaws.com".to_owned(),
            "aws-us-gov" => "iam.us-gov.amazonaws.com".to_owned(),
            _ => format!("iam.{}.{}", self.iam_region, self.suffix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_and_iam_host_of_regions() {
        for (region, name, iam) in [
            ("eu-west-1", "aws", "iam.amazonaws.com"),
            (
                "cn-northwest-1",
                "aws-cn",
                "iam.cn-north-1.amazonaws.com.cn",
            ),
            ("us-gov-east-1", "aws-us-gov", "iam.us-gov.amazonaws.com"),
            ("us-iso-west-1", "aws-iso", "iam.us-iso-east-1.c2s.ic.gov"),
            (
                "us-isob-east-1",
                "aws-iso-b",
                "iam.us-isob-east-1.sc2s.sgov.gov",
            ),
            (
                "eusc-de-east-1",
                "aws-eusc",
                "iam.eusc-de-east-1.amazonaws.eu",
            ),
        ] {
            let partition = Partition::of(region);
            assert_eq!(partition.name, name, "{region}");
            assert_eq!(partition.iam_host(), iam, "{region}");
        }
    }
}

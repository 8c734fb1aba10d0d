//! AWS partitions: groups of regions with their own accounts and domains.

/// AWS partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Partition {
    Aws,
    China,
    UsGov,
    Iso,
    IsoB,
    IsoE,
    IsoF,
    Europe,
}

impl Partition {
    /// Returns the partition of a region; `aws` for unknown regions.
    pub(crate) fn of(region: &str) -> Self {
        let known = [
            ("cn-", Self::China),
            ("us-gov-", Self::UsGov),
            ("us-iso-", Self::Iso),
            ("us-isob-", Self::IsoB),
            ("eu-isoe-", Self::IsoE),
            ("us-isof-", Self::IsoF),
            ("eusc-", Self::Europe),
        ];
        known
            .into_iter()
            .find(|(prefix, _)| region.starts_with(prefix))
            .map_or(Self::Aws, |(_, partition)| partition)
    }

    /// Returns the name, as in ARNs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::China => "aws-cn",
            Self::UsGov => "aws-us-gov",
            Self::Iso => "aws-iso",
            Self::IsoB => "aws-iso-b",
            Self::IsoE => "aws-iso-e",
            Self::IsoF => "aws-iso-f",
            Self::Europe => "aws-eusc",
        }
    }

    /// Returns the domain suffix of hosts.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Aws | Self::UsGov => "amazonaws.com",
            Self::China => "amazonaws.com.cn",
            Self::Iso => "c2s.ic.gov",
            Self::IsoB => "sc2s.sgov.gov",
            Self::IsoE => "cloud.adc-e.uk",
            Self::IsoF => "csp.hci.ic.gov",
            Self::Europe => "amazonaws.eu",
        }
    }

    /// Returns the region of IAM signatures: IAM has one endpoint per partition.
    pub(crate) fn iam_region(self) -> &'static str {
        match self {
            Self::Aws => "us-east-1",
            Self::China => "cn-north-1",
            Self::UsGov => "us-gov-west-1",
            Self::Iso => "us-iso-east-1",
            Self::IsoB => "us-isob-east-1",
            Self::IsoE => "eu-isoe-west-1",
            Self::IsoF => "us-isof-south-1",
            Self::Europe => "eusc-de-east-1",
        }
    }

    /// Returns the host of IAM; the two oldest contain no region.
    pub(crate) fn iam_host(self) -> String {
        match self {
            Self::Aws => "iam.amazonaws.com".to_owned(),
            Self::UsGov => "iam.us-gov.amazonaws.com".to_owned(),
            _ => format!("iam.{}.{}", self.iam_region(), self.suffix()),
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
            assert_eq!(partition.name(), name, "{region}");
            assert_eq!(partition.iam_host(), iam, "{region}");
        }
    }
}

# Written by `trainyard infra terraform`; the values are in trainyard.tf and policies.tf.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40"
    }
  }
}

provider "aws" {
  region              = local.region
  allowed_account_ids = [local.account]
}

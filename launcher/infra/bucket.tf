# Data, models and checkpoints. Terraform refuses to delete a bucket that is not empty.
resource "aws_s3_bucket" "jobs" {
  bucket = local.bucket
}

resource "aws_s3_bucket_public_access_block" "jobs" {
  bucket                  = aws_s3_bucket.jobs.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "jobs" {
  bucket = aws_s3_bucket.jobs.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "jobs" {
  bucket = aws_s3_bucket.jobs.id

  rule {
    bucket_key_enabled = local.kms_key != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = local.kms_key == null ? "AES256" : "aws:kms"
      kms_master_key_id = local.kms_key
    }
  }
}

resource "aws_s3_bucket_versioning" "jobs" {
  bucket = aws_s3_bucket.jobs.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "jobs" {
  bucket     = aws_s3_bucket.jobs.id
  depends_on = [aws_s3_bucket_versioning.jobs]

  # Unfinished uploads cost money and are not shown in listings.
  rule {
    id     = "unfinished-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  # Checkpoints are overwritten often.
  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 30
    }
  }
}

# Denies unencrypted connections.
resource "aws_s3_bucket_policy" "jobs" {
  bucket     = aws_s3_bucket.jobs.id
  policy     = local.bucket_policy
  depends_on = [aws_s3_bucket_public_access_block.jobs]
}

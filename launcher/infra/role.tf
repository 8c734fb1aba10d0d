# Execution role of training jobs.
resource "aws_iam_role" "execution" {
  name               = local.role
  description        = "Trainyard: SageMaker training jobs"
  assume_role_policy = local.trust_policy
}

resource "aws_iam_role_policy" "execution" {
  name   = "trainyard-execution"
  role   = aws_iam_role.execution.id
  policy = local.execution_policy
}

# Attach this policy to users and roles that submit jobs.
resource "aws_iam_policy" "launcher" {
  name        = "trainyard-launcher"
  description = "Trainyard: build, push, submit and follow training jobs"
  policy      = local.launcher_policy
}

output "role_arn" {
  value = aws_iam_role.execution.arn
}

output "launcher_policy_arn" {
  value = aws_iam_policy.launcher.arn
}

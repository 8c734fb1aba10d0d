# One repository per trainer. `latest` moves with every push, so tags are mutable without
# --immutable-tags.
resource "aws_ecr_repository" "trainer" {
  for_each             = local.trainers
  name                 = "trainyard/${each.key}"
  image_tag_mutability = local.tag_mutability

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "trainer" {
  for_each   = aws_ecr_repository.trainer
  repository = each.value.name
  policy     = local.image_policy
}

output "repositories" {
  value = { for trainer, repository in aws_ecr_repository.trainer : trainer => repository.repository_url }
}

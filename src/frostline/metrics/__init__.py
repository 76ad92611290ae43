"""Metrics that torchmetrics lacks, or has but slow, each over a whole split."""

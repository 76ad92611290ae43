"""Metrics that torchmetrics lacks, or has but slow: each a `Metric` over a whole split and a function of the same."""

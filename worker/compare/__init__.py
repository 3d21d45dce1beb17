"""Paired comparisons of two files of logits, as pure functions of arrays. docs/metrics.md has the definitions."""

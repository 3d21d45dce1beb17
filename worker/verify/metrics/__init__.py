"""The metrics of one split: how good the predictions are. docs/metrics.md defines each of them.

Everything is float64 and NumPy, for any number of classes C ≥ 1 and rows N ≥ 1, on labels in 0…C−1 and finite
logits. A metric that has no meaning for the rows is None, never 0 and never NaN.
"""

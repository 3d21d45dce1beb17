"""The figures of one split: how good the predictions are. docs/metrics.md defines each of them.

Everything is float64 and numpy, for any number of classes C ≥ 1 and rows N ≥ 1, on labels in 0…C−1 and finite
logits. A figure that has no meaning on the rows at hand is None, never 0 and never NaN.
"""

from worker.verify.metrics.accuracy import accuracy, balanced_accuracy, reweighted_accuracy
from worker.verify.metrics.accuracy import class_recalls as class_accuracies
from worker.verify.metrics.groups import HEAD_THRESHOLD, group_accuracy, head_classes

__all__ = [
    "HEAD_THRESHOLD",
    "accuracy",
    "balanced_accuracy",
    "class_accuracies",
    "group_accuracy",
    "head_classes",
    "reweighted_accuracy",
]

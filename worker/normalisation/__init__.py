"""Evidence in a checkpoint of the mean and std that it was trained with.

    statistics = patch_statistics(pool.images)                                  # once per pool
    evidence = judge_normalisation(stem_of(network), statistics, declared, {})  # milliseconds per expert

`judge_normalisation` compares the running statistics of the first batch norm with the statistics that the first
convolution's output would have under each listed normalisation and augmentation. `channel_order` tells RGB from BGR
by labels.
"""

from worker.normalisation.channel_order import ChannelOrder, channel_order
from worker.normalisation.evidence import NormalisationEvidence, judge_normalisation
from worker.normalisation.patches import PatchStatistics, patch_statistics
from worker.normalisation.stem import Stem, stem_of

__all__ = [
    "ChannelOrder",
    "NormalisationEvidence",
    "PatchStatistics",
    "Stem",
    "channel_order",
    "judge_normalisation",
    "patch_statistics",
    "stem_of",
]

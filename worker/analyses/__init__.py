"""Figures that are computed on demand, beyond the quick metrics of the gate.

Pure functions of arrays, in float64. docs/metrics.md defines each figure.
"""

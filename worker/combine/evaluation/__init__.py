"""How combined experts and rejectors do on test rows, with intervals. docs/metrics.md has the product's definitions.

Everything is float64 and NumPy. A figure that has no meaning for the rows is NaN in arrays, None in the outcome.
"""

"""What `relogit doctor` finds out in the service's own environment.

`gather*.py` looks, and hands what it saw on as plain values; every other module holds pure functions from such values
to findings. Nothing here is imported before it is needed: a broken installation is what this package is for.
"""

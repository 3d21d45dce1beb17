"""What a worker can be asked to inspect: one dataclass for each kind, listed in `kinds.py`."""

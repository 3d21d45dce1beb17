"""What a worker can be asked to inspect: one dataclass for each kind, listed in `app.store.inspections`."""

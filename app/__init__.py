"""The HTTP edge and the job record. Never imports torch or the worker."""

VERSION = "0.1.0"

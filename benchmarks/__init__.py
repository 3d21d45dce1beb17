"""Benchmarks of relogit against the hardware's limit and against the scripts that it replaced."""

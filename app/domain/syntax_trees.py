"""Keeps threads from building Python syntax trees at the same time.

Before Python 3.11.8 all threads share one counter of a tree's depth, so that of two threads that parse at once one
fails with "SystemError: AST constructor recursion depth mismatch" (https://github.com/python/cpython/issues/106905).
NumPy parses the header of every array file this way.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from threading import RLock

# The counter is the process's, so the lock has to be as well.
SYNTAX_TREES: AbstractContextManager[object] = RLock() if sys.version_info < (3, 11, 8) else nullcontext()
"""To be entered around `ast.parse`, and around NumPy's readers of array files."""

"""Processes that end with the one that started them."""

from __future__ import annotations

import ctypes
import signal
import sys


def end_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """Have this process get a signal as soon as its parent has ended, however that came about (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, how)  # PR_SET_PDEATHSIG

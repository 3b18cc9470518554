"""How well a release reproduces, between 0 and 1: a score whose one half is the tolerance itself.

With u = theta/margin the credit is c(u) = 2^-(u^2): 1 for no difference, 1/2 for a difference as large as the tolerance. The
score is its mean over what is known of theta, and the interval is the difference's interval mapped through c; so the whole
interval lies at or above 1/2 exactly when the claim is reproduced, and below exactly when it is not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from openassay.core.equivalence import Floats


def credit(theta: ArrayLike, margin: ArrayLike) -> Floats:
    """c = 2^-((theta/margin)^2), in (0, 1]."""
    with np.errstate(over="ignore"):  # a difference of 1e200 margins has no credit
        return np.asarray(np.exp2(-((np.asarray(theta, dtype=float) / np.asarray(margin, dtype=float)) ** 2)))

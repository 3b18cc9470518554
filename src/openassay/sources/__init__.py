"""Where can a release's artifacts be had? The union below is the registry.

To add a source: one file with one frozen dataclass (its fields are the YAML keys, `kind` tells them apart, `fetch` does the
work), its name in the union, one test.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator

from openassay.sources.debian import DebianSource
from openassay.sources.local import LocalSource
from openassay.sources.pypi import PypiSource

Source = Annotated[PypiSource | DebianSource | LocalSource, Discriminator("kind")]

"""OpenAssay: does a published training recipe give the published result?"""

from importlib.metadata import version

__version__ = version("openassay")

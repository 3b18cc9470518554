"""How a target's claims are tested: `rerun.driver` of a target file names one of the drivers in the union below.

`python` runs the published package's own code, `command` the published commands; `native` trains from a declarative recipe;
`replay` trains a language model's first updates again, from its published weights and data; `pretrain` trains one whole, from
first weights of our own; `finetune` reruns what a fine-tuned model's card says. To add a driver: one file here with one frozen
dataclass that answers `Driver`'s questions, its name in the union, one test.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator

from openassay.drivers.command import CommandDriver
from openassay.drivers.finetune import FineTuneDriver
from openassay.drivers.native import NativeDriver
from openassay.drivers.pretrain import PretrainDriver
from openassay.drivers.python import PythonDriver
from openassay.drivers.replay import ReplayDriver

AnyDriver = Annotated[
    PythonDriver | CommandDriver | NativeDriver | ReplayDriver | PretrainDriver | FineTuneDriver,
    Discriminator("driver"),
]

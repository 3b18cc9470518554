"""How does a release say "train me"? The union below is the registry; `driver` tells its members apart.

`python` runs the published package's own code; `native` trains from a declarative recipe; `replay` trains a language model's
first updates again, from its published weights and data; `pretrain` trains one whole, from first weights of our own. To add a
driver: one file with one frozen dataclass (its fields are the YAML keys, `execute` does the work), its name in the union, one
test.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator

from openassay.recipes.native import NativeRecipe
from openassay.recipes.pretrain import PretrainRecipe
from openassay.recipes.python import PythonRecipe
from openassay.recipes.replay import ReplayRecipe

Recipe = Annotated[PythonRecipe | NativeRecipe | ReplayRecipe | PretrainRecipe, Discriminator("driver")]

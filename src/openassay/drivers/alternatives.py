"""Other trainings that a release may mean, by what it publishes itself. `openassay explain` tries them; none is judged.

A second variant of the data, a value that two of the release's documents state differently: the target declares each with its
source. The verdict stays that of the published recipe; an alternative can only say why it came out as it did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openassay.core.claims import Citation
from openassay.drivers.driver import TargetFacts, refused
from openassay.drivers.published import PublishedTraining, TokenFiles
from openassay.faults import BadInput
from openassay.protocols.changes import Change
from openassay.published.recipes.draft import check_values, with_values
from openassay.published.tokens import BadTokens
from openassay.training.language import LanguageRecipe
from openassay.training.mismatch import RecipeMismatch


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """Another training that the release may mean: other data, other values of the recipe, or both."""

    name: str
    cited_at: Citation
    """What in the release suggests it."""
    tokens: TokenFiles | None = None
    """Fed instead of `rerun.tokens`."""
    set: dict[str, Any] = field(default_factory=dict)
    """Values of the canonical recipe, by dotted name; here, and only here, those that the published file states may differ."""

    @property
    def field(self) -> str:
        """What differs, as `Change` says it."""
        return ", ".join((*(["tokens"] if self.tokens else []), *sorted(self.set)))


def check_alternatives(alternatives: Sequence[Alternative], tokens: TokenFiles, target: TargetFacts) -> Iterator[str]:
    """All that is wrong with a target's alternatives, one line each. tokens: those of the replay."""
    names = [of.name for of in alternatives]
    for i, of in enumerate(alternatives):
        key = f"rerun.alternatives.{i}"
        if not of.name.strip() or names.count(of.name) > 1:
            yield f"{key}.name: each alternative needs a name of its own, found {of.name!r}"
        if of.tokens is None and not of.set:
            yield f"{key}: it changes nothing; give tokens or set"
        if of.tokens == tokens and not of.set:
            yield f"{key}.tokens: they are those of the replay; name the other variant"
        if of.tokens and of.tokens.artifact not in target.artifacts:
            yield f"{key}.tokens.artifact: there is no artifact {of.tokens.artifact!r}"
        if not (of.cited_at.url or (of.cited_at.artifact in target.artifacts and of.cited_at.path)):
            yield f"{key}.cited_at: give a url, or an artifact and a path: what in the release suggests it?"
        yield from refused("", check_values, of.set, f"{key}.set")


def declared_changes(
    of: PublishedTraining, alternatives: Sequence[Alternative], artifacts: Mapping[str, str], recipe: LanguageRecipe
) -> tuple[list[Change], list[str]]:
    """The alternatives that can be trained from what was fetched; and of each other one, why not."""
    found, not_tried = [], []
    for other in alternatives:
        tokens = other.tokens or of.tokens
        try:
            if tokens.artifact not in artifacts:
                raise RecipeMismatch(f"the artifact {tokens.artifact} could not be fetched")
            changed = with_values(recipe, other.set, "set")
            if changed == recipe and tokens == of.tokens:
                raise RecipeMismatch("it is what the published recipe says")
            ordered = of.in_order(artifacts, changed, tokens)
            found.append(Change(name=other.name, field=other.field, recipe=changed, tokens=ordered))
        except (BadInput, BadTokens, RecipeMismatch) as problem:
            not_tried.append(f"{other.name}: {problem}")
    return found, not_tried

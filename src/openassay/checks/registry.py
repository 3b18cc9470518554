"""Every consistency check, and how to ask them all."""

from __future__ import annotations

from openassay.checks import (
    checkpoints,
    documentation,
    hyperparameters,
    licences,
    lists,
    results,
    token_totals,
    vocabularies,
    yaml_types,
)
from openassay.checks.check import ConsistencyCheck, answer
from openassay.checks.release import PublishedFiles
from openassay.core.findings import CheckAnswer

CONSISTENCY: tuple[ConsistencyCheck, ...] = (
    token_totals.tokens_disagree,
    hyperparameters.value_stated_twice,
    hyperparameters.vocabulary_stated_twice,
    hyperparameters.value_unstated,
    hyperparameters.data_of_another_name,
    hyperparameters.key_stands_twice,
    hyperparameters.schedule_longer_than_training,
    yaml_types.yaml_readers_differ,
    yaml_types.version_read_as_number,
    yaml_types.not_readable,
    vocabularies.special_token_elsewhere,
    vocabularies.one_tokenizer_two_ends,
    vocabularies.vocabulary_too_small,
    vocabularies.embedding_of_another_size,
    vocabularies.vocabulary_not_divisible,
    checkpoints.checkpoints_alike,
    checkpoints.too_far_for_its_learning_rate,
    checkpoints.moved_without_learning,
    checkpoints.checkpoints_claimed_and_saved,
    checkpoints.items_of_another_length,
    checkpoints.items_contradict_themselves,
    checkpoints.order_differs,
    results.metric_out_of_range,
    results.results_disagree,
    results.equal_results_of_unequal_checkpoints,
    results.unequal_results_of_equal_checkpoints,
    lists.digest_malformed,
    lists.digest_twice,
    lists.shard_missing,
    lists.index_names_absent_file,
    lists.address_twice,
    lists.step_twice,
    lists.step_against_address,
    lists.checkpoint_list_has_gaps,
    documentation.flag_not_accepted,
    documentation.default_documented_otherwise,
    documentation.named_file_absent,
    documentation.link_dead,
    licences.licences_differ,
    licences.licence_text_of_another_name,
)


def run_checks(release: PublishedFiles) -> tuple[CheckAnswer, ...]:
    """The answer of every check, in the order above."""
    return tuple(answer(check, release) for check in CONSISTENCY)

"""Every consistency check, and how to ask them all."""

from __future__ import annotations

from openassay.checks import checkpoints, documentation, hyperparameters, licences, results, yaml_types
from openassay.checks.check import ConsistencyCheck, answer
from openassay.checks.release import PublishedFiles
from openassay.core.types import CheckAnswer

CONSISTENCY: tuple[ConsistencyCheck, ...] = (
    hyperparameters.TokensDisagree(),
    hyperparameters.ValueStatedTwice(),
    hyperparameters.VocabularyStatedTwice(),
    hyperparameters.ValueUnstated(),
    hyperparameters.DataOfAnotherName(),
    hyperparameters.KeyStandsTwice(),
    hyperparameters.ScheduleCutOff(),
    yaml_types.YamlReadersDiffer(),
    yaml_types.VersionReadAsNumber(),
    yaml_types.NotReadable(),
    checkpoints.SpecialTokenElsewhere(),
    checkpoints.OneTokenizerTwoEnds(),
    checkpoints.VocabularyTooSmall(),
    checkpoints.EmbeddingOfAnotherSize(),
    checkpoints.VocabularyNotDivisible(),
    checkpoints.CheckpointsAlike(),
    checkpoints.TooFarForItsLearningRate(),
    checkpoints.MovedWithoutLearning(),
    checkpoints.ScheduleAgainstClaim(),
    checkpoints.ItemsOfAnotherLength(),
    checkpoints.ItemsContradictThemselves(),
    checkpoints.OrderDiffers(),
    results.MetricOutOfRange(),
    results.ResultsDisagree(),
    results.EqualResultsOfUnequalSteps(),
    results.UnequalResultsOfEqualSteps(),
    results.DigestMalformed(),
    results.DigestTwice(),
    results.ShardMissing(),
    results.IndexNamesAbsentFile(),
    results.AddressTwice(),
    results.StepTwice(),
    results.StepAgainstAddress(),
    results.ListHasGaps(),
    documentation.FlagNotAccepted(),
    documentation.DefaultDocumentedOtherwise(),
    documentation.NamedFileAbsent(),
    documentation.LinkDead(),
    licences.LicencesDiffer(),
    licences.LicenceTextOfAnotherName(),
)


def run_checks(release: PublishedFiles) -> tuple[CheckAnswer, ...]:
    """The answer of every check, in the order above."""
    return tuple(answer(check, release) for check in CONSISTENCY)

"""Metrics against values worked out by hand, and their edges."""

from __future__ import annotations

import numpy as np
import pytest

from openassay.metrics import METRICS
from openassay.metrics.accuracy import accuracy
from openassay.metrics.mean_squared_error import mean_squared_error


def test_accuracy_of_labels_and_of_scores() -> None:
    labels = np.array([0, 1, 1, 0])
    assert accuracy(np.array([0, 1, 0, 0]), labels) == 0.75
    assert accuracy(np.array([[2.0, 1.0], [0.0, 5.0], [1.0, 0.0], [0.3, 0.2]]), labels) == 0.75


def test_a_score_that_is_not_a_number_makes_its_row_wrong() -> None:
    scores = np.array([[np.nan, 1.0], [0.0, 1.0]])
    assert accuracy(scores, np.array([0, 1])) == 0.5
    assert accuracy(scores, np.array([1, 1])) == 0.5


@pytest.mark.parametrize("shapes", [((4, 1), (4,)), ((4,), (4, 1)), ((4, 2, 2), (4,)), ((), ())])
def test_shapes_that_would_compare_everything_with_everything_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="predictions of shape"):
        accuracy(np.ones(shapes[0]), np.ones(shapes[1]))


@pytest.mark.parametrize("labels", [["0", "1"], [b"0", b"1"]])
def test_words_against_numbers_are_no_accuracy_of_zero(labels: list[str | bytes]) -> None:
    with pytest.raises(ValueError, match="predictions of type int64 for labels of type"):
        accuracy(np.array([0, 1]), np.array(labels))
    assert accuracy(np.array(labels), np.array(labels)) == 1.0


def test_the_mean_squared_error_carries_a_nan_on() -> None:
    assert mean_squared_error(np.array([1.0, 3.0]), np.array([1, 1])) == 2.0
    assert np.isnan(mean_squared_error(np.array([np.nan, 1.0]), np.array([1.0, 1.0])))


@pytest.mark.parametrize("metric", METRICS.values())
@pytest.mark.parametrize("shapes", [(3, 4), (0, 0)])
def test_lengths_that_do_not_fit_are_refused(metric: object, shapes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="predictions"):
        metric(np.zeros(shapes[0]), np.zeros(shapes[1]))  # type: ignore[operator]

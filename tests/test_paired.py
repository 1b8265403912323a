"""Laws of paired differences: the interval is that of a paired t-test."""

import pytest
import torch
from scipy import stats

from apdlab.paired import compare


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("seeds", [2, 3, 8])
@pytest.mark.parametrize("level", [0.9, 0.99])
def test_a_gap_is_resolved_where_the_interval_of_a_paired_t_test_leaves_zero_out(seeds, level):
    for seed in range(20):
        these, those = normal(2, seeds, seed=seed).mul(0.5).add(torch.tensor([[0.5], [0.0]])).tolist()
        low, high = stats.ttest_rel(these, those).confidence_interval(level)
        found = compare(these, those, level)
        assert (found.gap - found.least, found.gap + found.least) == pytest.approx((low, high))
        assert found.resolved == (low > 0 or high < 0)


@pytest.mark.parametrize(("these", "those"), [([1.0], [1.0]), ([1.0, 2.0], [1.0, 2.0, 3.0])])
def test_what_has_no_error_is_refused(these, those):
    with pytest.raises(ValueError, match="wanted as many of both, 2 or more"):
        compare(these, those)

import math
from functools import reduce

import numpy as np
import pytest
import torch

from apdlab.moments import entropy, merge, moments, probabilities


def draw_log_probs(draws, examples, classes, spread=3.0, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(draws, examples, classes, generator=generator, dtype=dtype)
    return logits.log_softmax(-1)


def by_hand(log_probs):
    """The definitions, one draw and one example at a time."""
    log_probs = log_probs.double().numpy()
    probs = np.exp(log_probs)
    draws, examples, classes = probs.shape
    votes = np.zeros((examples, classes), dtype=int)
    entropies = np.zeros(examples)
    for s in range(draws):
        for n in range(examples):
            votes[n, probs[s, n].argmax()] += 1
            entropies[n] -= sum(p * math.log(p) for p in probs[s, n] if p > 0) / draws
    mean = probs.mean(0)
    return np.log(mean), entropies, mean, ((probs - mean) ** 2).sum(0), votes


CHUNKINGS = {
    "one by one": [1] * 24,
    "halves": [12, 12],
    "growing": [1, 2, 3, 4, 5, 9],
    "shrinking": [20, 3, 1],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("spread", [0.01, 3.0, 30.0])
def test_moments_are_their_definitions(dtype, spread):
    log_probs = draw_log_probs(7, 5, 4, spread, dtype)
    for ours, wanted in zip(moments(log_probs)[1:], by_hand(log_probs), strict=True):
        np.testing.assert_allclose(ours.numpy(), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("sizes", CHUNKINGS.values(), ids=CHUNKINGS.keys())
@pytest.mark.parametrize("spread", [0.01, 3.0, 30.0])
def test_merging_any_chunks_gives_the_moments_of_all_draws(sizes, dtype, spread):
    log_probs = draw_log_probs(24, 6, 5, spread, dtype)
    merged = reduce(merge, map(moments, log_probs.split(sizes)))
    assert merged.draws == 24
    for ours, wanted in zip(merged[1:], moments(log_probs)[1:], strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=1e-12)


def test_a_thousand_merges_lose_nothing():
    log_probs = draw_log_probs(1000, 4, 10, dtype=torch.float32)
    merged = reduce(merge, map(moments, log_probs.split(1)))
    for ours, wanted in zip(merged[1:], by_hand(log_probs), strict=True):
        np.testing.assert_allclose(ours.numpy(), wanted, rtol=1e-12, atol=1e-12)


def test_small_variances_do_not_cancel():
    # p = 0.5 +- 1e-9: the mean square minus the squared mean would lose the variance of 1e-18 in a rounding of 1e-16.
    shift = torch.tensor([1e-9, -1e-9] * 50, dtype=torch.float64)
    log_probs = torch.stack([0.5 + shift, 0.5 - shift], -1)[:, None].log()
    merged = reduce(merge, map(moments, log_probs.split(7)))
    torch.testing.assert_close(merged.squares, torch.full((1, 2), 1e-16, dtype=torch.float64), rtol=1e-5, atol=0.0)


def test_log_mean_is_finite_where_the_mean_underflows():
    log_probs = torch.tensor([[[0.0, -800.0]], [[0.0, -801.0]]])
    m = reduce(merge, map(moments, log_probs.split(1)))
    assert m.mean[0, 1] == 0
    assert m.log_mean[0, 1].item() == pytest.approx(-800 + math.log((1 + math.exp(-1)) / 2))


@pytest.mark.parametrize("sizes", [[2], [1, 1]], ids=["whole", "merged"])
def test_a_class_of_probability_zero_adds_nothing(sizes):
    certain = torch.tensor([[[1.0, 0.0, 0.0]], [[0.5, 0.5, 0.0]]]).log()
    m = reduce(merge, map(moments, certain.split(sizes)))
    torch.testing.assert_close(m.log_mean.exp(), torch.tensor([[0.75, 0.25, 0.0]]).double())
    assert m.expected_entropy.item() == pytest.approx(math.log(2) / 2)
    assert m.votes.tolist() == [[2, 0, 0]]


@pytest.mark.parametrize("classes", [1, 2, 10, 1000])
def test_entropy_lies_between_certainty_and_the_uniform(classes):
    uniform = torch.full((classes,), 1 / classes).log()
    assert entropy(uniform).item() == pytest.approx(math.log(classes), abs=1e-5)
    assert entropy(torch.eye(classes).log()).abs().max() == 0


GOOD = draw_log_probs(2, 3, 4)
BAD = {
    "two axes": (GOOD[0], r"log_probs has shape \(3, 4\); wanted \[S, N, C\]"),
    "no draws": (GOOD[:0], r"log_probs has shape \(0, 3, 4\); wanted \[S, N, C\], none of them 0"),
    "half": (GOOD.half(), r"log_probs is torch.float16; wanted float32 or float64; call .float\(\)"),
    "labels": (GOOD.argmax(-1, keepdim=True), r"log_probs is torch.int64; wanted float32"),
    "nan": (GOOD.where(GOOD < GOOD.max(), math.nan), "log_probs holds NaN"),
    "logits": (GOOD + 1, r"off 1 by 1\.72; wanted normalised log probabilities; apply log_softmax"),
    "impossible": (torch.full((1, 1, 2), -math.inf), "off 1 by 1; wanted normalised"),
}


@pytest.mark.parametrize(("log_probs", "message"), BAD.values(), ids=BAD.keys())
def test_what_is_not_a_prediction_is_refused_in_one_line(log_probs, message):
    with pytest.raises(ValueError, match=message) as refusal:
        moments(log_probs)
    assert "\n" not in str(refusal.value)


def test_merging_other_examples_is_refused():
    with pytest.raises(ValueError, match=r"b has \[N, C\] = \(1, 4\) and a \(3, 4\)"):
        merge(moments(GOOD), moments(GOOD[:, :1]))


def test_probabilities_are_checked_by_the_axes_asked_for():
    torch.testing.assert_close(probabilities(GOOD[0], ("N", "C")), GOOD[0].exp())
    with pytest.raises(ValueError, match=r"wanted \[N, C\]"):
        probabilities(GOOD, ("N", "C"))

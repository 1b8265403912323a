"""Laws of paths: spectra against SVD and against the walk they describe, and verdicts that follow their words."""

import pytest
import torch

from apdlab.paths import effective_rank, spectrum, verdict, walk_spectrum


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(2, 9, 40), (1, 30, 4), (3, 2, 5)])
def test_shares_are_squared_singular_values_of_the_centred_states(shape):
    theta = normal(*shape) * torch.linspace(0.2, 2, shape[-1]) + 7
    for share, chain in zip(spectrum(theta), theta.double(), strict=True):
        square = torch.linalg.svdvals(chain - chain.mean(0)) ** 2
        expected = torch.zeros(shape[1] - 1, dtype=torch.float64)
        expected[: min(len(square), len(expected))] = (square / square.sum())[: len(expected)]
        torch.testing.assert_close(share, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("length", [2, 3, 50])
def test_the_spectrum_of_a_walk_is_that_of_its_expected_gram_matrix(length):
    path = torch.ones(length, length, dtype=torch.float64).tril()  # states as sums of steps
    centred = path - path.mean(0)
    values = torch.linalg.eigvalsh(centred @ centred.T).flip(0)[:-1]
    torch.testing.assert_close(walk_spectrum(length), values / values.sum())


def test_a_walk_of_many_weights_has_that_spectrum_and_independent_draws_a_flat_one():
    walk, independent = normal(1, 40, 50000).cumsum(1), normal(1, 40, 50000)
    assert (spectrum(walk)[0, :8] / walk_spectrum(40)[:8] - 1).abs().max() < 0.05
    assert (spectrum(independent)[0] * 39 - 1).abs().max() < 0.1


@pytest.mark.parametrize("m", [1, 2, 7])
def test_equal_shares_count_as_many_directions(m):
    assert effective_rank(torch.tensor([1 / m] * m + [0.0] * 3)).item() == pytest.approx(m, rel=1e-5)
    assert (effective_rank(walk_spectrum(500)) < 12) and (effective_rank(walk_spectrum(500)) > 2)


# Of the floor near and far, and of the method near and far: what it distils.
VERDICTS = {
    (1.0, 1.2, 1.1, 1.3): "posterior",
    (1.0, 1.2, 3.0, 1.2): "posterior",  # nearer to what it stands for than to its own chain
    (1.0, 1.2, 1.0, 1.9): "neither",
    (1.0, 6.0, 1.2, 6.0): "path",
    (1.0, 6.0, 2.0, 6.0): "path",
    (1.0, 6.0, 5.0, 6.0): "neither",  # a blur, as far from its own path
    (0.5, 0.9, 0.5, 0.9): "path",
}


@pytest.mark.parametrize(("distances", "expected"), VERDICTS.items(), ids=str)
def test_a_verdict_follows_from_four_distances(distances, expected):
    keys = [(h, m) for m in ("floor", "apd") for h in ("every fifth", "another chain")]
    rows = [
        {"held_out": h, "method": m, "chain": c, "sliced_wasserstein": 10 * d + shift, "total_variation": 1.0}
        for (h, m), d in zip(keys, distances, strict=True)
        for c, shift in ((0, -0.5), (1, 0.5))
    ]
    found = verdict(rows).loc["apd"]
    near, far, near_apd, far_apd = distances
    assert found.distils.to_dict() == {"weights": expected, "predictions": "posterior"}
    expected_ratios = [far_apd / near_apd, near_apd / near, far_apd / far]
    own = verdict(rows).loc["floor"]
    assert own.distils.to_dict() == {"weights": "path" if far > 1.5 * near else "posterior", "predictions": "posterior"}
    assert found.loc["weights", ["strays", "copies", "stands"]].tolist() == pytest.approx(expected_ratios)


ROW = {"held_out": "every fifth", "method": "floor", "sliced_wasserstein": 1.0, "total_variation": 1.0}
REFUSED = {
    "no other chain": (lambda: verdict([ROW]), "lacks ['another chain']"),
    "no floor": (
        lambda: verdict([ROW | {"method": "apd"}, ROW | {"method": "apd", "held_out": "another chain"}]),
        "wanted floor among them",
    ),
    "one state": (lambda: spectrum(torch.zeros(2, 1, 5)), "theta has shape (2, 1, 5)"),
    "no chains": (lambda: spectrum(torch.zeros(5, 2)), "theta has shape (5, 2)"),
    "no move": (lambda: spectrum(torch.stack([normal(4, 3), torch.zeros(4, 3)])), "never moves"),
    "a walk of one": (lambda: walk_spectrum(1), "length is 1"),
}


@pytest.mark.parametrize(("call", "said"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_answer_is_refused(call, said, refusal):
    assert said in refusal(call)

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


# Of the floor near and far, and of the method near and far: what it distils, where chains agree within a percent.
VERDICTS = {
    (1.0, 1.2, 1.1, 1.3): "posterior",
    (1.0, 1.2, 3.0, 1.2): "posterior",  # nearer to what it stands for than to its own chain
    (1.0, 1.2, 1.0, 1.9): "neither",
    (1.0, 6.0, 1.2, 6.0): "path",
    (1.0, 6.0, 2.0, 6.0): "path",
    (1.0, 6.0, 5.0, 6.0): "neither",  # a blur, as far from its own path
    (0.5, 0.9, 0.5, 0.9): "path",
    (1.0, 1.5, 1.0, 1.5): "not resolved",  # the chain itself is at the bar
    (1.0, 1.5, 4.0, 4.2): "neither",  # whether the chain is a path or not
    (1.0, 1.2, 1.0, 1.8): "not resolved",
    (1.0, 6.0, 4.0, 6.0): "not resolved",
}


def judged(distances, spread=(0.99, 1, 1.01)):
    keys = [(h, m) for m in ("floor", "apd") for h in ("every fifth", "another chain")]
    rows = [
        {"held_out": h, "method": m, "chain": c, "nearest_ratio": c, "total_variation": 1.0}
        | {"weight_distance": d * (factor if h == "another chain" else 1)}
        for (h, m), d in zip(keys, distances, strict=True)
        for c, factor in enumerate(spread)
    ]
    return verdict(rows[::-1])


@pytest.mark.parametrize(("distances", "expected"), VERDICTS.items(), ids=str)
def test_a_verdict_follows_from_four_distances(distances, expected):
    found, (near, far, near_apd, far_apd) = judged(distances), distances
    assert found.loc["apd"].distils.to_dict() == {"weights": expected, "predictions": "posterior"}
    own = "not resolved" if far == 1.5 * near else "path" if far > 1.5 * near else "posterior"
    assert found.loc["floor"].distils.to_dict() == {"weights": own, "predictions": "posterior"}
    ratios = found.loc["apd", "weights"][["strays", "copies", "stands", "nearest"]]
    assert ratios.tolist() == pytest.approx([far_apd / near_apd, near_apd / near, far_apd / far, 1.0], rel=1e-4)


@pytest.mark.parametrize("spread", [(0.9, 1.0, 1.1), (0.9, 0.9, 1.0, 1.3)], ids=len)
def test_an_interval_is_students_over_chains_and_what_it_does_not_settle_is_not_resolved(spread):
    logs = torch.tensor(spread, dtype=torch.float64).log()
    t = {3: 4.303, 4: 3.182}[len(spread)]
    error, mean = t * logs.std() / len(spread) ** 0.5, logs.mean()
    found = judged((1.0, 6.0, 1.0, 4.0), spread).loc["apd", "weights"]
    ends = [4 * (mean + sign * error).exp().item() for sign in (-1, 1)]
    assert found[["strays_low", "strays_high"]].tolist() == pytest.approx(ends, rel=1e-3)
    high = (error - mean).exp().item()  # how far above the bar a mean has to be, so that its interval is, too
    assert judged((1.0, 6.0, 1.0, 1.5 * high * 1.01), spread).distils["apd", "weights"] == "path"
    assert judged((1.0, 6.0, 1.0, 1.5 * high / 1.01), spread).distils["apd", "weights"] == "not resolved"


ROW = {"held_out": "every fifth", "method": "floor", "chain": 0, "nearest_ratio": 1.0}
ROW |= {"weight_distance": 1.0, "total_variation": 1.0}
REFUSED = {
    "no other chain": (lambda: verdict([ROW]), "lacks ['another chain']"),
    "no floor": (
        lambda: verdict([ROW | {"method": "apd"}, ROW | {"method": "apd", "held_out": "another chain"}]),
        "wanted floor among them",
    ),
    "one chain": (lambda: verdict([ROW, ROW | {"held_out": "another chain"}]), "has 1 chain; wanted 2 or more"),
    "one state": (lambda: spectrum(torch.zeros(2, 1, 5)), "theta has shape (2, 1, 5)"),
    "no chains": (lambda: spectrum(torch.zeros(5, 2)), "theta has shape (5, 2)"),
    "no move": (lambda: spectrum(torch.stack([normal(4, 3), torch.zeros(4, 3)])), "never moves"),
    "a walk of one": (lambda: walk_spectrum(1), "length is 1"),
}


@pytest.mark.parametrize(("call", "said"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_answer_is_refused(call, said, refusal):
    assert said in refusal(call)

"""Laws of attacks: they stay in the ball and the box, reach closed forms, and are those of an independent library."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from apdlab import attacks
from apdlab.attacks import L2, LINF, cross_entropy, evasive, margin
from apdlab.attacks.apgd import _checkpoints
from apdlab.draws import Draws
from apdlab.metrics import mutual_information, predictive_entropy
from apdlab.moments import moments
from apdlab.networks import mlp
from apdlab.posterior import point
from apdlab.predict import predict_moments
from apdlab.predictor import averages, mean_log, predictor

F64 = torch.float64


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def made(draws=9, examples=40, dtype=torch.float32, side=6):
    """Draws that predict well enough, images in the box, some of their pixels on its edge, and labels."""
    network = mlp(side * side, 12, 4, dtype=dtype)
    theta = 0.5 * torch.randn(draws, network.size, generator=rng(), dtype=F64).to(dtype)
    x = (1.2 * torch.randn(examples, 1, side, side, generator=rng(1), dtype=F64)).clamp(-1, 1).to(dtype)
    ensemble = Draws(network, theta[:1] + 0.3 * theta)
    return ensemble, x, predictor(ensemble)(x).argmax(-1)


NOISY = partial(attacks.pgd, restarts=2, steps=5)
ATTACKS = {
    "noise": lambda *a, **k: attacks.noise(*a, **k, generator=rng()),
    "noise in l2": lambda *a, **k: attacks.noise(*a, **k, generator=rng(), norm=L2),
    "fgsm": attacks.fgsm,
    "fgsm in l2": partial(attacks.fgsm, norm=L2),
    "pgd": partial(attacks.pgd, steps=5),
    "pgd in l2": partial(attacks.pgd, steps=5, norm=L2),
    "pgd, random starts": lambda *a, **k: NOISY(*a, **k, generator=rng()),
    "pgd in l2, random starts": lambda *a, **k: NOISY(*a, **k, generator=rng(), norm=L2),
    "apgd": partial(attacks.apgd, steps=9),
    "apgd in l2": partial(attacks.apgd, steps=9, norm=L2),
    "apgd, random starts": lambda *a, **k: attacks.apgd(*a, **k, steps=9, restarts=2, generator=rng()),
    "square": lambda *a, **k: attacks.square(*a, **k, queries=30, generator=rng()),
}
EACH = pytest.mark.parametrize("attack", ATTACKS)


def size(delta, attack):
    return (L2 if "l2" in attack else LINF).size(delta.double())


@EACH
@pytest.mark.parametrize("eps", [0, 0.01, 0.3, 5])
@pytest.mark.parametrize("box", [(-1.0, 1.0), (-1.5, 4.0)])
def test_an_attack_stays_in_the_ball_and_the_box_and_changes_no_input(attack, eps, box):
    draws, x, y = made()
    kept = x.clone()
    found = ATTACKS[attack](predictor(draws), x, y, eps=eps, box=box)
    assert (x == kept).all() and found.shape == x.shape and found.dtype == x.dtype
    assert box[0] <= found.min() and found.max() <= box[1]
    rounding = 2e-7 * max(map(abs, box))  # of x + delta in float32; in l2, of at most 36 pixels
    assert size(found - x, attack).max() <= eps + rounding * (6 if "l2" in attack else 1)
    if eps == 0.01:
        assert size(found - x, attack).max() > 0.009


@EACH
def test_equal_generators_give_equal_attacks(attack):
    draws, x, y = made()
    one, other = (ATTACKS[attack](predictor(draws), x, y, eps=0.2) for _ in range(2))
    assert (one == other).all()


def linear(dtype=F64):
    """Two classes: the gradient of any loss points along one vector wherever x is."""
    network = mlp(16, 2, dtype=dtype)
    theta = torch.randn(network.size, generator=rng(2), dtype=F64).to(dtype)
    params = network.unravel(theta)
    x = 0.5 * (2 * torch.rand(20, 1, 4, 4, generator=rng(3), dtype=F64) - 1).to(dtype)
    y = torch.arange(20) % 2
    towards = (params["1.weight"][0] - params["1.weight"][1]).view(1, 1, 4, 4)
    return point(network, theta), x, y, torch.where(y == 0, -1.0, 1.0).view(-1, 1, 1, 1) * towards


LINEAR = {"fgsm": attacks.fgsm, "pgd": attacks.pgd, "apgd": attacks.apgd}
LOSSES = {"cross entropy": cross_entropy, "margin": margin}


@pytest.mark.parametrize("attack", LINEAR)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("norm", [LINF, L2], ids=["l-infinity", "l2"])
def test_on_a_linear_model_attacks_reach_the_closed_form(attack, loss, norm):
    draws, x, y, w = linear()
    found = LINEAR[attack](predictor(draws), x, y, eps=0.3, norm=norm, loss=LOSSES[loss])
    u = w.sign() if norm is LINF else w / w.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    torch.testing.assert_close(found, x + 0.3 * u, rtol=0, atol=1e-12)
    gain = 0.3 * (w.flatten(1).abs().sum(1) if norm is LINF else w.flatten(1).norm(dim=1))
    grown = margin(predictor(draws)(found), y) - margin(predictor(draws)(x), y)
    torch.testing.assert_close(grown, gain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_random_squares_find_the_corner_of_a_linear_model(seed):
    draws, x, y, w = linear()
    found = attacks.square(predictor(draws), x, y, eps=0.3, queries=3000, enough=math.inf, generator=rng(seed))
    torch.testing.assert_close(found, x + 0.3 * w.sign(), rtol=0, atol=1e-12)


@pytest.fixture
def foolbox():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, of libraries that it asks for in an old way
        import foolbox as library
        from foolbox import attacks as theirs
    return SimpleNamespace(model=partial(library.PyTorchModel, bounds=(-1, 1), device="cpu"), **vars(theirs))


STEPS = {"rel_stepsize": None, "abs_stepsize": 0.05, "steps": 20, "random_start": False}
RIVALS = {
    "fgsm": (attacks.fgsm, lambda f: f.LinfFastGradientAttack(random_start=False), 0.2),
    "fgsm in l2": (partial(attacks.fgsm, norm=L2), lambda f: f.L2FastGradientAttack(random_start=False), 1.0),
    "pgd": (partial(attacks.pgd, steps=20, step_size=0.05), lambda f: f.LinfPGD(**STEPS), 0.2),
    "pgd in l2": (partial(attacks.pgd, steps=20, step_size=0.05, norm=L2), lambda f: f.L2PGD(**STEPS), 0.6),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("statistic", ["log mean", "mean log"])
@pytest.mark.parametrize("dtype", [torch.float32, F64], ids=str)
def test_adversarial_images_are_those_of_foolbox(foolbox, rival, statistic, dtype):
    draws, x, y = made(dtype=dtype, examples=100)
    function = predictor(draws, mean_log) if statistic == "mean log" else predictor(draws)
    if statistic == "mean log":  # it takes outputs for logits: theirs is the cross entropy of normalised ones
        function = predictor(draws, lambda a: a.mean_log.log_softmax(-1))
    attack, other, eps = RIVALS[rival]
    ours = attack(function, x, y, eps=eps)
    theirs = other(foolbox).run(foolbox.model(function), x, y, epsilon=eps)
    assert ((ours - theirs).abs() > 1e-5).double().mean() < 1e-3
    assert (predictor(draws)(ours).argmax(-1) == y).float().mean() < 0.9  # something happened


def by_hand(f, x, y, eps, steps):
    """Auto-PGD of one example, as algorithm 1 and section 3 of the paper tell it."""

    def value(z):
        return float(margin(f(z[None]), y[None])[0])

    def grad(z):
        z = z.clone().requires_grad_()
        return torch.autograd.grad(margin(f(z[None]), y[None])[0], z)[0]

    def put(z):
        return (x + (z - x).clamp(-eps, eps)).clamp(-1, 1)

    w, shares = [0, max(1, int(0.22 * steps))], [max(1, int(s * steps)) for s in (0.03, 0.06)]
    while w[-1] < steps:
        w.append(w[-1] + max(w[-1] - w[-2] - shares[0], shares[1]))
    eta, points = 2 * eps, [x, put(x + 2 * eps * grad(x).sign())]
    best = max(points, key=value)
    then, halved, rises, where = value(x), True, int(value(points[1]) > value(x)), points[1]
    if value(points[1]) <= value(x):
        best = x
    for k in range(1, steps):
        if k in w:
            interval = k - w[w.index(k) - 1]
            halve = rises < 0.75 * interval or (not halved and value(best) <= then)
            then, halved, rises = value(best), halve, 0
            if halve:
                eta, where = eta / 2, best
        z = put(where + eta * grad(where).sign())
        new = put(where + 0.75 * (z - where) + 0.25 * (where - points[-2]))
        rises += value(new) > value(where)
        points = [points[-1], where, new]
        where, best = new, new if value(new) > value(best) else best
    return best


@pytest.mark.parametrize("steps", [1, 2, 7, 30])
def test_apgd_is_the_algorithm_of_its_paper(steps):
    draws, x, y = made(dtype=F64, examples=6)
    f = predictor(draws)
    found = attacks.apgd(f, x, y, eps=0.15, steps=steps)
    expected = torch.stack([by_hand(f, x[n], y[n], 0.15, steps) for n in range(len(x))])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("steps", [100, 1000])
def test_checkpoints_are_those_of_the_paper(steps):
    shares = [0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    expected = [math.ceil(share * steps - 1e-9) for share in shares[1:-1]]
    counts = list(_checkpoints(steps))
    assert sum(counts) == steps
    assert [sum(counts[: i + 1]) for i in range(len(expected))] == expected


def fooled(draws, found, y):
    return predictor(draws)(found).argmax(-1) != y


STRONG = {"pgd": partial(attacks.pgd, steps=20), "apgd": partial(attacks.apgd, steps=20)}


@pytest.mark.parametrize("attack", STRONG)
@pytest.mark.parametrize("eps", [0.03, 0.1, 0.3])
def test_examples_that_leave_when_fooled_change_no_success(attack, eps):
    draws, x, y = made()
    run = partial(STRONG[attack], predictor(draws), x, y, eps=eps, loss=margin)
    whole, early = (fooled(draws, run(enough=enough), y) for enough in (math.inf, 0.0))
    assert (early >= whole).all()
    assert attack == "pgd" or (early == whole).all()


@pytest.mark.parametrize("attack", STRONG)
@pytest.mark.parametrize("enough", [math.inf, 0.0])
def test_more_restarts_never_have_a_smaller_loss(attack, enough):
    draws, x, y = made()
    run = partial(STRONG[attack], predictor(draws), x, y, eps=0.1, loss=margin, enough=enough)
    one, three = (margin(predictor(draws)(run(restarts=n, generator=rng(7))), y) for n in (1, 3))
    assert (three >= one - 1e-6).all() and (enough == 0 or (three > one + 1e-4).any())


@pytest.mark.parametrize("weaker", ["noise", "fgsm", "square"])
def test_small_steps_are_stronger_than_one_and_than_none(weaker):
    draws, x, y = made(examples=200)
    losses = [
        cross_entropy(predictor(draws)(ATTACKS[name](predictor(draws), x, y, eps=0.1)), y) for name in (weaker, "pgd")
    ]
    assert losses[0].mean() < losses[1].mean()


def test_square_needs_values_only_and_never_loses():
    draws, x, y = made()

    @torch.no_grad()
    def f(x):
        return predictor(draws)(x)

    losses = [margin(f(attacks.square(f, x, y, eps=0.1, queries=n, generator=rng())), y) for n in (1, 20, 200)]
    assert all((losses[0] <= later).all() and (losses[0] < later).any() for later in losses[1:])  # one start for all


@pytest.mark.parametrize("score", [mutual_information, predictive_entropy])
def test_the_adaptive_attack_is_wrong_with_less_doubt(score):
    draws, x, y = made(examples=100)
    f, g = predictor(draws), predictor(draws, averages)
    plain = attacks.apgd(f, x, y, eps=0.3, steps=40)
    unseen = attacks.apgd(g, x, y, eps=0.3, steps=40, loss=evasive(5.0, score=score))
    wrong = fooled(draws, plain, y) & fooled(draws, unseen, y)
    doubt = [score(predict_moments(draws, found))[wrong].mean() for found in (plain, unseen)]
    assert wrong.float().mean() > 0.5 and fooled(draws, unseen, y).float().mean() > 0.5
    assert doubt[1] < doubt[0] if score is mutual_information else doubt[1] < 1.01 * doubt[0]


def test_losses_are_those_of_their_formulas():
    log_p, y = torch.randn(6, 30, 4, generator=rng(), dtype=F64).log_softmax(-1), torch.arange(30) % 4
    m = moments(log_p)
    p = m.mean
    for n in range(30):
        odds = max(float(p[n, k] / p[n, y[n]]) for k in range(4) if k != y[n])
        assert float(margin(m.log_mean, y)[n]) == pytest.approx(math.log(odds))
        expected = min(math.log(odds), 0.5) - 2 * float(mutual_information(m)[n])
        assert float(evasive(2.0, 0.5)(m, y)[n]) == pytest.approx(expected)
        assert float(cross_entropy(m.log_mean, y)[n]) == pytest.approx(-math.log(float(p[n, y[n]])))


GRADIENTS = ["fgsm", "pgd", "apgd"]
REFUSED = {
    "eps below 0": (lambda f, x, y, a: a(f, x, y, eps=-0.1), "eps is -0.1; wanted a finite size"),
    "eps of nothing": (lambda f, x, y, a: a(f, x, y, eps=math.nan), "eps is nan"),
    "outside the box": (lambda f, x, y, a: a(f, 255 * x, y, eps=0.1), "x has values from -255 to 255; wanted"),
    "another box": (lambda f, x, y, a: a(f, x, y, eps=0.1, box=(0.0, 1.0)), "x has values from -1 to 1; wanted"),
    "no number": (lambda f, x, y, a: a(f, x * math.nan, y, eps=0.1), "x has values from nan"),
    "labels of another number": (lambda f, x, y, a: a(f, x, y[:3], eps=0.1), "y is torch.int64 [3]; wanted"),
    "labels of another type": (lambda f, x, y, a: a(f, x, y.float(), eps=0.1), "y is torch.float32 [40]; wanted"),
    "no input": (lambda f, x, y, a: a(f, x[:0], y[:0], eps=0.1), "x is torch.float32 [0, 1, 6, 6]; wanted"),
}
ONE = {
    "no steps": (lambda f, x, y: attacks.pgd(f, x, y, eps=0.1, steps=0), "steps is 0; wanted 1 or more"),
    "no steps of apgd": (lambda f, x, y: attacks.apgd(f, x, y, eps=0.1, steps=0), "steps is 0; wanted 1 or more"),
    "equal restarts": (lambda f, x, y: attacks.pgd(f, x, y, eps=0.1, restarts=3), "restarts is 3 without"),
    "equal restarts of apgd": (lambda f, x, y: attacks.apgd(f, x, y, eps=0.1, restarts=3), "restarts is 3 without"),
    "no query": (lambda f, x, y: attacks.square(f, x, y, eps=0.1, queries=0, generator=rng()), "queries is 0"),
    "no images": (
        lambda f, x, y: attacks.square(f, x.flatten(1), y, eps=0.1, generator=rng()),
        "x has shape [40, 36]; wanted images",
    ),
    "weight below 0": (lambda f, x, y: evasive(-1), "weight is -1; wanted 0"),
}


@EACH
@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_what_no_attack_can_start_from_is_refused(attack, call, message, refusal):
    draws, x, y = made()
    assert refusal(lambda: call(predictor(draws), x, y, ATTACKS[attack])).startswith(message)


@pytest.mark.parametrize(("call", "message"), ONE.values(), ids=ONE)
def test_settings_of_an_attack_that_are_none_are_refused(call, message, refusal):
    draws, x, y = made()
    assert refusal(lambda: call(predictor(draws), x, y)).startswith(message)


@pytest.mark.parametrize("attack", GRADIENTS)
def test_a_posterior_without_gradients_is_refused(attack, refusal):
    draws, x, y = made()
    message = refusal(lambda: ATTACKS[attack](lambda x: predict_moments(draws, x).log_mean, x, y, eps=0.1))
    assert message.startswith("predictor has no gradient in x; wanted a differentiable function")

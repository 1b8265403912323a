"""Laws of online distillation: with room for everything it is the offline one, and what it holds does not grow."""

from functools import partial

import pytest
import torch
from tqdm import tqdm

from apdlab.chains import Chains
from apdlab.distill import gan, judge, online, pca, raw
from apdlab.distill.buffer import fifo, reservoir
from apdlab.distill.generator import as_trained
from apdlab.distill.learner import Learner, Plan, _change
from apdlab.distill.spread import moments, seen, settled, share_outside, spread_of
from apdlab.networks import mlp
from apdlab.samplers import Run, keep, progress
from apdlab.samplers.sgld import sgld
from apdlab.store import Store
from apdlab.streams import stream

NETWORK = mlp(1, 2)  # 4 weights
WIDE = mlp(2, 3, 2, dtype=torch.float64)  # 17
X = torch.linspace(-2, 2, 9)[:, None]
TINY = gan.Recipe(hidden=(16, 16), batch=20, critic_steps=1, checkpoints=1)
FIND = partial(pca, k=2)


def chains(draws, seed=0, drift=0.0):
    """Two chains of draws in all directions, the first ones wider, that may drift in a direction of their own."""
    rng = torch.Generator().manual_seed(seed)
    width = torch.tensor([2.0, 1.0, 0.2, 0.1])
    away = drift * torch.linspace(0, 1, draws)[:, None] * torch.tensor([0.0, 0, 1, -1])
    theta = width * torch.randn(2, draws, 4, generator=rng) + 0.5 + away
    return Chains(NETWORK, theta, torch.arange(1, draws + 1), torch.zeros(2, draws))


def replayed(found, **changes):
    settings = {"every": 1, "gan_steps": 1, "capacity": 40, "looks": (20,), "seed": 3, "recipe": TINY} | changes
    return online.fit(online.Replay(found), NETWORK, settings.pop("find", FIND), X, **settings)


def run(steps=120, seed=0):
    start = torch.randn(2, NETWORK.size, generator=stream(seed, "test"))
    return Run(sgld(lambda theta, _: -0.5 * theta.square().sum(-1), 0.1), start, lambda t: None, seed, steps)


def same(a, b, **tolerance):
    for p, q in zip((*a.coordinates, a.codes.theta, a.noise), (*b.coordinates, b.codes.theta, b.noise), strict=True):
        assert (p is None and q is None) or torch.allclose(p, q, **tolerance)


@pytest.mark.parametrize("find", [FIND, partial(pca, k=3, whitening=1), raw], ids=["pca", "whitened", "raw"])
@pytest.mark.parametrize("rule", [reservoir, fifo], ids=["reservoir", "fifo"])
def test_with_room_for_all_and_training_at_the_end_it_is_the_offline_fit(find, rule):
    found = chains(60)
    train, held_out = found.hold_out(5)
    wanted, _, trace = gan.fit(train, held_out, find(train.theta, NETWORK), X, steps=30, seed=3, recipe=TINY)
    settings = {"gan_steps": 30, "capacity": 48, "looks": (48,), "rule": rule, "find": find}
    posterior, _, course = replayed(found, **settings)
    same(posterior, wanted, atol=2e-5)
    torch.testing.assert_close(course.critic_cost[0], trace.critic_cost.mean(0))
    torch.testing.assert_close(course.distance, trace.distance)


@pytest.mark.parametrize(("draws", "first"), [(40, 3), (200, 90)], ids=str)
def test_streamed_moments_are_those_of_all_draws_at_once(draws, first):
    theta = 3 + torch.randn(2, draws, WIDE.size, generator=stream(0, "test"), dtype=torch.float64).cumsum(1)
    axes = pca(theta[:, : draws // 2], WIDE, 4)
    streamed = spread_of(theta[:, :first], WIDE, axes)
    for t in range(first, draws):
        streamed = seen(streamed, theta[:, t], WIDE, axes)
    codes, settled_axes = axes.encode(theta), settled(axes, streamed)
    mean, covariance = moments(streamed, axes)
    exact = {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(mean, codes.mean(1), **exact)
    torch.testing.assert_close(covariance, torch.stack([torch.cov(c.T, correction=0) for c in codes]), **exact)
    torch.testing.assert_close(settled_axes.encode(theta), codes, **exact)
    left = theta - settled_axes.decode(codes)
    torch.testing.assert_close(left.mean(1), torch.zeros_like(left[:, 0]), **exact)
    for i, part in enumerate(WIDE.unravel(left).values()):
        torch.testing.assert_close(settled_axes.residual[:, i], part.flatten(1).square().mean(1).sqrt(), **exact)
    whole = (theta - theta.mean(1, keepdim=True)).square().sum((1, 2))
    torch.testing.assert_close(share_outside(streamed, WIDE, axes), left.square().sum((1, 2)) / whole, **exact)


@pytest.mark.parametrize("rule", [reservoir, fifo], ids=["reservoir", "fifo"])
@pytest.mark.parametrize("looks", [(20,), (20, 40, 80)], ids=str)
def test_what_is_held_does_not_grow_with_the_draws(rule, looks):
    settings = {"rule": rule, "looks": looks, "capacity": 30, "gan_steps": 1}
    held = [replayed(chains(draws), **settings)[2].nbytes.max() for draws in (101, 401)]
    assert held[0] == held[1]


@pytest.mark.parametrize(("looks", "wide"), [((20, 24), 4 + 2), ((20,), 2)], ids=["weights too", "codes alone"])
def test_all_tensors_are_counted_and_weights_go_after_the_last_look(looks, wide):
    learner = Learner(NETWORK, X, Plan(FIND, 1, 30, looks, recipe=TINY), 20, 0)
    for theta in chains(26).theta.unbind(1):
        learner.take(theta)
    weights = 2 * (learner.pair.maker.size + learner.pair.critic.size)
    average, room = 2 * learner.pair.maker.size, 2 * 20 * 2
    pair = 4 * (4 * weights + average + room) + 4 * 2  # with a gradient and two moments each; step counts
    predicted = 2 * (8 * 9 * (3 * 2 + 1) + 8 * 9 * 2)
    spread = 4 * 2 * 4 + 8 * 2 * (4 + 2)
    assert learner.nbytes == pair + predicted + spread + learner.coordinates.nbytes + 4 * 2 * 30 * wide


@pytest.mark.parametrize("looks", [(10,), (10, 20, 40)], ids=str)
def test_the_pair_learns_from_what_the_buffer_holds_in_the_newest_coordinates(looks):
    found = chains(80)
    learner = Learner(NETWORK, X, Plan(FIND, 1, 64, looks, recipe=TINY), 99, 0)
    for theta in found.theta.unbind(1):
        learner.take(theta)
    train = found.hold_out(5)[0].theta
    coordinates = pca(train[:, : looks[-1]], NETWORK, 2)
    torch.testing.assert_close(learner.pair.real, coordinates.encode(train), rtol=1e-4, atol=1e-4)
    small = Learner(NETWORK, X, Plan(FIND, 1, 15, looks, recipe=TINY), 99, 0)
    for theta in found.theta.unbind(1):
        small.take(theta)
    codes = small.coordinates.encode(train)
    for mine, all_of_them in zip(small.pair.real, codes, strict=True):
        gaps = torch.cdist(mine, all_of_them)
        assert mine.shape == (15, 2) and gaps.min(1).values.max() < 1e-3 and len(set(gaps.argmin(1).tolist())) == 15
        assert gaps.argmin(1).max() > 40  # late ones, too


@pytest.mark.parametrize("looks", [(20,), (20, 40, 80)], ids=str)
def test_a_run_and_its_replay_are_learned_from_alike(looks):
    settings = {"gan_steps": 2, "capacity": 30, "looks": looks, "seed": 1, "recipe": TINY._replace(checkpoints=3)}
    live, cost, course = online.fit(run(360), NETWORK, FIND, X, every=3, **settings)
    stored, none, again = online.fit(
        online.Replay(keep(run(360), NETWORK, thin=3)), NETWORK, FIND, X, every=1, **settings
    )
    same(live, stored, atol=0)
    assert (cost.gradient_evaluations, none.gradient_evaluations) == (720, 0)
    assert torch.equal(course.distance, again.distance) and torch.equal(course.steps, 3 * again.steps)


def test_other_coordinates_change_neither_the_draws_nor_the_scores():
    """Within the span of both: three of four directions, turned and scaled."""
    theta = chains(200).theta @ torch.linalg.qr(torch.randn(4, 4, generator=stream(0, "turn")))[0]
    old, new = (pca(part, NETWORK, 4, whitening=w) for part, w in ((theta[:, :50], 0.2), (theta[:, 50:], 0.9)))
    pair = gan.Pair(old.encode(theta), TINY, 9, stream(0, "gan"))
    for _ in range(3):
        pair.step()
    codes = pair.generator().sample(7, stream(0, "z"))
    draws, scores = old.decode(codes), pair.critic(pair.critic.unravel(pair.f), old.encode(theta))
    pair.move(*_change(old, new), *_change(new, old))
    moved = new.decode(pair.generator().sample(7, stream(0, "z")))
    torch.testing.assert_close(moved, draws, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        pair.critic(pair.critic.unravel(pair.f), new.encode(theta)), scores, rtol=1e-4, atol=1e-4
    )


def test_looking_again_finds_where_the_path_went():
    found = chains(200, drift=30.0)
    shares = [replayed(found, looks=looks)[2].outside[-1] for looks in ((10,), (10, 20, 40, 80, 160))]
    assert (shares[1] < 0.2 * shares[0]).all() and (shares[0] > 0.5).all()


@pytest.mark.parametrize("looks", [(20,), (20, 40, 80, 160)], ids=str)
def test_codes_have_the_moments_of_all_draws_not_of_the_buffer(looks):
    found = chains(220, drift=3.0)
    posterior, _, _ = replayed(found, looks=looks, capacity=30 if len(looks) == 1 else 176)
    train = found.hold_out(5)[0].theta
    real, fake = posterior.coordinates.encode(train), posterior.codes.sample(4000, stream(3, "moments"))
    torch.testing.assert_close(fake.mean(1), real.mean(1), rtol=0, atol=1e-3)
    for a, b in zip(fake, real, strict=True):
        torch.testing.assert_close(torch.cov(a.T, correction=0), torch.cov(b.T, correction=0), rtol=5e-3, atol=1e-3)


def test_a_small_buffer_stands_for_all_draws_when_coordinates_are_found_again():
    """Variances of the 50 draws held have standard errors of a fifth; of three draws counted as one, errors of 2/3."""
    found = chains(200)
    learner = Learner(NETWORK, X, Plan(FIND, 1, 50, (20, 40, 150), recipe=TINY), 141, 0)
    for theta in found.theta.unbind(1):
        learner.take(theta)
    train = found.hold_out(5)[0].theta
    mean, covariance = moments(learner.spread, learner.coordinates)
    codes = learner.coordinates.encode(train)
    torch.testing.assert_close(mean, codes.mean(1), rtol=1e-4, atol=1e-4)
    ratio = covariance.diagonal(dim1=1, dim2=2) / codes.var(1)
    assert (ratio - 1).abs().max() < 0.5
    left = train - settled(learner.coordinates, learner.spread).decode(codes)
    assert (learner.spread.outside.sum(1) / left.square().mean(2).sum(1) / 2 - 1).abs().max() < 0.8


def test_a_queue_forgets_what_a_reservoir_keeps():
    """Without matched moments, the mean of a generator is that of what it learned from: late draws, or all."""
    found, recipe = chains(300), TINY._replace(finish=as_trained, learning_rate=2e-2, critic_steps=3)
    theta = found.theta.clone()
    theta[:, :150, 0] -= 8
    found = Chains(NETWORK, theta, found.steps, found.log_posterior)
    means = {}
    for rule in (reservoir, fifo):
        posterior, _, _ = replayed(found, rule=rule, recipe=recipe, find=raw, capacity=40)
        means[rule] = posterior.sample(2000, generator=stream(0, "test")).theta[:, 0].mean()
    late, whole = theta[:, 150:, 0].mean(), theta[..., 0].mean()  # 4 apart
    assert abs(means[reservoir] - whole) < abs(means[reservoir] - late)
    assert abs(means[fifo] - late) < abs(means[fifo] - whole)


def nowhere(posterior, rng):
    return torch.full((2, NETWORK.size), 100.0)


def test_chains_go_on_from_where_a_restart_puts_them_with_their_own_noise():
    settings = {"every": 2, "gan_steps": 1, "capacity": 30, "looks": (15,), "seed": 0}
    settings["recipe"] = TINY._replace(checkpoints=2)
    _, _, course = online.fit(run(100), NETWORK, FIND, X, restart=nowhere, **settings)
    position, walk = run(100).start(), None
    walk = run(100).walk(position)
    before = [next(walk) for _ in range(50)][-1].state.theta.clone()
    torch.testing.assert_close(course.moved, torch.stack([(100 - before).norm(dim=1), torch.zeros(2)]))
    after = Run(run(100).sampler, nowhere(None, None), lambda t: None, 0, 50)
    state = after.sampler.init(after.theta)
    levels = []
    for _ in range(50):
        state, info = after.sampler.step(state, None, position.generators)
        levels.append(info.log_posterior)
    torch.testing.assert_close(course.log_posterior[1], torch.stack(levels).unflatten(0, (10, 5)).mean(1))


def test_the_generator_gives_each_chain_its_own_start():
    posterior, _, _ = replayed(chains(60))
    starts = online.from_generator(posterior, stream(0, "test"))
    assert torch.equal(starts, posterior.sample(2, generator=stream(0, "test")).theta)


def test_a_fit_is_made_of_its_seed_and_found_again(tmp_path):
    store, found = Store(tmp_path), online.Replay(chains(60))
    settings = {"every": 1, "gan_steps": 1, "capacity": 30, "looks": (20,), "recipe": TINY}
    first, again, other = (
        store.fit(NETWORK, online.fit, found, NETWORK, FIND, X, seed=seed, **settings)[0] for seed in (0, 0, 1)
    )
    same(first, again, atol=0)
    assert not torch.allclose(first.codes.theta, other.codes.theta)
    assert len(list(tmp_path.glob("fits/*/fit.safetensors"))) == 2


REFUSED = {
    "no draw": ({"every": 100}, "burn_in is 0, thin 100 of 60 steps"),
    "no look": ({"looks": ()}, "looks is () of 48 offered draws"),
    "late first look": ({"looks": (45,)}, "the first at most 40"),
    "looks astray": ({"looks": (30, 20)}, "looks is (30, 20)"),
    "look after the end": ({"looks": (20, 49)}, "up to 48"),
    "look after the first section": ({"recipe": TINY._replace(checkpoints=4)}, "the first at most 12"),
    "a second look at raw weights": ({"find": raw, "looks": (20, 40)}, "looks is (20, 40) for raw weights"),
    "no training": ({"gan_steps": 0}, "gan_steps is 0"),
    "nothing to learn from": ({"hold_out": 1}, "hold_out is 1"),
    "no room": ({"capacity": 0}, "capacity 0"),
    "a restart of the past": ({"restart": nowhere}, "source is a Replay; wanted a Run"),
    "an odd recipe": ({"recipe": TINY._replace(checkpoints=0)}, "checkpoints 0"),
}


@pytest.mark.parametrize(("changes", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_in_one_line(changes, said, refusal):
    assert said in refusal(lambda: replayed(chains(60), **changes))


def test_a_run_in_a_bar_is_refused_as_its_steps_could_not_be_charged(refusal):
    settings = {"every": 1, "gan_steps": 1, "capacity": 40, "looks": (20,), "seed": 3, "recipe": TINY}
    said = refusal(lambda: online.fit(progress(run(60), partial(tqdm, disable=True)), NETWORK, FIND, X, **settings))
    assert "source is a tqdm; wanted a Run" in said


def test_fidelity_is_measured_on_all_draws_held_out_so_far():
    found = chains(60)
    posterior, _, course = replayed(found, recipe=TINY._replace(checkpoints=2))
    held_out = judge.of_chains(found.hold_out(5)[1], X, 100)
    wanted = judge.between(judge.of_distilled(posterior, X, 3), held_out)
    torch.testing.assert_close(course.distance[-1], wanted)

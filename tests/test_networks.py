"""Laws of the functional view: a stack of networks is a loop over copies of the module, whatever the module."""

import copy
from collections import OrderedDict
from functools import partial

import pytest
import torch
from torch import nn

from apdlab.likelihoods import WithNoise
from apdlab.networks import Network, mlp
from apdlab.stacks import WIDE


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.norm, self.out = nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 3)
        self.gain = nn.Parameter(torch.tensor(0.7))

    def forward(self, x):
        return self.out(x + self.gain * torch.tanh(self.norm(self.inner(x))))


class Skip(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Autoencoder(nn.Module):
    """Writes with the weights that it reads with, and knows its bias by two names."""

    def __init__(self):
        super().__init__()
        self.read, self.bias = nn.Linear(4, 3), nn.Parameter(torch.zeros(4))
        self.shift = self.bias

    def forward(self, x):
        return nn.functional.linear(torch.tanh(self.read(x + self.bias)), self.read.weight.T, self.shift)


class Gives(nn.Module):
    """Gives anything at all, made from the outputs of one layer, or of a convolution."""

    def __init__(self, make, layer=None):
        super().__init__()
        self.layer, self.make = layer or nn.Linear(4, 1), make

    def forward(self, x):
        return self.make(self.layer(x))


def embedded():
    """The last layer reads with the weights that the first writes with."""
    first, last = nn.Linear(4, 6), nn.Linear(6, 4)
    last.weight = nn.Parameter(first.weight.detach().T.clone())
    third = nn.Linear(4, 6, bias=False)
    third.weight = first.weight
    return nn.Sequential(first, nn.Tanh(), last, nn.Tanh(), third)


def repeated():
    layer, act = nn.Linear(4, 4), nn.Tanh()
    return nn.Sequential(layer, act, layer, act, nn.Linear(4, 2), act)


def tied_convolutions():
    first, last = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
    last.weight = first.weight
    return nn.Sequential(first, nn.Tanh(), last, nn.Tanh(), first, nn.Flatten())


def convolutions():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    )


def layers(*sizes, activation=nn.ReLU):
    return mlp(*sizes, activation=activation).module


def named():
    parts = [("flat", nn.Flatten()), ("read", nn.Linear(4, 5)), ("bend", nn.SiLU()), ("say", nn.Linear(5, 2))]
    return nn.Sequential(OrderedDict(parts))


MODULES = {
    "linear": (partial(layers, 4, 3), (4,)),
    "one hidden layer": (partial(layers, 4, 8, 3), (4,)),
    "four hidden layers": (partial(layers, 4, 8, 7, 6, 5, 1), (4,)),
    "tanh": (partial(layers, 4, 8, 3, activation=nn.Tanh), (4,)),
    "gelu": (partial(layers, 4, 8, 3, activation=nn.GELU), (4,)),
    "softplus": (partial(layers, 4, 8, 3, activation=nn.Softplus), (4,)),
    "images": (partial(layers, 32, 6, 3), (2, 4, 4)),
    "no bias": (lambda: nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 2, bias=False)), (4,)),
    "layers with names": (named, (4,)),
    "sequences": (lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3, bias=False)), (5, 4)),
    "flattened later": (lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Flatten(), nn.Linear(30, 3)), (5, 4)),
    "flattened from the end": (lambda: nn.Sequential(nn.Flatten(-2), nn.Linear(12, 3)), (3, 4)),
    "layers used twice": (repeated, (4,)),
    "weights tied": (embedded, (4,)),
    "weights tied in a forward": (Autoencoder, (4,)),
    "convolutions tied": (tied_convolutions, (2, 4, 4)),
    "dropout": (lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.9), nn.Linear(5, 3)).eval(), (4,)),
    "sequential with a skip": (lambda: Skip(nn.Linear(4, 4), nn.Tanh()), (4,)),
    "linear of its own kind": (lambda: nn.Sequential(Doubled(4, 3), nn.ReLU()), (4,)),
    "nested": (lambda: nn.Sequential(nn.Sequential(nn.Linear(4, 5), nn.ReLU()), nn.Linear(5, 3)), (4,)),
    "layer norm and skip": (Residual, (4,)),
    "learned noise": (lambda: WithNoise(layers(4, 5, 2), outputs=2, noise=0.3), (4,)),
    "convolutions": (convolutions, (2, 6, 6)),
}
EXACT = {torch.float32: 1e-5, torch.float64: 1e-12}
each_module = pytest.mark.parametrize(("build", "shape"), MODULES.values(), ids=MODULES)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def stack(network, size):
    """Weights that differ between networks in every entry, biases and gains included."""
    theta = torch.stack([network.init(seeded(s)) for s in range(size)])
    return theta + 0.1 * torch.randn(theta.shape, generator=seeded(99), dtype=theta.dtype)


def inputs(lead, shape, dtype):
    return torch.randn(lead, 6, *shape, generator=seeded(7), dtype=dtype)


def load(module, network, theta):
    """A copy of the module with these weights, each written into its own parameter."""
    module = copy.deepcopy(module)
    start = 0
    for leaf in module.parameters():
        leaf.data = theta[start : start + leaf.numel()].clone().view(leaf.shape)
        start += leaf.numel()
    assert start == network.size
    return module


@each_module
@pytest.mark.parametrize(("size", "lead"), [(1, 1), (5, 1), (5, 5)], ids=["S=1", "shared x", "own x"])
@pytest.mark.parametrize("dtype", EXACT, ids=str)
def test_a_stack_is_a_loop_over_modules(build, shape, size, lead, dtype):
    module = build().to(dtype)
    network = Network(module)
    theta, x = stack(network, size), inputs(lead, shape, dtype)
    loop = [load(module, network, theta[s])(x[s % lead]) for s in range(size)]
    out = network(network.unravel(theta), x)
    torch.testing.assert_close(out, torch.stack(loop), rtol=EXACT[dtype], atol=EXACT[dtype])


@each_module
@pytest.mark.parametrize("lead", [1, 5], ids=["shared x", "own x"])
@pytest.mark.parametrize("dtype", EXACT, ids=str)
def test_gradients_of_a_stack_are_those_of_the_loop(build, shape, lead, dtype):
    module = build().to(dtype)
    network = Network(module)
    theta, x = stack(network, 5).requires_grad_(), inputs(lead, shape, dtype).requires_grad_()
    out = network(network.unravel(theta), x)
    weight = torch.randn(out.shape, generator=seeded(1), dtype=dtype)
    wanted_x, wanted_theta = torch.zeros_like(x), []
    for s in range(5):
        one, xs = load(module, network, theta[s].detach()), x[s % lead].detach().requires_grad_()
        grad_x, *grads = torch.autograd.grad((one(xs) * weight[s]).sum(), [xs, *one.parameters()])
        wanted_x[s % lead] += grad_x
        wanted_theta.append(torch.cat([grad.flatten() for grad in grads]))
    ours, wanted = torch.autograd.grad((out * weight).sum(), [theta, x]), torch.stack(wanted_theta)
    torch.testing.assert_close(ours, (wanted, wanted_x), rtol=EXACT[dtype], atol=EXACT[dtype])
    start, moved = theta.detach(), theta.detach().clone()
    again, pull = network.pullback(moved, x.detach())
    along, add = pull(weight)
    add(moved, 0.5)
    assert not again.requires_grad and not moved.requires_grad
    wanted = out.detach(), (start * wanted).sum(-1), start + 0.5 * wanted
    torch.testing.assert_close((again, along, moved), wanted, rtol=EXACT[dtype], atol=10 * EXACT[dtype])


PLAIN = [name for name in MODULES if Network(MODULES[name][0]()).is_plain]


@pytest.mark.parametrize("offset", [0.0, 0.5])
@pytest.mark.parametrize("name", PLAIN)
def test_networks_in_a_subspace_are_those_of_their_weights(name, offset):
    build, shape = MODULES[name]
    network = Network(build().double())
    basis, codes, x = stack(network, 3), torch.randn(5, 3, generator=seeded(2)).double(), inputs(1, shape, torch.double)
    offset = torch.full((network.size,), offset, dtype=torch.double)
    wanted = network(network.unravel(codes @ basis + offset), x)
    torch.testing.assert_close(network.through_basis(basis, offset, x[0])(codes), wanted, rtol=1e-12, atol=1e-12)


@each_module
def test_products_of_low_precision_round_outputs_and_gradients_and_change_no_dtype(build, shape):
    """Two roundings of 2^-9 a product, a few products one after the other; the loop over modules is exact."""
    network = Network(build())
    theta, x = stack(network, 5), inputs(5, shape, torch.float32)
    found = []
    for each in (network, network.mixed()):
        outputs, pull = each.pullback(theta, x)
        grad, (along, add) = torch.zeros_like(theta), pull(torch.ones_like(outputs))
        add(grad, 1.0)
        found.append((each(each.unravel(theta), x), outputs, grad, along))
    for exact, rounded in zip(*found, strict=True):
        error = (rounded - exact).norm() / exact.norm()
        assert rounded.dtype == torch.float32 and 0 < error < 0.03


def test_products_of_another_dtype_are_refused(refusal):
    wanted = "wanted None for torch.float{}, or torch.bfloat16 or torch.float16 for float32"
    assert refusal(lambda: mlp(2, 3).mixed(torch.int8)) == "products is torch.int8; " + wanted.format(32)
    double = mlp(2, 3, dtype=torch.float64)
    assert refusal(lambda: double.mixed()) == "products is torch.bfloat16; " + wanted.format(64)


@each_module
def test_the_weights_of_a_trained_module_give_its_outputs(build, shape):
    module, x = build().double(), inputs(1, shape, torch.float64)[0]
    network = Network(module)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        module(x).square().mean().backward()
        optimizer.step()
    theta = network.ravel(dict(module.named_parameters()))
    assert not theta.requires_grad and theta.shape == (network.size,)
    torch.testing.assert_close(network(network.unravel(theta), x), module(x).detach(), rtol=1e-12, atol=1e-12)


@each_module
@pytest.mark.parametrize("lead", [(), (3,), (2, 3)], ids=str)
def test_unravel_is_a_view_and_ravel_its_inverse(build, shape, lead):
    network = Network(build())
    theta = torch.randn(*lead, network.size, generator=seeded())
    params = network.unravel(theta)
    assert {leaf.untyped_storage().data_ptr() for leaf in params.values()} == {theta.untyped_storage().data_ptr()}
    assert {name: leaf.shape for name, leaf in params.items()} == {
        name: lead + tuple(size) for name, size in network.shapes.items()
    }
    assert torch.equal(network.ravel(params), theta)


@each_module
@pytest.mark.parametrize("size", [0, 3], ids="S={}".format)
def test_a_call_leaves_nothing_in_the_module(build, shape, size):
    network = Network(build())
    before = dict(network.module.named_parameters(remove_duplicate=False))
    theta = stack(network, 3).requires_grad_()
    network(network.unravel(theta if size else theta[0]), inputs(1, shape, torch.float32)[0 if not size else slice(1)])
    after = dict(network.module.named_parameters(remove_duplicate=False))
    assert before.keys() == after.keys() and all(after[name] is leaf for name, leaf in before.items())


@each_module
def test_init_depends_on_its_generator_alone(build, shape):
    network = Network(build())
    one, before = network.init(seeded(3)), torch.random.get_rng_state()
    torch.randn(100)
    moved = torch.random.get_rng_state()
    again, other = network.init(seeded(3)), network.init(seeded(4))
    assert torch.equal(torch.random.get_rng_state(), moved) and not torch.equal(before, moved)
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_init_reseeds_no_accelerator(monkeypatch):
    seen = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seen.append)
    mlp(4, 8, 3).init(seeded())
    assert not seen


def test_init_draws_layers_as_they_draw_themselves():
    """``Linear`` starts uniform on +-1/sqrt(inputs); a parameter that no layer resets stays."""
    network = Network(Residual())
    params = network.unravel(torch.stack([network.init(seeded(s)) for s in range(400)]))
    assert (params["gain"] == 0.7).all() and (params["norm.weight"] == 1).all()
    weight = params["inner.weight"]
    assert 0.49 < weight.abs().max() <= 0.5
    assert abs(weight.square().mean() / (0.25 / 3) - 1) < 5 * (0.8 / weight.numel()) ** 0.5


@pytest.mark.parametrize("dtype", EXACT, ids=str)
@pytest.mark.parametrize(("sizes", "weights"), [((4, 3), 15), ((784, 100, 10), 79_510), ((2, 5, 5, 1), 51)], ids=str)
def test_an_mlp_has_the_weights_of_its_formula(sizes, weights, dtype):
    network = mlp(*sizes, dtype=dtype)
    assert network.size == weights and network.dtype == dtype and network.init(seeded()).dtype == dtype


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh], ids=lambda each: each.__name__)
def test_an_mlp_bends_between_its_layers_and_nowhere_else(activation):
    network = mlp(4, 6, 5, 3, activation=activation, dtype=torch.float64)
    theta, x = stack(network, 1)[0], inputs(1, (2, 2), torch.float64)[0]
    leaves = list(network.unravel(theta).values())
    h = x.reshape(len(x), 4) @ leaves[0].T + leaves[1]
    for weight, bias in zip(leaves[2::2], leaves[3::2], strict=True):
        h = activation()(h) @ weight.T + bias
    torch.testing.assert_close(network(network.unravel(theta), x), h, rtol=1e-12, atol=1e-12)


TIED = {"layers used twice": 20 + 10, "weights tied": 2 * 24 + 6 + 4, "weights tied in a forward": 12 + 3 + 4,
        "convolutions tied": 36 + 2 + 2}  # fmt: skip


@pytest.mark.parametrize(("name", "weights"), TIED.items(), ids=TIED)
def test_weights_that_are_shared_count_once(name, weights):
    assert Network(MODULES[name][0]()).size == weights


WAYS = {
    "_batched": ["images", "dropout", "weights tied", "sequences"],
    "looped": ["convolutions", "convolutions tied"],
    "vmapped": ["nested", "linear of its own kind", "weights tied in a forward"],
}


@pytest.mark.parametrize(("way", "name"), [(way, name) for way, names in WAYS.items() for name in names])
def test_a_stack_is_evaluated_in_the_way_that_was_fastest(way, name):
    assert Network(MODULES[name][0]())._stacked.__qualname__.startswith(way)


def test_the_module_of_the_user_is_copied():
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.Linear(2, 1))
    network = Network(module)
    with torch.no_grad():
        module[0].weight.fill_(torch.nan)
    assert module.training and network.module[0].weight.isfinite().all()
    params, x = network.unravel(torch.ones(1, network.size)), torch.ones(1, 3, 2)
    assert torch.equal(network(params, x), torch.full((1, 3, 1), 7.0))


FORMS = {"one network": (0, 0), "a stack, shared x": (3, 1), "a stack, own x": (3, 3)}
OUTPUTS = {
    "a tuple": ("module gives a tuple; wanted a forward that gives one tensor [N, K]", lambda out: (out, out)),
    "a dictionary": ("module gives a dict; wanted a forward", lambda out: {"logits": out}),
    "no axis of outputs": ("module gives outputs [6] for inputs [6, ", lambda out: out.flatten(1)[:, 0]),
    "no axis of examples": ("module gives outputs [1, ", lambda out: out.mean(0, keepdim=True)),
    "one number": ("module gives outputs [] for inputs [6, ", torch.sum),
}


@pytest.mark.parametrize(("size", "lead"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(("layer", "shape"), [(None, (4,)), (nn.Conv2d(2, 2, 3), (2, 4, 4))], ids=["vmap", "loop"])
@pytest.mark.parametrize(("said", "make"), OUTPUTS.values(), ids=OUTPUTS)
def test_what_is_not_a_row_of_outputs_an_input_is_refused(size, lead, layer, shape, said, make, refusal):
    network = Network(Gives(make, layer))
    lead, theta = ((lead,), torch.ones(size, network.size)) if size else ((), torch.ones(network.size))
    assert said in refusal(lambda: network(network.unravel(theta), torch.ones(*lead, 6, *shape)))


ELSEWHERE = {
    "x of single precision": ({"dtype": torch.float32}, {"dtype": torch.float64},
                              "x is float32, the network float64; wanted one dtype: data(x.double(), y) or "
                              "module.float()"),
    "x of double precision": ({"dtype": torch.float64}, {"dtype": torch.float32},
                              "x is float64, the network float32; wanted one dtype: data(x.float(), y) or "
                              "module.double()"),
    "x of half precision": ({"dtype": torch.float16}, {}, "x is float16, the network float32; wanted one dtype: "
                            "data(x.float(), y) or module.half()"),
    "x elsewhere": ({"device": "meta"}, {}, "x is on meta, the weights on cpu; wanted one device: data.to('cpu')"),
    "weights elsewhere": ({}, {"device": "meta"}, "x is on cpu, the weights on meta; wanted one device"),
}  # fmt: skip


@pytest.mark.parametrize(("size", "lead"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(("of_x", "of_theta", "said"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_inputs_and_weights_that_differ_in_kind_are_refused(size, lead, of_x, of_theta, said, refusal):
    network = mlp(4, 3)
    lead, theta = ((lead,), torch.ones(size, 15, **of_theta)) if size else ((), torch.ones(15, **of_theta))
    assert said in refusal(lambda: network(network.unravel(theta), torch.ones(*lead, 6, 4, **of_x)))


def test_inputs_that_are_integers_may_be_what_they_are():
    network = Network(nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2)))
    theta, x = stack(network, 3), torch.randint(5, (7, 2), generator=seeded())
    wanted = [load(network.module, network, theta[s])(x) for s in range(3)]
    torch.testing.assert_close(network(network.unravel(theta), x[None]), torch.stack(wanted))


def constant():
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    module[1].register_buffer("scale", torch.ones(2))
    return module


def frozen(*names):
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
    for name in names:
        module.get_parameter(name).requires_grad_(False)
    return module


def conv_network():
    return Network(convolutions())


REFUSED = {
    "batch norm": ("['running_mean', 'running_var', 'num_batches_tracked'] in BatchNorm1d '1'",
                   lambda: Network(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))),
    "batch norm alone": ("in BatchNorm1d;", lambda: Network(nn.BatchNorm1d(2))),
    "batch norm deep inside": ("in BatchNorm2d 'make.1.norm'; wanted a module whose only state is its parameters: "
                               "replace BatchNorm by GroupNorm or LayerNorm", lambda: Network(Gives(nn.Sequential(
        nn.ReLU(), nn.Sequential(OrderedDict(norm=nn.BatchNorm2d(2))))))),
    "a constant in a buffer": ("module has buffers ['scale'] in ReLU '1'; wanted", lambda: Network(constant())),
    "lazy": ("module has lazy parameters, '0.weight' first; wanted shapes: call module(x[:1]) once",
             lambda: Network(nn.Sequential(nn.LazyLinear(3), nn.ReLU()))),
    "frozen": ("module has 4 frozen parameters, '0.weight' first", lambda: Network(frozen().requires_grad_(False))),
    "frozen in part": ("module has 1 frozen parameters, '2.bias' first; wanted none: "
                       "module.requires_grad_(True), or let x be what the frozen part gives",
                       lambda: Network(frozen("2.bias"))),
    "no parameters": ("dtype none", lambda: Network(nn.ReLU())),
    "two dtypes": ("torch.float32, torch.float64",
                   lambda: Network(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()))),
    "complex": ("torch.complex64", lambda: Network(nn.Linear(2, 2, dtype=torch.complex64))),
    "theta too short": ("theta has 14 weights; this network has 15", lambda: mlp(4, 3).unravel(torch.zeros(14))),
    "theta too long": ("theta has 16 weights", lambda: mlp(4, 3).unravel(torch.zeros(2, 16))),
    "leaf missing": ("params lacks '1.bias'", lambda: mlp(4, 3).ravel({"1.weight": torch.zeros(3, 4)})),
    "leaf of another shape": ("params['1.weight'] has shape (4, 3)",
                              lambda: mlp(4, 3).ravel({"1.weight": torch.zeros(4, 3), "1.bias": torch.zeros(3)})),
    "one size": ("sizes is (4,)", lambda: mlp(4)),
    "no size": ("sizes is ()", lambda: mlp()),
    "a size of 0": ("sizes is (4, 0, 3)", lambda: mlp(4, 0, 3)),
    "x without its leading axis": ("x has shape (9, 4); wanted [1, N, ...]",
                                   lambda: mlp(4, 3)(mlp(4, 3).unravel(torch.zeros(5, 15)), torch.zeros(9, 4))),
    "images without their leading axis": ("x has shape (9, 2, 6, 6)", lambda: conv_network()(
        conv_network().unravel(torch.zeros(5, conv_network().size)), torch.zeros(9, 2, 6, 6))),
    "noise of 0": ("noise is 0", lambda: WithNoise(nn.Linear(2, 1), outputs=1, noise=0)),
    "noise of nan": ("noise is nan", lambda: WithNoise(nn.Linear(2, 1), outputs=1, noise=float("nan"))),
}  # fmt: skip


@pytest.mark.parametrize(("said", "call"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_a_network_is_refused_by_name(said, call, refusal):
    assert said in refusal(call)


@each_module
def test_the_gradient_of_an_input_is_the_sum_of_what_networks_say(build, shape):
    network = Network(build().double())
    theta, x = stack(network, 5), inputs(1, shape, torch.double)[0].requires_grad_()
    out = network(network.unravel(theta), x[None])
    slope = torch.randn(out.shape, generator=seeded(1), dtype=torch.double)
    outputs, pull = network.input_pullback(theta, x)
    assert not outputs.requires_grad
    wanted = out.detach(), torch.autograd.grad(out, x, slope)[0]
    torch.testing.assert_close((outputs, pull(slope)), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rows", [WIDE // 8 - 1, WIDE // 8])
def test_the_gradient_of_an_input_does_not_depend_on_how_it_lies_in_memory(rows):
    network = Network(nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Flatten(), nn.Linear(40, 2)).double())
    theta, x = stack(network, 4), torch.randn(8, rows, 3, generator=seeded()).double().transpose(0, 1)
    slope = torch.ones(4, rows, 2).double()
    lying, standing = (network.input_pullback(theta, each)[1](slope) for each in (x, x.contiguous()))
    assert lying.abs().max() > 0.01
    torch.testing.assert_close(lying, standing, rtol=1e-12, atol=1e-12)

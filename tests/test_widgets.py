"""Laws of widgets: a slider moves the picture and back, and figures do not pile up."""

import gc

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.pyplot import get_fignums

from apdlab.figures import DrawView, ThresholdView
from apdlab.widgets import Picture, Playground, draw_explorer, threshold_explorer


def explorer(draws=(4, 4), examples=3):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(examples, 1, 4, 4, generator=generator)
    probs = {m: torch.rand(s, examples, 3, generator=generator) for m, s in zip(("sgld", "apd"), draws, strict=False)}
    filters = {m: torch.randn(s, 4, 4, 4, generator=generator) for m, s in zip(("sgld", "apd"), draws, strict=False)}
    view = DrawView(x, torch.arange(examples), probs, filters)
    box = draw_explorer(view)
    return view, *box.children[0].children, box.children[1]


@pytest.mark.parametrize(("draws", "examples"), [((4, 4), 3), ((7, 2), 1)])
def test_sliders_range_over_the_draws_of_all_methods_and_the_images(draws, examples):
    _, draw, example, _ = explorer(draws, examples)
    assert (draw.min, draw.max, draw.step) == (0, min(draws) - 1, 1)
    assert (example.min, example.max, example.step) == (0, examples - 1, 1)


@pytest.mark.parametrize("which", ["draw", "example"])
def test_a_slider_changes_the_picture_and_back_restores_it(which):
    view, draw, example, image = explorer()
    slider, before = {"draw": draw, "example": example}[which], image.value
    slider.value = 2
    moved, title = image.value, view.fig.get_suptitle()
    assert moved != before and title.startswith(f"draw {draw.value}, image {example.value},")
    slider.value = 0
    assert image.value == before and before[1:4] == b"PNG"


def test_sliders_move_together():
    view, draw, example, image = explorer()
    draw.value, example.value = 3, 1
    one = image.value
    draw.value, example.value = 0, 0
    example.value, draw.value = 1, 3
    assert image.value == one and view.fig.get_suptitle() == "draw 3, image 1, label 1"


def test_fifty_moves_leave_one_figure_with_as_many_parts():
    view, draw, _, image = explorer(draws=(4,))
    gc.collect()
    figures, parts = sum(type(o) is Figure for o in gc.get_objects()), len(view.fig.findobj())
    for move in range(50):
        draw.value = 1 + move % 3
    gc.collect()
    assert sum(type(o) is Figure for o in gc.get_objects()) <= figures
    assert get_fignums() == [] and len(view.fig.findobj()) == parts and image.value


@pytest.mark.parametrize("dpi", [50, 100])
def test_a_picture_is_as_wide_as_its_figure_and_drawn_only_when_asked(dpi):
    fig = Figure(figsize=(2, 1))
    picture = Picture(fig, dpi)
    before = picture.image.value
    assert int.from_bytes(before[16:20]) == 2 * dpi and int.from_bytes(before[20:24]) == dpi
    assert picture.image.layout.width == f"{2 * dpi}px"
    fig.text(0.5, 0.5, "new")
    assert picture.image.value == before
    picture.refresh()
    assert picture.image.value != before


def test_the_threshold_moves_the_picture_and_back():
    doubt = torch.linspace(0, 0.7, 12)
    x = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    view = ThresholdView(x, list("abcdefghijkl"), doubt, doubt < 0.5, {"noise": torch.tensor([0.9, 0.2])}, 0.3)
    slider, image = threshold_explorer(view).children
    assert (slider.value, slider.min) == (0.3, 0) and slider.max == pytest.approx(0.9)
    before, title = image.value, view.fig.get_suptitle()
    slider.value = 0.6
    assert image.value != before and view.fig.get_suptitle().startswith("threshold 0.60: 83 %")
    parts = len(view.fig.findobj())
    slider.value = 0.0
    slider.value = 0.3
    assert (image.value, view.fig.get_suptitle(), len(view.fig.findobj())) == (before, title, parts)


def test_a_picture_of_what_moves_is_the_whole_picture():
    fig = Figure(figsize=(2, 1))
    ax = fig.add_axes((0.1, 0.1, 0.8, 0.8))
    (line,) = ax.plot([0, 1], [0, 1])
    picture = Picture(fig, moving=[line])
    line.set_ydata([1, 0])
    picture.refresh()
    quick = picture.image.value
    picture.redraw()
    assert picture.image.value == quick
    line.set_visible(False)
    picture.refresh()
    assert picture.image.value != quick


def controls(play):
    return {name: play._controls[name] for name in ("target", "sampler", "chains", "step_size", "noise")}


@pytest.mark.parametrize(
    ("name", "value"), [("target", "ring"), ("sampler", "sgld"), ("chains", 2), ("step_size", 0.2), ("noise", 1.0)]
)
def test_a_control_of_the_playground_changes_its_state_and_the_state_the_control(name, value):
    play, other = Playground(), Playground()
    controls(play)[name].value = value
    assert f"{name}={value}" in play.state and play._string.value == play.state
    other.state = play.state
    assert controls(other)[name].value == value
    play.step(), other.step()
    assert (play.walk.theta == other.walk.theta).all()


def test_a_bad_state_says_so_and_changes_nothing():
    play = Playground("chains=3")
    play._string.value = "chains=99"
    assert play._message.value == "chains is '99'; wanted a number from 1 to 8" and play.walk.settings.chains == 3
    play._string.value = "chains=4"
    assert play._message.value == "" and play.walk.settings.chains == 4


def test_the_playground_plays_pauses_and_bears_moves_in_between():
    play = Playground("target=ring&step_size=0.1")
    parts = len(play.view.fig.findobj())
    play.play(), play.play()
    thread = play._thread
    for move in range(12):
        controls(play)["step_size"].value = 0.05 + 0.01 * move
        controls(play)["target"].value = ("gaussian", "ring")[move % 2]
    while not play.walk.steps:
        pass
    play.pause()
    thread.join(timeout=30)
    assert not thread.is_alive()
    steps = play.walk.steps
    play.step()
    assert play.walk.steps == steps + play._pace.value and abs(len(play.view.fig.findobj()) - parts) < 40
    play.reset()
    assert play.walk.steps == 0


def test_settings_that_a_step_refuses_end_the_play_with_a_word_and_it_goes_on_with_others():
    play = Playground("target=banana&sampler=symplectic_euler&step_size=0.5&friction=5")
    play.play()
    play._thread.join(timeout=30)
    assert not play._thread.is_alive() and "friction" in play._message.value
    play._controls["friction"].value = 1.0
    assert play._message.value == ""
    play.play()
    while not play.walk.steps:
        pass
    play.pause()
    play._thread.join(timeout=30)
    assert not play._thread.is_alive() and play._message.value == ""


def test_impatience_leaves_one_thread():
    play, threads = Playground("target=ring"), []
    for _ in range(5):
        play.play()
        threads.append(play._thread)
        play.pause()
    play.play()
    for thread in threads:
        thread.join(timeout=30)
    assert play._thread.is_alive() and not any(thread.is_alive() for thread in threads)
    play.pause()


def test_a_walk_that_diverges_ends_the_play():
    play = Playground("target=ring&sampler=sgld&step_size=1.5")
    play.play()
    play._thread.join(timeout=30)
    assert not play._thread.is_alive() and not play.walk.alive
    assert "smaller step size" in play.view._title.get_text()

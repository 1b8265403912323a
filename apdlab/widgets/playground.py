"""The sampler playground: a walk over two weights behind buttons and sliders, in a thread of its own."""

import math
import threading
import time

import ipywidgets as widgets
import torch

from apdlab.figures.playground import PlaygroundView
from apdlab.playground import (
    RANGES,
    SAMPLERS,
    TARGETS,
    Settings,
    Walk,
    exact,
    marginals,
    read,
    reading,
    write,
)
from apdlab.widgets.grid import STYLE, grid
from apdlab.widgets.picture import Picture

FRAME = 0.12  # seconds a frame takes at least: what a browser shows without falling behind
NAMES = {"sgld": "SGLD", "sghmc": "SGHMC (BAOAB)", "symplectic_euler": "symplectic Euler", "sgnht": "SGNHT"}


class Playground:
    """Buttons, sliders and a picture around a :class:`apdlab.playground.Walk`.

    ``box`` is what a notebook shows; ``state`` is all settings as one string, and can be set. Moving a slider while it
    plays goes on from where the chains are.

    Args:
        state: Settings to begin with, e.g. ``"target=ring&step_size=0.1"``.

    Raises:
        ValueError: If the state names what is unknown or out of range.

    Example:
        >>> play = Playground("target=ring&chains=2")
        >>> play.step()
        >>> play.walk.steps, play.state[:11]
        (10, 'target=ring')
    """

    def __init__(self, state: str = "") -> None:
        settings = read(state)
        self.walk, self.view = Walk(settings), PlaygroundView()
        self._lock, self._still = threading.Lock(), threading.Event()
        self._still.set()
        self._thread: threading.Thread | None = None
        self._controls = _controls(settings)
        self._pace = widgets.IntSlider(10, 1, 200, description="steps a frame", style=STYLE)
        self._string = widgets.Text(
            write(settings), description="state", continuous_update=False, layout=widgets.Layout(width="960px")
        )
        self._message = widgets.Label()
        self._aim()
        self.picture = Picture(self.view.fig, moving=self.view.moving)
        buttons = [_button(name, act) for name, act in self._actions().items()]
        for control in self._controls.values():
            control.observe(self._moved, names="value")
        self._controls["friction"].disabled = settings.sampler == "sgld"
        self._string.observe(self._typed, names="value")
        sliders = grid([*self._controls.values(), self._pace])
        self.box = widgets.VBox([widgets.HBox(buttons), sliders, self.picture.image, self._string, self._message])

    @property
    def state(self) -> str:
        """All settings as one string."""
        return write(self.walk.settings)

    @state.setter
    def state(self, text: str) -> None:
        settings = read(text)
        with self._lock:
            self._change(settings)
        self._sync()

    def play(self) -> None:
        """Walk until ``pause``."""
        if self._still.is_set():
            self._still = threading.Event()  # its own, so that one which was told to stop cannot go on
            self._thread = threading.Thread(target=self._play, args=[self._still], daemon=True)
            self._thread.start()

    def pause(self) -> None:
        """Stand still."""
        self._still.set()

    def step(self) -> None:
        """Take the steps of one frame, and show it."""
        with self._lock:
            try:
                if not self.walk.advance(self._pace.value):
                    self.pause()
            except ValueError as error:  # settings that only the step can refuse
                self.pause()
                self._message.value = str(error)
            self._show()

    def reset(self) -> None:
        """Go back to the start."""
        with self._lock:
            self.walk.reset()
            self._show()

    def _actions(self) -> dict:
        return {"Play": self.play, "Pause": self.pause, "Step": self.step, "Reset": self.reset}

    def _play(self, still: threading.Event) -> None:
        while not still.is_set():
            start = time.perf_counter()
            self.step()
            time.sleep(max(0.01, FRAME - (time.perf_counter() - start)))

    def _change(self, settings: Settings) -> None:
        self.walk.change(settings)
        self._message.value = ""
        self._aim()
        self.picture.redraw()

    def _aim(self) -> None:
        settings, target = self.walk.settings, self.walk.target
        x, y, values = target.on_grid(121)
        sides = marginals(target, settings.temperature)
        self.view.aim(x, y, values / settings.temperature, sides)
        try:
            self._law = exact(settings, target)
        except ValueError as error:  # the step diverges
            self._law, self._warning = None, str(error)
        else:
            self._warning = ""
        self.view.law(self._law and [_normal(at, v) for (at, _), v in zip(sides, self._law.variance, strict=True)])
        self.view.show(self.walk.theta, self.walk.position, self._text())

    def _show(self) -> None:
        self.view.show(self.walk.theta, self.walk.position, self._text())
        self.picture.refresh()

    def _text(self) -> str:
        said = reading(self.walk)
        if not self.walk.alive:
            return f"step {self.walk.steps:,}: a chain has left the numbers.\nTake a smaller step size, then Reset."
        if said is None:
            return f"step {self.walk.steps:,}\n{self._warning or ' '}"
        lines = [f"step {self.walk.steps:<9,} R-hat {said.r_hat:<7.3f} ESS {said.ess:<8,.0f}"]
        expected = f", exact {self._law.kinetic:.3f}" if self._law and self._law.kinetic else ""
        kinetic, configurational = (f"{mean:.3f} +- {error:.3f}" for mean, error in said[2:])
        if not math.isnan(said.kinetic[0]):
            lines.append(f"temperature of momenta {kinetic}{expected}")
        lines.append(f"temperature of weights {configurational}")
        return "\n".join(lines)

    def _moved(self, _: object) -> None:
        values = {name: control.value for name, control in self._controls.items()}
        # A browser sends 0.6 back as 0.6000000000000001: that is no move.
        values = {name: round(value, 6) if isinstance(value, float) else value for name, value in values.items()}
        settings = Settings(**values, seed=self.walk.settings.seed)
        if settings == self.walk.settings:
            return
        with self._lock:
            self._change(settings)
        self._sync()

    def _typed(self, _: object) -> None:
        try:
            self.state = self._string.value
        except ValueError as error:
            self._message.value = str(error)
        else:
            self._message.value = ""

    def _sync(self) -> None:
        """Let the controls and the string say what the walk does, without asking it again."""
        for name, control in self._controls.items():
            control.unobserve(self._moved, names="value")
            control.value = getattr(self.walk.settings, name)
            control.observe(self._moved, names="value")
        self._controls["friction"].disabled = self.walk.settings.sampler == "sgld"
        self._string.unobserve(self._typed, names="value")
        self._string.value = self.state
        self._string.observe(self._typed, names="value")


def _button(name: str, act: object) -> widgets.Button:
    button = widgets.Button(description=name, layout=widgets.Layout(width="80px"))
    button.on_click(lambda _: act())
    return button


def _controls(settings: Settings) -> dict[str, widgets.Widget]:
    low, high = RANGES["chains"]
    controls = {
        "target": widgets.Dropdown(
            options=[(n.replace("_", " "), n) for n in TARGETS], description="target", style=STYLE
        ),
        "sampler": widgets.Dropdown(options=[(NAMES[n], n) for n in SAMPLERS], description="sampler", style=STYLE),
        "chains": widgets.IntSlider(min=low, max=high, description="chains", style=STYLE),
    } | {name: _slider(name) for name in ("step_size", "friction", "noise", "temperature")}
    for name, control in controls.items():
        control.value = getattr(settings, name)
    return controls


def _slider(name: str) -> widgets.FloatSlider:
    low, high = RANGES[name]
    return widgets.FloatSlider(min=low, max=high, step=0.01, description=name.replace("_", " "), style=STYLE)


def _normal(values: torch.Tensor, variance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return values, torch.exp(-0.5 * values.square() / variance) / (2 * math.pi * variance).sqrt()

"""Attack an image, and see what the draws make of it."""

from collections.abc import Sequence

import ipywidgets as widgets

from apdlab.figures.attack_view import AttackView
from apdlab.figures.style import NAMES
from apdlab.widgets.grid import STYLE, grid
from apdlab.widgets.picture import Picture


def attack_explorer(view: AttackView) -> widgets.VBox:
    """Wire a view of attacks to controls of posterior, attack, image, size and steps; arrow keys move them.

    Args:
        view: The figure, with all that it shows already computed.

    Returns:
        A box of controls and picture.

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> one, half = torch.zeros(1, 1, 1, 1, 2, 1, 8, 8), torch.full((1, 2, 3, 4), 0.25)
        >>> made = {"x": one[0, 0, 0, 0], "y": [3, 1], "found": one, "clean_probs": half}
        >>> made |= {"probs": half[:, None, None, None], "clean_doubts": torch.ones(1, 2, 3)}
        >>> made |= {"doubts": torch.ones(1, 1, 1, 1, 2, 3)}
        >>> view = AttackView(SimpleNamespace(axes=(["sgld"], ["PGD"], [0.1], [40]), **made))
        >>> attack_explorer(view).children[0].children[2].value = 1
        >>> view.text
        'SGLD, image 1, label 1: PGD of size 0.05 in 40 steps: still 0'
    """
    methods, plans, sizes, steps = view.made.axes
    picture = Picture(view.fig, moving=view.moving)
    controls = {
        "posterior": widgets.Dropdown(options=[(NAMES[m], i) for i, m in enumerate(methods)]),
        "attack": widgets.Dropdown(options=[(name, i) for i, name in enumerate(plans)]),
        "image": widgets.IntSlider(max=len(view.x) - 1),
        "eps": _slider([f"{size / view.unit:.2f}" for size in sizes]),
        "steps": _slider(steps),
    }

    def move(_: object) -> None:
        view.show(**{name: control.value for name, control in controls.items()})
        picture.refresh()

    for name, control in controls.items():
        control.description, control.style = "size" if name == "eps" else name, STYLE
        control.observe(move, names="value")
    return widgets.VBox([grid(controls.values()), picture.image])


def _slider(labels: Sequence) -> widgets.SelectionSlider:
    return widgets.SelectionSlider(options=[(str(v), i) for i, v in enumerate(labels)])

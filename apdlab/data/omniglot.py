"""Omniglot: characters of 50 alphabets, each drawn by 20 people, read from the zip archives as they are published."""

import zipfile

import numpy as np
import torch

from apdlab.data.images import MD5, find
from apdlab.data.own import data
from apdlab.types import Data

SIDE = 105


def omniglot(archive: str = "images_background_small1", *, device: torch.device | str = "cpu") -> Data:
    """Load the drawings of one archive, turned to white strokes on black as the digits of MNIST are.

    The archive is found in ``omniglot_small/`` (``images_background_small1``, ``images_background_small2``, 5 alphabets
    each) or ``omniglot/`` (``images_background``, 30; ``images_evaluation``, 20) in the folder that ``APDLAB_DATA``
    names, or downloaded; it is read only if its md5 sum is known here. Nothing is unpacked to disk.
    Lake, Salakhutdinov and Tenenbaum (2015), https://doi.org/10.1126/science.aab3050;
    https://github.com/brendenlake/omniglot.

    Args:
        archive: Its name, without ``.zip``.
        device: Where the set shall live.

    Returns:
        ``x [N, 1, 105, 105]`` float32, strokes 1 and paper -1, by alphabet and character; ``y [N]`` counts characters.

    Raises:
        ValueError: If the name is unknown, the archive is not the published one, or an image is of another form.
        FileNotFoundError: If it is neither in ``APDLAB_DATA`` nor to be had from the web.

    Example:
        >>> omniglot().x.shape  # doctest: +SKIP
        torch.Size([2720, 1, 105, 105])
    """
    folders = {file.removesuffix(".zip"): name for name in ("omniglot_small", "omniglot") for file in MD5[name]}
    if archive not in folders:
        raise ValueError(f"archive is {archive!r}; wanted one of {', '.join(folders)}")
    with zipfile.ZipFile(find(folders[archive], f"{archive}.zip")) as files:
        drawings = sorted(name for name in files.namelist() if name.endswith(".png"))
        ink = np.stack([_ink(files, name) for name in drawings])
    characters = np.unique([name.rpartition("/")[0] for name in drawings], return_inverse=True)[1]
    return data(255 * ink[:, None], characters, device=device)


def _ink(files: zipfile.ZipFile, name: str) -> np.ndarray:
    """Read one drawing as uint8 ``[105, 105]``, 1 where there is ink."""
    from PIL import Image  # heavier than all else here, and used by this set alone

    with files.open(name) as file, Image.open(file, formats=["PNG"]) as drawing:
        if drawing.size != (SIDE, SIDE) or drawing.mode != "1":
            raise ValueError(f"{name} is {drawing.size} of mode {drawing.mode}; wanted {SIDE} x {SIDE}, black or white")
        return (~np.asarray(drawing)).astype(np.uint8)

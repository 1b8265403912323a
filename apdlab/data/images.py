"""MNIST and the sets in its format: 28x28 grey images of ten classes, from a folder of yours or from the web."""

import os
from pathlib import Path

import pooch
import torch

from apdlab.data.idx import read_idx
from apdlab.data.own import data
from apdlab.types import Data, Split

MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion_mnist": (
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    "kmnist": ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    "notmnist": ("https://github.com/davidflanagan/notMNIST-to-MNIST/raw/master/",),
    "cifar10": ("https://www.cs.toronto.edu/~kriz/",),
    "omniglot": ("https://github.com/brendenlake/omniglot/raw/master/python/",),
    "omniglot_small": ("https://github.com/brendenlake/omniglot/raw/master/python/",),
}

# Published sums of the .gz files, and sums of what they unpack to. None is published for notMNIST: these are of the
# repository above, whose 60,000 training images are left out because no sum of theirs could be checked.
MD5 = {
    "mnist": {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
    "kmnist": {
        "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
    },
    "notmnist": {
        "t10k-images-idx3-ubyte.gz": "2c87c839a4ef9b238846600eec8c35b7",
        "t10k-labels-idx1-ubyte.gz": "7ea9118cbafd0f6e3ee2ad771d782a01",
        "t10k-images-idx3-ubyte": "1e78b07d677d6e4de2c8857bafff012e",
        "t10k-labels-idx1-ubyte": "b10b3ef34b4e468313a7b24c216c6a53",
    },
    "cifar10": {"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
    "omniglot": {
        "images_background.zip": "68d2efa1b9178cc56df9314c21c6e718",
        "images_evaluation.zip": "6b91aef0f799c5bb55b94e3f2daec811",
    },
    "omniglot_small": {
        "images_background_small1.zip": "e704a628b5459e08445c13499850abc4",
        "images_background_small2.zip": "b75a71a51d3b13f821f212756fe481fd",
    },
}


def images(name: str, *, device: torch.device | str = "cpu") -> Split:
    """Load an image set: the first 50,000 training images, the last 10,000 for validation, 10,000 for test.

    Files come from the folder named by the environment variable ``APDLAB_DATA``, which holds a folder for each set,
    or from the web, once, into the cache folder of the system. They are read only if their md5 sum is known here.

    | set | classes | source |
    | --- | --- | --- |
    | mnist | digits 0..9 | LeCun, Bottou, Bengio and Haffner (1998), https://doi.org/10.1109/5.726791 |
    | fashion_mnist | articles of clothing | Xiao, Rasul and Vollgraf (2017), https://arxiv.org/abs/1708.07747 |
    | kmnist | cursive hiragana | Clanuwat et al. (2018), https://arxiv.org/abs/1812.01718 |

    Args:
        name: ``"mnist"``, ``"fashion_mnist"`` or ``"kmnist"``.
        device: Where the set shall live.

    Returns:
        ``x [N, 1, 28, 28]`` float32 in [-1, 1], ``y [N]`` int64 in 0..9.

    Raises:
        ValueError: If the name is unknown, or a file is not the published one.
        FileNotFoundError: If a file is neither in ``APDLAB_DATA`` nor to be had from the web.

    Example:
        >>> images("mnist").train.x.shape  # doctest: +SKIP
        torch.Size([50000, 1, 28, 28])
    """
    _check_name(name, "train-images-idx3-ubyte.gz")
    (x, y), test = _load(name, "train"), _load(name, "t10k")
    cut = len(y) - len(y) // 6
    return Split(Data(x[:cut], y[:cut]), Data(x[cut:], y[cut:]), test).to(device)


def images_test(name: str, *, device: torch.device | str = "cpu") -> Data:
    """Load only the 10,000 test images of a set, all that an out-of-distribution comparison needs.

    Beside the sets of :func:`images` there is ``"notmnist"``, letters A to J in many fonts, labelled 0..9:
    Y. Bulatov (2011), http://yaroslavvb.blogspot.com/2011/09/notmnist-dataset.html, in the sample of
    https://github.com/davidflanagan/notMNIST-to-MNIST. Files are found and checked as by :func:`images`.

    Args:
        name: ``"mnist"``, ``"fashion_mnist"``, ``"kmnist"`` or ``"notmnist"``.
        device: Where the set shall live.

    Returns:
        ``x [10000, 1, 28, 28]`` float32 in [-1, 1], ``y [10000]`` int64 in 0..9.

    Raises:
        ValueError: If the name is unknown, or a file is not the published one.
        FileNotFoundError: If a file is neither in ``APDLAB_DATA`` nor to be had from the web.

    Example:
        >>> images_test("notmnist").x.shape  # doctest: +SKIP
        torch.Size([10000, 1, 28, 28])
    """
    _check_name(name, "t10k-images-idx3-ubyte.gz")
    return _load(name, "t10k").to(device)


def _check_name(name: str, file: str) -> None:
    known = [known for known, files in MD5.items() if file in files]
    if name not in known:
        hints = {
            "notmnist": "; use images_test for its test images, the only part on offer",
            "cifar10": "; use cifar10",
            "omniglot": "; use omniglot",
        }
        hint = hints.get(name, "")
        raise ValueError(f"name is {name!r}; wanted one of {', '.join(known)}{hint}")


def _load(name: str, part: str) -> Data:
    sources = [find(name, f"{part}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")]
    x, y = map(read_idx, sources)
    if x.shape[1:] != (28, 28):
        raise ValueError(f"{sources[0]} holds shape {list(x.shape)}; wanted images [N, 28, 28]")
    if y.ndim != 1 or y.max() > 9:
        raise ValueError(f"{sources[1]} holds shape {list(y.shape)}, at most {y.max()}; wanted labels [N] of 0 to 9")
    if len(x) != len(y):
        raise ValueError(f"{sources[0]} holds {len(x):,} images and {sources[1].name} {len(y):,} labels; wanted pairs")
    return data(x[:, None], y)


def find(name: str, file: str) -> Path:
    """Find a published file of a set in ``APDLAB_DATA``, or download it.

    Raises:
        ValueError: If ``APDLAB_DATA`` is no folder, or the file is not the published one.
        FileNotFoundError: If it is nowhere to be had.
    """
    if not (root := os.environ.get("APDLAB_DATA")):
        return _download(name, file)
    if not (folder := Path(root).expanduser()).is_dir():
        raise ValueError(f"APDLAB_DATA is {root!r}, no folder; wanted one that holds {name}/{file}, so set or unset it")
    for path in (folder / name / file, folder / name / file.removesuffix(".gz")):
        if path.is_file():
            return _checked(path, name)
    return _download(name, file)


def _checked(path: Path, name: str) -> Path:
    seen, wanted = pooch.file_hash(path, "md5"), MD5[name].get(path.name)
    if wanted is None:
        raise ValueError(f"{path} cannot be checked; wanted {path.name}.gz, whose md5 is published, so use that file")
    if seen != wanted:
        raise ValueError(
            f"{path} has md5 {seen}; wanted {wanted}, the published file, so take a fresh copy from {MIRRORS[name][0]}"
        )
    return path


def _download(name: str, file: str) -> Path:
    pooch.get_logger().setLevel("WARNING")
    folder, failures = pooch.os_cache("apdlab") / name, []
    for mirror in MIRRORS[name]:
        try:
            return Path(pooch.retrieve(mirror + file, f"md5:{MD5[name][file]}", fname=file, path=folder))
        except (OSError, ValueError) as error:
            failures.append(f"{mirror}: {_reason(error)}")
    raise FileNotFoundError(
        f"{name}/{file} could not be downloaded ({'; '.join(failures)}); set the environment variable APDLAB_DATA (now "
        f"{os.environ.get('APDLAB_DATA') or 'unset'}) to a folder that holds {name}/{file} and the other files of the "
        f"set, which you can fetch by hand from {mirror}"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, ValueError):
        return "wrong md5"
    if not hasattr(error, "response"):  # not the web but the disk
        return str(error)
    return type(error).__name__ if error.response is None else f"status {error.response.status_code}"

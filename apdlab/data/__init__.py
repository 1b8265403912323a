"""Data: toy sets, image sets, and sets of your own."""

from apdlab.data.augment import augmented, flips, shifts
from apdlab.data.batches import Batches, batches, own_batches
from apdlab.data.cifar import cifar10, cifar10_parts
from apdlab.data.idx import read_idx
from apdlab.data.images import images, images_test
from apdlab.data.omniglot import omniglot
from apdlab.data.ood import grey, out_sets, shrunk
from apdlab.data.own import data, scale_pixels, split
from apdlab.data.toy import cubic, digits, two_clusters, two_moons

__all__ = [
    "Batches",
    "augmented",
    "batches",
    "cifar10",
    "cifar10_parts",
    "cubic",
    "data",
    "digits",
    "flips",
    "grey",
    "images",
    "images_test",
    "omniglot",
    "out_sets",
    "own_batches",
    "read_idx",
    "scale_pixels",
    "shifts",
    "shrunk",
    "split",
    "two_clusters",
    "two_moons",
]

"""What is known of the five data sets without opening them. Standard library only: `plan` reads it too.

Digests: Fashion-MNIST's are those of the four files in Debian's package (equal to the upstream repository's);
CIFAR's MD5 are on the data sets' own page, DermaMNIST's in the MedMNIST package. The page of CINIC-10 states
none: its MD5 is the one that public loaders check.
"""

from __future__ import annotations

from dataclasses import dataclass

FASHION_CLASSES = (
    "t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
DERMA_CLASSES = (
    "actinic keratoses and intraepithelial carcinoma", "basal cell carcinoma",
    "benign keratosis-like lesions", "dermatofibroma", "melanoma", "melanocytic nevi", "vascular lesions",
)  # fmt: skip

FASHION_FILES = {  # name -> SHA-256 of the .gz, SHA-256 of what is in it
    "train-images-idx3-ubyte": (
        "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    "train-labels-idx1-ubyte": (
        "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    "t10k-images-idx3-ubyte": (
        "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    "t10k-labels-idx1-ubyte": (
        "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}
FASHION_PACKAGE = "dataset-fashion-mnist"  # of Debian and Ubuntu
FASHION_SYSTEM_FOLDER = "/usr/share/datasets/fashion-mnist"  # where that package puts it, in our image too


@dataclass(frozen=True)
class Download:
    """The official archive or file."""

    url: str
    file: str
    num_bytes: int | None  # None: not published
    md5: str | None
    keeps: tuple[str, ...]  # folders that are unpacked, ending in a slash; empty: not an archive


@dataclass(frozen=True)
class Source:
    """One data set. Sizes are those of the official files."""

    name: str  # as in DATA.dataset
    folder: str  # below DATA_DIR
    num_classes: int
    num_train: int  # with the official validation part, where there is one
    num_test: int
    class_names: tuple[str, ...]  # empty: read from the files
    licence: str
    home: str
    download: Download | None = None

    @property
    def target(self) -> str:
        """What to type to get it."""
        return f"make fetch-{self.folder}"


SOURCES = {
    source.name: source
    for source in (
        Source(
            "FashionMNIST", "fashion-mnist", 10, 60_000, 10_000, FASHION_CLASSES,
            "MIT (Zalando SE)", "https://github.com/zalandoresearch/fashion-mnist",
        ),
        Source(
            "CIFAR10", "cifar10", 10, 50_000, 10_000, CIFAR10_CLASSES,
            "none stated; the authors ask to cite the technical report",
            "https://www.cs.toronto.edu/~kriz/cifar.html",
            Download(
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "cifar-10-binary.tar.gz",
                170_052_171, "c32a1d4ab5d03f1284b67883e8d87530", ("cifar-10-batches-bin/",),
            ),
        ),
        Source(
            "CIFAR100", "cifar100", 100, 50_000, 10_000, (),
            "none stated; the authors ask to cite the technical report",
            "https://www.cs.toronto.edu/~kriz/cifar.html",
            Download(
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", "cifar-100-binary.tar.gz",
                168_513_733, "03b5dce01913d631647c71ecec9e9cb8", ("cifar-100-binary/",),
            ),
        ),
        Source(
            "CINIC10", "cinic10", 10, 180_000, 90_000, CIFAR10_CLASSES,
            "CC BY 4.0; the pictures are of CIFAR-10 and ImageNet, whose terms hold for them",
            "https://datashare.ed.ac.uk/handle/10283/3192",
            Download(
                "https://datashare.ed.ac.uk/bitstream/handle/10283/3192/CINIC-10.tar.gz",
                "CINIC-10.tar.gz",
                687_544_992, "6ee4d0c996905fe93221de577967a372", ("train/", "valid/", "test/"),
            ),
        ),
        Source(
            "DermaMNIST", "dermamnist", 7, 8_010, 2_005, DERMA_CLASSES,
            "CC BY-NC 4.0 (MedMNIST, from HAM10000): not for commercial use",
            "https://zenodo.org/record/6496656",
            Download(
                "https://zenodo.org/record/6496656/files/dermamnist.npz?download=1", "dermamnist.npz",
                None, "0744692d530f8e62ec473284d019b0c7", (),
            ),
        ),
    )
}  # fmt: skip

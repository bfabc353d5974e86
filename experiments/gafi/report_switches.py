"""Where this re-implementation can do as the published code does: switches, with their reasons.

Loads with the settings alone. The README's table and the report's are held to this one by tests.
"""

from __future__ import annotations

from typing import Any

from suite.report.switches import Switch, Turned, turned_of

SWITCHES = (
    Switch("SEARCH.selection_split", "test", "the pictures that are reported also choose: CAS is flattered"),
    Switch("SEARCH.common_random_numbers", False, "candidates differ by the luck of their latents, too"),
    Switch("gan.DATA.merge_train_val", True, "the GAN learns from the pictures that choose afterwards"),
    Switch("gan.RUN.fixed_seed", True, "every epoch of a GAN sees the same latents, whatever its seed"),
    Switch("SAMPLING.max_attempts", 0, "a class that is never accepted is drawn for ever"),
    Switch("SAMPLING.fallback", "unfiltered", "what fills a class when the attempts are spent"),
    Switch("SAMPLING.multigan_streams", "shared", "in the first epoch all GANs get the same latents"),
    Switch(
        "SAMPLING.store", "float32", "uint8 rounds pictures to 255 levels and takes a quarter of the memory"
    ),
    Switch("COMPUTE.sn_stop_gradient", False, "gradients flow through the power iteration"),
    Switch("COMPUTE.init_sharing", "upstream", "all kernels of one shape begin with the same numbers"),
    Switch("COMPUTE.precision", "float32", "precision of the published runs, CINIC-10's search apart"),
    Switch("COMPUTE.lr_milestones", (60, 80), "the learning rate falls at these epochs whatever their total"),
    Switch("SEARCH.epochs", None, "candidates of the search train as long as the last run"),
    Switch("RECYCLE.search", 10, "epochs between two generations in the search"),
    Switch("RECYCLE.best", 1, "epochs between two generations in the last run and with several GANs"),
    Switch("RECYCLE.factor", 1.0, "share of the pictures that is replaced"),
)


def turned(config: Any) -> list[Turned]:
    """The switches of a run that do not do as published, in the order of SWITCHES."""
    return turned_of(config, ((switch.key, switch) for switch in SWITCHES))

"""A module in the place of a compiled extension that is not installed."""

from __future__ import annotations

import importlib.machinery
import sys
import types


def stand_in(name: str, **members) -> types.ModuleType:
    """Register module `name` with `members`; any other attribute is a function that refuses to run.

    Refusing only at the call lets a library that imports its whole extension work as far as it needs none.
    """
    module = types.ModuleType(name, doc="Stand-in for a compiled extension that is not installed.")
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, origin="stand-in")
    module.__dict__.update(members)

    def refusal(attribute: str):
        if attribute.startswith("__"):  # Python's own questions (is this a package?) want an honest no
            raise AttributeError(attribute)

        def refuse(*_args, **_kwargs):
            raise NotImplementedError(f"{name}.{attribute} is compiled code that this environment lacks;"
                                      " use the torchvision operator instead")
        return refuse

    module.__getattr__ = refusal
    sys.modules[name] = module
    return module

"""The grids of the search: inclusive ranges as text, lists as they are (GaFi, published configs).

Pure Python: the settings import it, and they load without numpy.
"""

from __future__ import annotations

import ast
import math
from typing import Any, Literal

from suite.errors import BadInput

Kind = Literal["ckpt", "stddev", "threshold"]
DECIMALS = 3  # published code: values of a range are rounded, so that 0.1 * 3 is written 0.3
MAX_VALUES = 10_000  # of a range: each is a training, so more are a slip of the pen
KEYS = {"ckpt": "ckpt_epochs", "stddev": "stddev_search", "threshold": "threshold_search"}


def expand(value: Any, *, kind: Kind) -> tuple[int | float, ...]:
    """The values of a grid, in order: integers for `ckpt`, floats for the others.

    value: the text "(start, end, step)", a range that includes its end, of the type of its step; the text
    "[a, b, c]", or a list or tuple, taken as it is (YAML has no tuples, so a tuple here is a list that the
    settings have read already; expanding twice changes nothing); one number is a grid of one.
    Raises BadInput for anything else: an empty grid, a value twice, an epoch that is no integer or below 1,
    a standard deviation that is not above 0, a threshold outside [0, 1).
    """
    key = KEYS[kind]
    parsed = _literal(value, key) if isinstance(value, str) else value
    if isinstance(parsed, (int, float)) and not isinstance(parsed, bool):
        parsed = [parsed]
    if isinstance(value, str) and isinstance(parsed, tuple):
        parsed = _range(parsed, key)
    if not isinstance(parsed, (list, tuple)):
        raise BadInput(f"`{key}` is {value!r}", fix="write (start, end, step) or a list of values")
    if not parsed:
        raise BadInput(f"`{key}` is {value!r}, an empty grid", fix="give at least one value")
    values = tuple(_check(v, kind, key) for v in parsed)
    if len(set(values)) < len(values):
        raise BadInput(f"`{key}` is {value!r}, which has a value twice", fix="name each value once")
    return values


def _literal(text: str, key: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        fix = "write (start, end, step) or a list of values"
        raise BadInput(f"`{key}` is {text!r}, no Python literal", fix=fix) from None


def _range(parsed: tuple, key: str) -> list[int | float]:
    numbers = [v for v in parsed if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(parsed) != 3 or len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        fix = "a range has three numbers (start, end, step); a list stands in brackets [a, b]"
        raise BadInput(f"`{key}` is {parsed!r}", fix=fix)
    start, end, step = numbers
    if step <= 0:
        raise BadInput(f"`{key}` is {parsed!r}", fix="the step must be above 0")
    # Half a rounding unit of slack: (1, 2, 0.05) has 21 values, whatever binary floats say about its end.
    count = math.floor((end - start + 0.5 * 10**-DECIMALS) / step) + 1
    if count > MAX_VALUES:
        raise BadInput(f"`{key}` is {parsed!r}, {count} values", fix="give a wider step")
    return [type(step)(round(start + i * step, DECIMALS)) for i in range(max(count, 0))]


def _check(value: Any, kind: Kind, key: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadInput(f"`{key}` holds {value!r}", fix="give numbers")
    if kind == "ckpt":
        if not isinstance(value, int) or value < 1:
            raise BadInput(f"`{key}` holds {value!r}", fix="epochs are integers from 1 on")
        return value
    if kind == "stddev" and value <= 0:
        raise BadInput(f"`{key}` holds {value!r}", fix="a standard deviation is above 0")
    if kind == "threshold" and not 0 <= value < 1:
        fix = "a threshold is at least 0 and below 1: no confidence is above 1"
        raise BadInput(f"`{key}` holds {value!r}", fix=fix)
    return float(value)

"""What a search varies: from words of the command line to distributions of Optuna.

temperature                       the default range
learning_rate=1e-4:0.1            a range, on the parameter's own scale
warmup_steps=0:80:20              a range with a step
weight_decay=0:0.1:linear         a range, evenly searched (or :log)
width=16,32,64                    these values only
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias, cast

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from raymm.errors import ConfigError, nearest

Value: TypeAlias = float | int | str
Params: TypeAlias = Mapping[str, Any]
"""Values of what is searched, by the names that a cell's settings have."""
Space: TypeAlias = Mapping[str, BaseDistribution]
Numeric: TypeAlias = FloatDistribution | IntDistribution
SCALES = ("log", "linear")
SIZES = ("width", "depth", "fusion_tokens")
"""What makes a model larger, of all that can be searched."""


@dataclass(frozen=True)
class Searchable:
    """A setting of a cell that can be searched.

    Attributes:
        kind: of its values.
        log: whether its range is searched on a logarithmic scale unless asked otherwise.
        default: its range where none is given, from the value that the preset has.
        models: those that have it; empty for all.
    """

    kind: type[float] | type[int] | type[str]
    log: bool
    default: Callable[[Any], str]
    models: tuple[str, ...] = ()


SEARCHABLE: Mapping[str, Searchable] = {
    "temperature": Searchable(float, True, lambda _: "0.02:0.5"),
    "learning_rate": Searchable(float, True, lambda value: f"{value / 16:.6g}:{value * 8:.6g}"),
    "weight_decay": Searchable(float, True, lambda _: "0.0001:0.3"),
    "warmup_steps": Searchable(int, False, lambda value: f"0:{3 * max(value, 1)}"),
    "width": Searchable(int, False, lambda value: f"{value // 2},{value},{2 * value}"),
    "depth": Searchable(int, False, lambda value: f"1:{2 * value}"),
    "fusion_tokens": Searchable(int, False, lambda value: f"1:{4 * value}", ("mca", "zorro")),
    "negatives": Searchable(str, False, lambda _: "present,all"),
}


def parse_space(words: Iterable[str], defaults: Params) -> dict[str, BaseDistribution]:
    """The space that words of the command line stand for.

    Args:
        defaults: value of each searchable setting by preset; ranges left out are around it.

    Raises:
        ConfigError: the space is empty, or a word cannot be understood.
    """
    space: dict[str, BaseDistribution] = {}
    for word in words:
        name, given, text = word.partition("=")
        name = name.replace("-", "_")
        if name not in SEARCHABLE:
            raise ConfigError(f"--space: '{name}' cannot be searched: {nearest(name, SEARCHABLE)}")
        if name in space:
            raise ConfigError(f"--space: '{name}' is there twice. Give it once, with one range.")
        if given and not text.strip():
            raise ConfigError(
                f"--space {word}: there is nothing after '='. Give low:high, or values with commas "
                f"between, or '{name}' alone for its default range."
            )
        searchable = SEARCHABLE[name]
        space[name] = _distribution(name, text or searchable.default(defaults[name]), searchable)
    if not space:
        raise ConfigError(
            "--space is empty: there is nothing to search. Name one or more of "
            f"{', '.join(SEARCHABLE)}."
        )
    return space


def space_of(model: str, space: Space) -> dict[str, BaseDistribution]:
    """The part of the space that a model has settings for.

    Raises:
        ConfigError: it has none of them.
    """
    own = {
        name: distribution
        for name, distribution in space.items()
        if model in (SEARCHABLE[name].models or (model,))
    }
    if not own:
        raise ConfigError(
            f"--space has nothing that model '{model}' could use: it has no {', '.join(space)}. "
            "Add another setting to --space, or leave the model out."
        )
    return own


def _distribution(name: str, text: str, searchable: Searchable) -> BaseDistribution:
    if "," in text or searchable.kind is str:
        values = [_value(name, part, searchable) for part in text.split(",")]
        if len(set(values)) < len(values):
            raise ConfigError(f"--space {name}={text}: give each value only once.")
        return CategoricalDistribution(values)
    parts = text.split(":")
    if len(parts) not in (2, 3):
        raise ConfigError(
            f"--space {name}={text} cannot be understood. Give low:high, low:high:step, "
            "low:high:log, low:high:linear, or values with commas between."
        )
    log, step = searchable.log, None
    if len(parts) == 3 and parts[2] in SCALES:
        log = parts[2] == "log"
    elif len(parts) == 3:
        log, step = False, _value(name, parts[2], searchable)
    low, high = (_value(name, part, searchable) for part in parts[:2])
    return _range(f"--space {name}={text}", searchable, low, high, step, log)


def _range(
    where: str, searchable: Searchable, low: Any, high: Any, step: Any, log: bool
) -> Numeric:
    if not low < high:
        raise ConfigError(f"{where}: {low} is not below {high}. Give a range, or leave it out.")
    if log and low <= 0:
        raise ConfigError(f"{where}: a logarithmic range must begin above 0. Add :linear.")
    if step is not None and not 0 < step <= high - low:
        raise ConfigError(f"{where}: a step of {step} does not fit into the range.")
    if searchable.kind is int:
        whole = 1 if step is None else step
        return IntDistribution(low, low + (high - low) // whole * whole, log=log, step=whole)
    if step is not None:
        # Optuna lowers an end that the step misses, and warns; here it is lowered without. In
        # decimals, as people write them: 3 x 0.1 is 0.3.
        first, last, each = (Decimal(str(number)) for number in (low, high, step))
        high = float(first + (last - first) // each * each)
    return FloatDistribution(low, high, log=log, step=step)


def _value(name: str, text: str, searchable: Searchable) -> Value:
    """One value; whether the setting may have it is for the settings to say."""
    try:
        value = searchable.kind(text.strip())
    except ValueError as error:
        wanted = {int: "a whole number", float: "a number"}[searchable.kind]
        raise ConfigError(f"--space {name}: '{text}' is not {wanted}.") from error
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"--space {name}: '{text}' is not a finite number.")
    return value


def edges(distribution: BaseDistribution) -> tuple[Value, ...]:
    """The values between or among which all others are: what must be allowed for all to be."""
    if isinstance(distribution, CategoricalDistribution):
        return _choices(distribution)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low, distribution.high


def _choices(distribution: CategoricalDistribution) -> tuple[Value, ...]:
    return cast(tuple[Value, ...], tuple(distribution.choices))


def grid_points(name: str, distribution: BaseDistribution) -> tuple[Value, ...]:
    """All values of a distribution that has finitely many.

    Raises:
        ConfigError: it is a range without a step.
    """
    if isinstance(distribution, CategoricalDistribution):
        return _choices(distribution)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if step is None or distribution.log:
        raise ConfigError(
            f"--sampler grid cannot walk through {name}={low:g}:{high:g}, a range without steps. "
            f"Give values ({name}={low:g},{high:g}) or a step ({name}={low:g}:{high:g}:STEP)."
        )
    count = round((high - low) / step) + 1
    return tuple(distribution.high if i == count - 1 else low + i * step for i in range(count))


def contains(space: Space, params: Params) -> bool:
    """Whether a point lies in the space."""
    return all(_holds(distribution, params[name]) for name, distribution in space.items())


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if not distribution.low <= value <= distribution.high:
        return False
    if distribution.step is None:
        return True
    steps = (value - distribution.low) / distribution.step
    return math.isclose(steps, round(steps), abs_tol=1e-8)


def space_words(space: Space) -> dict[str, str]:
    """The space as people write it: {"temperature": "0.02:0.5:log", "width": "16,32,64"}."""
    return {name: _word(distribution) for name, distribution in space.items()}


def _word(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return ",".join(_shown(choice) for choice in distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    scale = "log" if distribution.log else "linear" if step is None else f"{step:g}"
    return f"{_shown(low)}:{_shown(high)}:{scale}"


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

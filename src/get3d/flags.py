"""Command-line options from configurations: translates `get3d.options` for tyro."""

import dataclasses
import inspect
import re
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro
from tyro.constructors import (
    MISSING_NONPROP,
    ConstructorRegistry,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from get3d.files import InputError
from get3d.options import Option

__all__ = ["REGISTRY", "errors_in_one_line"]

REGISTRY = ConstructorRegistry()
"""Reads the configurations of this package."""

_METAVARS = {int: "INT", float: "FLOAT", str: "STR", Path: "PATH"}
_LONG = 8
"""Digits after which a number in help is rounded to two decimals: 49.13 for 49.13434264120262."""

_NO_NUMBER = re.compile(r"(invalid literal for int|could not convert string to float).*: ('.*')$", re.MULTILINE)
"""What Python says of a text that is no number."""


@REGISTRY.struct_rule
def _configuration(info: StructTypeInfo) -> StructConstructorSpec | None:
    """The options of a dataclass, those that are common first."""
    if not (is_dataclass(info.type) and info.type.__module__.startswith("get3d.")):
        return None
    hints = get_type_hints(info.type, include_extras=True)
    specs = []
    for field in fields(info.type):
        option, annotation = _option(hints[field.name])
        default = _default(field, info.default)
        markers = _markers(option, annotation, default)
        help_text = partial(_help, info.type, field.name)
        # tyro takes types at run time.
        annotated: Any = Annotated[(annotation, *markers)] if markers else annotation
        specs.append((not option.common, StructFieldSpec(field.name, annotated, default, help_text)))
    # Sorting is stable.
    ordered = tuple(spec for _, spec in sorted(specs, key=lambda pair: pair[0]))
    return StructConstructorSpec(instantiate=info.type, fields=ordered)


def _option(annotation: Any) -> tuple[Option, Any]:
    """What is said of a field, and its bare type."""
    if get_origin(annotation) is not Annotated:
        return Option(), annotation
    bare, *said = get_args(annotation)
    option = next((one for one in said if isinstance(one, Option)), None)
    return (Option(), annotation) if option is None else (option, bare)


def _default(field: dataclasses.Field[Any], parent: Any) -> Any:
    if is_dataclass(parent) and hasattr(parent, field.name):
        return getattr(parent, field.name)
    if field.default is not MISSING:
        return field.default
    return MISSING_NONPROP if field.default_factory is MISSING else field.default_factory()


def _markers(option: Option, annotation: Any, default: Any) -> list[Any]:
    hint = None
    if default is None:
        hint = "(optional)" if option.default is None else f"(default: {option.default})"
    elif isinstance(default, float) and len(f"{default}") > _LONG:
        hint = f"(default: {default:.2f})"
    markers: list[Any] = [
        tyro.conf.arg(
            name="" if option.flat else option.flag,
            aliases=option.aliases or None,
            metavar=option.positional or (_metavar(annotation) if default is None else None),
            help_behavior_hint=hint,
        )
    ]
    if option.positional is not None:
        markers.append(tyro.conf.Positional)
    if option.hidden:
        markers.append(tyro.conf.Suppress)
    if option.fixed:
        markers.append(tyro.conf.AvoidSubcommands)
    return markers


def _metavar(annotation: Any) -> str | None:
    """What stands for the value of an option that is None only as long as it is not given."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, types.UnionType):
        return None
    (first, *others) = (each for each in get_args(annotation) if each is not types.NoneType)
    if others:
        return None
    if get_origin(first) is Literal:
        return "{" + ",".join(get_args(first)) + "}"
    parts = get_args(first) if get_origin(first) is tuple else (first,)
    if len(parts) == 2 and parts[1] is ...:
        return f"{_METAVARS[parts[0]]} [{_METAVARS[parts[0]]} ...]" if parts[0] in _METAVARS else None
    return " ".join(_METAVARS[part] for part in parts) if all(part in _METAVARS for part in parts) else None


def _help(owner: type, name: str) -> str | None:
    """What the docstring of the class, or of one that it is made from, says of an attribute."""
    return next((texts[name] for each in owner.__mro__ if name in (texts := _attributes(each))), None)


@cache
def _attributes(owner: type) -> dict[str, str]:
    """The section "Attributes" of a class's docstring."""
    _, _, section = inspect.cleandoc(owner.__doc__ or "").partition("\nAttributes:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


@contextmanager
def errors_in_one_line(example: str) -> Iterator[None]:
    """While a command line is read: what is missing or wrong in it is said as all other errors are.

    Of options that it does not know tyro says it in its own way, with a list of similar ones; and of everything in
    versions without this hook, which is not public.

    Args:
        example: a command line of the same command.

    Raises:
        InputError: a required argument, or the name of a command or preset, is missing, or a value is none that its
            option takes; names it.
    """
    errors: Any = getattr(tyro, "_errors", None)
    if not hasattr(errors, "on_parse_error"):
        yield
        return

    def say(event: Any) -> None:
        if isinstance(event, errors.MissingSubcommand):
            known = ", ".join(event.subcommand_spec.parser_from_name)
            raise InputError(f"give one of {known}; for example: {example}")
        if isinstance(event, errors.MissingArgs) and not event.unrecognized_tokens:
            names = [_shown(each.arg) for each in event.missing_arguments]
            verb = "are" if len(names) > 1 else "is"
            raise InputError(f"{' and '.join(names)} {verb} missing; for example: {example}")
        if isinstance(event, errors.InvalidChoice):
            # In the order of help, and without the None of those that are not given.
            metavar = str(event.argument.lowered.metavar)
            known = ", ".join(metavar[1:-1].split(",") if metavar.startswith("{") else event.choices)
            raise InputError(f"{_shown(event.argument)} is {event.value!r}; choose from {known}")
        if isinstance(event, errors.BadValue) and event.reason == "too_few_values":
            raise InputError(f"{_shown(event.argument)} has too few values; give {event.argument.lowered.metavar}")
        if isinstance(event, errors.InstantiationFailure) and event.argument is not None:
            number = _NO_NUMBER.search(event.message)
            if number is None:
                raise InputError(f"{_shown(event.argument)} is not understood; give {event.argument.lowered.metavar}")
            kind = "a number" if number[1].endswith("float") else "an integer"
            raise InputError(f"{_shown(event.argument)} is {number[2]}; give {kind}")

    with errors.on_parse_error(say):
        yield


def _shown(argument: Any) -> str:
    """What help calls an argument."""
    return str(argument.lowered.metavar if argument.is_positional() else argument.display_name())

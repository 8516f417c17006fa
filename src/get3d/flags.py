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
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

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

__all__ = ["REGISTRY", "missing_in_one_line"]

REGISTRY = ConstructorRegistry()
"""Reads the configurations of this package."""

_METAVARS = {int: "INT", float: "FLOAT", str: "STR", Path: "PATH"}
_LONG = 8
"""Digits after which a number in help is rounded to two decimals: 49.13 for 49.13434264120262."""


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
    if get_origin(annotation) in (Union, types.UnionType):
        (first, *others) = (each for each in get_args(annotation) if each is not types.NoneType)
        return None if others else _METAVARS.get(first)
    return None


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
def missing_in_one_line(example: str) -> Iterator[None]:
    """While a command line is read: what is missing in it is said as all other errors are.

    Versions of tyro without this hook, which is not public, say it in their own way.

    Args:
        example: a command line of the same command.

    Raises:
        InputError: a required argument, or the name of a command or preset, is missing; names it.
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
            arguments = [each.arg for each in event.missing_arguments]
            names = [str(one.lowered.metavar) if one.is_positional() else one.display_name() for one in arguments]
            verb = "are" if len(names) > 1 else "is"
            raise InputError(f"{' and '.join(names)} {verb} missing; for example: {example}")

    with errors.on_parse_error(say):
        yield

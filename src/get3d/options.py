"""How a configuration field appears on the command line, independent of the command-line library.

It is part of the annotation, such as `Annotated[Path, Option(positional="DATA")]`; `get3d.flags` reads it.
"""

from dataclasses import dataclass

__all__ = ["Option"]


@dataclass(frozen=True)
class Option:
    """How a field is given on the command line.

    Attributes:
        flag: name of the option, if it differs from the field.
        aliases: other names, with their dashes.
        positional: the field is a positional argument with this name in the help.
        default: text in the help for a default of None.
        common: the option is first in the help.
        hidden: the field is not an option.
        flat: the options of this configuration have no prefix.
        fixed: of several types, only the default's is used, without a sub-command for each.
    """

    flag: str | None = None
    aliases: tuple[str, ...] = ()
    positional: str | None = None
    default: str | None = None
    common: bool = False
    hidden: bool = False
    flat: bool = False
    fixed: bool = False

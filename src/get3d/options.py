"""What a command line says of a field of a configuration, in words that know no library of command lines.

It stands in the field's annotation, as `Annotated[Path, Option(positional="DATA")]`; `get3d.flags` reads it.
"""

from dataclasses import dataclass

__all__ = ["Option"]


@dataclass(frozen=True)
class Option:
    """How a field is given on the command line.

    Attributes:
        flag: name of the option, where it is not the field's.
        aliases: other names, with their dashes.
        positional: given without a name; this is what help calls it.
        default: what help says where the field is None by default: what is taken then.
        common: stands first in help.
        hidden: cannot be given.
        flat: the options of this configuration have no prefix.
        fixed: of several types the default's is taken; there is no sub-command for each.
    """

    flag: str | None = None
    aliases: tuple[str, ...] = ()
    positional: str | None = None
    default: str | None = None
    common: bool = False
    hidden: bool = False
    flat: bool = False
    fixed: bool = False

"""Exceptions of this package. Each text names the thing that failed and what helps."""

from __future__ import annotations


class MeshChatError(Exception):
    """Base of all exceptions of this package."""


class ArgumentError(MeshChatError, ValueError):
    """An argument makes no sense: an id that is none, a nickname with spaces, a link that cannot be parsed."""


class EmptyMessageError(ArgumentError):
    """The message is empty."""


class MessageTooLongError(ArgumentError):
    """The message is longer than 1 MiB."""


class UnknownNodeError(MeshChatError, LookupError):
    """Nobody of that name or id is known."""


class UnknownFileError(MeshChatError, LookupError):
    """No file with this id is known."""


class UnknownRoomError(MeshChatError, LookupError):
    """No room with this name or id is known."""


class RoomError(MeshChatError):
    """The room does not allow it: this node is not its owner or no member, or the room is full or closed."""


class AmbiguousNodeError(MeshChatError, LookupError):
    """A name or id prefix fits several nodes, or a nickname is used by several keys."""


class BlockedError(MeshChatError):
    """The person has blocked the node."""


class OutOfReachError(MeshChatError):
    """There is no way to the node now."""


class TimedOutError(MeshChatError, TimeoutError):
    """No answer came in time."""


class BusyError(MeshChatError):
    """Too much of this is under way: try again in a moment."""


class StreamClosedError(MeshChatError, ConnectionError):
    """The stream is not open, or no more."""


class RefusedError(MeshChatError, ConnectionRefusedError):
    """The other side takes no connection now."""


class DisconnectedError(MeshChatError, ConnectionError):
    """The connection is over."""


class HomeInUseError(MeshChatError):
    """The home is in use by another running node."""


class NoKeyError(MeshChatError):
    """There is no key in the home, or no network key in the file."""


class KeyExistsError(MeshChatError):
    """There is a key in the home, or in the file of the network key, already."""


class KeyFileError(MeshChatError):
    """The key file cannot be used."""


class KeyTooOpenError(KeyFileError):
    """The key file is readable by others."""


class KeyCorruptError(KeyFileError):
    """The key file is not a key that can be used."""


class PassphraseNeededError(MeshChatError):
    """The key file is protected and no passphrase was given."""


class WrongPassphraseError(MeshChatError):
    """The passphrase is wrong."""


class StorageError(MeshChatError):
    """The disk or the database refuses: full, read-only, corrupt, or of a newer version."""


class LinkError(MeshChatError):
    """No link could be opened."""


class LinkPermissionError(LinkError):
    """A link needs a privilege that this process lacks."""


class StoppedError(MeshChatError):
    """The node has been stopped, or was not started."""


class InternalError(MeshChatError):
    """A defect of this package."""


#: The class for each kind of error of the core.
CLASS_OF_KIND: dict[str, type[MeshChatError]] = {
    "InvalidArgument": ArgumentError,
    "EmptyMessage": EmptyMessageError,
    "MessageTooLong": MessageTooLongError,
    "UnknownNode": UnknownNodeError,
    "UnknownFile": UnknownFileError,
    "UnknownRoom": UnknownRoomError,
    "Room": RoomError,
    "AmbiguousNode": AmbiguousNodeError,
    "Blocked": BlockedError,
    "OutOfReach": OutOfReachError,
    "TimedOut": TimedOutError,
    "Busy": BusyError,
    "StreamClosed": StreamClosedError,
    "Refused": RefusedError,
    "Disconnected": DisconnectedError,
    "HomeInUse": HomeInUseError,
    "NoKey": NoKeyError,
    "KeyExists": KeyExistsError,
    "KeyTooOpen": KeyTooOpenError,
    "KeyCorrupt": KeyCorruptError,
    "PassphraseNeeded": PassphraseNeededError,
    "WrongPassphrase": WrongPassphraseError,
    "Storage": StorageError,
    "Link": LinkError,
    "Permission": LinkPermissionError,
    "Stopped": StoppedError,
    "Internal": InternalError,
}


def error_of_kind(kind: str, text: str) -> MeshChatError:
    """The exception for an error of the core; called by the binding."""
    return CLASS_OF_KIND.get(kind, InternalError)(text)

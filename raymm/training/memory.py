"""Telling whether an error says that there was not enough memory. Imports no torch."""

from __future__ import annotations

HOST_ALLOCATOR = ("can't allocate memory", "not enough memory")
"""What torch's CPU allocators say, in a plain RuntimeError."""
NODE_LOW = ("running low on memory", "memory usage threshold")
"""What Ray says of a process that it killed so that the node would not run out of memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a process had too little memory: on its GPU, or on the host."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"MemoryError", "OutOfMemoryError"}:  # Python's; torch's and Ray's own
        return True
    ran_out = any(words in str(error) for words in HOST_ALLOCATOR)
    return isinstance(error, RuntimeError) and ran_out


def is_killed_for_memory(error: BaseException) -> bool:
    """Whether Ray killed a process because its node was about to run out of memory."""
    return is_out_of_memory(error) or any(words in str(error) for words in NODE_LOW)

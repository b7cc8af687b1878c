"""Ids that carry their number: any batch of a million is found from its id without a table."""

from typing import Literal

_BITS = 96
_MASK = (1 << _BITS) - 1
_FACTOR = 0xD1342543DE82EF95A3C59AC3
_INVERSE = pow(_FACTOR, -1, 1 << _BITS)

Kind = Literal["input", "output", "error", "upload"]
FILE_KINDS: dict[Kind, int] = {
    "input": 0x1B873593CC9E2D51E6546B64,
    "output": 0x85EBCA6BC2B2AE3527D4EB2F,
    "error": 0x9E3779B97F4A7C15F39CC060,
    "upload": 0x2545F4914F6CDD1D94D049BB,
}

# Numbers of batches made by POST start here, far above any that the world derives.
CREATED = 1 << 40


def mix(number: int) -> int:
    """Scatters an integer over 64 bits (splitmix64), so that neighbours share nothing."""
    number = (number * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return number ^ (number >> 31)


def encode(number: int, key: int) -> int:
    """The 96-bit code of a number: a bijection, so `decode` needs no table."""
    code = (number * _FACTOR + key) & _MASK
    # Shifting by half the width is its own inverse and hides how regular the low bits are.
    return code ^ (code >> 48)


def decode(code: int, key: int) -> int:
    """The number behind a code. A made-up code gives a huge number, which no world holds."""
    code ^= code >> 48
    return ((code - key) * _INVERSE) & _MASK


def batch_id(code: int, created_at: int) -> str:
    """`batch_` and 32 hex digits, of which OpenAI's first eight are the time of creation."""
    # Bytes print as hex several times faster than a long integer does.
    return "batch_" + (created_at << _BITS | code).to_bytes(16).hex()


def file_id(code: int, kind: Kind) -> str:
    """`file-` and 24 hex digits; the kind is folded into the code."""
    return "file-" + (code ^ FILE_KINDS[kind]).to_bytes(12).hex()


def read_batch_id(text: str, key: int) -> int | None:
    """The number of a batch, or None when the text cannot be one of our ids."""
    digits = text.removeprefix("batch_")
    if len(digits) != 32 or digits == text:
        return None
    try:
        return decode(int(digits[8:], 16), key)
    except ValueError:
        return None


def read_file_id(text: str, key: int) -> tuple[Kind, int] | None:
    """What a file id stands for: its kind, and the number of its batch or upload."""
    digits = text.removeprefix("file-")
    if len(digits) != 24 or digits == text:
        return None
    try:
        code = int(digits, 16)
    except ValueError:
        return None
    for kind, fold in FILE_KINDS.items():
        number = decode(code ^ fold, key)
        # Only the right kind unfolds to a small number; the others land anywhere in 96 bits.
        if number < 2 * CREATED:
            return kind, number
    return None

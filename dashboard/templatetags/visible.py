"""The words of strangers without what cannot be seen and what turns the words around it."""

# Control characters as their pictures (U+2400 ...), but for the tab and the line break; those above 0x7f have none.
VISIBLE = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {0x7F: 0x2421}
VISIBLE |= dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
# Overrides and their kin make `exe.gnp` read as `png.exe`, so they are seen as well. No language needs them in a name.
VISIBLE |= dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
# Single marks of direction, which Hebrew and Arabic words may hold, turn only what stands beside them.
MARKS = dict.fromkeys([0x200E, 0x200F, 0x061C])


def visible(text: object) -> str:
    words = str("" if text is None else text)
    return words if words.isprintable() else words.translate(VISIBLE)

"""Which failures are the same error: 2,000 lines of an error file are mostly three errors with different numbers.

A message is brought to its signature by taking out what belongs to one request and leaving what belongs to the error.
The rules stand below in the order in which they are tried; each says what it leaves instead. Three decisions:

- A quoted word stays when it is a parameter, or another word, of a vendor's API, and goes when it is anything else.
  "Unsupported parameter: 'max_tokens'" and "... 'temperature'" are two errors; "Invalid value: 'foo'" and "... 'bar'"
  are one. The words are listed, because nothing else tells `'seed'` from a customer's own `'seeds'`.
- A model's name goes, quoted or not. A message names the model that its request asked for, and a batch asks for one
  model: kept, it would split one error into as many as there are fine-tuned models, and add nothing that the batch does
  not show.
- An HTTP status in a text stays: it is the one number that tells errors apart. All other numbers go, their units stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from typing import Final, NamedTuple

from .api_words import API_WORDS

LONGEST_MESSAGE: Final = 300
"""Characters of a normalised message. Whatever differs behind them does not make another error."""
_LONGEST_READ: Final = 1_500
_ROUNDS: Final = 8


class Signature(NamedTuple):
    """`key` is the same for the same error, in every process and version of Python: 32 hexadecimal digits. `message` is
    normalised, for people."""

    key: str
    message: str


def signature_of(status: int | None, code: str, message: str) -> Signature:
    """What is common to all failures that are one error: HTTP status, the vendor's code (or type), and the message."""
    return _signature_of(status, code[:200], message[:_LONGEST_READ])


@lru_cache(maxsize=1024)
def _signature_of(status: int | None, code: str, message: str) -> Signature:
    said = normalised(message)
    # Vendors change a capital or a full stop more easily than an error.
    same = f"{status or ''}\n{code.strip().casefold()}\n{said.casefold().rstrip(' .!…')}"
    return Signature(blake2b(same.encode(errors="replace"), digest_size=16).hexdigest(), said)


def normalised(message: str) -> str:
    """The message without what belongs to one request. Normalising it again changes nothing."""
    return _settled(_taken_out(message[:_LONGEST_READ]))


@lru_cache(maxsize=1024)
def _settled(text: str) -> str:
    # What one rule leaves can be what another one takes, mostly in a list; hardly ever more than once.
    for _ in range(_ROUNDS):
        before, text = text, _cut(_taken_out(text))
        if text == before:
            break
    return text


def _cut(text: str) -> str:
    if len(text) <= LONGEST_MESSAGE:
        return text
    end = text.rfind(" ", LONGEST_MESSAGE // 2, LONGEST_MESSAGE - 1)
    return text[: end if end > 0 else LONGEST_MESSAGE - 1].rstrip(" …") + "…"


def _taken_out(text: str) -> str:
    if not text.isprintable():
        text = _UNPRINTABLE.sub(" ", text)
    text = _RULE.sub(_apply, " ".join(text.split()))
    return _LIST.sub(r"\1", text)


def _apply(match: re.Match[str]) -> str:
    rule = _RULES[match.lastgroup or ""]
    return rule if isinstance(rule, str) else rule(match)


def _keep(match: re.Match[str]) -> str:
    return match[0]


def _before(tail: str, leaves: str) -> Callable[[re.Match[str]], str]:
    """Leave `leaves`, and the punctuation of the sentence that the pattern took along."""

    def left(match: re.Match[str]) -> str:
        return leaves + match[0][len(match[0].rstrip(tail)) :]

    return left


def _quoted(match: re.Match[str]) -> str:
    """A quoted text: a word of the API, a model, the words of an error inside the error, or somebody's value."""
    start, text = match.start(), match.string
    before = text[max(0, start - 24) : start]
    inside = match[0][1:-1]
    if _SAYS.search(before):
        return match[0][0] + _RULE.sub(_apply, inside) + match[0][-1]
    if (place := _place(inside)) is not None:
        return match[0][0] + place + match[0][-1]
    return "<model>" if _MODEL.fullmatch(inside) or _NAMES_A_MODEL.search(before) else "<value>"


def _place(path: str) -> str | None:
    """A parameter, or a place inside of one: `messages.[0].content` becomes `messages[#].content`; names that are not
    the API's become `*`. None for what begins with none."""
    if not _PATH.fullmatch(path):
        return None
    bare = path.removeprefix("$").removeprefix(".").removeprefix("body.")
    names = [name for name in re.split(r"[.\[\]]+", bare) if name]
    if not names or names[0] not in API_WORDS:
        return None
    shown = names[0]
    for name in names[1:]:
        shown += "[#]" if name == "#" or name.isdecimal() else f".{name if name in API_WORDS else '*'}"
    return shown


def _pointer(match: re.Match[str]) -> str:
    """A path; when it leads into a request (a JSON pointer), its known names stay."""
    first, *rest = match[0].strip("/").split("/")
    if first not in API_WORDS:
        return "<path>" + match[0][len(match[0].rstrip(".")) :]
    names = ("#" if name == "#" or name.isdecimal() else name if name in API_WORDS else "*" for name in rest)
    return "/".join(("", first, *names))


def _word(match: re.Match[str]) -> str:
    """A word with digits in it: an id, a place in the request, or a name with a number."""
    word = match[0].rstrip(".:-/")
    tail = match[0][len(word) :]
    if _PATH.fullmatch(word) and _INDEX.search(word):
        return (_place(word) or _INDEX.sub("[#]", word)) + tail
    word = _UUID.sub("<id>", word)
    word = _RUN.sub(_run, word)
    return _NUMBER_IN_NAME.sub("<n>", word) + tail


def _number(match: re.Match[str]) -> str:
    """What begins with a digit: a number, a number with a unit, or an id."""
    word = match[0].rstrip(".:-/,")
    tail = match[0][len(word) :]
    if _UUID.match(word) or _RUN.sub(_run, word) != word:
        return _NUMBER_IN_NAME.sub("<n>", _RUN.sub(_run, _UUID.sub("<id>", word))) + tail
    return _NUMBER.sub("<n>", word, count=1) + tail


def _run(match: re.Match[str]) -> str:
    """Letters and digits without anything between: random ones are an id."""
    run = match[0]
    numbers = sum(map(str.isdecimal, run))
    letters = len(run) - numbers
    if numbers < 1 or letters < 1 or len(run) < 8:
        return run
    changes = sum(a.isdecimal() != b.isdecimal() for a, b in pairwise(run))
    is_random = _HEX.fullmatch(run) or (numbers >= 2 and (changes >= 3 or (len(run) >= 10 and numbers >= 4)))
    return "<id>" if is_random else run


_PLACEHOLDERS: Final = "data|duration|file|hidden|id|model|n|path|time|url|value"
_IDS: Final = (
    "batch_req|batch|msgbatch|chatcmpl|cmpl|file|req|resp|rs|msg|call|toolu|fc|asst|thread|run|step|vsfb|vs|ftjob|ft|modr"
    "|evt|sess|container|upload|part|proj|user|acct|task|job|item|trace|request|conv|key"
)
_FAMILIES: Final = (
    r"ft:|(?:chat)?gpt-\w|o[1-9](?:-(?:mini|pro|preview|deep)|(?![\w-]))|claude-|gemini-|gemma-?\d|(?:code|meta-)?llama-?\d"
    r"|llama-|(?:open-)?mi[sx]tral-|codestral-|ministral-|magistral-|pixtral-|voxtral-|devstral-|qwen[\d-]|qwq-|deepseek-"
    r"|text-(?:embedding|moderation|davinci)-|omni-moderation-|davinci-|babbage-|whisper-|tts-\d|dall-e-|sora-\d|grok-\d"
    r"|command-(?:r|a|light)|embed-(?:english|multilingual|v\d)|rerank-|voyage-|nova-(?:pro|lite|micro)|titan-|phi-\d"
    r"|kimi-|moonshot-|glm-\d|minimax-|jamba-|sonar-|nemotron-|hermes-|ernie-|hunyuan-|doubao-"
)
_MONTH: Final = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_FILES: Final = (
    "jsonl?|csv|tsv|txt|md|pdf|docx?|xlsx?|pptx?|png|jpe?g|gif|webp|bmp|svg|tiff?|heic|mp[34]|m4a|wav|webm|mov|py|html?|xml"
    "|ya?ml|zip|gz|parquet|safetensors|gguf"
)

# In this order at every place of the text: name, pattern, and what is left instead. All run in time linear to the text
# but for a factor that the length read bounds. Letters and digits are ASCII's: between Chinese characters a number is
# a number. What a rule leaves, no rule may take; `<` and `>` are in no pattern but the first.
_TABLE: Final[tuple[tuple[str, str, str | Callable[[re.Match[str]], str]], ...]] = (
    ("placeholder", rf"<(?:{_PLACEHOLDERS})>", _keep),
    (
        "status",
        r"\b(?:(?:status|error)\s(?:code)?|code|http(?:/\d(?:\.\d)?)?(?:\s(?:status|error))?|answered|returned)"
        r"[\s:=]{0,3}[1-5]\d\d(?![\w%]|[.,]\d)",
        _keep,
    ),
    ("endpoint", r"(?<![\w.\-])/v\d(?:(?:alpha|beta)\d?)?(?:/[a-z_]++)++(?![\w/.\-]*\d)(?!\w)", _keep),
    ("schema", r"\bcontext=\([^()]*+\)", "context=(<path>)"),
    ("input", r"\binput_value=(?:(?!, input_type=).){1,400}+(?=, input_type=)", "input_value=<value>"),
    # The masks of `dialects.scrub`, and what it masks, in case a message came without.
    (
        "hidden",
        r"(?:\[…\]|(?<![\w.+%\-])[\w.+%\-]{1,64}+@[\w\-]{1,64}(?:\.[\w\-]{1,64}){1,8}+|\b(?:org[-_]|sk-)[\w*\-]{6,})"
        r"(?:\.(?=\s|\Z))?",
        "<hidden>",
    ),
    ("data_url", r"\bdata:[\w/+.\-]*+(?:;[\w=\-]++)*+,[\w+/=%…\-]*+", "<data>"),
    ("url", r"\b(?:https?|wss?|s3|gs|ftp|file)://[^\s<>\"'`\[\]{}]*+", _before(".,;:!?)", "<url>")),
    (
        "time",
        r"(?<![\w.\-])(?:\d{4}[-/]\d\d[-/]\d\d(?:[T\s]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)?(?:\s?(?:Z|UTC|GMT)\b|[+-]\d\d:?\d\d)?"
        rf"|(?:[a-z]{{3}},\s)?\d\d?\s{_MONTH}\s\d{{4}}(?:\s\d\d:\d\d:\d\d(?:\s(?:GMT|UTC|[+-]\d{{4}}))?)?"
        rf"|{_MONTH}\s\d\d?,?\s\d{{4}}|\d\d?:\d\d(?::\d\d(?:\.\d{{1,9}})?)?(?:\s?[ap]m)?)(?![\w\-])",
        "<time>",
    ),
    (
        "duration",
        r"(?<![\w.\-])(?:(?:\d++(?:\.\d++)?(?-i:ms|us|µs|ns|s|m|h|d))++"
        r"|\d++(?:[.,]\d++)?\s?(?:milliseconds?|seconds?|minutes?|hours?|days?|ms|secs?|mins?|hrs?))(?!\w)",
        "<duration>",
    ),
    (
        "quoted",
        r"(?<![\w\\])'(?:[^'\\]|\\.){0,900}+'(?!\w)|(?<![\w\\])\"(?:[^\"\\]|\\.){0,900}+\"(?!\w)"
        r"|(?<![\w\\])`(?:[^`\\]|\\.){0,900}+`(?!\w)|“[^“”]{0,900}+”|‘[^‘’]{0,900}+’|「[^「」]{0,900}+」",
        _quoted,
    ),
    # A quotation that a cut left open.
    ("open", r"(?<![\w\\])(?:'[^']{100,}+|\"[^\"]{100,}+|`[^`]{100,}+)\Z", "<value>"),
    (
        "model",
        # Every model's name has a hyphen, a digit or a colon: so most words are passed over quickly.
        rf"(?<![\w.\-/@])(?=[\w./]*[-:\d])(?:[\w\-]+[./]){{0,3}}?(?:{_FAMILIES})[\w.\-:/@]*+",
        _before(".:-/", "<model>"),
    ),
    (
        "blob",
        r"(?<![\w+/])(?=[a-z\d+/]{40})(?-i:(?=[A-Z\d+/]*[a-z])(?=[a-z\d+/]*[A-Z])(?=[A-Za-z+/]*\d))[a-z\d+/]++={0,2}",
        "<data>",
    ),
    (
        "id",
        rf"\b(?:{_IDS})[-_](?=[\w\-]*?(?:\d|(?-i:[a-z][A-Z])))[A-Za-z0-9][\w\-]{{5,}}+",
        "<id>",
    ),
    ("file", rf"(?<![\w.\-/])[\w\-+.]*\w\.(?:{_FILES})(?![\w/]|\.\w)", "<file>"),
    ("path", r"(?<![\w.\-/:>])(?:[A-Za-z]:\\|~/|\.{1,2}/|/)[\w.\-+@*#]++(?:[/\\][\w.\-+@*#]++)++/?", _pointer),
    ("word", r"(?<![\w.\-/:@$\]])(?=[A-Za-z_$])(?=[\w.\-:/@$\[\]]*\d)[\w.\-:/@$\[\]#*]++", _word),
    ("number", r"(?<![A-Za-z0-9_])[+\-]?(?:\d{1,3}(?:,\d{3})++(?!\d)|\d)[\w.\-:/%]*+", _number),
)
_RULES: Final = {name: leaves for name, _, leaves in _TABLE}
# Nothing but a bracket or a quotation mark begins inside a word, which spares trying all at every letter.
_RULE: Final = re.compile(
    r"(?:(?<!\w)|(?=[<\[“‘「]))(?:" + "|".join(f"(?P<{name}>{pattern})" for name, pattern, _ in _TABLE) + ")",
    re.ASCII | re.IGNORECASE,
)

_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
# "'a', 'b' and 'c'" is as long as the list that somebody sent.
_LIST: Final = re.compile(rf"(<(?:{_PLACEHOLDERS})>)(?:[\s,;|]*+(?:(?:and|or)\b[\s,;|]*+)?\1)++")
_SAYS: Final = re.compile(
    r"""(?:["'](?:type|code|reason|status|msg|message|error|detail|title)["']\s*:\s*|\b(?:type|code)=)\Z"""
)
_NAMES_A_MODEL: Final = re.compile(r"\b(?:models?|deployment|engine)\s?(?:name|id)?\s?[:=]?\s?\Z", re.IGNORECASE)
_MODEL: Final = re.compile(rf"(?:[\w\-]+[./]){{0,3}}?(?:{_FAMILIES})[\w.\-:/@]*+", re.ASCII | re.IGNORECASE)
_PATH: Final = re.compile(r"\$?\.?[A-Za-z_][\w$]*+(?:\.?\[(?:\d++|#)\]|\.(?:[\w$]++|[*#]))*+", re.ASCII)
_INDEX: Final = re.compile(r"\.?\[\d+\]|\.\d+(?=[.\[]|\Z)", re.ASCII)
_UUID: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE)
_RUN: Final = re.compile(r"[A-Za-z0-9]++")
_HEX: Final = re.compile(r"(?:0x)?[0-9a-f]{8,}", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[+\-]?\d[\d,._:/\-]*(?<=\d)(?:e[+\-]?\d+\b)?", re.IGNORECASE)
# "row-17" and "img00042", not "base64" and "gpt4".
_NUMBER_IN_NAME: Final = re.compile(
    r"(?<![A-Za-z0-9])\d++(?![A-Za-z])|(?<=[A-Za-z])(?<!\bsha)(?<!\bint)(?<!\bfloat)(?<!\biso)(?<!\bh)(?<!\bx)\d{3,}+(?![A-Za-z])",
    re.IGNORECASE,
)

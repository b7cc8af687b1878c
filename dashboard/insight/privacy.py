"""What may stand where strangers read it: on a wall, and on whatever a link shows."""

import re

from dashboard.dialects.scrub import MASK, scrub

# More than `scrub` takes for private: in front of people who belong to the team a version or a hash is worth more than
# certainty, in front of all others it is not.
_PRIVATE = re.compile(
    r"""
      [\w.+%'\-]*\w(?:@|＠|﹫|%40)\w[\w.\-]*                              # addresses, of any alphabet and without a dot
    | \b(?:org|organi[sz]ation|tenant|account|workspace|subscription)(?:[-_ ]?id)?["']?\s*[:=]\s*["']?[\w\-]+
    | \b(?:org|organi[sz]ation|tenant|account|workspace|subscription)\s+["'`‘“][^"'`’”]+["'`’”]
    | \b(?:(?-i:org-(?=\w*[A-Z\d]))|acct_|wrkspc_)(?-i:[A-Za-z0-9]{3,})            # short ones, and other vendors'
    | \barn:aws[\w\-]*:\S+ | \bprojects?/[\w.:\-]+ | \bproject_number:\d+   # Amazon's accounts, Google's projects
    | (?<=//)[\w\-]+(?=\.(?:openai\.azure|cognitiveservices\.azure|services\.ai\.azure)\.com)  # Azure's resources
    | \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b                     # what vendors call people and projects
    | \b(?=\w*\d)(?=\w*[a-z])\w{32,}                                      # keys without a prefix
    """,
    re.VERBOSE | re.IGNORECASE,
)


def masked(text: str) -> str:
    """A vendor's words (names, metadata, errors) on one line, at most 500 characters, without e-mail addresses, keys,
    organisation ids, and what cannot be seen. Masking it again changes nothing."""
    said = scrub(text)
    while (less := scrub(_PRIVATE.sub(MASK, said))) != said:
        said = less
    return said

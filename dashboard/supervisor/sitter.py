"""What is left when the supervisor is killed outright: it ends the children, then itself.

Run by path with `python -I -S`, so that it stays a few megabytes; it imports nothing of ours.
Its standard input is a pipe that only the supervisor holds: `+PID` and `-PID` lines tell it which process groups
there are, and the end of the pipe is the supervisor's death, however that came. A signal at a parent's death
(PR_SET_PDEATHSIG) reaches direct children alone, can be ignored, and exists on Linux only.
"""

import os
import signal
import sys
import time


def signalled(group: int, number: int) -> bool:
    """False when nobody is left in the group."""
    try:
        os.killpg(group, number)
    except OSError:
        return False
    return True


def main() -> None:
    grace = float(sys.argv[1])
    # A service manager signals every process of the service; this one has to be the last to go.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        change = groups.add if line.startswith(b"+") else groups.discard
        change(int(line[1:]))

    for group in groups:
        try:
            os.kill(group, signal.SIGTERM)
        except OSError:
            # Its main process is dead, so nobody else will tell the rest of the group.
            signalled(group, signal.SIGKILL)
    until = time.monotonic() + grace
    while time.monotonic() < until and any(signalled(group, 0) for group in groups):
        time.sleep(0.1)
    for group in groups:
        signalled(group, signal.SIGKILL)


if __name__ == "__main__":
    main()

"""The client of the polls, in a process of its own: a bare socket, so that the client's share of the time is small.

Reads what to ask as JSON from stdin; each answer is checked, and one that is not what was wanted ends everything.
"""

import html
import json
import re
import socket
import sys
import time
from typing import Any

from tests.bench.figures import Wrong, must_be

POLL = re.compile(r'id="poll"[^>]* hx-get="([^"]+)"')


class Talk:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes, wanted: bytes) -> bytes:
        """The body of the answer. Raises Wrong when its status is another."""
        self.socket.sendall(request)
        answer = self.socket.recv(65_536)
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self.more()
        if answer[9:12] != wanted:
            raise Wrong(f"{answer[9:12].decode()} instead of {wanted.decode()} for {request[:200].decode()}")
        if wanted == b"204":
            return b""
        head = answer[:end].lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(answer) < end + 4 + length:
            answer += self.more()
        return answer[end + 4 :]

    def more(self) -> bytes:
        if not (part := self.socket.recv(65_536)):
            raise Wrong("the server hung up")
        return part

    def timed(self, requests: list[bytes], wanted: bytes) -> float:
        began = time.perf_counter()
        for request in requests:
            self.ask(request, wanted)
        return time.perf_counter() - began


def written(path: str, port: int, cookie: str = "", *, htmx: bool = False) -> bytes:
    """A request as a browser writes it, but for the headers that nobody reads."""
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Accept: */*", "Accept-Language: en"]
    if cookie:
        lines.append(f"Cookie: batches_session={cookie}")
    if htmx:
        lines.append("HX-Request: true")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def drive(port: int, sessions: list[str], rounds: int, blocks: int, block: int, fresh_block: int) -> dict[str, Any]:
    """Seconds a request, by round: polls of a remembered session, of sessions not seen lately, and the empty view."""
    talk = Talk(port)
    watched, *unseen = sessions
    page = talk.ask(written("/batches/", port, watched), b"200").decode()
    found = POLL.search(page)
    if found is None:
        raise Wrong("the list has no poller")
    poll = "/batches/" + html.unescape(found[1])
    must_be("rows that the poll asks about", len(re.findall(r"\d+", re.search(r"ids=([\d%2C]+)", poll)[1])) > 0, True)  # type: ignore[index]
    polling = written(poll, port, watched, htmx=True)
    empty = written("/bench/empty/", port)
    # The 204 is no constant: another token, nobody's cookie and no cookie all get something else.
    talk.ask(written(re.sub(r"seen=[^&]+", "seen=1.0-p0", poll), port, watched, htmx=True), b"200")
    talk.ask(written(poll, port, "n0b0dy", htmx=True), b"401")
    talk.ask(written(poll, port, htmx=True), b"401")
    must_be("the body of the empty view", talk.ask(empty, b"200"), b"")
    for _ in range(300):
        talk.ask(polling, b"204")
        talk.ask(empty, b"200")

    seconds: dict[str, list[float]] = {"poll": [], "empty": [], "fresh": []}
    for _ in range(rounds):
        spent = dict.fromkeys(seconds, 0.0)
        for _ in range(blocks):
            spent["poll"] += talk.timed([polling] * block, b"204")
            spent["empty"] += talk.timed([empty] * block, b"200")
            # Each of these people polls for the first time: the server has nothing about them in memory.
            people, unseen = unseen[:fresh_block], unseen[fresh_block:]
            spent["fresh"] += talk.timed([written(poll, port, one, htmx=True) for one in people], b"204")
        for name, each in (("poll", block), ("empty", block), ("fresh", fresh_block)):
            seconds[name].append(spent[name] / (blocks * each))
    return seconds


if __name__ == "__main__":
    print(json.dumps(drive(**json.load(sys.stdin))))

"""As much of the protocol of NATS as it takes to send many requests and to see that none was refused."""

import re
import socket
import uuid

from processes import Failed

WINDOW = 512
PATIENCE_SECONDS = 60
READ_BYTES = 1 << 18
LINE = re.compile(rb"(?:MSG|HMSG) \S+ \S+ ([\d ]+)\r\n|(PING|PONG|\+OK|INFO [^\r]*|-ERR [^\r]*)\r\n")


class Nats:
    def __init__(self, url):
        host, port = url.removeprefix("nats://").split(":")
        self.socket = socket.create_connection((host, int(port)), PATIENCE_SECONDS)
        self.inbox = f"_INBOX.{uuid.uuid4().hex}"
        self.unread = b""
        self.socket.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
        self.socket.sendall(f"SUB {self.inbox} 1\r\n".encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def request(self, subject, body):
        return b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), self.inbox.encode(), len(body), body.encode())

    def ask(self, subject, body):
        """The answer's body."""
        self.socket.sendall(self.request(subject, body))
        return self.answers()[0]

    def ask_all(self, requests):
        """Sends all (subject, body), many at a time; ends when each was answered and none refused."""
        requests, unanswered = iter(requests), 0
        while True:
            out = []
            while unanswered + len(out) < WINDOW and (request := next(requests, None)):
                out.append(self.request(*request))
            self.socket.sendall(b"".join(out))
            unanswered += len(out)
            if unanswered == 0:
                return
            unanswered -= len(self.answers())

    def answers(self):
        """The bodies of all answers that have come, of at least one."""
        found = []
        while not found:
            more = self.socket.recv(READ_BYTES)
            if not more:
                raise Failed("NATS has closed the connection")
            self.unread += more
            while (length := self.take(found)) > 0:
                self.unread = self.unread[length:]
        return found

    def take(self, found):
        """Takes the first message of what is unread; gives its length, 0 where it is not all there."""
        line = LINE.match(self.unread)
        if not line:
            return 0
        if not line[1]:
            if line[2].startswith(b"-ERR"):
                raise Failed(f"NATS says {line[2].decode()}")
            if line[2] == b"PING":
                self.socket.sendall(b"PONG\r\n")
            return line.end()
        sizes = [int(size) for size in line[1].split()]
        end = line.end() + sizes[-1] + 2
        if len(self.unread) < end:
            return 0
        headers = self.unread[line.end() : line.end() + sizes[0]] if len(sizes) == 2 else b""
        if headers.startswith(b"NATS/1.0 503") or b"Nats-Service-Error" in headers:
            raise Failed(f"refused: {self.unread[line.end():end].decode(errors='replace')[:300]}")
        found.append(self.unread[line.end() + len(headers) : end - 2])
        return end

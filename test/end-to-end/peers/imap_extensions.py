"""Speaks the extensions as their RFCs write them, over a connection that zlib compresses: HOST PORT USER PASSWORD OTHER.

Nothing but sockets, ssl and zlib of Python, so that no part of it is ours. OTHER is an account that is not USER's: none
of its mail may be reached. Prints "done".
"""
import re
import socket
import ssl
import sys
import zlib

host, port, user, password, other = sys.argv[1:6]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.heard = b""
        self.inflate = None
        self.deflate = None
        self.tag = 0

    def send(self, octets):
        if self.deflate is not None:
            octets = self.deflate.compress(octets) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.sock.sendall(octets)

    def until(self, pattern):
        while True:
            found = re.search(pattern, self.heard, re.M)
            if found:
                text, self.heard = self.heard[: found.end()], self.heard[found.end() :]
                return text
            octets = self.sock.recv(65536)
            assert octets, "closed; heard %r" % self.heard[-500:]
            self.heard += self.inflate.decompress(octets) if self.inflate is not None else octets

    def ask(self, command, word=b"OK"):
        self.tag += 1
        tag = b"p%d" % self.tag
        self.send(tag + b" " + command + b"\r\n")
        answer = self.until(rb"^" + tag + rb" [^\r\n]*\r\n")
        assert re.search(rb"^" + tag + b" " + word, answer, re.M), (command, answer)
        return answer

    def start_tls(self):
        self.ask(b"STARTTLS")
        self.sock = context.wrap_socket(self.sock)

    def compress(self):
        self.ask(b"COMPRESS DEFLATE")
        self.inflate = zlib.decompressobj(-15)
        self.deflate = zlib.compressobj(wbits=-15)


def literal(octets, kind=b""):
    return kind + b"{%d+}\r\n" % len(octets) + octets


with socket.create_connection((host, int(port)), timeout=30) as sock:
    client = Connection(sock)
    client.until(rb"ready\r\n")
    client.start_tls()
    client.ask(b'LOGIN "%s" "%s"' % (user.encode(), password.encode()))
    client.compress()
    offered = client.ask(b"CAPABILITY").split()
    # What the store must be able to do, and what is not offered twice.
    for capability in (b"MULTIAPPEND", b"CREATE-SPECIAL-USE", b"SORT", b"BINARY"):
        assert capability in offered, offered
    assert b"COMPRESS=DEFLATE" not in offered, offered
    assert b"ENABLED IMAP4rev2 UTF8=ACCEPT" in client.ask(b"ENABLE IMAP4rev2 UTF8=ACCEPT")

    name = "Entwürfe & co".encode()
    client.ask(b'CREATE "%s" (USE (\\Drafts))' % name)
    assert b'\\Drafts' in client.ask(b'LIST (SPECIAL-USE) "" "*"')
    assert name in client.ask(b'LIST "" "*"')

    question = b"From: Ann <ann@example.org>\r\nSubject: Lunch\r\nMessage-ID: <1@x>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n\r\nToday?\r\n"
    answer = b"From: Bob <bob@example.org>\r\nSubject: Re: Lunch\r\nMessage-ID: <2@x>\r\nReferences: <1@x>\r\nDate: Sat, 21 Nov 2026 11:00:00 +0000\r\n\r\nYes!\r\n"
    binary = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00\xff\n\x00"
    client.ask(
        b'APPEND "%s" (\\Seen) %s %s %s'
        % (name, literal(question), literal(answer), literal(binary, b"~"))
    )
    selected = client.ask(b'SELECT "%s"' % name)
    assert b"* 3 EXISTS" in selected and b"RECENT" not in selected, selected

    assert b"SORT 2 1" in client.ask(b"SORT (REVERSE DATE) UTF-8 SUBJECT Lunch")
    assert b"THREAD (1 2)" in client.ask(b"THREAD REFERENCES UTF-8 SUBJECT Lunch")
    assert b"COUNT 2 ALL 1:2" in client.ask(b"SEARCH RETURN (COUNT ALL) SUBJECT Lunch")
    client.ask(b"SEARCH RETURN (SAVE) SUBJECT Re")
    assert b'PREVIEW "Yes!"' in client.ask(b"FETCH $ PREVIEW")
    assert b"BINARY[1] ~{4}\r\n\x00\xff\n\x00" in client.ask(b"FETCH 3 BINARY.PEEK[1]")

    replaced = client.ask(b'REPLACE 3 "%s" %s' % (name, literal(b"Subject: instead\r\n\r\n")))
    assert b"EXPUNGE" in replaced and b"APPENDUID" in replaced, replaced

    # Whatever it is called, the mail of others is not there.
    for theirs in (
        other, other + "/INBOX", "../" + other, "../" + other + "/Maildir", "/" + other, "~" + other,
        "user/" + other, "Other Users/" + other, "#user/" + other, "INBOX/../../" + other,
    ):
        quoted = b'"%s"' % theirs.encode()
        for command in (
            b"SELECT " + quoted, b"EXAMINE " + quoted, b"STATUS " + quoted + b" (MESSAGES)",
            b"DELETE " + quoted, b"APPEND " + quoted + b" " + literal(b"x"), b"RENAME " + quoted + b" mine",
        ):
            client.ask(command, b"NO")
        listed = client.ask(b"LIST " + quoted + b' "*"')
        assert b"* LIST" not in listed, listed
    client.ask(b"UNAUTHENTICATE", b"NO")
    client.ask(b"LOGOUT")

print("done")

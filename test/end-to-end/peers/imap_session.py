"""Works with a mailbox as imaplib does: HOST PORT USER PASSWORD.

STARTTLS, login, then append, list, select, search, fetch, flag, copy, expunge. Each assertion is one thing a mail
program relies on. Prints "done".
"""
import imaplib
import ssl
import sys
import time

host, port, user, password = sys.argv[1:5]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


message = (
    b"From: Ann <ann@example.org>\r\nTo: bob@example.org\r\nSubject: A draft of Python\r\n"
    b"Message-ID: <python@example.org>\r\n\r\nThe text of it.\r\n"
)

with imaplib.IMAP4(host, int(port), timeout=30) as client:
    assert "LOGINDISABLED" in client.capabilities, client.capabilities
    client.starttls(context)
    assert "LOGINDISABLED" not in client.capabilities, client.capabilities
    client.login(user, password)

    ok(client.create("Drafts"))
    ok(client.append("Drafts", r"(\Seen \Draft)", imaplib.Time2Internaldate(time.time()), message))
    names = [line.decode() for line in ok(client.list())]
    assert any("Drafts" in name for name in names), names

    count = int(ok(client.select("Drafts"))[0])
    assert count == 1, count
    assert ok(client.search(None, "SUBJECT", '"A draft of Python"')) == [b"1"]
    assert ok(client.search(None, "UNSEEN")) == [b""]

    fetched = ok(client.fetch("1", "(FLAGS RFC822.SIZE BODY.PEEK[])"))
    assert fetched[0][1] == message, fetched
    assert b"\\Draft" in fetched[0][0] + fetched[1], fetched

    ok(client.copy("1", "INBOX"))
    ok(client.store("1", "+FLAGS", r"(\Deleted)"))
    assert ok(client.expunge()) == [b"1"]
    assert ok(client.search(None, "ALL")) == [b""]
    ok(client.close())

    ok(client.select("INBOX"))
    uids = ok(client.uid("SEARCH", "HEADER", "Message-ID", "<python@example.org>"))[0].split()
    assert len(uids) == 1, uids
    ok(client.delete("Drafts"))
print("done")

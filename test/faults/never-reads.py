"""
Clients of SMTP that ask and never read: `never-reads.py PORT CLIENTS BYTES RECIPIENT SECONDS`. Each says one transaction of so many
bytes; it tells, as a list in JSON, how many bytes of each were taken when none could say more for so many seconds, and holds them.

Little of the answers fits into their kernel's buffers, which Node has no way to ask for.
"""
import json
import selectors
import socket
import sys

port, clients, size = (int(word) for word in sys.argv[1:4])
piece = b"RCPT TO:<%s>\r\n" % sys.argv[4].encode() * 2_000
said = b"EHLO client.example\r\nMAIL FROM:<a@example.net>\r\n" + piece * (size // len(piece))
taken = {}
writable = selectors.DefaultSelector()
for index in range(clients):
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.bind(("127.0.7.%d" % (1 + index % 200), 0))
    client.connect(("127.0.0.1", port))
    client.setblocking(False)
    taken[client] = 0
    writable.register(client, selectors.EVENT_WRITE)

while ready := writable.select(int(sys.argv[5])):
    for key, _ in ready:
        client = key.fileobj
        try:
            taken[client] += client.send(said[taken[client] : taken[client] + 65_536])
        except BlockingIOError:
            continue
        except OSError:
            del taken[client]
            writable.unregister(client)
            continue
        if taken[client] >= len(said):
            # All of it: an answer to each waits somewhere.
            taken[client] = size
            writable.unregister(client)
    if not writable.get_map():
        break
print(json.dumps(list(taken.values())), flush=True)
sys.stdin.read()

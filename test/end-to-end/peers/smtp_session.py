"""Sends one message with smtplib: HOST PORT USER PASSWORD SENDER RECIPIENT, the message on standard input.

STARTTLS first, always; with a user name, AUTH after it. Prints the reply to EHLO inside TLS.
"""
import smtplib
import ssl
import sys

host, port, user, password, sender, recipient = sys.argv[1:7]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE

with smtplib.SMTP(host, int(port), local_hostname="python.example", timeout=30) as client:
    client.starttls(context=context)
    code, text = client.ehlo()
    print(code, text.decode())
    if user:
        client.login(user, password)
    refused = client.sendmail(sender, [recipient], sys.stdin.read())
    assert refused == {}, refused
print("sent")

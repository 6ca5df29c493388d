"""A login through pyrad: prints one JSON object for each reply.

usage: pyrad_login.py PORT SECRET USER [--signed]   with the password and the codes on standard input, a line each

Run by tests/support/pyrad.rs. The Message-Authenticator is checked twice: by pyrad, which with --signed refuses
a reply without a valid one, and here, from the packet's octets.
"""

import argparse
import hashlib
import hmac
import io
import json
import sys

from pyrad import packet
from pyrad.client import Client
from pyrad.dictionary import Dictionary

DICTIONARY = """
ATTRIBUTE User-Name             1  string
ATTRIBUTE User-Password         2  string encrypt=1
ATTRIBUTE NAS-IP-Address        4  ipaddr
ATTRIBUTE Reply-Message         18 string
ATTRIBUTE State                 24 octets
ATTRIBUTE Session-Timeout       27 integer
ATTRIBUTE NAS-Identifier        32 string
ATTRIBUTE Prompt                76 integer
ATTRIBUTE Message-Authenticator 80 octets
"""
MESSAGE_AUTHENTICATOR = 80


def attributes(octets):
    """Yields the type and the offset and the length of the value of every attribute."""
    at = 20
    while at < len(octets):
        kind, length = octets[at], octets[at + 1]
        yield kind, at + 2, length - 2
        at += length


def is_signed(octets, request_authenticator, secret):
    """RFC 3579, section 3.2: HMAC-MD5 over the reply with the request's authenticator and a value of zeros."""
    for kind, at, length in attributes(octets):
        if kind == MESSAGE_AUTHENTICATOR and length == 16:
            zeroed = octets[:4] + request_authenticator + octets[20:at] + bytes(16) + octets[at + 16:]
            expected = hmac.new(secret, zeroed, hashlib.md5).digest()
            return hmac.compare_digest(expected, octets[at:at + 16])
    return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("secret")
    parser.add_argument("user")
    parser.add_argument("--signed", action="store_true")
    options = parser.parse_args()
    secret = options.secret.encode()
    client = Client(
        server="127.0.0.1",
        authport=options.port,
        secret=secret,
        dict=Dictionary(io.StringIO(DICTIONARY)),
        retries=1,
        timeout=10,
        enforce_ma=options.signed,
    )
    state = None
    for entry in sys.stdin.read().splitlines():
        request = client.CreateAuthPacket(code=packet.AccessRequest, User_Name=options.user)
        request["User-Password"] = request.PwCrypt(entry)
        request["NAS-Identifier"] = "pyrad"
        if state is not None:
            request["State"] = state
        if options.signed:
            request.add_message_authenticator()
        reply = client.SendPacket(request)
        kinds = [kind for kind, _, _ in attributes(reply.raw_packet)]
        print(json.dumps({
            "code": reply.code,
            "first": kinds[0] if kinds else 0,
            "signed": is_signed(reply.raw_packet, request.authenticator, secret),
            "messages": reply.get("Reply-Message", []),
        }))
        if reply.code != packet.AccessChallenge:
            break
        state = reply["State"][0]


if __name__ == "__main__":
    main()

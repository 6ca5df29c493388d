"""A mail server made with PyPI's aiosmtpd: STARTTLS or TLS, and a login that it demands.

    python mail_sink.py PORT starttls|tls CERTIFICATE KEY USERNAME PASSWORD

Prints `ready` first, then each mail as a line of JSON.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

port, security, certificate, key, username, password = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(certificate, key)


class Print:
    async def handle_DATA(self, server, session, envelope):
        letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
        print(json.dumps({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": letter["Subject"],
            "automatic": letter["Auto-Submitted"],
            "text": letter.get_content(),
            "tls": session.ssl is not None or security == "tls",
        }), flush=True)
        return "250 2.0.0 Ok: queued as SINK1"


def login(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and data == LoginPassword(username.encode(), password.encode())
    # What is not handled here, the server answers with 535.
    return AuthResult(success=right, handled=right)


def session():
    return SMTP(
        Print(),
        hostname="mail.test",
        tls_context=context if security == "starttls" else None,
        require_starttls=security == "starttls",
        authenticator=login,
        auth_required=True,
        auth_require_tls=security == "starttls",
    )


async def main():
    loop = asyncio.get_running_loop()
    wrapped = context if security == "tls" else None
    server = await loop.create_server(session, "127.0.0.1", int(port), ssl=wrapped)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())

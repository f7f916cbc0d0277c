"""A mail server that takes messages for anyone but a few, and says on standard output what it took.

    smtp_server.py starttls|tls|plain CERTIFICATE KEY

First the port, then one JSON object a line for each message. Recipients choose what happens:
nobody@ is refused, busy@ and full@ are refused for now, spam@ is refused after the message, greylist@ for now after the
message, lost@ loses the connection after the message, mute@ gets no answer to it.
"""

import asyncio
import base64
import itertools
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

BY_RECIPIENT = {
    "nobody": "550 5.1.1 <{}>: no such user",
    "busy": "451 4.3.0 <{}>: try again later",
    "full": "452 4.2.2 <{}>: mailbox full",
}
BY_CONTENT = {"spam": "554 5.7.1 message to {} refused", "greylist": "451 4.7.1 message to {} delayed"}
NUMBERS = itertools.count(1)


def local(address):
    return address.partition("@")[0]


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if local(address) in BY_RECIPIENT:
            return BY_RECIPIENT[local(address)].format(address)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        [to] = envelope.rcpt_tos
        if local(to) == "lost":
            server.transport.abort()
            return "250 never read"
        if local(to) == "mute":
            await asyncio.Event().wait()
        if local(to) in BY_CONTENT:
            return BY_CONTENT[local(to)].format(to)
        if not hasattr(session, "number"):
            session.number = next(NUMBERS)
        taken = {
            "connection": session.number,
            "from": envelope.mail_from,
            "to": to,
            "user": session.auth_data.decode() if session.authenticated else None,
            "tls": session.ssl is not None,
            "data": base64.b64encode(envelope.content).decode(),
        }
        print(json.dumps(taken), flush=True)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"countersign", b"correct horse")
    if good:
        return AuthResult(success=True, auth_data=data.login)
    return AuthResult(success=False, handled=False)


class Server(SMTP):
    """With implicit TLS the protocol below has seen no STARTTLS; the session shall know of the encryption all the same."""

    def connection_made(self, transport):
        super().connection_made(transport)
        if self.session is not None and self.session.ssl is None:
            self.session.ssl = transport.get_extra_info("ssl_object")


async def main(mode, certificate, key):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    def session():
        return Server(
            Handler(),
            hostname="mail.example.com",
            require_starttls=mode == "starttls",
            tls_context=context if mode == "starttls" else None,
            authenticator=authenticate,
            auth_required=mode != "plain",
            auth_require_tls=mode == "starttls",
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, "127.0.0.1", 0, ssl=context if mode == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))

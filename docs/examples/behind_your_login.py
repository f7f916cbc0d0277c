"""A login of one's own with countersign behind it. Arguments: countersign's URL, its issuer, the file of the private key, a port (0: any).

Needs requests, and PyJWT with cryptography. A real one is reached by HTTPS only, hashes its passwords and counts wrong ones."""

import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import jwt
import requests

URL, ISSUER, KEY_FILE, PORT = sys.argv[1:]
CLIENT, AUDIENCE = "shop", "https://api.example.com"
PEOPLE = {"grace": "nanosekunden für alle 1906"}  # what this login had all along
with open(KEY_FILE, encoding="ascii") as file:
    KEY = file.read()


def signed(kind: str, subject: str, **claims) -> str:
    """A JWT of this server, good for a minute and once."""
    basic = {"iss": CLIENT, "sub": subject, "aud": ISSUER, "exp": int(time.time()) + 60, "jti": secrets.token_urlsafe()}
    return jwt.encode(basic | claims, KEY, algorithm="EdDSA", headers={"typ": kind})


def ask(**parameters) -> requests.Response:
    """What countersign answers: tokens, or mfa_required with an mfa_token to go on with."""
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    proof = {"client_assertion_type": kind, "client_assertion": signed("JWT", CLIENT)}
    return requests.post(f"{URL}/oauth/token", data=parameters | proof, timeout=10)


class Login(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        if self.path == "/login":
            known, typed = PEOPLE.get(form.get("username", ""), ""), form.get("password", "")
            if known and secrets.compare_digest(known.encode(), typed.encode()):
                who = signed("asserted-login+jwt", form["username"], auth_time=int(time.time()), amr=["pwd"])
                grant = "urn:countersign:grant-type:asserted-login"
                self.answer(ask(grant_type=grant, assertion=who, audience=AUDIENCE, scope="openid"))
            else:
                self.send_error(401, "Wrong username or password")
        elif self.path == "/code":
            grant = "http://auth0.com/oauth/grant-type/mfa-otp"
            self.answer(ask(grant_type=grant, mfa_token=form.get("mfa_token", ""), otp=form.get("code", "")))
        else:
            self.send_error(404)

    def answer(self, said: requests.Response) -> None:
        self.send_response(said.status_code)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(said.content)


server = ThreadingHTTPServer(("127.0.0.1", int(PORT)), Login)
print(server.server_port, flush=True)
server.serve_forever()

"""Logs in at the example of docs/behind-your-login.md. Arguments: countersign's URL, its issuer, the key's file, the example's file."""

import subprocess
import sys

import jwt
import requests

from totp import code

URL, ISSUER, KEY_FILE, EXAMPLE = sys.argv[1:]
PASSWORD = "nanosekunden für alle 1906"


def main(base: str) -> None:
    def login(username: str, password: str) -> requests.Response:
        return requests.post(f"{base}/login", data={"username": username, "password": password}, timeout=30)

    for username, password in [("grace", "wrong"), ("nobody", PASSWORD), ("", "")]:
        assert login(username, password).status_code == 401, (username, password)
    first = login("grace", PASSWORD)
    assert (first.status_code, first.json()["error"]) == (403, "mfa_required"), first.text
    token = first.json()["mfa_token"]
    enrolled = requests.post(
        f"{URL}/mfa/associate",
        headers={"Authorization": f"Bearer {token}"},
        json={"authenticator_types": ["otp"]},
        timeout=30,
    )
    assert enrolled.status_code == 200, enrolled.text
    secret = enrolled.json()["secret"]

    def second(token: str, otp: str) -> requests.Response:
        return requests.post(f"{base}/code", data={"mfa_token": token, "code": otp}, timeout=30)

    tokens = second(token, code(secret))
    assert tokens.status_code == 200, tokens.text
    claims = jwt.decode(tokens.json()["access_token"], options={"verify_signature": False})
    assert (claims["iss"], claims["amr"]) == (ISSUER, ["pwd", "otp", "mfa"]), claims
    # The same person the next time, who has a factor now.
    again = login("grace", PASSWORD).json()["mfa_token"]
    assert second(again, "12345").status_code == 403
    assert second(again, code(secret, 1)).status_code == 200
    print("logged in behind a login")


with subprocess.Popen(
    [sys.executable, EXAMPLE, URL, ISSUER, KEY_FILE, "0"], stdout=subprocess.PIPE, text=True
) as example:
    try:
        main(f"http://127.0.0.1:{example.stdout.readline().strip()}")
    finally:
        example.kill()

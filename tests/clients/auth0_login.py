"""Logs in at a demo with auth0-python, enrols, logs in again and checks the tokens. The argument is demo.json."""

import json
import sys

import requests
from auth0.authentication import GetToken, Users
from auth0.authentication.exceptions import Auth0Error
from auth0.authentication.token_verifier import AsymmetricSignatureVerifier, TokenVerifier

from totp import code

MFA_OTP = "http://auth0.com/oauth/grant-type/mfa-otp"


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        demo = json.load(file)
    domain = demo["https_url"].removeprefix("https://")
    client = next(client for client in demo["clients"] if client["kind"] == "confidential")
    user = demo["users"][0]
    tokens = GetToken(domain, client["id"], client_secret=client["secret"])

    def password(secret: str) -> str:
        """The first factor; the mfa_token."""
        try:
            tokens.login(
                username=user["username"],
                password=secret,
                scope="openid profile email",
                realm=demo["realm"],
                audience=demo["audience"],
            )
        except Auth0Error as error:
            if error.error_code != "mfa_required":
                raise
            assert error.status_code == 403, error.status_code
            assert error.message == "Multifactor authentication required", error.message
            return error.content["mfa_token"]
        raise AssertionError("no second factor was asked for")

    def second_factor(mfa_token: str, otp: str) -> dict:
        """The second factor, with the SDK's own request and client authentication."""
        return tokens.authenticated_post(
            f"https://{domain}/oauth/token",
            data={"client_id": client["id"], "grant_type": MFA_OTP, "mfa_token": mfa_token, "otp": otp},
        )

    try:
        password("wrong")
        raise AssertionError("a wrong password was accepted")
    except Auth0Error as error:
        assert (error.status_code, error.error_code, error.message) == (
            403,
            "invalid_grant",
            "Wrong email or password.",
        ), error

    mfa_token = password(user["password"])
    bearer = {"Authorization": f"Bearer {mfa_token}"}
    listed = requests.get(f"https://{domain}/mfa/authenticators", headers=bearer, timeout=30)
    # The verified address is a factor nobody enrolled.
    others = [entry for entry in listed.json() if entry["type"] != "email"]
    assert (listed.status_code, others) == (200, []), listed.text
    enrolled = requests.post(
        f"https://{domain}/mfa/associate", headers=bearer, json={"authenticator_types": ["otp"]}, timeout=30
    )
    assert enrolled.status_code == 200, enrolled.text
    secret = enrolled.json()["secret"]
    answer = second_factor(mfa_token, code(secret))
    check(demo, domain, client, user, answer)

    # Once more, with the factor in place: the step after the one that was used.
    mfa_token = password(user["password"])
    try:
        second_factor(mfa_token, "000000" if code(secret) != "000000" else "111111")
        raise AssertionError("a wrong code was accepted")
    except Auth0Error as error:
        assert (error.status_code, error.error_code, error.message) == (
            403,
            "invalid_grant",
            "Invalid otp_code.",
        ), error
    check(demo, domain, client, user, second_factor(mfa_token, code(secret, 1)))
    print("logged in")


def check(demo: dict, domain: str, client: dict, user: dict, answer: dict) -> None:
    """The tokens are good in the SDK's eyes."""
    assert answer["token_type"] == "Bearer" and isinstance(answer["expires_in"], int), answer.keys()
    verifier = TokenVerifier(
        signature_verifier=AsymmetricSignatureVerifier(f"https://{domain}/.well-known/jwks.json"),
        issuer=demo["issuer"],
        audience=client["id"],
    )
    claims = verifier.verify(answer["id_token"])
    info = Users(domain).userinfo(answer["access_token"])
    assert info["sub"] == claims["sub"], (info, claims)
    assert info["email"] == user["email"], info


main()

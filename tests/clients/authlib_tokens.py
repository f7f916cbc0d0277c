"""Goes on with logins, revokes and introspects with authlib. Arguments: base URL, issuer, audience, user, password."""

import base64
import json
import sys
import time

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate
from joserfc import jwt
from joserfc.jwk import OKPKey

BASE, ISSUER, AUDIENCE, USER, PASSWORD = sys.argv[1:]
TOKEN, REVOKE, INTROSPECT = (f"{BASE}/oauth/{name}" for name in ("token", "revoke", "introspect"))
SCOPE = "openid offline_access read:things"
ASSERTED_LOGIN = "urn:countersign:grant-type:asserted-login"


def signing_key() -> OKPKey:
    """The key of the client `signer`: that of 32 sevens."""
    seed = bytes([7] * 32)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    encoded = (base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (public, seed))
    return OKPKey.import_key(dict(zip(("x", "d"), encoded), kty="OKP", crv="Ed25519"))


KEY = signing_key()


def signer() -> OAuth2Session:
    """A session that proves itself by an assertion. One for each request, since authlib keeps the jti of its claims."""
    by = "private_key_jwt"
    session = OAuth2Session(
        "signer", KEY, token_endpoint_auth_method=by, revocation_endpoint_auth_method=by, scope=SCOPE
    )
    claims = {"aud": ISSUER, "exp": int(time.time()) + 60}
    session.register_client_auth_method(PrivateKeyJWT(TOKEN, claims=claims, alg="EdDSA"))
    return session


def refused(call) -> str:
    """The error of a call that must fail."""
    try:
        call()
    except OAuthError as error:
        return error.error
    raise AssertionError("it was not refused")


def public_client() -> None:
    """A client without authentication goes on with a login, and ends it."""
    session = OAuth2Session("lenient", token_endpoint_auth_method="none", scope=SCOPE)
    first = session.fetch_token(TOKEN, username=USER, password=PASSWORD, audience=AUDIENCE)
    second = session.refresh_token(TOKEN, first["refresh_token"])
    assert second["refresh_token"] != first["refresh_token"], "it rotates"
    again = session.refresh_token(TOKEN, first["refresh_token"])
    assert again["refresh_token"] == second["refresh_token"], "the same successor within the overlap"
    narrowed = session.refresh_token(TOKEN, again["refresh_token"], scope="openid offline_access")
    assert set(narrowed["scope"].split()) == {"openid", "offline_access"}, narrowed["scope"]
    assert session.revoke_token(REVOKE, narrowed["refresh_token"]).status_code == 200
    assert refused(lambda: session.refresh_token(TOKEN, narrowed["refresh_token"])) == "invalid_grant"


def client_that_signs() -> None:
    """A client with a key does all of it, and calls an API as itself."""
    service = signer().fetch_token(TOKEN, grant_type="client_credentials", audience=AUDIENCE, scope="read:things")
    assert "refresh_token" not in service and "id_token" not in service, service.keys()
    asked = signer().introspect_token(INTROSPECT, service["access_token"]).json()
    assert (asked["active"], asked["sub"]) == (True, "signer@clients"), asked

    now = int(time.time())
    login = {
        "iss": "signer", "sub": "grace", "aud": ISSUER, "exp": now + 60, "jti": f"login-{now}",
        "auth_time": now - 1, "amr": ["pwd"],
    }
    assertion = jwt.encode({"alg": "EdDSA", "typ": "asserted-login+jwt"}, login, KEY, algorithms=["EdDSA"])
    first = signer().fetch_token(TOKEN, grant_type=ASSERTED_LOGIN, assertion=assertion, audience=AUDIENCE, scope=SCOPE)
    second = signer().refresh_token(TOKEN, first["refresh_token"])
    asked = signer().introspect_token(INTROSPECT, second["access_token"]).json()
    assert (asked["active"], asked["client_id"]) == (True, "signer"), asked
    assert signer().revoke_token(REVOKE, second["refresh_token"]).status_code == 200
    asked = signer().introspect_token(INTROSPECT, second["access_token"]).json()
    assert asked == {"active": False}, asked
    assert refused(lambda: signer().refresh_token(TOKEN, second["refresh_token"])) == "invalid_grant"


def keys_in_certificates() -> None:
    """A library that reads keys from certificates alone, as auth0-PHP does, can verify tokens."""
    decode = lambda part: base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    session = OAuth2Session("lenient", token_endpoint_auth_method="none", scope=SCOPE)
    token = session.fetch_token(TOKEN, username=USER, password=PASSWORD, audience=AUDIENCE)["id_token"]
    header, claims, signature = token.split(".")
    keys = requests.get(f"{BASE}/.well-known/jwks.json", timeout=10).json()["keys"]
    key = next(key for key in keys if key["kid"] == json.loads(decode(header))["kid"])
    certificate = load_der_x509_certificate(base64.b64decode(key["x5c"][0]))
    certificate.verify_directly_issued_by(certificate)
    certificate.public_key().verify(decode(signature), f"{header}.{claims}".encode(), PKCS1v15(), SHA256())


public_client()
client_that_signs()
keys_in_certificates()
print("went on and ended")

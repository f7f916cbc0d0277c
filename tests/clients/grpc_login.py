"""Finds countersign.v1 by reflection, enrols and logs in over gRPC. The argument is demo.json."""

import json
import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from totp import code

PACKAGE = "countersign.v1"


class Service:
    """The methods of one service, as reflection describes them."""

    def __init__(self, channel, pool, name):
        self.channel = channel
        self.service = pool.FindServiceByName(f"{PACKAGE}.{name}")

    def call(self, method, fields, bearer=None):
        """Calls `method` with a message of these fields."""
        described = self.service.methods_by_name[method]
        request = message_factory.GetMessageClass(described.input_type)
        answer = message_factory.GetMessageClass(described.output_type)
        stub = self.channel.unary_unary(
            f"/{self.service.full_name}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        metadata = [("authorization", f"Bearer {bearer}")] if bearer else []
        return stub(request(**fields), metadata=metadata, timeout=30)


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        demo = json.load(file)
    confidential = next(client for client in demo["clients"] if client["kind"] == "confidential")
    client = {"client_id": confidential["id"], "client_secret": confidential["secret"]}
    user = demo["users"][1]
    with grpc.insecure_channel(demo["grpc_addr"]) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        names = set(database.get_services())
        for name in ("TokenService", "ChallengeService", "AssociateService"):
            assert f"{PACKAGE}.{name}" in names, names
        assert "grpc.health.v1.Health" in names, names
        pool = descriptor_pool.DescriptorPool(database)
        tokens = Service(channel, pool, "TokenService")
        challenges = Service(channel, pool, "ChallengeService")
        associations = Service(channel, pool, "AssociateService")

        password = {"client": client, "password": {"username": user["username"], "password": user["password"]}}
        required = tokens.call("IssueToken", password)
        assert required.WhichOneof("outcome") == "mfa_required", required.WhichOneof("outcome")
        mfa_token = required.mfa_required.mfa_token
        association = associations.call("AssociateAuthenticator", {"otp": {}}, bearer=mfa_token)
        secret = association.otp.secret
        confirmed = tokens.call(
            "IssueToken", {"client": client, "otp": {"mfa_token": mfa_token, "otp": code(secret)}}
        )
        assert confirmed.tokens.access_token, "no tokens"

        mfa_token = tokens.call("IssueToken", password).mfa_required.mfa_token
        challenge = challenges.call("CreateChallenge", {"client": client, "mfa_token": mfa_token})
        assert challenge.authenticator_id == association.authenticator.authenticator_id, challenge
        second = tokens.call(
            "IssueToken", {"client": client, "otp": {"mfa_token": mfa_token, "otp": code(secret, 1)}}
        )
        info = tokens.call("GetUserInfo", {}, bearer=second.tokens.access_token)
        assert info.email.address == user["email"], info.email.address

        try:
            tokens.call("IssueToken", {"client": client, "otp": {"mfa_token": mfa_token, "otp": code(secret, 1)}})
            raise AssertionError("an mfa_token was accepted twice")
        except grpc.RpcError as error:
            assert error.code() != grpc.StatusCode.OK, error
    print("logged in")


main()

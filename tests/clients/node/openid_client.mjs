// Logs in with two factors, goes on, asks, revokes and signs, all with openid-client. Arguments: issuer, audience, user, password.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { createRequire } from "node:module";

import { code } from "./totp.mjs";

// They are installed in a folder of their own.
const { resolve } = createRequire(`${process.env.COUNTERSIGN_TEST_NODE}/`);
// Node 18 has these under another name only.
globalThis.crypto ??= webcrypto;
globalThis.CryptoKey ??= webcrypto.CryptoKey;
const oidc = await import(resolve("openid-client"));
const jose = await import(resolve("jose"));

const [issuer, audience, username, password] = process.argv.slice(2);
const SCOPE = "openid profile offline_access read:things";
const MFA_OTP = "http://auth0.com/oauth/grant-type/mfa-otp";
const ASSERTED_LOGIN = "urn:countersign:grant-type:asserted-login";

/** The key of the client `service`: that of 32 sevens. */
async function signingKey() {
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.alloc(32, 7)]);
  const pem = `-----BEGIN PRIVATE KEY-----\n${der.toString("base64")}\n-----END PRIVATE KEY-----`;
  return jose.importPKCS8(pem, "Ed25519");
}

/** A client as it comes out of discovery, which verifies the signature of each ID token too. */
async function discovered(id, authentication) {
  const client = await oidc.discovery(new URL(issuer), id, undefined, authentication);
  oidc.enableNonRepudiationChecks(client);
  return client;
}

/** What the server says against a call that must fail. */
async function refused(call) {
  try {
    await call;
  } catch (error) {
    assert(error instanceof oidc.ResponseBodyError, error);
    return error;
  }
  throw new Error("it was not refused");
}

/** The first factor; the mfa_token. */
async function firstFactor(client) {
  const error = await refused(oidc.genericGrantRequest(client, "password", { username, password, audience, scope: SCOPE }));
  assert.deepEqual([error.status, error.error], [403, "mfa_required"]);
  return error.cause.mfa_token;
}

/** Whether the token is good for the library that reads JWTs, with the published keys alone. */
async function verified(client, token, audience) {
  const keys = jose.createRemoteJWKSet(new URL(client.serverMetadata().jwks_uri));
  const { payload } = await jose.jwtVerify(token, keys, { issuer, audience, requiredClaims: ["sub", "exp", "iat"] });
  return payload;
}

/** What discovery says is enough to be found, asked and answered. */
function check(metadata) {
  assert.equal(metadata.issuer, issuer);
  assert.equal(metadata.token_endpoint, `${issuer}oauth/token`);
  for (const place of ["token", "revocation", "introspection"]) {
    const methods = metadata[`${place}_endpoint_auth_methods_supported`];
    for (const method of ["client_secret_basic", "client_secret_post", "private_key_jwt"]) assert(methods.includes(method));
    assert(metadata[`${place}_endpoint_auth_signing_alg_values_supported`].includes("Ed25519"));
  }
}

/** A client with a secret takes a person through both factors, then goes on with the login and ends it. */
async function withASecret(authentication, enrolled) {
  const client = await discovered("web", authentication(SECRET));
  check(client.serverMetadata());
  const wrong = await discovered("web", authentication(`${SECRET}!`));
  assert.equal((await refused(oidc.refreshTokenGrant(wrong, "csrt_anything"))).status, 401);

  const mfa_token = await firstFactor(client);
  const secret = enrolled ?? (await enrol(mfa_token));
  const otp = code(secret, enrolled ? 1 : 0);
  const first = await oidc.genericGrantRequest(client, MFA_OTP, { mfa_token, otp });
  const again = await refused(oidc.genericGrantRequest(client, MFA_OTP, { mfa_token, otp }));
  assert.equal(again.error, "invalid_grant");
  const claims = first.claims();
  assert(claims.amr.includes("otp") && claims.amr.includes("mfa"), claims.amr);
  assert.equal((await verified(client, first.id_token, "web")).sub, claims.sub);
  const access = await verified(client, first.access_token, [audience]);
  assert.deepEqual([access.sub, access.azp], [claims.sub, "web"]);
  assert.equal((await oidc.fetchUserInfo(client, first.access_token, claims.sub)).sub, claims.sub);

  const second = await oidc.refreshTokenGrant(client, first.refresh_token);
  assert.notEqual(second.refresh_token, first.refresh_token);
  assert.equal(second.claims().auth_time, claims.auth_time);
  const asked = await oidc.tokenIntrospection(client, second.access_token);
  assert.deepEqual([asked.active, asked.sub, asked.client_id], [true, claims.sub, "web"]);
  await oidc.tokenRevocation(client, second.refresh_token);
  assert.deepEqual(await oidc.tokenIntrospection(client, second.access_token), { active: false });
  assert.equal((await refused(oidc.refreshTokenGrant(client, second.refresh_token))).error, "invalid_grant");
  return secret;
}

const SECRET = "s3cr3t/with+what%needs&encoding=";

/** An authenticator app; its secret. */
async function enrol(mfa_token) {
  const body = JSON.stringify({ authenticator_types: ["otp"] });
  const headers = { authorization: `Bearer ${mfa_token}`, "content-type": "application/json" };
  const answer = await fetch(`${issuer}mfa/associate`, { method: "POST", headers, body });
  assert.equal(answer.status, 200);
  return (await answer.json()).secret;
}

/** A client with a key calls an API as itself, and goes on with a login that it asserted. */
async function withAKey() {
  const key = await signingKey();
  const client = await discovered("service", oidc.PrivateKeyJwt(key));
  const own = await oidc.clientCredentialsGrant(client, { audience, scope: "read:things" });
  assert.deepEqual([own.refresh_token, own.id_token], [undefined, undefined]);
  const claims = await verified(client, own.access_token, audience);
  assert.deepEqual([claims.sub, claims.scope], ["service@clients", "read:things"]);
  assert.equal((await oidc.tokenIntrospection(client, own.access_token)).active, true);

  const now = Math.floor(Date.now() / 1000);
  const assertion = await new jose.SignJWT({ auth_time: now - 1, amr: ["pwd"] })
    .setProtectedHeader({ alg: "Ed25519", typ: "asserted-login+jwt" })
    .setIssuer("service").setSubject("grace").setAudience(issuer).setExpirationTime(now + 60).setJti(`login-${now}`)
    .sign(key);
  const first = await oidc.genericGrantRequest(client, ASSERTED_LOGIN, { assertion, audience, scope: SCOPE });
  const second = await oidc.refreshTokenGrant(client, first.refresh_token);
  assert.equal((await oidc.tokenIntrospection(client, second.refresh_token)).active, true);
  await oidc.tokenRevocation(client, second.refresh_token);
  assert.equal((await refused(oidc.refreshTokenGrant(client, second.refresh_token))).error, "invalid_grant");

  const { privateKey } = await jose.generateKeyPair("Ed25519");
  const stranger = await discovered("service", oidc.PrivateKeyJwt(privateKey));
  assert.equal((await refused(oidc.clientCredentialsGrant(stranger, { audience }))).status, 401);
}

const secret = await withASecret(oidc.ClientSecretBasic);
await withASecret(oidc.ClientSecretPost, secret);
await withAKey();
console.log("went on and ended");

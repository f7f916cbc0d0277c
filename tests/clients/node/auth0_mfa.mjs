// Enrols, lists, challenges, proves and removes factors of every kind with Auth0's own MFA client. Arguments: demo.json, the program, a folder.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { webcrypto } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

import { code } from "./totp.mjs";

// They are installed in a folder of their own.
const { resolve } = createRequire(`${process.env.COUNTERSIGN_TEST_NODE}/`);
// Node 18 has these under another name only.
globalThis.crypto ??= webcrypto;
globalThis.CryptoKey ??= webcrypto.CryptoKey;
const { AuthClient, MfaVerifyError, MfaListAuthenticatorsError, isMfaRequiredError } = await import(resolve("@auth0/auth0-auth-js"));

const [description, program, folder] = process.argv.slice(2);
const demo = JSON.parse(await readFile(description, "utf8"));
const { id: clientId, secret: clientSecret } = demo.clients.find((client) => client.kind === "confidential");
const domain = new URL(demo.https_url).host;
const auth0 = new AuthClient({ domain, clientId, clientSecret });
const { mfa } = auth0;
const MFA_API = { audience: `${demo.issuer}mfa/`, scope: "enroll read:authenticators remove:authenticators" };

/** The first factor of `user`; the mfa_token. */
async function firstFactor(user, wish = { audience: demo.audience, scope: "openid profile" }) {
  const error = await auth0.getTokenByPassword({ username: user.username, password: user.password, ...wish }).catch((e) => e);
  assert(isMfaRequiredError(error), error);
  return error.cause.mfa_token;
}

/** A person of the demo. */
const person = (name) => demo.users.find((user) => user.username === name);

/** What the server says against a proof that must fail. */
async function refused(options) {
  const error = await mfa.verify(options).catch((e) => e);
  assert(error instanceof MfaVerifyError, error);
  return [error.cause.error, error.cause.error_description];
}

let read = 0;

/** The next message with a code, which the demo writes to a file. */
async function message() {
  for (;;) {
    const text = await readFile(demo.outbox, "utf8").catch(() => "");
    // A line that is being written has no end yet.
    const whole = text.split("\n").slice(0, -1).map((line) => JSON.parse(line)).filter((line) => line.code);
    if (whole.length > read) return whole[read++];
    await pause(5);
  }
}

/** Both factors with a code that is sent to the authenticator `authenticatorId`. */
async function bySentCode(user, authenticatorId, channel, wish) {
  const mfaToken = await firstFactor(user, wish);
  const { challengeType, oobCode, bindingMethod } = await mfa.challengeAuthenticator({ challengeType: "oob", authenticatorId, mfaToken });
  assert.deepEqual([challengeType, bindingMethod], ["oob", "prompt"]);
  const sent = await message();
  assert.equal(sent.channel, channel);
  return mfa.verify({ factorType: "oob", mfaToken, oobCode, bindingCode: sent.code });
}

/** The tokens are whole, and the ID token, which the client has verified, says how the person authenticated (RFC 8176). */
function proven(tokens, ...methods) {
  assert.equal(tokens.tokenType.toLowerCase(), "bearer");
  assert(tokens.accessToken.split(".").length === 3 && tokens.expiresAt > Date.now() / 1000, tokens);
  assert.deepEqual(tokens.claims.amr, methods);
}

/** An app, its codes, its recovery code. */
async function withAnApp(user) {
  const mfaToken = await firstFactor(user);
  const implied = await mfa.listAuthenticators({ mfaToken });
  assert.deepEqual(implied.map(({ type, active }) => [type, active]), [["email", true]], "a verified address, and nothing enrolled");
  const app = await mfa.enrollAuthenticator({ authenticatorTypes: ["otp"], mfaToken });
  assert(app.barcodeUri.includes(app.secret) && app.recoveryCodes.length === 1, app);
  const wrong = code(app.secret) === "000000" ? "111111" : "000000";
  assert.deepEqual(await refused({ factorType: "otp", mfaToken, otp: wrong }), ["invalid_grant", "Invalid otp_code."]);
  const otp = code(app.secret);
  proven(await mfa.verify({ factorType: "otp", mfaToken, otp }), "pwd", "otp", "mfa");
  assert.deepEqual(await refused({ factorType: "otp", mfaToken, otp }), ["invalid_grant", "Malformed mfa_token"]);

  const again = await firstFactor(user);
  const challenge = await mfa.challengeAuthenticator({ challengeType: "otp", mfaToken: again });
  assert.deepEqual(challenge, { challengeType: "otp" });
  const recovered = await mfa.verify({ factorType: "recovery-code", mfaToken: again, recoveryCode: app.recoveryCodes[0] });
  assert.match(recovered.recoveryCode, /^[0-9A-Z]{24}$/);
  assert.notEqual(recovered.recoveryCode, app.recoveryCodes[0]);
}

/** A telephone, its text messages and calls, a mailbox, and the removal of all. */
async function withATelephone(user) {
  const mfaToken = await firstFactor(user);
  const telephone = { authenticatorTypes: ["oob"], oobChannels: ["sms"], phoneNumber: "+12025550143", mfaToken };
  const { authenticatorType, oobChannel, oobCode, bindingMethod, recoveryCodes } = await mfa.enrollAuthenticator(telephone);
  assert.deepEqual([authenticatorType, oobChannel, bindingMethod, recoveryCodes.length], ["oob", "sms", "prompt", 1]);
  const sent = await message();
  assert.deepEqual([sent.channel, sent.to], ["sms", "+12025550143"]);
  const proof = { factorType: "oob", mfaToken, oobCode };
  const wrong = sent.code === "271828" ? "314159" : "271828";
  assert.deepEqual(await refused({ ...proof, bindingCode: wrong }), ["invalid_grant", "Invalid binding_code."]);
  proven(await mfa.verify({ ...proof, bindingCode: sent.code }), "pwd", "sms", "mfa");

  const listed = await mfa.listAuthenticators({ mfaToken: await firstFactor(user) });
  assert.deepEqual(listed.map(({ id }) => id.split("|")[0]), ["sms", "voice", "email", "recovery-code"]);
  const id = (kind) => listed.find((entry) => entry.id.startsWith(`${kind}|`)).id;
  assert.match(listed[0].name, /^X+0143$/);
  proven(await bySentCode(user, id("voice"), "voice"), "pwd", "tel", "mfa");
  // A mailbox is no second factor by NIST SP 800-63B.
  proven(await bySentCode(user, id("email"), "email"), "pwd", "otp");

  const { accessToken } = await bySentCode(user, id("sms"), "sms", MFA_API);
  await mfa.deleteAuthenticator({ authenticatorId: id("sms"), mfaToken: accessToken });
  const left = await mfa.listAuthenticators({ mfaToken: accessToken });
  assert.deepEqual(left.map(({ id }) => id.split("|")[0]), ["email"], "text messages and calls go together");
}

/** A phone that approves. */
async function withADevice(user) {
  const run = promisify(execFile);
  const phone = (...command) => run(program, ["device", ...command, "--cacert", demo.ca_file], { cwd: folder });
  const mfaToken = await firstFactor(user);
  const { oobChannel, oobCode, barcodeUri } = await mfa.enrollAuthenticator({ authenticatorTypes: ["oob"], oobChannels: ["auth0"], mfaToken });
  assert.equal(oobChannel, "auth0");
  const waits = await refused({ factorType: "oob", mfaToken, oobCode });
  assert.equal(waits[0], "authorization_pending");
  // These clients show no number.
  await phone("enrol", barcodeUri, "--no-number-matching");
  proven(await decided({ factorType: "oob", mfaToken, oobCode }), "pwd", "swk", "mfa");

  for (const [answer, approves] of [["approve", true], ["deny", false]]) {
    const again = await firstFactor(user);
    const challenge = await mfa.challengeAuthenticator({ challengeType: "oob", mfaToken: again });
    assert.equal(challenge.challengeType, "oob");
    const asked = () => readFile(demo.outbox, "utf8").then((text) => text.split("\n").filter((line) => line.includes('"push":')).length);
    while ((await asked()) < (approves ? 1 : 2)) await pause(5);
    await phone(answer, "--outbox", demo.outbox);
    const outcome = await decided({ factorType: "oob", mfaToken: again, oobCode: challenge.oobCode }).catch((e) => e);
    if (approves) proven(outcome, "pwd", "swk", "mfa");
    else assert.equal(outcome.cause?.error, "access_denied");
  }
}

/** What comes of it once it is decided, asking again as slowly as one is told. */
async function decided(options) {
  for (;;) {
    const outcome = await mfa.verify(options).catch((e) => e);
    if (!["authorization_pending", "slow_down"].includes(outcome?.cause?.error)) {
      if (outcome instanceof Error) throw outcome;
      return outcome;
    }
    await pause(1000);
  }
}

const nobody = await mfa.listAuthenticators({ mfaToken: "csmfa_nothing" }).catch((e) => e);
assert(nobody instanceof MfaListAuthenticatorsError && nobody.cause.error, nobody);
await withAnApp(person("ada"));
await withATelephone(person("grace"));
await withADevice(person("user00001"));
console.log("enrolled, proved and removed");

//! What a newcomer is told.

use super::{
    description::Description,
    settings::{AUDIENCE, CONFIDENTIAL, NATIVE, SECRET},
};

/// The greeting: where everything is, and the next three commands.
pub fn text(demo: &Description) -> String {
    let Description { https_url, http_url, grpc_addr, ops_addr, ca_file, outbox, users, .. } = demo;
    let (username, password) = users.first().map_or(("", ""), |user| (user.username.as_str(), user.password));
    let count = users.len();
    format!(
        "\
countersign is ready.

  HTTPS   {https_url}   (the issuer; trust {ca_file})
  HTTP    {http_url}
  gRPC    {grpc_addr}   (with reflection: grpcurl -plaintext {grpc_addr} list)
  ops     http://{ops_addr}/readyz and /metrics
  outbox  {outbox}

  client  {NATIVE} (public), {CONFIDENTIAL} with the secret {SECRET}
  user    {username} with the password: {password}
  More of both, {count} users in all: demo.json beside the outbox.

Log in. A second factor is asked for, so the answer is \"mfa_required\" and an mfa_token:

  curl --cacert '{ca_file}' {https_url}/oauth/token \\
    -d grant_type=password -d client_id={NATIVE} -d username={username} \\
    --data-urlencode 'password={password}' \\
    -d audience={AUDIENCE} -d 'scope=openid profile'

Enrol an authenticator app with it. Put barcode_uri, or the secret, into the app, and keep the recovery code:

  export MFA_TOKEN=…
  curl --cacert '{ca_file}' {https_url}/mfa/associate \\
    -H \"Authorization: Bearer $MFA_TOKEN\" -H 'Content-Type: application/json' \\
    -d '{{\"authenticator_types\":[\"otp\"]}}'

Finish the login with a code from the app (or: oathtool --totp -b SECRET):

  curl --cacert '{ca_file}' {https_url}/oauth/token \\
    -d grant_type=http://auth0.com/oauth/grant-type/mfa-otp -d client_id={NATIVE} \\
    -d mfa_token=$MFA_TOKEN -d otp=…

Ctrl-C stops it. The next start in the same folder goes on where this one ended.
"
    )
}

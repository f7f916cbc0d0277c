//! What is never written: codes, seeds, tokens, phone numbers, mail addresses, headers with credentials, bodies.
//!
//! The rule is that nobody hands such a value to `tracing` at all. This list is the second line: a field with one of these
//! names is struck out in log lines and in exported spans, whoever wrote it.

/// What stands in the place of a value that must not be written.
pub const REDACTED: &str = "[redacted]";

/// Whether a field of this name is struck out.
///
/// The last part of a dotted name counts, without regard to letter case and with `-` read as `_`:
/// `http.request.header.Set-Cookie` is `set_cookie`.
pub fn is_never_logged(field: &str) -> bool {
    let last = field.rsplit('.').next().unwrap_or(field);
    // Every listed name is short, so that anything longer is let through without a copy.
    let mut folded = [0_u8; 32];
    let Some(target) = folded.get_mut(..last.len()) else { return false };
    for (slot, byte) in target.iter_mut().zip(last.bytes()) {
        *slot = if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    }
    matches!(
        &*target,
        // codes
        b"code" | b"otp" | b"otp_code" | b"passcode" | b"pin" | b"binding_code" | b"oob_code" | b"user_code" | b"device_code"
            | b"recovery_code" | b"recovery_codes" | b"backup_code" | b"authorization_code"
            // passwords, seeds and keys
            | b"password" | b"passwd" | b"passphrase" | b"pepper" | b"secret" | b"secrets" | b"client_secret" | b"seed"
            | b"otp_seed" | b"totp_secret" | b"barcode_uri" | b"barcode_svg" | b"otpauth" | b"private_key" | b"key_material"
            | b"master_key" | b"credential" | b"credentials" | b"proof"
            // tokens
            | b"token" | b"tokens" | b"mfa_token" | b"access_token" | b"refresh_token" | b"id_token" | b"bearer" | b"jwt"
            | b"client_assertion" | b"assertion" | b"session_token" | b"page_token"
            // the person
            | b"phone" | b"phone_number" | b"mail" | b"email" | b"email_address" | b"mail_address" | b"username" | b"login"
            | b"login_name"
            // headers with credentials
            | b"authorization" | b"proxy_authorization" | b"cookie" | b"set_cookie" | b"x_api_key" | b"dpop" | b"headers"
            | b"metadata"
            // bodies and what may hold them
            | b"body" | b"request_body" | b"response_body" | b"request" | b"response" | b"payload" | b"form" | b"query"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strikes_out_the_names_of_the_house_style() {
        for name in [
            "otp",
            "code",
            "seed",
            "mfa_token",
            "access_token",
            "phone_number",
            "email",
            "authorization",
            "body",
            "password",
            "client_secret",
            "recovery_code",
        ] {
            assert!(is_never_logged(name), "{name}");
        }
    }

    #[test]
    fn looks_at_the_last_part_in_any_spelling() {
        assert!(is_never_logged("http.request.header.Set-Cookie"));
        assert!(is_never_logged("url.query"));
        assert!(is_never_logged("OTP"));
    }

    #[test]
    fn lets_the_fields_of_the_request_line_through() {
        for name in [
            "message",
            "protocol",
            "http.request.method",
            "url.path",
            "http.response.status_code",
            "rpc.method",
            "rpc.grpc.status_code",
            "reason",
            "client.id",
            "caller",
            "factor",
            "outcome",
            "request.id",
            "trace.id",
            "duration_ms",
            "a_name_that_is_much_longer_than_any_name_on_the_list",
            "",
        ] {
            assert!(!is_never_logged(name), "{name}");
        }
    }
}

//! Enrolling a phone.

use std::path::Path;

use countersign_domain::secret::Secret;
use serde_json::json;

use super::{
    barcode::Barcode,
    guardian::{Guardian, Problem},
    key::DeviceKey,
    phone::{Account, Pending, Phone},
};
use crate::cli::exit::Failure;

/// What the person may choose.
pub struct Choice {
    /// What the device is called.
    pub name: String,
    /// Whether to type the number that a login shows.
    pub number_matching: bool,
}

/// Enrols the phone of the file `path`, which is made if there is none, and answers the new account.
///
/// The key is in the file before the server hears of it: if the answer is lost, or there is no room for it, the same command with
/// the same barcode gets the same registration again.
///
/// # Errors
///
/// The server refuses or does not answer; the file cannot be written.
pub async fn enrol(guardian: &Guardian, barcode: &Barcode, choice: Choice, path: &Path) -> Result<Account, Failure> {
    let mut phone = match Phone::find(path)? {
        Some(phone) => phone,
        None => Phone::new()?,
    };
    let kept = begin(&mut phone, &barcode.ticket)?;
    phone.save(path)?;
    let Choice { name, number_matching } = choice;
    let device = json!({
        "identifier": phone.identifier,
        "name": name,
        "push_credentials": { "service": "GCM", "token": phone.push_token.expose() },
        "public_key": DeviceKey::parse(&kept)?.jwk()?,
        "number_matching": number_matching,
    });
    let answer = guardian.enrol(barcode, &device).await;
    if answer.as_ref().err().is_none_or(Problem::is_final) {
        phone.pending.retain(|pending| pending.ticket.expose() != barcode.ticket.expose());
    }
    let registration = match answer {
        Ok(registration) => registration,
        Err(problem) => {
            phone.save(path)?;
            return Err(problem.into());
        }
    };
    let account = Account {
        id: registration.id,
        url: registration.url,
        issuer: registration.issuer,
        user_id: registration.user_id,
        name,
        number_matching,
        token: registration.token,
        key: kept,
        totp: registration.totp,
    };
    phone.keep(account.clone());
    phone.save(path)?;
    Ok(account)
}

/// The key of an enrolment with `ticket`: that of an earlier try, or a new one.
fn begin(phone: &mut Phone, ticket: &Secret<String>) -> anyhow::Result<Secret<String>> {
    if let Some(earlier) = phone.pending.iter().find(|pending| pending.ticket.expose() == ticket.expose()) {
        return Ok(earlier.key.clone());
    }
    let key = DeviceKey::generate()?;
    phone.pending.push(Pending { ticket: ticket.clone(), key: key.clone() });
    Ok(key)
}

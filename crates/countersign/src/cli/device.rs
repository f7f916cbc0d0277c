//! `device`: a phone in software, for demos and tests.

use std::{
    io::{BufRead, Read as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use countersign_domain::{port::clock::Clock as _, secret::Secret, time::Timestamp};
use http::StatusCode;

use super::{exit::Failure, run};
use crate::{
    device::{
        answer::{self, Number, Verdict},
        barcode::Barcode,
        base_url::BaseUrl,
        enrol::{self, Choice},
        guardian::{Guardian, Problem},
        outbox::{Login, Waiting, shown},
        phone::{Account, Phone},
        picture,
    },
    system::SystemClock,
};

/// The authority of a demo in the current folder.
const DEMO_AUTHORITY: &str = "countersign-demo/ca.pem";
/// The most of a barcode that is read, in bytes.
const MAX_BARCODE: u64 = 16 * 1024 * 1024;
/// The most of a typed line that is read, in bytes.
const MAX_LINE: u64 = 256;

/// `device` and what it does.
#[derive(Args, Debug)]
pub struct DeviceCommand {
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The phone.
#[derive(Args, Clone, Debug)]
pub struct PhoneFile {
    /// The file that keeps the phone: its keys and accounts.
    #[arg(long, value_name = "FILE", default_value = "countersign-phone.json")]
    pub phone: PathBuf,
}

/// The messages.
#[derive(Args, Clone, Debug)]
pub struct OutboxFile {
    /// The outbox of a demo, where logins wait.
    #[arg(long, value_name = "FILE", default_value = "countersign-demo/outbox.jsonl")]
    pub outbox: PathBuf,
}

/// Whom to trust.
#[derive(Args, Clone, Debug)]
pub struct Trust {
    /// PEM file with the authorities to trust instead of those of the system. Without, the one of the demo in
    /// `countersign-demo`, if the server is on this machine.
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Enrol the phone with a barcode.
    Enrol {
        /// The otpauth:// text of the barcode, or a PNG or SVG picture of it; `-` reads either from standard input.
        barcode: String,
        /// What to call the device.
        #[arg(long, default_value = "countersign phone")]
        name: String,
        /// Which phone. It is made if there is none.
        #[command(flatten)]
        phone: PhoneFile,
        /// Whom to trust.
        #[command(flatten)]
        trust: Trust,
        /// Approve without typing the number that a login shows.
        #[arg(long)]
        no_number_matching: bool,
    },
    /// List the phone's accounts and the logins that wait, newest first.
    ///
    /// Columns are separated by tabs: `account`, id, device, user, issuer, `number` or `tap`; `login`, id, application, address,
    /// browser, age, `number` or `tap`.
    List {
        /// Which phone.
        #[command(flatten)]
        phone: PhoneFile,
        /// Where logins wait.
        #[command(flatten)]
        outbox: OutboxFile,
    },
    /// Say that a waiting login is yours.
    Approve {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// The number shown where you log in, if the login asks for it. Without, it is read from standard input.
        #[arg(long, value_name = "N")]
        number: Option<String>,
    },
    /// Say that a waiting login is not yours.
    Deny {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Print the code of an account at this time.
    Code {
        /// The account's id or the beginning of it. Without, the only one.
        id: Option<String>,
        /// Which phone.
        #[command(flatten)]
        phone: PhoneFile,
    },
    /// Remove an account from the server and the phone.
    Remove {
        /// The account's id or the beginning of it. Without, the only one.
        id: Option<String>,
        /// Which phone.
        #[command(flatten)]
        phone: PhoneFile,
        /// Whom to trust.
        #[command(flatten)]
        trust: Trust,
        /// Remove it from the phone alone and tell the server nothing, for a server that is gone.
        #[arg(long, conflicts_with = "cacert")]
        local: bool,
    },
}

/// Which login.
#[derive(Args, Clone, Debug)]
pub struct Which {
    /// Its id or the beginning of it. Without, the newest.
    pub id: Option<String>,
    /// Of which phone.
    #[command(flatten)]
    pub phone: PhoneFile,
    /// Where it waits.
    #[command(flatten)]
    pub outbox: OutboxFile,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: Trust,
}

/// Does it, and says what was done.
///
/// # Errors
///
/// It could not be done.
pub async fn run(command: DeviceCommand) -> Result<(), Failure> {
    let said = perform(command.verb, &mut std::io::BufReader::new(std::io::stdin())).await?;
    for line in said {
        run::print(&line);
    }
    Ok(())
}

/// Does it, with `input` as standard input, and answers the lines to say.
pub(crate) async fn perform(verb: Verb, input: &mut (dyn BufRead + Send)) -> Result<Vec<String>, Failure> {
    let now = SystemClock.now();
    match verb {
        Verb::Enrol { barcode, name, phone, trust, no_number_matching } => {
            let barcode = read(&barcode, input)?;
            let guardian = guardian(trust, &barcode.base_url)?;
            let choice = Choice { name, number_matching: !no_number_matching };
            Ok(enrolled(&enrol::enrol(&guardian, &barcode, choice, &phone.phone).await?))
        }
        Verb::List { phone, outbox } => {
            let phone = Phone::load(&phone.phone)?;
            let mut lines: Vec<_> = phone.accounts.iter().map(account_line).collect();
            match waiting(&outbox.outbox, &phone, now) {
                Ok(Waiting { logins, .. }) => lines.extend(logins.iter().map(|login| login_line(login, now))),
                // The accounts are worth telling all the same.
                Err(failure) => eprintln!("warning: {failure}"),
            }
            Ok(lines)
        }
        Verb::Approve { which, number } => {
            // Before anything is looked up, so that a slip of the hand is told at once.
            let number = number.as_deref().map(Number::parse).transpose()?;
            say(&which, now, |login| accept(login, number, input)).await
        }
        Verb::Deny { which, reason } => say(&which, now, |_| Ok(Verdict::Reject(reason))).await,
        Verb::Code { id, phone } => {
            let phone = Phone::load(&phone.phone)?;
            let totp = phone.account(id.as_deref())?.totp.as_ref();
            let totp = totp.ok_or_else(|| Failure::Data("This account came without codes".to_owned()))?;
            Ok(vec![totp.code(now)?.expose().clone()])
        }
        Verb::Remove { id, phone: PhoneFile { phone: path }, trust, local } => {
            let mut phone = Phone::load(&path)?;
            let account = phone.account(id.as_deref())?.clone();
            let known = if local {
                " from this phone alone; the server was not told"
            } else {
                match guardian(trust, &account.url)?.remove(&account).await {
                    Ok(()) => "",
                    // Somebody else was first, and its token went with it.
                    Err(Problem::Refused(StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED, ..)) => {
                        ", which the server did not know any more"
                    }
                    Err(problem) => return Err(problem.into()),
                }
            };
            phone.forget(&account);
            phone.save(&path)?;
            Ok(vec![shown(&format!("Removed {} of {}{known}", account.id, account.issuer))])
        }
    }
}

fn read(barcode: &str, input: &mut (dyn BufRead + Send)) -> Result<Barcode, Failure> {
    if barcode.starts_with("otpauth:") {
        return Barcode::parse(barcode);
    }
    let mut content = Vec::new();
    let read = if barcode == "-" {
        input.take(MAX_BARCODE).read_to_end(&mut content)
    } else {
        std::fs::File::open(barcode).and_then(|file| file.take(MAX_BARCODE).read_to_end(&mut content))
    };
    let content = Secret::new(content);
    read.map_err(|error| Failure::Data(format!("The barcode {} cannot be read: {error}", shown(barcode))))?;
    Barcode::parse(picture::text(content.expose())?.expose())
}

/// A client for the server at `base`.
fn guardian(trust: Trust, base: &BaseUrl) -> anyhow::Result<Guardian> {
    let of_demo = || Some(PathBuf::from(DEMO_AUTHORITY)).filter(|path| base.may_be_a_demo() && path.exists());
    Guardian::new(trust.cacert.or_else(of_demo).as_deref())
}

/// What waits for `phone`. Broken lines are told, and no more.
fn waiting(outbox: &Path, phone: &Phone, now: Timestamp) -> Result<Waiting, Failure> {
    let waiting = Waiting::read(outbox, phone, now)?;
    for line in &waiting.broken {
        eprintln!("warning: line {line} of {} is no message; it was left out", outbox.display());
    }
    Ok(waiting)
}

/// Tells the server what `verdict` says of the login that `which` names.
async fn say(
    which: &Which,
    now: Timestamp,
    verdict: impl FnOnce(&Login) -> Result<Verdict, Failure>,
) -> Result<Vec<String>, Failure> {
    let path = &which.phone.phone;
    let mut phone = Phone::load(path)?;
    let waiting = waiting(&which.outbox.outbox, &phone, now)?;
    let login = waiting.choose(which.id.as_deref())?;
    let guardian = guardian(which.trust.clone(), &login.account(&phone)?.url)?;
    let verdict = verdict(login)?;
    // Typing takes time, and the answer is good for seconds.
    answer::answer(&guardian, &mut phone, login, &verdict, SystemClock.now(), path).await?;
    let done = if matches!(verdict, Verdict::Accept(_)) { "Approved" } else { "Denied" };
    Ok(vec![format!("{done} {}", login.words())])
}

/// Asks for the number if the login wants it and none was given.
fn accept(login: &Login, number: Option<Number>, input: &mut (dyn BufRead + Send)) -> Result<Verdict, Failure> {
    let number = match number {
        _ if !login.push.number_matching => None,
        Some(number) => Some(number),
        None => {
            eprintln!("Approving {}", login.words());
            eprint!("Number shown where you log in: ");
            let mut typed = String::new();
            input.take(MAX_LINE).read_line(&mut typed).context("the number cannot be read")?;
            Some(Number::parse(&typed)?)
        }
    };
    Ok(Verdict::Accept(number))
}

fn enrolled(account: &Account) -> Vec<String> {
    let codes = if account.totp.is_some() { "; `countersign device code` prints its codes" } else { "" };
    let Account { id, name, user_id, issuer, .. } = account;
    vec![shown(&format!("Enrolled {name} for {user_id} of {issuer}: {id}{codes}"))]
}

fn account_line(account: &Account) -> String {
    let Account { id, name, user_id, issuer, number_matching, .. } = account;
    columns(&["account", id, name, user_id, issuer, asked(*number_matching)])
}

fn login_line(login: &Login, now: Timestamp) -> String {
    let push = &login.push;
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let (address, agent) = (text(&push.address), text(&push.user_agent));
    let age = format!("{} s", now.since(login.at).as_secs());
    columns(&["login", login.short_id(), &push.client_name, &address, &agent, &age, asked(push.number_matching)])
}

fn asked(number_matching: bool) -> &'static str {
    if number_matching { "number" } else { "tap" }
}

fn columns(columns: &[&str]) -> String {
    columns.iter().map(|column| shown(column)).collect::<Vec<_>>().join("\t")
}

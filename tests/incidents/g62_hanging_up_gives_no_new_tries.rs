//! G-62, our own: a call ended with its caller, so whoever hung up after sending a wrong code was neither counted for good nor written down.

use std::time::Duration;

use countersign_tests::{
    api::{Api, Tokens, Transport},
    dump, everywhere,
    http::body,
    person::{Person, Phone},
    refusal::{
        Expected, LOCKED, RATE_LIMITED, Refusal, TOO_MANY_CODES, WRONG_BINDING_CODE, WRONG_OTP, WRONG_PASSWORD,
        WRONG_RECOVERY_CODE,
    },
    sent::NUMBER,
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use tokio::time::{interval, timeout};

/// Hangs up at different moments of a call, some before anything has left.
const MOMENTS: [u32; 7] = [0, 20, 100, 300, 900, 2700, 8100];
/// A recovery code of nobody.
const NOBODYS: &str = "ABCDEFGHJKMNPQRSTVWXYZ01";
const GRANT: &str = "http://auth0.com/oauth/grant-type/mfa-";

/// A factor, and what a wrong code of it leads to.
struct Factor {
    name: &'static str,
    refusal: &'static Expected,
    event: &'static str,
    table: &'static str,
}

const FACTORS: [Factor; 3] = [
    Factor { name: "otp", refusal: &WRONG_OTP, event: "proof_rejected.otp", table: "authenticator" },
    Factor {
        name: "recovery-code",
        refusal: &WRONG_RECOVERY_CODE,
        event: "proof_rejected.recovery_code",
        table: "recovery_code",
    },
    Factor { name: "oob", refusal: &WRONG_BINDING_CODE, event: "proof_rejected.oob", table: "authenticator" },
];

/// A login with an app, or with a telephone, that waits for its second factor, and codes that are wrong.
struct Login {
    person: Person,
    token: String,
    oob_code: String,
    wrong: String,
}

impl Login {
    async fn of(world: &World, api: &Api, factor: &Factor) -> Self {
        if factor.name == "oob" {
            let person = world.with_telephone(api, "oob", NUMBER).await;
            let (token, sent, message) = person.challenged(world, api, "sms").await;
            return Self { person, token, oob_code: sent.oob_code.clone(), wrong: message.wrong().to_owned() };
        }
        let (person, phone): (Person, Phone) = world.enrolled(api, factor.name).await;
        let wrong = if factor.name == "otp" { phone.wrong(world) } else { NOBODYS.to_owned() };
        Self { token: person.mfa_token(api).await, person, oob_code: String::new(), wrong }
    }

    async fn attempt(&self, api: Api, factor: &Factor) -> Result<Tokens, Refusal> {
        match factor.name {
            "otp" => api.otp(BACKEND, &self.token, &self.wrong).await,
            "oob" => api.oob(BACKEND, &self.token, &self.oob_code, &self.wrong).await,
            _ => api.recovery(BACKEND, &self.token, &self.wrong).await,
        }
    }

    /// Uses up what is left of the ten tries. Each of the ten is a row then, and a failure for good.
    async fn is_counted(&self, world: &World, api: &Api, factor: &Factor) {
        loop {
            let refusal = self.attempt(api.clone(), factor).await.unwrap_err();
            if refusal.is(&TOO_MANY_CODES) {
                break;
            }
            assert!(refusal.is(factor.refusal), "{}: {refusal:?}", factor.name);
        }
        let (path, id) = (world.database(), self.person.id.as_str());
        let rows = || dump::audited(&path, factor.event, id);
        soon(&format!("{}: of ten attempts there are rows", factor.name), || rows() >= 10).await;
        soon("they count for good", || dump::failures(&path, factor.table, id) >= 10).await;
        assert_eq!((rows(), dump::failures(&path, factor.table, id)), (10, 10), "{}", factor.name);
        assert!(told(world, &self.person).await, "{}", factor.name);
    }
}

/// Begins `call` and drops it after a while, wherever it is then.
async fn hang_up<T>(call: impl Future<Output = T>, moment: u32) {
    tokio::select! {
        biased;
        _ = call => {}
        () = async { for _ in 0..moment { tokio::task::yield_now().await } } => {}
    }
}

/// As soon as `condition` holds.
async fn soon(what: &str, condition: impl Fn() -> bool) {
    let holds = async {
        let mut ticks = interval(Duration::from_millis(5));
        while !condition() {
            ticks.tick().await;
        }
    };
    timeout(Duration::from_secs(20), holds).await.unwrap_or_else(|_| panic!("{what}"));
}

/// The notice that the second factor failed three times, to this person.
async fn told(world: &World, person: &Person) -> bool {
    let notices = world.notices().await;
    let failed = |text: &str| text.contains("the second step failed three times");
    notices.iter().any(|notice| notice["to"] == person.email.as_str() && notice["text"].as_str().is_some_and(failed))
}

everywhere! {
    in Tenant::default().with_messages();

    async fn each_attempt_that_was_taken_is_a_row_and_counts_whenever_its_sender_hung_up(world: World, api: Api) {
        for factor in &FACTORS {
            let login = Login::of(&world, &api, factor).await;
            for moment in MOMENTS {
                hang_up(login.attempt(api.clone(), factor), moment).await;
            }
            login.is_counted(&world, &api, factor).await;
        }
    }

    async fn so_is_each_password_that_was_looked_at(world: World, api: Api) {
        let ann = world.person("ann").await;
        for moment in MOMENTS {
            hang_up(api.login(BACKEND, "ann", "wrong"), moment).await;
        }
        let mut ticks = interval(Duration::from_millis(5));
        loop {
            let refusal = api.login(BACKEND, "ann", "wrong").await.unwrap_err();
            if refusal.is(&LOCKED) {
                break;
            }
            // While a password is looked at whose sender hung up, nobody is locked out.
            assert!(refusal.is(&WRONG_PASSWORD) || refusal.is(&RATE_LIMITED), "{refusal:?}");
            ticks.tick().await;
        }
        assert_eq!(dump::audited(&world.database(), "proof_rejected.password", ann.id.as_str()), 10);
    }
}

async fn resets(store: Store) {
    let world = World::start(store, Tenant::default().with_messages()).await;
    let api = world.api(Transport::Http);
    for factor in &FACTORS {
        let login = Login::of(&world, &api, factor).await;
        let grant = format!("{GRANT}{}", factor.name);
        let mut fields = vec![("grant_type", grant.as_str()), ("mfa_token", login.token.as_str())];
        match factor.name {
            "otp" => fields.push(("otp", &login.wrong)),
            "oob" => fields.extend([("oob_code", login.oob_code.as_str()), ("binding_code", &login.wrong)]),
            _ => fields.push(("recovery_code", &login.wrong)),
        }
        for moment in MOMENTS {
            world.http().post_and_reset("/oauth/token", &body(BACKEND, &fields), moment).await;
        }
        login.is_counted(&world, &api, factor).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_reset_after_a_wrong_code_saves_nothing_on_sqlite() {
    Box::pin(resets(Store::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_reset_after_a_wrong_code_saves_nothing_with_redis() {
    Box::pin(resets(Store::Redis)).await;
}

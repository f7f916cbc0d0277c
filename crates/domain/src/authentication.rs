//! How a person authenticated.

use std::borrow::Cow;

use crate::time::Timestamp;

/// `acr` of a login with two factors.
pub const ACR_MULTI_FACTOR: &str = "http://schemas.openid.net/pape/policies/2007/06/multi-factor";

/// `acr` of a login with the password alone.
pub const ACR_PASSWORD: &str = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport";

/// How a person authenticated: RFC 8176 names, in the order in which they were proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// When the first factor was proven.
    pub at: Timestamp,
    /// `amr`.
    pub methods: Vec<Cow<'static, str>>,
}

impl Authentication {
    /// The password alone.
    pub fn password(at: Timestamp) -> Self {
        Self { at, methods: vec!["pwd".into()] }
    }

    /// A second factor on top, by its RFC 8176 name. It makes two only beside one of another kind: a code of the same telephone, or of
    /// another, adds nothing to a login that was one of something the person has already.
    #[must_use]
    pub fn and(self, method: &'static str) -> Self {
        let kind = FactorClass::of(method);
        let two = kind.is_some()
            && self.methods.iter().filter_map(|known| FactorClass::of(known)).any(|known| Some(known) != kind);
        let proven = self.with(method);
        if two { proven.with("mfa") } else { proven }
    }

    /// A second proof on top that does not make two factors: e-mail (NIST SP 800-63B-4, section 3.1.3.1).
    #[must_use]
    pub fn with(mut self, method: &'static str) -> Self {
        if !self.has(method) {
            self.methods.push(method.into());
        }
        self
    }

    /// Whether two factors were proven.
    pub fn is_multi_factor(&self) -> bool {
        self.has("mfa")
    }

    /// Whether a second factor can make two of it: all of them are things the person has, so it takes something else beside them.
    pub fn may_become_multi_factor(&self) -> bool {
        self.methods.iter().filter_map(|known| FactorClass::of(known)).any(|class| class != FactorClass::Possession)
    }

    /// The methods, to be stored.
    pub(crate) fn names(&self) -> Vec<String> {
        self.methods.iter().map(|method| method.clone().into_owned()).collect()
    }

    fn has(&self, method: &str) -> bool {
        self.methods.iter().any(|known| known == method)
    }

    /// `acr`.
    pub fn acr(&self) -> &'static str {
        if self.is_multi_factor() { ACR_MULTI_FACTOR } else { ACR_PASSWORD }
    }
}

/// What a method proves of a person (NIST SP 800-63B-4, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FactorClass {
    /// Something they know.
    Knowledge,
    /// Something they have.
    Possession,
    /// Something they are.
    Inherence,
}

impl FactorClass {
    /// The class of one of RFC 8176's methods; `None` of those that say nothing of a factor.
    fn of(method: &str) -> Option<Self> {
        match method {
            "pwd" | "pin" | "kba" => Some(Self::Knowledge),
            "otp" | "sms" | "tel" | "hwk" | "swk" | "sc" | "pop" => Some(Self::Possession),
            "face" | "fpt" | "iris" | "retina" | "vbm" => Some(Self::Inherence),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proven(methods: &[&'static str]) -> Authentication {
        let methods = methods.iter().map(|method| (*method).into()).collect();
        Authentication { at: Timestamp::from_millis(0), methods }
    }

    #[test]
    fn two_factors_are_two_of_different_kinds() {
        for (first, second, two) in [
            (&["pwd"][..], "otp", true),
            (&["pwd"], "sms", true),
            (&["sms"], "sms", false),
            (&["sms"], "otp", false),
            (&["otp"], "otp", false),
            (&["fpt"], "otp", true),
            (&["geo"], "otp", false),
            (&[], "otp", false),
            (&["pwd", "otp"], "sms", true),
        ] {
            let login = proven(first).and(second);
            assert_eq!(login.is_multi_factor(), two, "{first:?} and {second}");
            assert_eq!(login.acr(), if two { ACR_MULTI_FACTOR } else { ACR_PASSWORD });
        }
        assert!(!proven(&["pwd"]).with("otp").with("otp").is_multi_factor(), "e-mail, however often");
    }

    proptest! {
        #[test]
        fn the_same_channel_twice_changes_nothing(
            first in proptest::sample::subsequence(vec!["pwd", "otp", "sms", "tel", "hwk", "mfa"], 0..=6),
            method in proptest::sample::select(vec!["otp", "sms", "tel", "hwk"]),
        ) {
            let once = proven(&first).and(method);
            let twice = once.clone().and(method);
            prop_assert_eq!(twice.acr(), once.acr());
            prop_assert_eq!(twice.methods, once.methods);
        }
    }
}

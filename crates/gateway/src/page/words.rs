//! What the pages say, in the languages that messages are shipped in.

use http::{HeaderMap, header::ACCEPT_LANGUAGE};

/// The words of one language.
pub(super) struct Words {
    /// Its tag (BCP 47).
    pub(super) language: &'static str,
    /// Above every page.
    pub(super) title: &'static str,
    /// Before the name of what was added.
    pub(super) added: &'static str,
    /// What the button is for.
    pub(super) question: &'static str,
    /// The button.
    pub(super) button: &'static str,
    /// What to do with the page otherwise.
    pub(super) ignore: &'static str,
    /// It was removed.
    pub(super) removed: &'static str,
    /// What to do then.
    pub(super) next: &'static str,
    /// The link is of no use.
    pub(super) dead: &'static str,
    /// What to do then.
    pub(super) unknown: &'static str,
    /// Something failed.
    pub(super) trouble: &'static str,
}

impl Words {
    /// The words of the language the reader likes best (RFC 9110, section 12.5.4); English for who reads none of them. Regions are passed
    /// over, and what is malformed.
    pub(super) fn of(headers: &HeaderMap) -> &'static Self {
        let list = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut best: Option<(&Self, f32)> = None;
        for (words, quality) in list.split(',').take(32).filter_map(wanted) {
            // Among equals the first wins.
            if best.is_none_or(|(_, most)| quality > most) {
                best = Some((words, quality));
            }
        }
        best.map_or(&ENGLISH, |(words, _)| words)
    }
}

/// One entry of the list, if there are words for it.
fn wanted(entry: &str) -> Option<(&'static Words, f32)> {
    let (tag, weight) = entry.split_once(';').unwrap_or((entry, "q=1"));
    let language = tag.trim().split('-').next()?;
    let quality: f32 = weight.trim().strip_prefix("q=")?.parse().ok()?;
    let words = ALL.into_iter().find(|words| words.language.eq_ignore_ascii_case(language))?;
    (quality > 0.0 && quality <= 1.0).then_some((words, quality))
}

static ALL: [&Words; 6] = [&GERMAN, &ENGLISH, &SPANISH, &FRENCH, &JAPANESE, &PORTUGUESE];

static GERMAN: Words = Words {
    language: "de",
    title: "Sicherheitshinweis",
    added: "Ihrem Konto wurde eine Anmeldemethode hinzugefügt:",
    question: "Wenn Sie das nicht waren, entfernen Sie sie jetzt.",
    button: "Das war ich nicht: entfernen",
    ignore: "Wenn Sie es waren, können Sie diese Seite schließen.",
    removed: "Die Anmeldemethode wurde entfernt.",
    next: "Ändern Sie jetzt Ihr Passwort: Wer sie hinzugefügt hat, kennt es vermutlich.",
    dead: "Dieser Link gilt nicht mehr: Er wurde benutzt oder ist abgelaufen.",
    unknown: "Wenn Sie eine Anmeldemethode nicht kennen, ändern Sie Ihr Passwort und wenden Sie sich an den Support.",
    trouble: "Das hat nicht geklappt. Bitte versuchen Sie es gleich noch einmal.",
};

static ENGLISH: Words = Words {
    language: "en",
    title: "Security notice",
    added: "A sign-in method was added to your account:",
    question: "If this was not you, remove it now.",
    button: "This was not me: remove it",
    ignore: "If it was you, you can close this page.",
    removed: "The sign-in method was removed.",
    next: "Change your password now: whoever added it probably knows it.",
    dead: "This link is not valid any more: it was used, or it has expired.",
    unknown: "If there is a sign-in method you do not know, change your password and contact support.",
    trouble: "This did not work. Please try again in a moment.",
};

static SPANISH: Words = Words {
    language: "es",
    title: "Aviso de seguridad",
    added: "Se añadió un método de acceso a su cuenta:",
    question: "Si no fue usted, elimínelo ahora.",
    button: "No fui yo: eliminarlo",
    ignore: "Si fue usted, puede cerrar esta página.",
    removed: "El método de acceso se eliminó.",
    next: "Cambie su contraseña ahora: quien lo añadió probablemente la conoce.",
    dead: "Este enlace ya no es válido: se usó o ha caducado.",
    unknown: "Si hay un método de acceso que no conoce, cambie su contraseña y póngase en contacto con el soporte.",
    trouble: "No ha funcionado. Inténtelo de nuevo en un momento.",
};

static FRENCH: Words = Words {
    language: "fr",
    title: "Alerte de sécurité",
    added: "Une méthode de connexion a été ajoutée à votre compte :",
    question: "Si ce n’était pas vous, supprimez-la maintenant.",
    button: "Ce n’était pas moi : la supprimer",
    ignore: "Si c’était vous, vous pouvez fermer cette page.",
    removed: "La méthode de connexion a été supprimée.",
    next: "Changez votre mot de passe maintenant : la personne qui l’a ajoutée le connaît sans doute.",
    dead: "Ce lien n’est plus valable : il a été utilisé ou a expiré.",
    unknown: "Si vous ne reconnaissez pas une méthode de connexion, changez votre mot de passe et contactez l’assistance.",
    trouble: "Cela n’a pas fonctionné. Veuillez réessayer dans un instant.",
};

static JAPANESE: Words = Words {
    language: "ja",
    title: "セキュリティのお知らせ",
    added: "お客様のアカウントにログイン方法が追加されました。",
    question: "お心当たりがない場合は、今すぐ削除してください。",
    button: "心当たりがないので削除する",
    ignore: "ご自身で追加された場合は、このページを閉じてください。",
    removed: "ログイン方法を削除しました。",
    next: "今すぐパスワードを変更してください。追加した人物がパスワードを知っている可能性があります。",
    dead: "このリンクは使用済みか有効期限切れのため、無効です。",
    unknown: "心当たりのないログイン方法がある場合は、パスワードを変更し、サポートにご連絡ください。",
    trouble: "処理できませんでした。しばらくしてからもう一度お試しください。",
};

static PORTUGUESE: Words = Words {
    language: "pt",
    title: "Aviso de segurança",
    added: "Um método de acesso foi adicionado à sua conta:",
    question: "Se não foi você, remova-o agora.",
    button: "Não fui eu: remover",
    ignore: "Se foi você, pode fechar esta página.",
    removed: "O método de acesso foi removido.",
    next: "Altere sua senha agora: quem o adicionou provavelmente a conhece.",
    dead: "Este link não é mais válido: foi usado ou expirou.",
    unknown: "Se houver um método de acesso que você não conhece, altere sua senha e entre em contato com o suporte.",
    trouble: "Não funcionou. Tente novamente em instantes.",
};

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_reader_gets_the_language_they_like_best() {
        for (list, language) in [
            ("de", "de"),
            ("pt-BR, en;q=0.9", "pt"),
            ("nl, ja;q=0.5, fr;q=0.8", "fr"),
            ("en;q=0.5, ES;q=0.5", "en"),
            ("de;q=0, fr;q=2, es;q=x", "en"),
            ("", "en"),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_str(list).unwrap())]);
            assert_eq!(Words::of(&headers).language, language, "{list}");
        }
        assert_eq!(Words::of(&HeaderMap::new()).language, "en");
    }
}

//! Where templates come from: the program itself, and a folder that overrides it.

use std::{collections::BTreeMap, fs, io, path::Path};

use super::Mistake;
use crate::language;

/// How the file of a language ends.
const WORDS: &str = ".jinja";

/// The shipped files, by name.
const SHIPPED: [(&str, &str); 12] = [
    ("de.jinja", include_str!("../../templates/de.jinja")),
    ("en.jinja", include_str!("../../templates/en.jinja")),
    ("es.jinja", include_str!("../../templates/es.jinja")),
    ("fr.jinja", include_str!("../../templates/fr.jinja")),
    ("ja.jinja", include_str!("../../templates/ja.jinja")),
    ("pt.jinja", include_str!("../../templates/pt.jinja")),
    ("email.html", include_str!("../../templates/email.html")),
    ("email.txt", include_str!("../../templates/email.txt")),
    ("push.txt", include_str!("../../templates/push.txt")),
    ("sms.txt", include_str!("../../templates/sms.txt")),
    ("title.txt", include_str!("../../templates/title.txt")),
    ("voice.txt", include_str!("../../templates/voice.txt")),
];

/// Every template by its name: those of `folder` instead of those shipped. What cannot be used is noted in `mistakes`.
pub(super) fn collect(folder: Option<&Path>, mistakes: &mut Vec<Mistake>) -> BTreeMap<String, String> {
    let mut files: BTreeMap<_, _> =
        SHIPPED.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let Some(folder) = folder else { return files };
    let entries = match names(folder) {
        Ok(entries) => entries,
        Err(error) => {
            mistakes.push(Mistake::of_file(&folder.to_string_lossy(), format!("cannot be read: {error}")));
            return files;
        }
    };
    for name in entries {
        // A mounted Kubernetes volume keeps its own files beside ours, such as `..data`.
        if name.starts_with('.') {
            continue;
        }
        if language_of(&name).is_none() && !files.contains_key(&name) {
            mistakes.push(Mistake::of_file(
                &name,
                "is neither a language, such as nl.jinja, nor overrides anything".into(),
            ));
            continue;
        }
        match fs::read_to_string(folder.join(&name)) {
            Ok(text) => drop(files.insert(name, text)),
            Err(error) => mistakes.push(Mistake::of_file(&name, format!("cannot be read: {error}"))),
        }
    }
    files
}

/// The language whose words the file `name` has.
pub(super) fn language_of(name: &str) -> Option<&str> {
    name.strip_suffix(WORDS).filter(|tag| language::is_tag(tag))
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    // Mistakes are reported in the same order everywhere.
    names.sort();
    Ok(names)
}

//! Errors, to their bottom.

use std::error::Error;

use countersign_domain::port::sender::SendError;

/// The error and its sources, with what `Debug` shows of them. It begins with the kind.
pub fn everything(error: &SendError) -> String {
    let mut text = format!("{error:?}");
    let mut next: Option<&dyn Error> = Some(error);
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

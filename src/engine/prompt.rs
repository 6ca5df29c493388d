//! The one line that a user sees: printable, nothing of it from the request, and in a language that tells nobody anything
//! ([`Facts::language`]).

use super::login::Facts;
use super::words::Line;
use crate::base::messages::Language;
use crate::wire::{AttributeList, number};

/// Prompt: the gateway should not echo what is typed (RFC 2869 §5.10).
const NO_ECHO: u32 = 0;

/// The same for every refusal, but for the reference by which an admin finds its row.
pub(super) fn refusal(facts: &Facts) -> String {
    if facts.policy.admission.reference {
        Line::RefusedReference.with(facts.language, &[("reference", &facts.id.to_string())])
    } else {
        Line::Refused.say(facts.language).to_owned()
    }
}

/// Reply-Message and Prompt of a challenge that asks for a code.
pub(super) fn question(text: &str) -> AttributeList {
    let mut attributes = AttributeList::default();
    #[expect(
        clippy::expect_used,
        reason = "a line is cut where it is too long, as a menu may be, and Prompt has four octets"
    )]
    attributes
        .push_line(number::REPLY_MESSAGE, text)
        .and_then(|()| attributes.push_u32(number::PROMPT, NO_ECHO))
        .expect("a prompt fits");
    attributes
}

/// The primary's own challenge, fit to be shown: several gateways drop a challenge without Reply-Message or show the first
/// one alone, so there is exactly one; and none may stand beside EAP-Message (RFC 3579 §2.6.5).
pub(super) fn relayed(mut attributes: AttributeList, language: Language) -> AttributeList {
    let count =
        |wanted| attributes.plain_attributes().filter(|attribute| attribute.number() == wanted).count();
    match (count(number::EAP_MESSAGE), count(number::REPLY_MESSAGE)) {
        (0, 0) => {
            #[expect(clippy::expect_used, reason = "a line is cut where it is too long")]
            attributes.push_line(number::REPLY_MESSAGE, Line::Answer.say(language)).expect("a line fits");
        }
        (0, 1) => {}
        (0, _) => attributes.join_texts(number::REPLY_MESSAGE),
        (_, 0) => {}
        (..) => attributes.remove(number::REPLY_MESSAGE),
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_is_too_long_is_cut_between_characters() {
        for (text, octets) in [("Enter it:".to_owned(), 9), ("a".repeat(300), 253), ("·".repeat(200), 252)] {
            let attributes = question(&text);
            let shown =
                attributes.plain_attributes().find(|attribute| attribute.number() == number::REPLY_MESSAGE);
            let shown = String::from_utf8(shown.unwrap().value().to_vec()).unwrap();
            assert!(text.starts_with(&shown));
            assert_eq!(shown.len(), octets);
        }
    }
}

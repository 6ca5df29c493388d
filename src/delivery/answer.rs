//! What a provider's answer says: whether the message was taken over, and what the provider calls it.
//!
//! Some answer 200 even where they refuse, so the status alone does not do. The answer is a stranger's text, bounded by
//! whoever reads it.

use serde_json::Value;

/// Something that must hold of an answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// This text stands in it.
    Holds(String),
    /// The body is JSON, and each value at this pointer (RFC 6901, `*` for every element; at least one) is this one.
    Is(Pointer, String),
}

/// The way to values of a JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Reads `/messages/0/status`, `/messages/*/status`.
    pub fn parse(text: &str) -> Option<Pointer> {
        let steps = text.strip_prefix('/')?;
        Some(Pointer(steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect()))
    }

    /// Every value there.
    pub fn values<'a>(&self, document: &'a Value) -> Vec<&'a Value> {
        let mut here = vec![document];
        for step in &self.0 {
            here = here
                .into_iter()
                .flat_map(|value| -> Vec<&Value> {
                    match value {
                        Value::Array(items) if step == "*" => items.iter().collect(),
                        Value::Array(items) => step
                            .parse::<usize>()
                            .ok()
                            .and_then(|place| items.get(place))
                            .into_iter()
                            .collect(),
                        Value::Object(members) => members.get(step).into_iter().collect(),
                        _ => Vec::new(),
                    }
                })
                .collect();
        }
        here
    }
}

impl Condition {
    /// Reads `/pointer=value`, else a text to be found.
    pub fn parse(text: &str) -> Option<Condition> {
        if text.is_empty() {
            return None;
        }
        if let Some((pointer, value)) = text.split_once('=')
            && let Some(pointer) = Pointer::parse(pointer)
        {
            return Some(Condition::Is(pointer, value.to_owned()));
        }
        Some(Condition::Holds(text.to_owned()))
    }

    /// Whether it holds of `body`.
    pub fn holds(&self, body: &str) -> bool {
        match self {
            Condition::Holds(text) => body.contains(text),
            Condition::Is(pointer, value) => {
                let Ok(document) = serde_json::from_str::<Value>(body) else { return false };
                let values = pointer.values(&document);
                !values.is_empty() && values.iter().all(|found| said(found) == *value)
            }
        }
    }
}

/// What the provider calls the message: the first value at `pointer`, if it is a number or text of at most 64 characters
/// that can be printed.
pub fn reference(pointer: &Pointer, body: &str) -> Option<String> {
    let document: Value = serde_json::from_str(body).ok()?;
    let found = said(pointer.values(&document).first()?);
    let fits = (1..=64).contains(&found.len()) && found.bytes().all(|octet| octet.is_ascii_graphic());
    fits.then_some(found)
}

fn said(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(condition: &str, body: &str) -> bool {
        Condition::parse(condition).unwrap().holds(body)
    }

    #[test]
    fn a_pointer_asks_for_a_value_and_anything_else_for_a_text() {
        let fine = r#"{"message-count":"2","messages":[{"status":"0"},{"status":"0"}]}"#;
        let half = r#"{"message-count":"2","messages":[{"status":"0"},{"status":"4"}]}"#;
        assert!(holds("/messages/*/status=0", fine));
        assert!(!holds("/messages/*/status=0", half));
        assert!(holds("/messages/0/status=0", half));
        assert!(!holds("/messages/*/status=0", r#"{"messages":[]}"#));
        assert!(!holds("/messages/*/status=0", "<html>"));
        assert!(holds("/error_code=null", r#"{"error_code":null}"#));
        assert!(holds("/ok=true", r#"{"ok":true}"#));
        assert!(holds("/a~1b=1", r#"{"a/b":1}"#));
        assert!(holds("Accepted", "0: Accepted for delivery"));
        assert!(!holds("Accepted", "3: no"));
        assert_eq!(Condition::parse(""), None);
    }

    #[test]
    fn a_reference_is_short_and_printable_or_none() {
        let sid = |body: &str| reference(&Pointer::parse("/sid").unwrap(), body);
        assert_eq!(sid(r#"{"sid":"SM1"}"#), Some("SM1".into()));
        assert_eq!(sid(r#"{"sid":12}"#), Some("12".into()));
        assert_eq!(sid(r#"{"sid":"a\nb"}"#), None);
        assert_eq!(sid(&format!(r#"{{"sid":"{}"}}"#, "x".repeat(65))), None);
        assert_eq!(sid("rubbish"), None);
        assert_eq!(sid("{}"), None);
    }

    #[test]
    fn deep_rubbish_is_no_json_and_not_more() {
        assert!(!holds("/a=1", &"[".repeat(100_000)));
    }
}

//! Providers whose requests and answers are known: what `preset =` stands for. Anything that the admin says wins.
//!
//! From the providers' public documentation. kannel was tried against the program itself, the others against servers of tests that
//! answer as it says.

use crate::engine::delivery::Kind;

/// What a preset says, in the words of the configuration.
#[derive(Debug)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it brings.
    pub kind: Kind,
    /// `method`.
    pub method: &'static str,
    /// `url`; empty where every installation has its own.
    pub url: &'static str,
    /// What is added to the URL where the admin's has no place to be filled.
    pub query: &'static str,
    /// `body`.
    pub body: &'static str,
    /// `body-type`.
    pub body_type: &'static str,
    /// `token-scheme`.
    pub token_scheme: &'static str,
    /// `ok-status`.
    pub ok_status: (u16, u16),
    /// `ok-body`; empty: any.
    pub ok_body: &'static str,
    /// `reference`; empty: none.
    pub reference: &'static str,
    /// What it needs: `username`, `password`, `token`, `url`, `from`.
    pub needs: &'static [&'static str],
}

const NONE: Preset = Preset {
    name: "",
    kind: Kind::Sms,
    method: "POST",
    url: "",
    query: "",
    body: "",
    body_type: "raw",
    token_scheme: "Bearer",
    ok_status: (200, 299),
    ok_body: "",
    reference: "",
    needs: &[],
};

/// Every preset.
pub static PRESETS: &[Preset] = &[
    // https://www.twilio.com/docs/messaging/api/message-resource: 201 and the message as JSON.
    Preset {
        name: "twilio",
        url: "https://api.twilio.com/2010-04-01/Accounts/{username}/Messages.json",
        body: "To={to}&From={from}&Body={text}",
        body_type: "form",
        ok_status: (201, 201),
        ok_body: "/error_code=null",
        reference: "/sid",
        needs: &["username", "password", "from"],
        ..NONE
    },
    Preset {
        name: "twilio",
        kind: Kind::Voice,
        url: "https://api.twilio.com/2010-04-01/Accounts/{username}/Calls.json",
        body: "To={to}&From={from}&SendDigits={extension}&Twiml=%3CResponse%3E%3CSay%20language%3D%22{language}%22%3E{text-xml}%3C%2FSay%3E%3C%2FResponse%3E",
        body_type: "form",
        ok_status: (201, 201),
        reference: "/sid",
        needs: &["username", "password", "from"],
        ..NONE
    },
    // https://developer.vonage.com/en/api/sms: 200 even for what was refused; each part has a status.
    Preset {
        name: "vonage",
        url: "https://rest.nexmo.com/sms/json",
        body: "api_key={username}&api_secret={password}&to={to-digits}&from={from}&type={alphabet}&text={text}",
        body_type: "form",
        ok_status: (200, 200),
        ok_body: "/messages/*/status=0",
        reference: "/messages/0/message-id",
        needs: &["username", "password", "from"],
        ..NONE
    },
    // https://developers.messagebird.com/api/sms-messaging/: 201 and the message as JSON.
    Preset {
        name: "messagebird",
        url: "https://rest.messagebird.com/messages",
        body: r#"{"originator":"{from}","recipients":["{to-digits}"],"datacoding":"auto","body":"{text}"}"#,
        body_type: "json",
        token_scheme: "AccessKey",
        ok_status: (201, 201),
        reference: "/id",
        needs: &["token", "from"],
        ..NONE
    },
    // https://docs.clickatell.com/ (One API): 202, or 207 where only some were taken; each message says whether it was.
    Preset {
        name: "clickatell",
        url: "https://platform.clickatell.com/v1/message",
        body: r#"{"messages":[{"channel":"sms","to":"{to-digits}","content":"{text}"}]}"#,
        body_type: "json",
        token_scheme: "",
        ok_status: (200, 202),
        ok_body: "/messages/*/accepted=true",
        reference: "/messages/0/apiMessageId",
        needs: &["token"],
        ..NONE
    },
    // Kannel's user guide, "Using HTTP interface to smsbox": 202 where accepted or queued.
    Preset {
        name: "kannel",
        method: "GET",
        query: "username={username}&password={password}&from={from}&to={to}&charset=UTF-8&coding={coding}&text={text}",
        ok_status: (202, 202),
        needs: &["url", "username", "password", "from"],
        ..NONE
    },
    // sms-gammu-gateway, an HTTP front to gammu: POST /sms with basic authentication.
    Preset {
        name: "gammu",
        body: r#"{"text":"{text}","number":"{to}"}"#,
        body_type: "json",
        ok_status: (200, 200),
        ok_body: "/status=200",
        needs: &["url", "username", "password"],
        ..NONE
    },
];

/// The preset called `name` for `kind`.
pub fn find(name: &str, kind: Kind) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name && preset.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::answer::{Condition, Pointer};
    use crate::delivery::http::fixed_url;
    use crate::delivery::template::{IN_REQUESTS, Slot, Template};

    #[test]
    fn every_preset_can_be_read() {
        for preset in PRESETS {
            let read = |text: &str| Template::parse(text, IN_REQUESTS).unwrap();
            let (url, query, body) = (read(preset.url), read(preset.query), read(preset.body));
            if preset.url.is_empty() {
                assert!(preset.needs.contains(&"url"), "{}", preset.name);
            } else {
                assert_eq!(fixed_url(&url).unwrap().scheme(), "https", "{}", preset.name);
            }
            let says = |slot| url.has(slot) || query.has(slot) || body.has(slot);
            assert!(says(Slot::Text) || says(Slot::TextXml), "{}", preset.name);
            assert!(says(Slot::To) || says(Slot::ToDigits), "{}", preset.name);
            assert_eq!(says(Slot::From), preset.needs.contains(&"from"), "{}", preset.name);
            assert!(preset.ok_body.is_empty() || Condition::parse(preset.ok_body).is_some());
            assert!(preset.reference.is_empty() || Pointer::parse(preset.reference).is_some());
        }
    }
}

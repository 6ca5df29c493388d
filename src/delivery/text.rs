//! What users read and hear: one template for each kind and language, the admin's own or the table `sent` of `messages/*.toml`.
//!
//! A code that is spoken is read digit by digit. Invariant: what others wrote (a first name) can neither break a line nor
//! move a cursor.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::notices;
use super::template::{Escape, IN_TEXTS, Slot, Template};
use crate::base::messages::{Language, fill};
use crate::base::name::Label;
use crate::base::text::is_unprintable;
use crate::engine::asking::{Asks, Question};
use crate::engine::delivery::{Delivery, Kind, Message};

/// A text in one language.
#[derive(Clone, Debug)]
pub struct Text {
    /// What it is for.
    pub kind: Kind,
    /// It asks for an answer on the phone, rather than bringing a code to be typed.
    pub asks: bool,
    /// Its language in lower case, as in RFC 5646: `hu`, `en-gb`.
    pub language: Arc<str>,
    /// The subject of a mail.
    pub subject: Option<Template>,
    /// What is sent, or said.
    pub body: Template,
}

/// Every text that there is.
#[derive(Clone, Debug)]
pub struct Texts {
    /// `{server}`.
    pub server: Label,
    /// The language of users whose own is not known, or has no text.
    pub language: Arc<str>,
    /// The site that a phone may fill a texted code into by itself: its last line is then `@site #code`.
    pub autofill: Option<Arc<str>>,
    /// The admin's, which go before those built in.
    pub written: Vec<Text>,
}

/// A text as it goes out. Wiped when dropped; prints nothing of it.
pub struct Rendered {
    /// The language it came to, in lower case.
    pub language: Arc<str>,
    /// The subject of a mail.
    pub subject: String,
    /// It.
    pub text: Zeroizing<String>,
    /// The code as it stands in the text; empty where there is none.
    pub code: Zeroizing<String>,
    /// The code's digits; empty where there is none.
    pub digits: Zeroizing<String>,
    /// `{minutes}`.
    pub minutes: u64,
}

impl fmt::Debug for Rendered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rendered").field("language", &self.language).finish_non_exhaustive()
    }
}

impl Texts {
    /// The texts built in, for a server of this name.
    pub fn new(server: Label) -> Texts {
        Texts { server, language: "en".into(), autofill: None, written: Vec::new() }
    }

    /// Every language that `kind` has a text in.
    pub fn languages(&self, kind: Kind) -> Vec<Arc<str>> {
        let mut languages: Vec<Arc<str>> = self
            .written
            .iter()
            .filter(|text| text.kind == kind && !text.asks)
            .map(|text| Arc::clone(&text.language))
            .collect();
        languages.extend(Language::all().map(|language| Arc::from(language.code())));
        languages.sort();
        languages.dedup();
        languages
    }

    /// A message of `kind` in `language` with a code of zeros for a login at what users know as `app`: to see how long one gets.
    pub fn sample(&self, kind: Kind, language: &str, app: &str, lifetime: Duration) -> String {
        let filled =
            Filling { kind, digits: "000000", app, first: "", minutes: minutes(lifetime), typed: true };
        self.fill(&self.choose(kind, Some(language)), &filled).text.to_string()
    }

    /// The words of `delivery`.
    pub fn render(&self, delivery: &Delivery) -> Rendered {
        let (digits, lifetime) = match &delivery.message {
            Message::Code { code, lifetime } => {
                (Zeroizing::new(String::from_utf8_lossy(code.expose()).into_owned()), *lifetime)
            }
            Message::Ask(question) => match &question.asks {
                Asks::CodeBack { code, .. } => {
                    (Zeroizing::new(String::from_utf8_lossy(code.expose()).into_owned()), question.lifetime)
                }
                Asks::Approval { .. } | Asks::Key { .. } => (Zeroizing::default(), question.lifetime),
            },
            Message::Told(_) | Message::Invited { .. } | Message::Test => {
                (Zeroizing::default(), Duration::ZERO)
            }
        };
        let text = match &delivery.message {
            Message::Ask(question) => self.asking(delivery, question),
            Message::Code { .. } => self.choose(delivery.kind, delivery.language.as_deref()),
            Message::Told(notice) => {
                let [subject, body] = notices::keys(*notice);
                built_in(delivery.kind, self.language_of(delivery), subject, body)
            }
            Message::Invited { link } => {
                let language = self.language_of(delivery);
                // A link has no braces, which would be read as something to fill in.
                let link = String::from_utf8_lossy(link.expose()).replace(['{', '}'], "");
                let body = Zeroizing::new(format!("{} {link}", language.say("sent.invitation")));
                plain(delivery.kind, language.code(), language.say("sent.invitation-subject"), &body)
            }
            Message::Test => {
                built_in(delivery.kind, self.language_of(delivery), "sent.test-subject", "sent.test")
            }
        };
        let filling = Filling {
            kind: delivery.kind,
            digits: &digits,
            app: delivery.app(),
            first: delivery.first.as_deref().unwrap_or_default(),
            minutes: minutes(lifetime),
            typed: matches!(delivery.message, Message::Code { .. }),
        };
        self.fill(&text, &filling)
    }

    /// The language that something built in is said in.
    fn language_of(&self, delivery: &Delivery) -> Language {
        let tags = self.tags(delivery.language.as_deref());
        tags.iter().find_map(|tag| Language::exactly(tag)).unwrap_or_default()
    }

    fn fill(&self, text: &Text, filling: &Filling<'_>) -> Rendered {
        let Filling { kind, digits, app, first, minutes, typed } = *filling;
        let code = match kind {
            Kind::Voice => spoken(digits),
            Kind::Sms | Kind::Email | Kind::Push => Zeroizing::new(digits.to_owned()),
        };
        let fill = |template: &Template| {
            template.fill(Escape::Raw, |slot| match slot {
                Slot::Code => Cow::Borrowed(code.as_str()),
                Slot::App => Cow::Borrowed(app),
                Slot::Server => Cow::Borrowed(self.server.as_str()),
                Slot::Minutes => Cow::Owned(minutes.to_string()),
                Slot::First => one_line(first).into(),
                _ => Cow::Borrowed(""),
            })
        };
        let mut body = fill(&text.body);
        if let (Kind::Sms, Some(site), false, true) = (kind, &self.autofill, digits.is_empty(), typed) {
            // The origin-bound one-time code format: the last line, by itself.
            body.push_str("\n\n@");
            body.push_str(site);
            body.push_str(" #");
            body.push_str(digits);
        }
        let subject = text.subject.as_ref().map_or(String::new(), |subject| one_line(&fill(subject)));
        let digits = Zeroizing::new(digits.to_owned());
        Rendered { language: Arc::clone(&text.language), subject, text: body, code, digits, minutes }
    }

    /// The words of a question, chosen as those of a code are.
    fn asking(&self, delivery: &Delivery, question: &Question) -> Text {
        let language = match self.pick(delivery.kind, delivery.language.as_deref(), true) {
            Picked::Written(text) => return text.clone(),
            Picked::BuiltIn(language) => language,
        };
        let body = match question.asks {
            // A push is put into words by whoever shows it.
            Asks::Approval { .. } => String::new(),
            Asks::CodeBack { pin: false, .. } => language.say("sent.reply").to_owned(),
            Asks::CodeBack { pin: true, .. } => language.say("sent.reply-pin").to_owned(),
            Asks::Key { pin, fraud } => {
                let press = language.say(if pin { "sent.press-pin" } else { "sent.press" });
                let fraud = fraud.map(|digit| digit.to_string());
                fraud.map_or_else(
                    || press.to_owned(),
                    |digit| {
                        format!("{press} {}", fill(language.say("sent.press-fraud"), &[("fraud", &digit)]))
                    },
                )
            }
        };
        plain(delivery.kind, language.code(), "", &body)
    }

    /// The text of `kind` for somebody who speaks `language`.
    fn choose(&self, kind: Kind, language: Option<&str>) -> Text {
        match self.pick(kind, language, false) {
            Picked::Written(text) => text.clone(),
            Picked::BuiltIn(language) => match kind {
                Kind::Sms => built_in(kind, language, "", "sent.sms"),
                Kind::Voice => built_in(kind, language, "", "sent.voice"),
                Kind::Email => built_in(kind, language, "sent.email-subject", "sent.email"),
                // No code is pushed.
                Kind::Push => plain(kind, language.code(), "", "{code}"),
            },
        }
    }

    /// Whose text it is: of that very tag, of its first part, of the language of this server, English; the admin's before one built in.
    fn pick(&self, kind: Kind, language: Option<&str>, asks: bool) -> Picked<'_> {
        for tag in self.tags(language) {
            if let Some(text) = self.written(kind, &tag, asks) {
                return Picked::Written(text);
            }
            if let Some(language) = Language::exactly(&tag) {
                return Picked::BuiltIn(language);
            }
        }
        Picked::BuiltIn(Language::ENGLISH)
    }

    /// In which languages a text is looked for, best first.
    fn tags(&self, language: Option<&str>) -> [String; 4] {
        let wanted = language.unwrap_or(&self.language).to_ascii_lowercase();
        let first = wanted.split(['-', '_']).next().unwrap_or("en").to_owned();
        [wanted, first, self.language.to_ascii_lowercase(), "en".to_owned()]
    }

    /// The admin's own.
    fn written(&self, kind: Kind, tag: &str, asks: bool) -> Option<&Text> {
        self.written.iter().find(|text| (text.kind, text.asks, &*text.language) == (kind, asks, tag))
    }
}

/// Whose text it is.
enum Picked<'a> {
    /// The admin's.
    Written(&'a Text),
    /// Ours.
    BuiltIn(Language),
}

/// What goes into a text.
struct Filling<'a> {
    kind: Kind,
    digits: &'a str,
    app: &'a str,
    first: &'a str,
    minutes: u64,
    /// The code is typed at the gateway, where a phone may do it by itself.
    typed: bool,
}

/// `{minutes}`: rounded down, so that nobody is promised more, and at least 1.
fn minutes(lifetime: Duration) -> u64 {
    (lifetime.as_secs() / 60).max(1)
}

/// A text of `messages/*.toml`; without a subject where that has no key.
fn built_in(kind: Kind, language: Language, subject: &'static str, body: &'static str) -> Text {
    let subject = if subject.is_empty() { "" } else { language.say(subject) };
    plain(kind, language.code(), subject, language.say(body))
}

/// A text of the program's own.
fn plain(kind: Kind, language: &str, subject: &str, body: &str) -> Text {
    #[expect(clippy::expect_used, reason = "a constant, and the tests render each")]
    let read = |written: &str| Template::parse(written, IN_TEXTS).expect("a template built in");
    Text {
        kind,
        asks: false,
        language: language.into(),
        subject: (!subject.is_empty()).then(|| read(subject)),
        body: read(body),
    }
}

/// `123456` as it is read out: `1, 2, 3, 4, 5, 6`.
fn spoken(digits: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(digits.len() * 3));
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 {
            text.push_str(", ");
        }
        text.push(digit);
    }
    text
}

/// `text` without what breaks a line or cannot be seen.
fn one_line(text: &str) -> String {
    text.chars().filter(|character| !is_unprintable(*character)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;
    use crate::delivery::fixtures::delivery;
    use crate::engine::delivery::Notice;

    fn texts() -> Texts {
        Texts::new(Label::new("mfa-a").unwrap())
    }

    fn rendered(texts: &Texts, kind: Kind, language: Option<&str>) -> String {
        let delivery =
            Delivery { kind, language: language.map(Into::into), ..delivery("+36301234567", "123456") };
        texts.render(&delivery).text.to_string()
    }

    #[test]
    fn a_client_is_called_what_users_know_it_by() {
        let delivery = Delivery { app: Some("Office VPN".into()), ..delivery("+36301234567", "123456") };
        assert_eq!(
            &*texts().render(&delivery).text,
            "123456 is your code for Office VPN, good for 5 min. Tell it to nobody."
        );
    }

    #[test]
    fn every_text_built_in_has_the_code_and_fits_one_message() {
        for language in Language::all().map(Language::code) {
            for kind in [Kind::Sms, Kind::Voice, Kind::Email] {
                assert!(texts().choose(kind, Some(language)).body.has(Slot::Code), "{kind:?} in {language}");
                let said = rendered(&texts(), kind, Some(language));
                assert!(!said.contains(['{', '}']), "{said}");
                if kind == Kind::Sms {
                    assert_eq!(crate::delivery::gsm::measure(&said).parts, 1, "{said}");
                }
            }
        }
        assert_eq!(
            rendered(&texts(), Kind::Sms, None),
            "123456 is your code for vpn, good for 5 min. Tell it to nobody."
        );
        assert!(rendered(&texts(), Kind::Voice, Some("hu")).contains("A kódja: 1, 2, 3, 4, 5, 6."));
    }

    #[test]
    fn a_user_reads_their_own_language_where_there_is_a_text() {
        let german = plain(Kind::Sms, "de", "", "Ihr Code: {code}");
        let british = plain(Kind::Sms, "en-gb", "", "Code {code}, cheers");
        let texts = Texts { written: vec![german, british], language: "de".into(), ..texts() };
        assert_eq!(rendered(&texts, Kind::Sms, Some("de-AT")), "Ihr Code: 123456");
        assert_eq!(rendered(&texts, Kind::Sms, Some("en-GB")), "Code 123456, cheers");
        assert!(rendered(&texts, Kind::Sms, Some("hu")).contains("a kódja"));
        assert_eq!(rendered(&texts, Kind::Sms, Some("fr")), "Ihr Code: 123456");
        assert_eq!(rendered(&texts, Kind::Sms, None), "Ihr Code: 123456");
        // No German voice: English is what is left.
        assert!(rendered(&texts, Kind::Voice, None).starts_with("Hello."));
    }

    #[test]
    fn a_phone_can_fill_a_texted_code_in_by_its_last_line() {
        let texts = Texts { autofill: Some("vpn.example.com".into()), ..texts() };
        let said = rendered(&texts, Kind::Sms, None);
        assert_eq!(said.lines().last(), Some("@vpn.example.com #123456"));
        assert!(!rendered(&texts, Kind::Email, None).contains('@'));
    }

    #[test]
    fn a_question_says_what_to_do_in_the_users_language_and_fits_one_message() {
        use crate::base::time::UnixTime;
        use crate::engine::asking::Reference;
        let ask = |kind, asks, language: &str| {
            let question = Question {
                reference: Reference([0; 16]),
                passkey: false,
                device: None,
                asks,
                station: None,
                lifetime: Duration::from_mins(1),
                expires: UnixTime(0),
            };
            let message = Message::Ask(Box::new(question));
            let delivery =
                Delivery { kind, message, language: Some(language.into()), ..delivery("+36301234567", "") };
            let texts = Texts { autofill: Some("vpn.example.com".into()), ..texts() };
            texts.render(&delivery).text.to_string()
        };
        for language in ["en-GB", "hu"] {
            for pin in [false, true] {
                let code = crate::base::secret::Secret::from("123456");
                let said = ask(Kind::Sms, Asks::CodeBack { code, pin }, language);
                assert!(said.contains("123456") && said.contains("vpn") && !said.contains('@'), "{said}");
                assert_eq!(said.contains("PIN"), pin, "{said}");
                assert_eq!(crate::delivery::gsm::measure(&said).parts, 1, "{said}");
                let said = ask(Kind::Voice, Asks::Key { pin, fraud: Some(7) }, language);
                assert!(said.contains('7') && said.contains("vpn"), "{said}");
                assert_eq!(said.contains("PIN"), pin, "{said}");
                assert!(!ask(Kind::Voice, Asks::Key { pin, fraud: None }, language).contains('7'));
            }
        }
        assert!(ask(Kind::Voice, Asks::Key { pin: false, fraud: None }, "fr").starts_with("Hello."));
    }

    #[test]
    fn a_question_is_asked_in_words_of_ones_own_and_a_code_is_not_sent_in_them() {
        use crate::base::time::UnixTime;
        use crate::engine::asking::Reference;
        let asks = |language, body| Text { asks: true, ..plain(Kind::Sms, language, "", body) };
        let written = vec![
            plain(Kind::Sms, "de", "", "Ihr Code: {code}"),
            asks("de", "Antworten Sie {code}, {first} ({app})"),
            Text { kind: Kind::Voice, ..asks("hu", "Ha Ön az, nyomja meg a kettőskeresztet: {app}.") },
        ];
        let texts = Texts { written, ..texts() };
        let question = |kind, asks, language: &str| {
            let question = Question {
                reference: Reference([0; 16]),
                passkey: false,
                device: None,
                asks,
                station: None,
                lifetime: Duration::from_mins(1),
                expires: UnixTime(0),
            };
            let message = Message::Ask(Box::new(question));
            let first = Some("Eve\n1".into());
            let language = Some(language.into());
            let delivery = Delivery { kind, message, first, language, ..delivery("+36301234567", "") };
            texts.render(&delivery).text.to_string()
        };
        let back = || Asks::CodeBack { code: crate::base::secret::Secret::from("123456"), pin: false };
        let key = || Asks::Key { pin: false, fraud: Some(0) };
        assert_eq!(question(Kind::Sms, back(), "de-AT"), "Antworten Sie 123456, Eve1 (vpn)");
        assert_eq!(question(Kind::Voice, key(), "hu"), "Ha Ön az, nyomja meg a kettőskeresztet: vpn.");
        assert!(question(Kind::Sms, back(), "hu").contains("válasz: 123456"));
        assert!(question(Kind::Voice, key(), "de").starts_with("Hello."), "no German call: English");
        assert_eq!(rendered(&texts, Kind::Sms, Some("de")), "Ihr Code: 123456");
    }

    #[test]
    fn every_text_of_the_files_is_sent_and_holds_nothing_that_is_not_filled_in() {
        let sources = [include_str!("text.rs"), include_str!("notices.rs"), include_str!("ntfy.rs")].concat();
        let ours = |key: &&str| key.starts_with("sent.") || key.starts_with("ntfy.");
        for language in Language::all() {
            for key in crate::base::messages::keys(language).into_iter().filter(ours) {
                assert!(sources.contains(&format!("\"{key}\"")), "nothing says {key}");
                let text = language.say(key).replace("{fraud}", "7");
                let read = Template::parse(&text, IN_TEXTS);
                assert!(read.is_ok(), "{key} in {}: {read:?}", language.code());
                // Only what brings a code, or asks for it back, has one.
                let brings = ["sent.sms", "sent.voice", "sent.email", "sent.reply", "sent.reply-pin"];
                assert_eq!(read.unwrap().has(Slot::Code), brings.contains(&key), "{key}");
            }
        }
    }

    #[test]
    fn what_was_done_in_a_users_name_is_told_in_the_users_language_or_the_servers() {
        let told = |message: Message, server: &str, language: Option<&str>| {
            let texts = Texts { language: server.into(), ..texts() };
            let language = language.map(Arc::from);
            let delivery =
                Delivery { kind: Kind::Email, message, language, ..delivery("mary@example.com", "") };
            let said = texts.render(&delivery);
            (said.language.to_string(), said.subject.clone(), said.text.to_string())
        };
        let (language, subject, text) = told(Message::Told(Notice::Reported), "en", Some("hu-HU"));
        assert_eq!((&*language, &*subject), ("hu", "Letiltottuk a fiókját"));
        assert!(text.contains("Hívja az"), "{text}");
        let (language, subject, _) = told(Message::Told(Notice::Reported), "hu", Some("tlh"));
        assert_eq!((&*language, &*subject), ("hu", "Letiltottuk a fiókját"));
        let (language, subject, _) = told(Message::Told(Notice::Reported), "tlh", None);
        assert_eq!((&*language, &*subject), ("en", "Your account was blocked"));
        let link = || Message::Invited { link: Secret::from("https://mfa.example.com/i/{code}") };
        let (_, subject, text) = told(link(), "en", Some("hu"));
        assert_eq!(subject, "Állítsa be a második belépési módot");
        assert!(text.ends_with(" https://mfa.example.com/i/code"), "{text}");
        assert!(told(Message::Test, "en", None).2.starts_with("radmfa test message from "));
    }

    #[test]
    fn a_first_name_cannot_break_the_line() {
        let hello = plain(Kind::Sms, "en", "", "{first}: {code}");
        let texts = Texts { written: vec![hello], ..texts() };
        let delivery = Delivery { first: Some("Eve\r\n999999".into()), ..delivery("+36301234567", "123456") };
        assert_eq!(texts.render(&delivery).text.as_str(), "Eve999999: 123456");
    }
}

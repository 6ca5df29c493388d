//! Everything about what is sent, put together: `[[channel]]`, `[sms]`, `[voice]`, `[email]`, `[[text]]`.

use std::sync::Arc;
use std::time::Duration;

use super::origin::{Findings, Origin};
use super::reader::Reader;
use super::show::Section;
use super::surroundings::Surroundings;
use super::tree::Table;
use super::whole::{only_tables, single_table};
use super::{asking, channel, sending};
use crate::base::name::Label;
use crate::delivery::settings::Settings;
use crate::delivery::text::Texts;
use crate::engine::asking::Asking;
use crate::engine::delivery::Kind;
use crate::engine::policy;

/// What else is said of this server.
pub(super) struct Own<'a> {
    pub(super) server: Option<&'a Label>,
    pub(super) language: &'a str,
    pub(super) clients: &'a [Arc<str>],
    pub(super) portal: Option<&'a crate::portal::Settings>,
}

/// Reads it all, recording a section for each table that is there, and of those that stand once also where nobody wrote
/// them once there is a channel.
pub(super) fn decode(
    table: &Table,
    own: &Own<'_>,
    around: &dyn Surroundings,
    findings: &mut Findings,
    sections: &mut Vec<Section>,
) -> Option<(Settings, policy::Sending)> {
    let Own { server, language, clients, portal } = *own;
    only_tables(table, "channel", findings);
    let mut channels = Vec::new();
    for table in table.tables("channel") {
        let mut reader = Reader::new(table, "channel", around, findings);
        channels.extend(channel::decode(&mut reader));
        sections.push(reader.finish());
    }
    channel::compare(&channels, findings);

    let none = Table { origin: Origin::Default, entries: Vec::new() };
    let mut shown = |name: &str, section: Section| {
        if table.entry(name).is_some() || table.entry("channel").is_some() {
            sections.push(section);
        }
    };
    let sms = single_table(table, "sms", findings).unwrap_or(&none);
    let mut reader = Reader::new(sms, "sms", around, findings);
    let (sms, limits, autofill, two_way) = sending::sms(&mut reader);
    shown("sms", reader.finish());
    let voice = single_table(table, "voice", findings).unwrap_or(&none);
    let mut reader = Reader::new(voice, "voice", around, findings);
    let (voice, call) = sending::voice(&mut reader);
    shown("voice", reader.finish());
    let email = single_table(table, "email", findings).unwrap_or(&none);
    let mut reader = Reader::new(email, "email", around, findings);
    let email = sending::email(&mut reader);
    shown("email", reader.finish());
    let push = single_table(table, "push", findings).unwrap_or(&none);
    let mut reader = Reader::new(push, "push", around, findings);
    let push = asking::push(&mut reader);
    shown("push", reader.finish());
    let pages = asking::pages(&channels, portal);
    let asking = Asking { push: Some(push), sms: two_way, voice: call, pages };
    let asking = asking::combine(&asking, &channels, portal.is_some(), findings);

    only_tables(table, "text", findings);
    let mut written = Vec::new();
    let mut origins = Vec::new();
    for table in table.tables("text") {
        let mut reader = Reader::new(table, "text", around, findings);
        if let Some(text) = sending::text(&mut reader) {
            written.push(text);
            origins.push(table.origin.clone());
        }
        sections.push(reader.finish());
    }
    for decoded in &channels {
        let sending = match decoded.settings.kind {
            Kind::Sms => &sms,
            Kind::Voice => &voice,
            Kind::Email => &email,
            Kind::Push => continue,
        };
        channel::demand_sender(decoded, sending, findings);
    }
    let channels = channels.into_iter().map(|decoded| decoded.settings).collect();
    let texts = Texts { autofill, written, language: language.into(), ..Texts::new(server?.clone()) };
    let portal = portal.map(|portal| portal.public_url.clone());
    let settings = Settings { channels, texts, sms, voice, email, portal };
    sending::compare(&settings, &origins, clients, findings);
    let mut ways: Vec<(Kind, Duration)> = Vec::new();
    for channel in &settings.channels {
        let new = ways.iter().all(|(kind, _)| *kind != channel.kind);
        ways.extend(settings.sending(channel.kind).filter(|_| new).map(|way| (channel.kind, way.lifetime)));
    }
    Some((settings, policy::Sending { ways, limits, asking }))
}

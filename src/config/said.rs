//! Who said what of a login's policy: the cascade once more, in words, for `radmfa explain`. No login comes by here.

use super::policy::{BEFORE_PASSWORD, KEYS};
use super::show::{Section, Setting};
use super::value::Shown;
use crate::base::name::Label;
use crate::engine::policy::By;

/// A key of the policy, what holds for it, and who said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The key.
    pub key: &'static str,
    /// Its value, in TOML's notation.
    pub value: String,
    /// `default`, `profile NAME`, `client NAME, PLACE` or `rule NAME, PLACE`.
    pub by: String,
}

/// The policy of `client` under the rules that counted, key by key.
pub(super) fn policy(sections: &[Section], client: &Label, by: &By) -> Vec<Said> {
    let find = |table: &str, name: &Label| {
        let called = |section: &&Section| {
            let named = section.setting("name").map(|setting| &setting.value);
            section.table == table && named == Some(&Shown::Text(name.to_string()))
        };
        sections.iter().find(called)
    };
    let of_client = find("client", client);
    let before = by.admission.as_ref().and_then(|name| Some((name, find("rule", name)?)));
    let after = by.login.as_ref().and_then(|name| Some((name, find("rule", name)?)));
    let keys = KEYS.iter().map(|key| key.name).chain(["exempt"]);
    let said = keys.filter_map(|key| {
        let rule = if BEFORE_PASSWORD.contains(&key) { before } else { after };
        let (whose, Setting { key, value, origin }) = rule
            .and_then(|(name, section)| Some((format!("rule {name}"), section.setting(key)?)))
            .or_else(|| Some((format!("client {client}"), of_client?.setting(key)?)))?;
        let by = if origin.is_said() { format!("{whose}, {origin}") } else { origin.to_string() };
        Some(Said { key, value: value.toml(), by })
    });
    said.collect()
}

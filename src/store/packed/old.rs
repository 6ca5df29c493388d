//! Rows of schema 1, packed as ours.

use std::net::SocketAddr;

use super::fields::{put_address, put_number, put_text, verdict_number};
use super::{BODY, PLAIN, SALT, body, person};
use crate::engine::record::Verdict;

/// A row of schema 1, which had a column for each field.
pub(in crate::store) struct Old<'a> {
    pub(in crate::store) time: u64,
    pub(in crate::store) login: u64,
    pub(in crate::store) client: &'a str,
    pub(in crate::store) source: Option<SocketAddr>,
    pub(in crate::store) user: Option<&'a str>,
    pub(in crate::store) user_id: Option<i64>,
    pub(in crate::store) station: Option<&'a str>,
    pub(in crate::store) verdict: &'a str,
    pub(in crate::store) reason: &'a str,
    pub(in crate::store) method: &'a str,
    pub(in crate::store) protocol: &'a str,
    pub(in crate::store) device: Option<&'a str>,
    pub(in crate::store) spent: Option<(i64, u64)>,
    pub(in crate::store) tally: u64,
    pub(in crate::store) took: u64,
}

impl Old<'_> {
    /// Body and person.
    pub(in crate::store) fn pack(&self, salt: [u8; SALT]) -> (Vec<u8>, Vec<u8>) {
        let mut body = vec![BODY];
        put_number(&mut body, body::TIME, self.time);
        put_number(&mut body, body::LOGIN, self.login);
        let verdict = Verdict::parse(self.verdict).map_or(0, verdict_number);
        put_number(&mut body, body::VERDICT, verdict);
        put_number(&mut body, body::TALLY, self.tally);
        if let Some(user) = self.user_id {
            put_number(&mut body, body::USER, user.cast_unsigned());
        }
        if let Some((token, step)) = self.spent {
            put_number(&mut body, body::TOKEN, token.cast_unsigned());
            put_number(&mut body, body::STEP, step);
        }
        put_number(&mut body, body::TOOK, self.took);
        put_text(&mut body, body::REASON, self.reason);
        put_text(&mut body, body::METHOD, self.method);
        put_text(&mut body, body::PROTOCOL, self.protocol);
        put_text(&mut body, body::CLIENT, self.client);
        if let Some(source) = self.source {
            put_address(&mut body, body::SOURCE, source);
        }
        let mut person = vec![PLAIN];
        person.extend_from_slice(&salt);
        for (field, text) in
            [(person::USER, self.user), (person::STATION, self.station), (person::DEVICE, self.device)]
        {
            if let Some(text) = text {
                put_text(&mut person, field, text);
            }
        }
        (body, person)
    }
}

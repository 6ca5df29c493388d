//! Users are told by mail when one of their recovery codes was used: whoever finds such a code and knows the password gets
//! in unnoticed otherwise.
//!
//! It happens after the login was decided and recorded, and nothing waits for it; there are as many such mails as there are
//! codes. Where there is no mail address or no channel, the log says so.

use std::sync::Arc;

use super::worker::Worker;
use crate::base::text::escape;
use crate::engine::delivery::{Delivery, DeliveryId, Kind, Message, Notice, Sent};
use crate::engine::reason::Reason;
use crate::engine::record::Row;

impl Worker {
    /// Tells the user of a login that was accepted by a recovery code; others are no business of anybody's.
    pub(super) fn tell_user(&self, row: &Row) {
        let (Reason::RecoveryAccepted, Some(user)) = (row.reason, &row.user) else { return };
        let contact = row.contact.as_deref();
        let channels = Arc::clone(&self.shared.live.load().channels);
        let name = escape(user.as_str().as_bytes());
        let mail = contact.and_then(|contact| contact.mail.as_deref());
        let Some(mail) = mail.filter(|mail| channels.reaches(Kind::Email, mail)) else {
            tracing::info!(user = name, login = %row.login, "no mail could tell the user that a recovery code was used");
            return;
        };
        let said = |text: Option<&str>| text.map(Arc::from);
        let sending = channels.send(Delivery {
            id: DeliveryId(0),
            kind: Kind::Email,
            to: mail.into(),
            message: Message::Told(Notice::RecoveryUsed),
            attempt: 0,
            user: user.clone(),
            first: said(contact.and_then(|contact| contact.first.as_deref())),
            client: row.client.clone(),
            app: None,
            login: row.login,
            language: said(contact.and_then(|contact| contact.language.as_deref())),
        });
        let login = row.login;
        tokio::spawn(async move {
            match sending.await {
                Sent::Accepted { provider, .. } => {
                    tracing::info!(user = name, %login, channel = %provider, "the user was told that a recovery code was used");
                }
                Sent::Failed => {
                    tracing::warn!(user = name, %login, "the user could not be told that a recovery code was used");
                }
            }
        });
    }
}

//! What the tests of this layer share.

use std::time::Duration;

use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::engine::delivery::{Delivery, DeliveryId, Kind, Message};
use crate::engine::record::LoginId;

/// A code on its way to a user of the client `vpn`.
pub(crate) fn delivery(to: &str, code: &str) -> Delivery {
    Delivery {
        id: DeliveryId(1),
        kind: Kind::Sms,
        to: to.into(),
        message: Message::Code { code: Secret::from(code), lifetime: Duration::from_mins(5) },
        attempt: 0,
        user: UserName::canonical(b"mary").unwrap(),
        first: None,
        client: Label::new("vpn").unwrap(),
        app: None,
        login: LoginId::from_number(7),
        language: None,
    }
}

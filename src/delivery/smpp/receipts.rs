//! Which receipts are awaited: a bounded table from the provider's name of a message to whose it was.

use std::collections::{HashMap, VecDeque};

use super::Awaited;

/// How many receipts are awaited; beyond that the oldest is forgotten.
const MOST: usize = 4096;

/// The table.
#[derive(Default)]
pub(super) struct Receipts {
    awaited: HashMap<String, Awaited>,
    order: VecDeque<String>,
}

impl Receipts {
    /// A receipt for `id` is awaited.
    pub(super) fn await_one(&mut self, id: &str, awaited: Awaited) {
        let id = id.to_ascii_lowercase();
        while self.order.len() >= MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.awaited.remove(&oldest);
            }
        }
        if self.awaited.insert(id.clone(), awaited).is_none() {
            self.order.push_back(id);
        }
    }

    /// What is known of the message that a receipt calls `id`, which is forgotten if the receipt is the last one. Some
    /// centres write the name in decimal digits here and in hexadecimal ones in their answer, or the other way round.
    pub(super) fn find(&mut self, id: &str, last: bool) -> Option<Awaited> {
        let id = id.to_ascii_lowercase();
        let as_hex = id.parse::<u64>().ok().map(|number| format!("{number:x}"));
        let as_decimal = u64::from_str_radix(&id, 16).ok().map(|number| number.to_string());
        let names = [Some(id), as_hex, as_decimal];
        let known = names.into_iter().flatten().find(|name| self.awaited.contains_key(name))?;
        if !last {
            return self.awaited.get(&known).cloned();
        }
        self.order.retain(|other| *other != known);
        self.awaited.remove(&known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::{Label, UserName};
    use crate::engine::delivery::DeliveryId;
    use crate::engine::record::LoginId;

    fn awaited(number: u64) -> Awaited {
        Awaited {
            provider: Label::new("c").unwrap(),
            reference: "".into(),
            login: LoginId::from_number(number),
            delivery: DeliveryId(1),
            user: UserName::canonical(b"mary").unwrap(),
            client: Label::new("vpn").unwrap(),
            kind: crate::engine::delivery::Kind::Sms,
            arrived: false,
            last: false,
            state: "".into(),
        }
    }

    #[test]
    fn a_receipt_is_found_whichever_digits_its_name_is_written_in() {
        let mut receipts = Receipts::default();
        receipts.await_one("17AB", awaited(1));
        assert_eq!(receipts.find("6059", false), Some(awaited(1)));
        assert_eq!(receipts.find("17ab", true), Some(awaited(1)));
        assert_eq!(receipts.find("17ab", true), None);
        receipts.await_one("1000", awaited(2));
        assert_eq!(receipts.find("3E8", true), Some(awaited(2)));
        assert_eq!(receipts.find("nothing", true), None);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let mut receipts = Receipts::default();
        for number in 0..5000_u64 {
            receipts.await_one(&format!("m{number}"), awaited(number));
        }
        assert_eq!((receipts.awaited.len(), receipts.order.len()), (MOST, MOST));
        assert_eq!(receipts.find("m0", true), None);
        assert_eq!(receipts.find("m4999", true), Some(awaited(4999)));
    }
}

//! The PDUs of SMPP 3.4 that a sender of texts needs, read strictly.
//!
//! What comes in is a stranger's: every length is checked against what is there, a PDU has at most [`LENGTH_MAX`] octets,
//! and fields that nobody asks for are stepped over. Section numbers are those of the SMPP 3.4 specification.

/// The longest PDU that is taken, in octets. A message with 64 KiB of payload would be none that we asked for.
pub(super) const LENGTH_MAX: usize = 8 * 1024;
/// The header's length (§3.2).
pub(super) const HEADER: usize = 16;

/// `command_id` (§5.1.2.1).
pub(super) mod command {
    pub(in crate::delivery::smpp) const GENERIC_NACK: u32 = 0x8000_0000;
    pub(in crate::delivery::smpp) const BIND_TRANSMITTER: u32 = 2;
    pub(in crate::delivery::smpp) const SUBMIT_SM: u32 = 4;
    pub(in crate::delivery::smpp) const DELIVER_SM: u32 = 5;
    pub(in crate::delivery::smpp) const UNBIND: u32 = 6;
    pub(in crate::delivery::smpp) const BIND_TRANSCEIVER: u32 = 9;
    pub(in crate::delivery::smpp) const ENQUIRE_LINK: u32 = 0x15;
    /// The bit that makes a response of a request.
    pub(in crate::delivery::smpp) const RESPONSE: u32 = 0x8000_0000;
}

/// `command_status` (§5.1.3), those that are told apart.
pub(super) mod status {
    pub(in crate::delivery::smpp) const OK: u32 = 0;
    pub(in crate::delivery::smpp) const INVALID_COMMAND: u32 = 3;
    /// The message queue is full.
    pub(in crate::delivery::smpp) const QUEUE_FULL: u32 = 0x14;
    /// More messages than agreed.
    pub(in crate::delivery::smpp) const THROTTLED: u32 = 0x58;
}

/// Optional parameters (§5.3.2).
const MESSAGE_PAYLOAD: u16 = 0x0424;
const RECEIPTED_MESSAGE_ID: u16 = 0x001E;
const MESSAGE_STATE: u16 = 0x0427;

/// `esm_class` (§5.2.12): a header of user data begins the message.
pub(super) const ESM_UDHI: u8 = 0x40;
/// Which kind of message a `deliver_sm` is; this one a receipt.
const ESM_TYPE: u8 = 0x3C;
const ESM_RECEIPT: u8 = 0x04;

/// A PDU that came in: its header, and its body as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) command: u32,
    pub(super) status: u32,
    pub(super) sequence: u32,
    pub(super) body: Vec<u8>,
}

/// A `submit_sm` (§4.4.1) without what is the same for all.
#[derive(Clone, Debug)]
pub(super) struct Submit {
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) esm_class: u8,
    pub(super) data_coding: u8,
    pub(super) receipt: bool,
    /// The message, its header of user data first.
    pub(super) text: Vec<u8>,
    /// Whether it goes as `message_payload`, which takes more than 254 octets.
    pub(super) as_payload: bool,
}

/// An address with its type of number and numbering plan (§5.2.5, §5.2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Party {
    pub(super) ton: u8,
    pub(super) npi: u8,
    pub(super) address: String,
}

/// What a receipt says (§4.6, appendix B).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) message_id: String,
    pub(super) state: String,
}

impl Party {
    /// Of a number, a short number, or a name.
    pub(super) fn of(address: &str) -> Party {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
        match address.strip_prefix('+') {
            // The centre's choice.
            None if address.is_empty() => Party { ton: 0, npi: 0, address: String::new() },
            // International, E.164.
            Some(number) if digits(number) => Party { ton: 1, npi: 1, address: number.to_owned() },
            // A short number: network specific.
            _ if digits(address) => Party { ton: 3, npi: 0, address: address.to_owned() },
            // A name of up to 11 letters: alphanumeric.
            _ => Party { ton: 5, npi: 0, address: address.to_owned() },
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend([self.ton, self.npi]);
        put_string(out, &self.address, 20);
    }
}

/// A request or response: the header, with its length, and `body`.
pub(super) fn frame(command: u32, status: u32, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(HEADER + body.len());
    for word in [length, command, status, sequence] {
        out.extend(word.to_be_bytes());
    }
    out.extend_from_slice(body);
    out
}

/// The body of a bind (§4.1.1).
pub(super) fn bind(system_id: &str, password: &str, system_type: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(64);
    put_string(&mut body, system_id, 15);
    put_string(&mut body, password, 64);
    put_string(&mut body, system_type, 12);
    // Version 3.4; no range of addresses.
    body.extend([0x34, 0, 0, 0]);
    body
}

impl Submit {
    /// The body.
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(64 + self.text.len());
        // service_type: the default.
        body.push(0);
        self.from.put(&mut body);
        self.to.put(&mut body);
        // esm_class, protocol_id, priority_flag; schedule_delivery_time and validity_period: none.
        body.extend([self.esm_class, 0, 0, 0, 0]);
        // registered_delivery, replace_if_present_flag, data_coding, sm_default_msg_id.
        body.extend([u8::from(self.receipt), 0, self.data_coding, 0]);
        if self.as_payload {
            body.push(0);
            body.extend(MESSAGE_PAYLOAD.to_be_bytes());
            body.extend(u16::try_from(self.text.len()).unwrap_or(u16::MAX).to_be_bytes());
            body.extend_from_slice(&self.text);
        } else {
            let text = self.text.get(..self.text.len().min(254)).unwrap_or_default();
            body.push(u8::try_from(text.len()).unwrap_or(0));
            body.extend_from_slice(text);
        }
        body
    }
}

impl Incoming {
    /// The PDU at the beginning of `octets` and its length; `None` where it is not all there yet.
    pub(super) fn parse(octets: &[u8]) -> Result<Option<(Incoming, usize)>, String> {
        let Some((header, _)) = octets.split_first_chunk::<HEADER>() else { return Ok(None) };
        let word = |place: usize| -> u32 {
            let octets = header.get(place..).and_then(|rest| rest.first_chunk::<4>());
            octets.map_or(0, |octets| u32::from_be_bytes(*octets))
        };
        let length = usize::try_from(word(0)).unwrap_or(usize::MAX);
        if !(HEADER..=LENGTH_MAX).contains(&length) {
            return Err(format!("a PDU of {length} octets"));
        }
        let Some(body) = octets.get(HEADER..length) else { return Ok(None) };
        let incoming =
            Incoming { command: word(4), status: word(8), sequence: word(12), body: body.to_vec() };
        Ok(Some((incoming, length)))
    }

    /// The first string of the body: the message's name in a `submit_sm_resp`, the peer's in a bind's response.
    pub(super) fn first_string(&self) -> String {
        Cursor(&self.body).string().unwrap_or_default()
    }

    /// What a `deliver_sm` says of a message that was sent; `None` where it is no receipt, or none that can be read.
    pub(super) fn receipt(&self) -> Option<Receipt> {
        let mut body = Cursor(&self.body);
        body.string()?;
        for _party in 0..2 {
            body.take(2)?;
            body.string()?;
        }
        let esm_class = *body.take(1)?.first()?;
        body.take(2)?;
        body.string()?;
        body.string()?;
        body.take(4)?;
        let length = usize::from(*body.take(1)?.first()?);
        let text = String::from_utf8_lossy(body.take(length)?).into_owned();
        if esm_class & ESM_TYPE != ESM_RECEIPT {
            return None;
        }
        let (mut message_id, mut state) = (word_after(&text, "id:"), word_after(&text, "stat:"));
        while let Some((tag, value)) = body.parameter() {
            match tag {
                RECEIPTED_MESSAGE_ID => message_id = Cursor(value).string().or(message_id),
                MESSAGE_STATE => state = state.or(value.first().map(|state| state_word(*state).to_owned())),
                _ => {}
            }
        }
        let printable = |text: &String| {
            (1..=64).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic())
        };
        Some(Receipt {
            message_id: message_id.filter(printable)?,
            state: state.filter(printable)?.chars().take(32).collect(),
        })
    }
}

/// `message_state` (§5.2.28) in the words of receipts.
fn state_word(state: u8) -> &'static str {
    match state {
        1 => "ENROUTE",
        2 => "DELIVRD",
        3 => "EXPIRED",
        4 => "DELETED",
        5 => "UNDELIV",
        6 => "ACCEPTD",
        8 => "REJECTD",
        _ => "UNKNOWN",
    }
}

fn word_after(text: &str, mark: &str) -> Option<String> {
    text.split_whitespace().find_map(|word| word.strip_prefix(mark)).map(str::to_owned)
}

/// A string of at most `most` octets without NUL, and the NUL that ends it.
fn put_string(out: &mut Vec<u8>, text: &str, most: usize) {
    out.extend(text.bytes().filter(|octet| *octet != 0).take(most));
    out.push(0);
}

/// Slices what is there, and no more.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Up to a NUL, which has to be there.
    fn string(&mut self) -> Option<String> {
        let end = self.0.iter().position(|octet| *octet == 0)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn parameter(&mut self) -> Option<(u16, &'a [u8])> {
        let (tag, rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        self.0 = rest;
        let value = self.take(usize::from(u16::from_be_bytes(*length)))?;
        Some((u16::from_be_bytes(*tag), value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A `deliver_sm` with this text and these parameters.
    pub(in crate::delivery) fn deliver(esm_class: u8, text: &[u8], parameters: &[u8]) -> Incoming {
        let mut body = b"\0\x01\x0136301234567\0\x05\0radmfa\0".to_vec();
        body.extend([esm_class, 0, 0, 0, 0, 0, 0, 0, 0]);
        body.push(u8::try_from(text.len()).unwrap());
        body.extend(text);
        body.extend(parameters);
        Incoming { command: command::DELIVER_SM, status: 0, sequence: 1, body }
    }

    #[test]
    fn a_receipt_is_read_from_its_text_or_its_parameters() {
        let text = b"id:17A sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:";
        let receipt = |message_id: &str, state: &str| {
            Some(Receipt { message_id: message_id.into(), state: state.into() })
        };
        assert_eq!(deliver(4, text, b"").receipt(), receipt("17A", "DELIVRD"));
        let parameters = b"\x04\x27\0\x01\x05\0\x1e\0\x03AB\0";
        assert_eq!(deliver(4, b"", parameters).receipt(), receipt("AB", "UNDELIV"));
        assert_eq!(deliver(0, text, b"").receipt(), None);
        assert_eq!(deliver(4, b"stat:DELIVRD", b"").receipt(), None);
    }

    #[test]
    fn a_pdu_that_is_too_long_or_too_short_is_refused_before_it_is_there() {
        let header = |length: u32| [&length.to_be_bytes()[..], &[0; 12]].concat();
        assert!(Incoming::parse(&header(15)).is_err());
        assert!(Incoming::parse(&header(u32::MAX)).is_err());
        assert_eq!(Incoming::parse(&header(17)), Ok(None));
        assert_eq!(Incoming::parse(&[0; 15]), Ok(None));
        let framed = frame(command::ENQUIRE_LINK, 0, 7, b"");
        let (read, length) = Incoming::parse(&framed).unwrap().unwrap();
        assert_eq!((read.command, read.sequence, length), (command::ENQUIRE_LINK, 7, 16));
    }

    #[test]
    fn a_sender_is_a_number_a_short_number_or_a_name() {
        let of = |address: &str| {
            let party = Party::of(address);
            (party.ton, party.npi, party.address)
        };
        assert_eq!(of("+36301234567"), (1, 1, "36301234567".into()));
        assert_eq!(of("1749"), (3, 0, "1749".into()));
        assert_eq!(of("radmfa"), (5, 0, "radmfa".into()));
    }

    proptest! {
        #[test]
        fn no_octets_make_the_reader_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((incoming, length))) = Incoming::parse(&octets) {
                prop_assert!(length <= octets.len());
                let _whatever = incoming.receipt();
                let _whatever = incoming.first_string();
            }
            let body = Incoming { command: command::DELIVER_SM, status: 0, sequence: 1, body: octets };
            let _whatever = body.receipt();
        }
    }
}

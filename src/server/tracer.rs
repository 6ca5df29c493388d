//! What a running server does, told to whoever traces it: packets decoded, questions, answers, decisions.
//!
//! Fed from the pipeline, drained by the control socket's threads. Invariants: where nobody traces, a login pays one
//! relaxed load at each place; where somebody does, nobody waits for them: a line that finds its queue full is lost and
//! counted. No password, code, key or State goes out, nor what a password's length would show in; an attribute that
//! no dictionary knows is cut.

mod events;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

pub(super) use self::events::Traced;
use super::affinity::RoundId;
use super::duplicates::PacketKey;
use super::node::Node;
use crate::base::name::{Label, UserName};
use crate::base::system::Clock;
use crate::dictionary::Dictionary;
use crate::engine::login::Facts;
use crate::factor::enrol_code::{self, EnrolCode};
use crate::wire::{AttributeId, AttributeList, Entry};

/// Lines that may wait for one reader.
const QUEUE: usize = 512;
/// Readers at once.
pub const READERS_MAX: usize = 8;
/// Requests remembered at most, to know whose a reply is.
const REQUESTS_MAX: usize = 4096;
/// So many characters of a State or of what no dictionary knows are shown.
const SHOWN: usize = 10;

/// Whose doings somebody wants to hear of.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this user's.
    pub user: Option<UserName>,
    /// Only this client's.
    pub client: Option<Label>,
}

/// Tells readers what happens.
pub struct Tracer {
    /// Readers there are.
    listening: AtomicUsize,
    dictionary: Arc<Dictionary>,
    clock: Arc<dyn Clock>,
    readers: Mutex<Readers>,
}

#[derive(Default)]
struct Readers {
    list: Vec<Reader>,
    last: u64,
    /// Whose requests are being worked on.
    requests: HashMap<PacketKey, Whose>,
}

struct Reader {
    number: u64,
    filter: Filter,
    lines: SyncSender<Arc<str>>,
    lost: Arc<AtomicU64>,
}

/// Whose an event is.
#[derive(Clone, Default)]
struct Whose {
    client: Option<Label>,
    user: Option<UserName>,
}

/// One reader's end. Dropped, it hears no more.
pub struct Ear {
    tracer: Arc<Tracer>,
    number: u64,
    /// A JSON object each.
    pub lines: Receiver<Arc<str>>,
    lost: Arc<AtomicU64>,
}

impl Ear {
    /// Lines lost since this was asked last.
    pub fn lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut readers = self.tracer.readers();
        readers.list.retain(|reader| reader.number != self.number);
        if readers.list.is_empty() {
            readers.requests = HashMap::new();
        }
        self.tracer.listening.store(readers.list.len(), Ordering::Relaxed);
    }
}

impl Filter {
    fn takes(&self, whose: &Whose) -> bool {
        fn fits<T: PartialEq>(wanted: Option<&T>, is: Option<&T>) -> bool {
            wanted.is_none() || wanted == is
        }
        fits(self.client.as_ref(), whose.client.as_ref()) && fits(self.user.as_ref(), whose.user.as_ref())
    }
}

impl From<&Facts> for Whose {
    fn from(facts: &Facts) -> Whose {
        Whose { client: Some(facts.client.clone()), user: facts.user.clone() }
    }
}

impl Tracer {
    /// Nobody listens yet.
    pub fn new(dictionary: Arc<Dictionary>, clock: Arc<dyn Clock>) -> Arc<Tracer> {
        Arc::new(Tracer { listening: AtomicUsize::new(0), dictionary, clock, readers: Mutex::default() })
    }

    /// Whether anybody listens: to be asked before anything else here, for it costs next to nothing.
    pub fn is_on(&self) -> bool {
        self.listening.load(Ordering::Relaxed) > 0
    }

    /// Begins to listen; `None` where [`READERS_MAX`] do.
    pub fn listen(self: &Arc<Self>, filter: Filter) -> Option<Ear> {
        let mut readers = self.readers();
        if readers.list.len() >= READERS_MAX {
            return None;
        }
        let (sender, lines) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        readers.last += 1;
        let number = readers.last;
        readers.list.push(Reader { number, filter, lines: sender, lost: Arc::clone(&lost) });
        self.listening.store(readers.list.len(), Ordering::Relaxed);
        Some(Ear { tracer: Arc::clone(self), number, lines, lost })
    }

    /// An event of the login that has this round.
    fn of(&self, node: &Node, round: RoundId, event: &'static str, make: impl FnOnce() -> Value) {
        let Some(facts) = node.facts(round) else { return };
        self.tell(&Whose::from(&*facts), event, || {
            let mut event = make();
            if let Value::Object(fields) = &mut event {
                fields.insert("login".into(), json!(facts.id.to_string()));
            }
            event
        });
    }

    fn tell(&self, whose: &Whose, event: &'static str, make: impl FnOnce() -> Value) {
        let mut readers = self.readers();
        let wanted: Vec<&mut Reader> =
            readers.list.iter_mut().filter(|reader| reader.filter.takes(whose)).collect();
        if wanted.is_empty() {
            return;
        }
        let line: Arc<str> = self.line(whose, event, make()).into();
        for reader in wanted {
            // A reader that is gone is about to be taken off the list.
            if let Err(TrySendError::Full(_)) = reader.lines.try_send(Arc::clone(&line)) {
                reader.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn line(&self, whose: &Whose, event: &'static str, made: Value) -> String {
        let mut fields = Map::new();
        fields.insert("time".into(), json!(self.clock.unix().to_string()));
        fields.insert("event".into(), json!(event));
        fields.insert("client".into(), json!(whose.client.as_ref().map(Label::as_str)));
        fields.insert("user".into(), json!(whose.user.as_ref().map(UserName::as_str)));
        if let Value::Object(more) = made {
            fields.extend(more);
        }
        Value::Object(fields).to_string()
    }

    /// `Name = value`, a line each.
    fn attributes(&self, octets: &[u8]) -> Vec<String> {
        self.dictionary.describe(octets).into_iter().map(shorten).collect()
    }

    /// The attributes of a list; those that travel encrypted by their number alone.
    fn list(&self, list: &AttributeList) -> Vec<String> {
        let mut lines = Vec::new();
        for entry in list.iter() {
            match entry {
                Entry::Plain(attribute) => {
                    let value = attribute.value();
                    let length = u8::try_from(value.len() + 2).unwrap_or(u8::MAX);
                    lines.extend(self.attributes(&[&[attribute.number(), length], value].concat()));
                }
                Entry::Held { id, .. } => lines.push(format!("{} = <hidden>", self.name(id))),
            }
        }
        lines
    }

    fn name(&self, id: AttributeId) -> String {
        let known = match id {
            AttributeId::Standard(number) => self.dictionary.standard(number),
            AttributeId::Vendor(vendor, number) => self.dictionary.vendor(vendor, number.into()),
        };
        known.map_or_else(|| format!("Attr-{id}"), |known| known.name.to_string())
    }

    /// Nothing panics while it is held.
    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts what proves something (State, authenticators), what another protocol hides in (EAP), and what no dictionary
/// knows, which may be anything.
fn shorten(line: String) -> String {
    const CUT: [&str; 4] = ["State", "Message-Authenticator", "EAP-Message", "CHAP-Challenge"];
    let Some((name, value)) = line.split_once(" = ") else { return line };
    if name == "EAP-Message" {
        return format!("{name} = <hidden>");
    }
    if name == "Reply-Message" {
        let words = value.split(' ').map(|word| if leads(word) { "<hidden>" } else { word });
        return format!("{name} = {}", words.collect::<Vec<_>>().join(" "));
    }
    let cut = CUT.contains(&name) || name.starts_with("Attr-") || name == "malformed";
    let long = value.chars().count() > SHOWN;
    if cut && long { format!("{name} = {}…", value.chars().take(SHOWN).collect::<String>()) } else { line }
}

/// Whether a word of a line for users is a code that leads them to a first factor (`ABCD-EFGH`).
fn leads(word: &str) -> bool {
    let word = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
    word.len() == enrol_code::DIGITS + 1 && word.contains('-') && EnrolCode::parse(word).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{Tick, UnixTime};
    use crate::wire::DropReason;

    struct Still;

    impl Clock for Still {
        fn mono(&self) -> Tick {
            Tick(0)
        }

        fn unix(&self) -> UnixTime {
            UnixTime(0)
        }
    }

    fn tracer() -> Arc<Tracer> {
        Tracer::new(Arc::new(Dictionary::embedded().unwrap()), Arc::new(Still))
    }

    fn drop_one(tracer: &Tracer, client: &str) {
        let client = Label::new(client).unwrap();
        tracer.dropped(DropReason::TooShort, "192.0.2.1:1".parse().unwrap(), Some(&client));
    }

    #[test]
    fn a_reader_who_does_not_read_loses_lines_and_hears_how_many() {
        let tracer = tracer();
        let ear = tracer.listen(Filter::default()).unwrap();
        for _ in 0..QUEUE + 7 {
            drop_one(&tracer, "nas");
        }
        assert_eq!(ear.lines.try_iter().count(), QUEUE);
        assert_eq!((ear.lost(), ear.lost()), (7, 0));
        drop_one(&tracer, "nas");
        assert_eq!(ear.lines.try_iter().count(), 1);
    }

    #[test]
    fn each_reader_hears_what_was_asked_for_and_one_too_many_is_refused() {
        let tracer = tracer();
        assert!(!tracer.is_on());
        let only = Filter { client: Some(Label::new("vpn").unwrap()), user: None };
        let ear = tracer.listen(only).unwrap();
        let others: Vec<_> = (1..READERS_MAX).map(|_| tracer.listen(Filter::default()).unwrap()).collect();
        assert!(tracer.listen(Filter::default()).is_none());
        drop_one(&tracer, "nas");
        drop_one(&tracer, "vpn");
        assert_eq!(ear.lines.try_iter().count(), 1);
        assert!(others.iter().all(|other| other.lines.try_iter().count() == 2));
        drop(others);
        assert!(tracer.is_on());
        drop(ear);
        assert!(!tracer.is_on());
    }

    #[test]
    fn what_is_secret_is_hidden_and_what_is_unknown_is_cut() {
        let attributes = |octets: &[u8]| tracer().attributes(octets);
        let hidden = [2, 18, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
        assert_eq!(attributes(&hidden), ["User-Password = <hidden>"]);
        assert_eq!(attributes(&[79, 8, 1, 2, 3, 4, 5, 6]), ["EAP-Message = <hidden>"]);
        let line =
            "Set up your second factor at mfa.example.com/enrol with the code A0CD-EFGH. Then log in again.";
        let shown = attributes(&[&[18, u8::try_from(line.len() + 2).unwrap()], line.as_bytes()].concat());
        assert!(
            shown[0].contains("the code <hidden> Then") && shown[0].contains("example.com/enrol"),
            "{shown:?}"
        );
        assert_eq!(attributes(&[24, 10, 1, 2, 3, 4, 5, 6, 7, 8]), ["State = 0x01020304…"]);
        let unknown = [26, 16, 0, 0, 255, 1, 9, 10, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(attributes(&unknown), ["Attr-26.65281.9 = 0x01020304…"]);
        assert_eq!(attributes(&[1, 7, b'a', b'l', b'i', b'c', b'e']), ["User-Name = \"alice\""]);
    }
}

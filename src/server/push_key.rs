//! The key that pushes to browsers are signed with: made once for a store, kept there sealed, the same for all its servers.
//!
//! A browser that subscribed takes pushes signed with this key alone, so it outlives a rekey of the store: what an earlier key
//! sealed is opened with that, and sealed anew.

use crate::base::secret::Secret;
use crate::base::system::Entropy;
use crate::base::text::{hex, unhex};
use crate::delivery::web_push::vapid::Vapid;
use crate::store::StoreFault;
use crate::store::admin::{Admin, AdminFault};
use crate::store::seal::{Purpose, SealKey};

/// The note that the store keeps.
const MEMO: &str = "web-push-key";

/// Reads the key, or makes it. `present` and `others` are the keys of the store's States.
pub(super) fn load(
    admin: &mut dyn Admin,
    present: &Secret,
    others: &[Secret],
    entropy: &mut dyn Entropy,
) -> Result<Vapid, StoreFault> {
    let unreadable = |fault: AdminFault| StoreFault {
        what: format!("the key that pushes to browsers are signed with cannot be read: {fault}"),
        hint: "look at the store: radmfa store info".to_owned(),
    };
    let Some(own) = sealing(present) else { return Err(damaged()) };
    let kept = if let Some(kept) = admin.memo(MEMO).map_err(unreadable)? {
        kept
    } else {
        let made = Vapid::generate(entropy);
        // Of two servers that start at once the one that was quicker has made the key.
        admin.memo_once(MEMO, &sealed(&own, &made, entropy)).map_err(unreadable)?
    };
    let octets = unhex(kept.trim()).ok_or_else(damaged)?;
    let open = |key: &SealKey| key.open(Purpose::PushKey, MEMO, &octets).ok();
    if let Some(key) = open(&own) {
        return Vapid::parse(key.expose()).ok_or_else(damaged);
    }
    let older = others.iter().filter_map(sealing).find_map(|key| open(&key)).ok_or_else(damaged)?;
    let vapid = Vapid::parse(older.expose()).ok_or_else(damaged)?;
    admin.set_memo(MEMO, &sealed(&own, &vapid, entropy)).map_err(unreadable)?;
    Ok(vapid)
}

/// The key that this is sealed with, from the one of the States.
fn sealing(state: &Secret) -> Option<SealKey> {
    SealKey::parse(SealKey::parse(state.expose())?.derive(MEMO).expose())
}

fn sealed(own: &SealKey, vapid: &Vapid, entropy: &mut dyn Entropy) -> String {
    hex(&own.seal(Purpose::PushKey, MEMO, &vapid.octets(), entropy))
}

fn damaged() -> StoreFault {
    StoreFault {
        what: "the key that pushes to browsers are signed with is damaged, or sealed with a key that is not known".to_owned(),
        hint: "is the sealing key the store's own? (radmfa store info)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::{Tick, UnixTime};
    use crate::store::memory::MemoryStore;

    #[test]
    fn a_key_is_made_once_and_outlives_the_stores_own_key() {
        let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 7 };
        let mut store = MemoryStore::new(Arc::new(entropy.clone()), Box::new(entropy.clone()));
        let (old, new) = (Secret::new([1; 32]), Secret::new([2; 32]));
        let first = load(&mut store, &old, &[], &mut entropy).unwrap();
        let kept = store.memo(MEMO).unwrap().unwrap();
        assert!(!kept.contains(&hex(first.octets().expose())), "kept in the clear");
        let again = load(&mut store, &old, &[], &mut entropy).unwrap();
        assert_eq!(first.public(), again.public());
        assert!(load(&mut store, &new, &[], &mut entropy).is_err(), "opened with another key");
        let after = load(&mut store, &new, std::slice::from_ref(&old), &mut entropy).unwrap();
        assert_eq!(first.public(), after.public());
        let alone = load(&mut store, &new, &[], &mut entropy).unwrap();
        assert_eq!(first.public(), alone.public(), "not sealed anew");
        store.set_memo(MEMO, "rubbish").unwrap();
        assert!(load(&mut store, &new, &[old], &mut entropy).is_err());
    }

    #[test]
    fn what_was_noted_first_stays() {
        let entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 7 };
        let mut store = MemoryStore::new(Arc::new(entropy.clone()), Box::new(entropy));
        assert_eq!(store.memo_once("a", "1").unwrap(), "1");
        assert_eq!(store.memo_once("a", "2").unwrap(), "1");
    }
}

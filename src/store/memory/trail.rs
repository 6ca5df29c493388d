//! The trail in memory: nobody but this process can touch it, so there is no chain to walk and nothing to sign.

use std::sync::Arc;

use super::MemoryStore;
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::engine::reason::Reason;
use crate::engine::record::Row;
use crate::store::act::Act;
use crate::store::admin::{Admin as _, AdminFault, AuditRow};
use crate::store::trail::{Checkpoint, Erased, Trail, Verified};

impl Trail for MemoryStore {
    fn page(&mut self, after: u64, limit: usize) -> Result<Vec<AuditRow>, AdminFault> {
        let state = self.lock();
        let rows = state.trail.iter().filter(|(sequence, _)| *sequence > after).take(limit);
        Ok(rows.map(|(sequence, row)| audit_row(*sequence, row)).collect())
    }

    fn before(&mut self, time: UnixTime) -> Result<u64, AdminFault> {
        let state = self.lock();
        let first = state.trail.iter().find(|(_, row)| row.time >= time);
        Ok(first.map_or(state.sequence, |(sequence, _)| sequence - 1))
    }

    fn newest(&mut self) -> Result<u64, AdminFault> {
        Ok(self.lock().sequence)
    }

    fn verify(
        &mut self,
        others: &[Checkpoint],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verified, AdminFault> {
        if !others.is_empty() {
            return Err(AdminFault::Invalid("a store in memory makes no checkpoints".to_owned()));
        }
        let state = self.lock();
        let number = |end: Option<&(u64, Arc<Row>)>| end.map_or(0, |(sequence, _)| *sequence);
        let rows = [number(state.trail.front()), number(state.trail.back())];
        let count = u64::try_from(state.trail.len()).unwrap_or(u64::MAX);
        progress(count, count);
        Ok(Verified { rows, count, chains: 1, ..Verified::default() })
    }

    fn made(&self, _: &Checkpoint) -> bool {
        false
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, AdminFault> {
        Ok(None)
    }

    fn prune(&mut self, time: UnixTime, most: usize) -> Result<usize, AdminFault> {
        let mut state = self.lock();
        let spare = state.trail.len().saturating_sub(1).min(most);
        let old = state.trail.iter().take(spare).take_while(|(_, row)| row.time < time).count();
        state.trail.drain(..old);
        Ok(old)
    }

    fn erase_user(
        &mut self,
        name: &UserName,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Erased, AdminFault> {
        let known = self.lock().numbered(Some(name));
        let tokens = if known.is_some() { self.remove_user(name)? } else { Vec::new() };
        let mut state = self.lock();
        let mut rows = 0;
        for (_, row) in state.trail.iter_mut().filter(|(_, row)| row.user.as_ref() == Some(name)) {
            let erased = Row { user: None, contact: None, station: None, device: None, ..Row::clone(row) };
            *row = Arc::new(erased);
            rows += 1;
        }
        if known.is_none() && rows == 0 {
            return Err(AdminFault::no_user(name));
        }
        let act = Act::new(Reason::UserErased);
        self.act(&mut state, known.map_or(act.clone(), |(_, id)| act.on_number(id)));
        progress(rows, rows);
        Ok(Erased { rows, tokens })
    }

    fn forwarded(&mut self) -> Result<Option<u64>, AdminFault> {
        Ok(self.lock().forwarded)
    }

    fn set_forwarded(&mut self, sequence: u64) -> Result<(), AdminFault> {
        self.lock().forwarded = Some(sequence);
        Ok(())
    }
}

pub(super) fn audit_row(sequence: u64, row: &Row) -> AuditRow {
    let contact = row.contact.as_deref().cloned().unwrap_or_default();
    let owned = |text: Option<Box<str>>| text.map(String::from);
    let address = |address: std::net::SocketAddr| {
        let nowhere = address.ip().is_unspecified() && address.port() == 0;
        if nowhere { String::new() } else { address.to_string() }
    };
    AuditRow {
        sequence,
        time: row.time,
        login: row.login,
        server: row.server.to_string(),
        local: address(row.local),
        client: row.client.to_string(),
        source: address(row.source),
        user: row.user.as_ref().map(ToString::to_string),
        user_id: row.user_id,
        display_name: owned(contact.display),
        first_name: owned(contact.first),
        last_name: owned(contact.last),
        mail: owned(contact.mail),
        phone: owned(contact.phone),
        station: row.station.as_deref().map(str::to_owned),
        verdict: row.verdict.code().to_owned(),
        reason: row.reason.code().to_owned(),
        method: row.method.code().to_owned(),
        protocol: row.protocol.to_owned(),
        device: row.device.as_deref().map(str::to_owned),
        spent: row.spent,
        took: row.took,
        durations: row.durations,
        count: row.count,
        actor: row.actor.as_deref().map(str::to_owned),
        note: row.note.as_deref().map(str::to_owned),
        erased: false,
    }
}

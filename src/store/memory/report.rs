//! Reports over the trail in memory: it is short enough to be read.

use super::MemoryStore;
use super::trail::audit_row;
use crate::base::name::UserName;
use crate::store::admin::{AdminFault, AuditRow};
use crate::store::report::{By, Filter, Reports, Sum, add_up};

impl Reports for MemoryStore {
    fn catch_up(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), AdminFault> {
        let newest = self.lock().sequence;
        progress(newest, newest);
        Ok(())
    }

    fn rows(
        &mut self,
        filter: &Filter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditRow>, AdminFault> {
        let state = self.lock();
        let earlier = |(sequence, _): &&(u64, _)| before.is_none_or(|before| *sequence < before);
        let rows = state.trail.iter().rev().filter(earlier).map(|(sequence, row)| audit_row(*sequence, row));
        Ok(rows.filter(|row| filter.takes(row)).take(limit).collect())
    }

    fn sums(&mut self, filter: &Filter, by: By) -> Result<Vec<Sum>, AdminFault> {
        let state = self.lock();
        let rows: Vec<AuditRow> =
            state.trail.iter().map(|(sequence, row)| audit_row(*sequence, row)).collect();
        let phone = |name: &str| {
            let name = UserName::canonical(name.as_bytes()).ok()?;
            state.users.get(&name)?.fields.phone.clone()
        };
        Ok(add_up(rows.iter(), filter, by, phone))
    }

    fn enabled_users(&mut self) -> Result<u64, AdminFault> {
        Ok(self.lock().users.values().filter(|user| !user.fields.disabled).count() as u64)
    }
}

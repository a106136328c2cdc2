//! What is shared between processes: concurrency groups, GPUs, cores. A lease falls with its process.

use super::log::signed;
use super::{Store, StoreError};
use rusqlite::params;

/// A share of something, held by a living process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who asked for it: a run or an attempt.
    pub holder: String,
    /// How much.
    pub amount: u64,
    /// Process id.
    pub owner: u32,
}

impl Store {
    /// Takes `amount` of `name` if all living holders together then have at most `limit`. A holder
    /// that has some already gets the new amount instead. Leases live as long as this store is
    /// open; nothing needs to be renewed.
    pub fn lease(&mut self, name: &str, holder: &str, amount: u64, limit: u64) -> Result<bool, StoreError> {
        let lock = self.locks.own()?;
        self.drop_dead_leases(name)?;
        self.within(|change| {
            let taken: i64 = change
                .prepare_cached(
                    "SELECT coalesce(sum(amount), 0) FROM leases WHERE name = ?1 AND holder <> ?2",
                )?
                .query_row(params![name, holder], |row| row.get(0))?;
            if taken.saturating_add(signed(amount)) > signed(limit) {
                return Ok(false);
            }
            change
                .prepare_cached(
                    "INSERT INTO leases (name, holder, amount, owner, owner_lock) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (name, holder) DO UPDATE SET amount = ?3, owner = ?4, owner_lock = ?5",
                )?
                .execute(params![name, holder, signed(amount), std::process::id(), lock])?;
            Ok(true)
        })
    }

    /// Gives a lease back; one that is not there is fine.
    pub fn release_lease(&mut self, name: &str, holder: &str) -> Result<(), StoreError> {
        self.within(|change| {
            change
                .prepare_cached("DELETE FROM leases WHERE name = ?1 AND holder = ?2")?
                .execute(params![name, holder])?;
            Ok(())
        })
    }

    /// Returns the living holders of `name`.
    pub fn leases(&mut self, name: &str) -> Result<Vec<Lease>, StoreError> {
        Ok(self
            .rows(name)?
            .into_iter()
            .filter(|(_, lock)| self.locks.alive(lock))
            .map(|(lease, _)| lease)
            .collect())
    }

    fn drop_dead_leases(&mut self, name: &str) -> Result<(), StoreError> {
        let mut dead = self.rows(name)?;
        dead.retain(|(_, lock)| !self.locks.alive(lock));
        for (lease, lock) in dead {
            self.within(|change| {
                change
                    .prepare_cached("DELETE FROM leases WHERE name = ?1 AND holder = ?2 AND owner_lock = ?3")?
                    .execute(params![name, lease.holder, lock])?;
                Ok(())
            })?;
        }
        Ok(())
    }

    fn rows(&self, name: &str) -> Result<Vec<(Lease, String)>, StoreError> {
        let wrong = |error| self.wrong(error);
        let mut ask = self
            .db
            .prepare_cached(
                "SELECT holder, amount, owner, owner_lock FROM leases WHERE name = ?1 ORDER BY holder",
            )
            .map_err(wrong)?;
        ask.query_map([name], |row| {
            let amount: i64 = row.get(1)?;
            let amount = u64::try_from(amount).unwrap_or(0);
            Ok((Lease { holder: row.get(0)?, amount, owner: row.get(2)? }, row.get(3)?))
        })
        .and_then(Iterator::collect)
        .map_err(wrong)
    }
}

//! What is shared between the engines of a store: concurrency groups, cores, memory, GPUs. Who asks
//! stands in one line, in the database; a lease falls with its process and needs no renewal.
//!
//! Not here: who is next (`flow::queue`), waking those who are (the engine).

use super::log::signed;
use super::{Line, Place, Store, StoreError};
use rusqlite::{OptionalExtension as _, Transaction, params};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_flow::queue::{Capacity, Decision, Queue, Request, Standing};

/// A request as it is stored.
struct Row {
    standing: Standing<String>,
    owner: u32,
    lock: String,
    /// The group that a newcomer wants it to leave.
    stop: Option<String>,
    /// The group in which a newcomer took its place.
    replaced: Option<String>,
}

impl Store {
    /// See [`super::RunLog::stand`].
    pub(super) fn stand_in_line(
        &mut self,
        machine: &Capacity,
        leave: &[String],
        join: &[(String, Request)],
    ) -> Result<Line, StoreError> {
        let lock = self.locks.own()?;
        let locks = std::mem::replace(&mut self.locks, super::owner::Locks::none());
        let line = self.within(|change| {
            for key in leave {
                change
                    .prepare_cached("DELETE FROM leases WHERE key = ?1 AND owner_lock = ?2")?
                    .execute(params![key, lock])?;
            }
            let mut rows = rows(change)?;
            drop_dead(change, &mut rows, &|name| locks.alive(name))?;
            decide(change, machine, rows, join, &lock)
        });
        self.locks = locks;
        line
    }
}

/// Lets the newcomers in and carries out what follows; returns what it means for us.
fn decide(
    change: &Transaction,
    machine: &Capacity,
    rows: Vec<Row>,
    join: &[(String, Request)],
    lock: &str,
) -> Result<Line, StoreError> {
    let mut rows: BTreeMap<String, Row> =
        rows.into_iter().map(|row| (row.standing.key.clone(), row)).collect();
    let standing = rows.values().filter(|row| row.replaced.is_none()).map(|row| row.standing.clone());
    let passed = change
        .prepare_cached("SELECT place, times FROM passed")?
        .query_row([], |row| Ok((unsigned(row.get(0)?), row.get(1)?)))
        .optional()?;
    let mut queue = Queue::restore(machine.clone(), standing.collect(), passed);
    let mut decisions = queue.decide();
    for (key, request) in join {
        queue.request(key.clone(), request.clone());
        let Some(place) = queue.place(key) else { continue };
        let request =
            Request { need: request.need.as_ref().map(|need| need.within(machine)), ..request.clone() };
        insert(change, key, place, &request, lock)?;
        let standing = Standing { key: key.clone(), place, request, held: None, told: false };
        let row =
            Row { standing, owner: std::process::id(), lock: lock.to_owned(), stop: None, replaced: None };
        rows.insert(key.clone(), row);
        decisions.extend(queue.decide());
    }
    let mut wake = BTreeSet::new();
    for decision in decisions {
        let (Decision::Grant { key, .. } | Decision::Replace { key, .. } | Decision::Stop { key, .. }) =
            &decision;
        let Some(row) = rows.get_mut(key) else { continue };
        if row.lock != lock {
            wake.insert(row.owner);
        }
        carry_out(change, row, decision)?;
    }
    if queue.passed() != passed {
        change.prepare_cached("DELETE FROM passed")?.execute([])?;
        if let Some((place, times)) = queue.passed() {
            change
                .prepare_cached("INSERT INTO passed (place, times) VALUES (?1, ?2)")?
                .execute(params![signed(place), times])?;
        }
    }
    let waits = |key: &String| rows.get(key).is_some_and(|row| row.standing.held.is_none());
    if join.iter().any(|(key, _)| waits(key)) {
        // Who holds something keeps it for its own next job until it knows that somebody waits.
        wake.extend(
            rows.values().filter(|row| row.lock != lock && row.standing.held.is_some()).map(|row| row.owner),
        );
    }
    let others = rows.values().any(|row| row.lock != lock);
    let mut mine = Vec::new();
    for (key, row) in rows.into_iter().filter(|(_, row)| row.lock == lock) {
        if row.replaced.is_some() {
            change.prepare_cached("DELETE FROM leases WHERE key = ?1")?.execute([&key])?;
        }
        mine.push(Place { key, held: row.standing.held, stop: row.stop, replaced: row.replaced });
    }
    Ok(Line { mine, others, wake: wake.into_iter().collect() })
}

fn insert(
    change: &Transaction,
    key: &str,
    place: u64,
    request: &Request,
    lock: &str,
) -> Result<(), StoreError> {
    let request = serde_json::to_string(request).map_err(|error| damaged(key, &error.to_string()))?;
    change
        .prepare_cached(
            "INSERT INTO leases (key, place, request, owner, owner_lock) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![key, signed(place), request, std::process::id(), lock])?;
    Ok(())
}

/// Writes a decision down and into the row.
fn carry_out(change: &Transaction, row: &mut Row, decision: Decision<String>) -> Result<(), StoreError> {
    match decision {
        Decision::Grant { key, gpus } => {
            let text = serde_json::to_string(&gpus).map_err(|error| damaged(&key, &error.to_string()))?;
            change
                .prepare_cached("UPDATE leases SET held = ?2 WHERE key = ?1")?
                .execute(params![key, text])?;
            row.standing.held = Some(gpus);
        }
        Decision::Replace { key, group } => {
            change
                .prepare_cached("UPDATE leases SET replaced = ?2 WHERE key = ?1")?
                .execute(params![key, group])?;
            row.replaced = Some(group);
        }
        Decision::Stop { key, group } => {
            change
                .prepare_cached("UPDATE leases SET stop = ?2 WHERE key = ?1")?
                .execute(params![key, group])?;
            row.stop = Some(group);
        }
    }
    Ok(())
}

fn rows(change: &Transaction) -> Result<Vec<Row>, StoreError> {
    let mut ask = change.prepare_cached(
        "SELECT key, place, request, held, stop, replaced, owner, owner_lock FROM leases ORDER BY place",
    )?;
    let mut found = ask.query([])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let key: String = row.get(0)?;
        let wrong = |error: serde_json::Error| damaged(&key, &error.to_string());
        let request = serde_json::from_str(row.get_ref(2)?.as_str().unwrap_or_default()).map_err(wrong)?;
        let held: Option<String> = row.get(3)?;
        let held = held.map(|text| serde_json::from_str(&text)).transpose().map_err(wrong)?;
        let stop: Option<String> = row.get(4)?;
        let standing =
            Standing { place: unsigned(row.get(1)?), request, held, told: stop.is_some(), key: key.clone() };
        rows.push(Row { standing, stop, replaced: row.get(5)?, owner: row.get(6)?, lock: row.get(7)? });
    }
    Ok(rows)
}

/// Takes away what dead processes left.
fn drop_dead(
    change: &Transaction,
    rows: &mut Vec<Row>,
    alive: &dyn Fn(&str) -> bool,
) -> Result<(), StoreError> {
    let locks: BTreeSet<&str> = rows.iter().map(|row| row.lock.as_str()).collect();
    let dead: Vec<String> = locks.into_iter().filter(|lock| !alive(lock)).map(str::to_owned).collect();
    for lock in &dead {
        change.prepare_cached("DELETE FROM leases WHERE owner_lock = ?1")?.execute([lock])?;
    }
    rows.retain(|row| !dead.contains(&row.lock));
    Ok(())
}

fn damaged(key: &str, reason: &str) -> StoreError {
    StoreError::Decode { run: key.to_owned(), seq: 0, reason: format!("a lease: {reason}") }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

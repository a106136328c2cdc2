//! Events as the log stores them.

use super::error::explain;
use super::{EVENT_KINDS, VERSION, WireError};
use crate::run::{EventKind, JobEvaluation, Millis, RunEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// How deep foreign JSON (a payload, a matrix) may be nested: the reader stops at 128 levels.
const DEPTH_LIMIT: u32 = 100;

#[derive(Serialize)]
struct Written<'a> {
    v: u8,
    at: Millis,
    kind: &'a EventKind,
}

#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    v: u64,
    at: Millis,
    kind: EventKind,
}

/// Returns an event as compact JSON without a newline.
///
/// Refuses what `decode_event` could not read again: JSON that is nested too deep.
pub fn encode_event(event: &RunEvent) -> Result<Vec<u8>, WireError> {
    check_depth(&event.kind)?;
    let mut bytes = Vec::with_capacity(192);
    serde_json::to_writer(&mut bytes, &Written { v: VERSION, at: event.at, kind: &event.kind })
        .map_err(|source| WireError::Damaged { what: "event", source })?;
    Ok(bytes)
}

/// Reads an event as `encode_event` of this or an earlier release wrote it.
pub fn decode_event(bytes: &[u8]) -> Result<RunEvent, WireError> {
    match serde_json::from_slice::<Read>(bytes) {
        Ok(read) if read.v > u64::from(VERSION) => Err(WireError::Newer { found: read.v, known: VERSION }),
        Ok(read) => Ok(RunEvent { at: read.at, kind: read.kind }),
        Err(source) => Err(explain("event", bytes, "/kind", EVENT_KINDS, source)),
    }
}

pub(super) fn check_depth(kind: &EventKind) -> Result<(), WireError> {
    match kind {
        EventKind::RunCreated(created) => {
            shallow("the event's payload", &created.payload)?;
            created.contexts.values().try_for_each(|json| shallow("a context", json))?;
            created.options.values().try_for_each(|json| shallow("an option", json))
        }
        EventKind::JobEvaluated { outcome: JobEvaluation::Instances { instances, .. }, .. } => {
            instances.iter().try_for_each(|instance| shallow("a matrix value", &instance.matrix))
        }
        EventKind::AttemptEnded { receipt, .. } | EventKind::Adopted { receipt, .. } => {
            let values = receipt.metrics.values().chain(receipt.params.values());
            values.into_iter().try_for_each(|json| shallow("a metric or parameter", json))
        }
        _ => Ok(()),
    }
}

fn shallow(what: &'static str, json: &Json) -> Result<(), WireError> {
    fn fits(json: &Json, left: u32) -> bool {
        match (json, left.checked_sub(1)) {
            (Json::Array(_) | Json::Object(_), None) => false,
            (Json::Array(items), Some(left)) => items.iter().all(|item| fits(item, left)),
            (Json::Object(fields), Some(left)) => fields.values().all(|item| fits(item, left)),
            _ => true,
        }
    }
    if fits(json, DEPTH_LIMIT) { Ok(()) } else { Err(WireError::TooDeep { what, limit: DEPTH_LIMIT }) }
}

//! `update`, and what a launch specification is with other volumes: the domain carries it and never reads it.

use super::json::Json;
use super::record::Record;
use crate::domain::command::{Update, Volumes};
use crate::domain::hold::Opaque;
use crate::domain::id::Label;
use crate::domain::outcome::Refusal;

pub(super) fn update(record: &Record<'_, '_>) -> Result<Update, Refusal> {
    Ok(Update {
        id: record.hold_id("reservation_id")?,
        paused: record.boolean("paused"),
        volumes: record.opaque("volumes").map(|volumes| Volumes { volumes, put: with_volumes }),
        name: record.name("name", Label::parse)?,
        tags: record.opaque("tags"),
    })
}

/// A launch specification with these volumes (canonical text of an array) in place of its own. Where there is none it
/// is one without keys; without volumes there is none then either.
pub fn with_volumes(launch_specification: Option<&Opaque>, volumes: &Opaque) -> Option<Opaque> {
    let Some(launch_specification) = launch_specification else {
        let is_empty = volumes.as_str() == "[]";
        return (!is_empty).then(|| Opaque::new(&format!(r#"{{"volumes":{},"ssh_keys":[]}}"#, volumes.as_str())));
    };
    let Ok(members) = Json::parse(launch_specification.as_str().as_bytes()).and_then(Json::members) else {
        return Some(launch_specification.clone());
    };
    let member = |(name, value): &(std::borrow::Cow<'_, str>, Json<'_>)| {
        let value = if name == "volumes" { volumes.as_str() } else { value.as_str() };
        format!(r#""{name}":{value}"#)
    };
    let members: Vec<String> = members.iter().map(member).collect();
    Some(Opaque::new(&format!("{{{}}}", members.join(","))))
}

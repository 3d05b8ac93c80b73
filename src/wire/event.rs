//! Lifecycle events as CloudEvents 1.0, structured JSON.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use super::instant::Utc;
use super::view::{self, Shown};
use crate::domain::event::Event;
use crate::domain::hold::{Claim, Hold};

/// The content type of the message.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// `source` and `type` begin with it whatever the root of the subjects: they name the kind of service, not the servers.
const SERVICE: &str = "berth";

/// All of it but `data`, which comes last.
#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: Uuid,
    source: Shown<fmt::Arguments<'a>>,
    r#type: Shown<fmt::Arguments<'a>>,
    subject: Uuid,
    time: Utc,
    datacontenttype: &'static str,
}

/// What `data` has behind the members of the hold.
#[derive(Serialize)]
struct Change<'a> {
    effective_at: Utc,
    previous_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_credit_cents: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_credit_cents: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
}

/// The body of the message, `Content-Type: application/cloudevents+json`. Never has it a release token or a startup
/// script.
pub fn encode(event: &Event) -> Vec<u8> {
    encode_with(event, None)
}

/// The same, where a reply has shown the hold as it is after the event already: a reservation's JSON is that of the
/// reply, so it need not be made twice. `None`: it has not.
pub fn encode_with(event: &Event, reply: Option<&[u8]>) -> Vec<u8> {
    let hold = &event.hold;
    let mut text = view::bytes(&Envelope {
        specversion: "1.0",
        id: hold.id.event_id(hold.version),
        source: Shown(format_args!("/{SERVICE}/{}", hold.tenant)),
        r#type: Shown(format_args!("{SERVICE}.{}.{}.v1", hold.kind().name(), event.event_type.name())),
        subject: hold.id.uuid(),
        time: Utc(event.at),
        datacontenttype: "application/json",
    });
    reopen(&mut text);
    text.extend_from_slice(b",\"data\":");
    match (reply.filter(|_| is_shown_alike(hold)), &hold.claim) {
        (Some(reply), _) => text.extend_from_slice(reply),
        (None, Claim::Reservation(reservation)) => {
            view::write(&mut text, &view::reservation_redacted(hold, reservation));
        }
        (None, Claim::Lock(lock)) => view::write(&mut text, &view::lock(hold, lock)),
    }
    reopen(&mut text);
    let behind = text.len();
    view::write(&mut text, &change(event));
    if let Some(bracket) = text.get_mut(behind) {
        *bracket = b','; // one object goes on where the other began
    }
    text.push(b'}');
    text
}

/// Is a reservation the same JSON to its tenant and to a reader of events? A lock never is.
fn is_shown_alike(hold: &Hold) -> bool {
    hold.reservation().is_some_and(|reservation| reservation.launch_specification.is_none())
}

/// Takes the closing bracket off, so that more members can follow.
fn reopen(object: &mut Vec<u8>) {
    object.pop();
}

fn change(event: &Event) -> Change<'_> {
    Change {
        effective_at: Utc(event.effective_at),
        previous_status: event.previous_status.map(|status| status.name()),
        return_credit_cents: event.credits.return_cents,
        pause_credit_cents: event.credits.pause_cents,
        actor: event.actor.as_ref().map(|actor| actor.as_str()),
        traceparent: event.trace.as_ref().map(|trace| trace.traceparent.as_str()),
    }
}

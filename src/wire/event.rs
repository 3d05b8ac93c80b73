//! Lifecycle events as CloudEvents 1.0, structured JSON.

use serde::Serialize;

use super::instant::Utc;
use super::view::{self, Shown};
use crate::domain::event::Event;
use crate::domain::hold::{Claim, Hold};
use crate::domain::id::HoldId;

/// The content type of the message.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// `source` and `type` begin with it whatever the root of the subjects: they name the kind of service, not the servers.
const SERVICE: &str = "berth";

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: Shown<uuid::Uuid>,
    source: String,
    r#type: String,
    subject: Shown<HoldId>,
    time: Utc,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    /// The reservation or the lock after the change, with its version.
    #[serde(flatten)]
    hold: HoldView<'a>,
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

#[derive(Serialize)]
#[serde(untagged)]
enum HoldView<'a> {
    Reservation(Box<view::ReservationView<'a, view::Redacted<'a>>>),
    Lock(Box<view::LockView<'a>>),
}

fn hold_view(hold: &Hold) -> HoldView<'_> {
    match &hold.claim {
        Claim::Reservation(reservation) => {
            HoldView::Reservation(Box::new(view::reservation_redacted(hold, reservation)))
        }
        Claim::Lock(lock) => HoldView::Lock(Box::new(view::lock(hold, lock))),
    }
}

/// The body of the message, `Content-Type: application/cloudevents+json`. Never has it a release token or a startup
/// script.
pub fn encode(event: &Event) -> Vec<u8> {
    let hold = &event.hold;
    view::bytes(&CloudEvent {
        specversion: "1.0",
        id: Shown(hold.id.event_id(hold.version)),
        source: format!("/{SERVICE}/{}", hold.tenant),
        r#type: format!("{SERVICE}.{}.{}.v1", hold.kind().name(), event.event_type.name()),
        subject: Shown(hold.id),
        time: Utc(event.at),
        datacontenttype: "application/json",
        data: Data {
            hold: hold_view(hold),
            effective_at: Utc(event.effective_at),
            previous_status: event.previous_status.map(|status| status.name()),
            return_credit_cents: event.credits.return_cents,
            pause_credit_cents: event.credits.pause_cents,
            actor: event.actor.as_ref().map(|actor| actor.as_str()),
            traceparent: event.trace.as_ref().map(|trace| trace.traceparent.as_str()),
        },
    })
}

//! The AsyncAPI 3.0 document: which subject carries which message.

use serde_json::{Map, Value, json};

use super::event;
use super::verb::Verb;

/// The whole document. Schemas are referred to by file name.
pub fn document() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "berth",
            "version": "1",
            "description": "Reservations of capacity and locks over NATS. The root `berth` of all subjects is \
                            configurable."
        },
        "defaultContentType": "application/json",
        "channels": channels(),
        "operations": operations(),
        "components": {"messages": messages(), "parameters": parameters()}
    })
}

fn reference(path: &str) -> Value {
    json!({"$ref": path})
}

fn message(name: &str) -> Value {
    reference(&format!("#/components/messages/{name}"))
}

/// The messages of a channel by name.
fn carried(names: &[String]) -> Value {
    Value::Object(names.iter().map(|name| (name.clone(), message(name))).collect())
}

fn tenant() -> Value {
    json!({"tenant": reference("#/components/parameters/tenant")})
}

fn channels() -> Value {
    let mut channels = Map::new();
    for verb in Verb::ALL {
        let name = verb.name();
        let mut request = match verb.is_admin() {
            true => json!({"address": format!("berth.admin.v1.{name}")}),
            false => json!({"address": format!("berth.v1.{{tenant}}.{name}"), "parameters": tenant()}),
        };
        request["description"] = json!("Core request-reply, queue group `berth`; in no stream.");
        request["messages"] = carried(&[format!("{name}.request")]);
        channels.insert(format!("request.{name}"), request);
        if verb.is_mutation() && !verb.is_admin() {
            channels.insert(format!("submit.{name}"), submit(name));
            channels.insert(format!("result.{name}"), result(name));
        }
        let reply = json!({
            "address": null,
            "description": "The reply subject of the request, below an inbox prefix.",
            "messages": carried(&[format!("{name}.reply"), "error".into()])
        });
        channels.insert(format!("reply.{name}"), reply);
    }
    for (kind, label) in [("reservation", "pool"), ("lock", "resource_type")] {
        channels.insert(format!("event.{kind}"), event_channel(kind, label));
    }
    Value::Object(channels)
}

fn submit(name: &str) -> Value {
    json!({
        "address": format!("berth.submit.v1.{{tenant}}.{name}"),
        "description": "The same command, durable, in the stream BERTH_SUBMIT. The acknowledgement means accepted.",
        "parameters": tenant(),
        "messages": carried(&[format!("{name}.request")])
    })
}

fn result(name: &str) -> Value {
    json!({
        "address": format!("berth.result.v1.{{tenant}}.{name}"),
        "description": "The outcome of each submitted command, with its Idempotency-Key, in the stream BERTH_RESULT.",
        "parameters": tenant(),
        "messages": carried(&[format!("{name}.reply"), "error".into()])
    })
}

fn event_channel(kind: &str, label: &str) -> Value {
    json!({
        "address": format!("berth.event.v1.{{tenant}}.{kind}.{{{label}}}.{{type}}"),
        "description": "Lifecycle events, in the stream BERTH_EVENTS. The versions of one hold come as 1, 2, 3 … \
                        without gap and in order.",
        "parameters": {
            "tenant": reference("#/components/parameters/tenant"),
            label: reference(&format!("#/components/parameters/{label}")),
            "type": reference("#/components/parameters/type")
        },
        "messages": carried(&["event".into()])
    })
}

fn operations() -> Value {
    let channel = |name: &str| reference(&format!("#/channels/{}", name));
    let mut operations = Map::new();
    for verb in Verb::ALL {
        let name = verb.name();
        let answer = json!({
            "action": "receive",
            "channel": channel(&format!("request.{name}")),
            "reply": {"address": {"location": "$message.header#/reply"}, "channel": channel(&format!("reply.{name}"))}
        });
        operations.insert(name.into(), answer);
        if verb.is_mutation() && !verb.is_admin() {
            let take = json!({"action": "receive", "channel": channel(&format!("submit.{name}"))});
            let tell = json!({"action": "send", "channel": channel(&format!("result.{name}"))});
            operations.insert(format!("submit.{name}"), take);
            operations.insert(format!("result.{name}"), tell);
        }
    }
    for kind in ["reservation", "lock"] {
        let tell = json!({"action": "send", "channel": channel(&format!("event.{kind}"))});
        operations.insert(format!("event.{kind}"), tell);
    }
    Value::Object(operations)
}

fn messages() -> Value {
    let mut messages = Map::new();
    for verb in Verb::ALL {
        let name = verb.name();
        let request = json!({"headers": request_headers(), "payload": reference(&format!("{name}.request.json"))});
        let reply = json!({"headers": reply_headers(), "payload": reference(&format!("{name}.reply.json"))});
        messages.insert(format!("{name}.request"), request);
        messages.insert(format!("{name}.reply"), reply);
    }
    messages.insert("error".into(), json!({"headers": error_headers(), "payload": reference("error.json")}));
    let event = json!({
        "contentType": event::CONTENT_TYPE,
        "headers": headers(&[
            ("Nats-Msg-Id", "The event's id."),
            ("Berth-Seq", "<lane>:<seq>: where it stands in the journal."),
            ("traceparent", "W3C trace context of the command."),
            ("tracestate", "W3C trace context of the command."),
        ]),
        "payload": reference("event.json")
    });
    messages.insert("event".into(), event);
    Value::Object(messages)
}

fn headers(named: &[(&str, &str)]) -> Value {
    let property = |(name, about): &(&str, &str)| ((*name).to_owned(), json!({"type": "string", "description": about}));
    json!({"type": "object", "properties": named.iter().map(property).collect::<Map<_, _>>()})
}

fn request_headers() -> Value {
    headers(&[
        ("Idempotency-Key", "1 to 255 of A-Z a-z 0-9 _ - : = + /, not beginning with berth:. Ignored by reads."),
        ("Berth-Actor", "Who acts; recorded, not trusted."),
        ("Berth-Not-After", "RFC 3339. Decided later than this, it is refused and changes nothing."),
        ("traceparent", "W3C trace context."),
        ("tracestate", "W3C trace context."),
    ])
}

fn reply_headers() -> Value {
    headers(&[
        ("Berth-Replayed", "true: the body is the stored one, byte for byte."),
        ("Idempotency-Key", "On results: the command's key."),
        ("traceparent", "W3C trace context of the request."),
        ("tracestate", "W3C trace context of the request."),
    ])
}

fn error_headers() -> Value {
    headers(&[
        ("Nats-Service-Error-Code", "The number, in the manner of HTTP."),
        ("Nats-Service-Error", "The code."),
        ("Berth-Replayed", "true: the body is the stored one, byte for byte."),
        ("Idempotency-Key", "On results: the command's key."),
    ])
}

fn parameters() -> Value {
    json!({
        "tenant": {"description": "[a-z0-9][a-z0-9-]{0,62}"},
        "pool": {"description": "[a-z0-9][a-z0-9_-]{0,62}"},
        "resource_type": {"description": "[A-Za-z0-9_-]{1,64}"},
        "type": {
            "description": "What happened.",
            "enum": crate::domain::event::EventType::ALL.map(|event_type| event_type.name())
        }
    })
}

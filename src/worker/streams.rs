//! The three streams: made where they are missing, checked where they are there.

use crate::wire::subject::Subjects;

/// Why a worker does not start on these streams: one sentence each.
#[derive(Debug, thiserror::Error)]
pub enum UnfitStreams {
    #[error(
        "the stream {stream} covers the request subject {subject}: requesters would get its acknowledgement instead of \
         an answer; take the subject out of the stream"
    )]
    CoversRequests { stream: String, subject: String },
    #[error("the stream {stream} has {setting} = {found}, berth needs {needed}: change it, or remove the stream")]
    Setting { stream: String, setting: &'static str, found: String, needed: String },
    #[error("could not {attempt}")]
    JetStream {
        attempt: &'static str,
        #[source]
        source: async_nats::Error,
    },
}

/// Makes `<ROOT>_SUBMIT`, `<ROOT>_RESULT` and `<ROOT>_EVENTS` where they are missing and checks all three, and that
/// no stream covers a request subject.
pub async fn prepare(client: &async_nats::Client, subjects: &Subjects) -> Result<(), UnfitStreams> {
    let _ = (client, subjects);
    todo!()
}

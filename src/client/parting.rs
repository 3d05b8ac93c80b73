//! What is given back in the background: the lock of a guard that was dropped, what an abandoned request has taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::LockClient;
use super::message::{LockReply, LockStatus, UnlockReply, UnlockRequest, UnlockStatus};
use super::{LockError, acquire::Asked};
use crate::clock;

/// A holder and what it holds: all that the service tells claims of one tenant apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub requester: String,
    pub resource: String,
}

/// How much is being given back under each name.
#[derive(Clone, Debug)]
pub struct Partings(Arc<watch::Sender<BTreeMap<Name, usize>>>);

impl Default for Partings {
    fn default() -> Partings {
        Partings(Arc::new(watch::Sender::new(BTreeMap::new())))
    }
}

/// One of them, until it is dropped.
#[derive(Debug)]
struct Parting {
    all: Partings,
    name: Name,
}

impl Partings {
    fn begin(&self, name: Name) -> Parting {
        self.0.send_modify(|names| *names.entry(name.clone()).or_default() += 1);
        Parting { all: self.clone(), name }
    }

    /// Waits until nothing is being given back under the name. Each giving back is bounded by the time limits of its
    /// requests.
    pub async fn over(&self, name: &Name) {
        // It fails only when the sender is gone, which is held here.
        let _ = self.0.subscribe().wait_for(|names| !names.contains_key(name)).await;
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        self.all.0.send_modify(|names| {
            let count = names.get(&self.name).copied().unwrap_or(0);
            match count {
                0 | 1 => drop(names.remove(&self.name)),
                _ => drop(names.insert(self.name.clone(), count - 1)),
            }
        });
    }
}

impl LockClient {
    /// Gives back a claim or a place in a queue, by a request with a key of its own.
    pub(super) async fn unlock(&self, name: &Name, release_token: &str) -> Result<UnlockStatus, LockError> {
        let request = UnlockRequest { requester: &name.requester, resource: &name.resource, release_token };
        let key = clock::random_uuid().to_string();
        let answer = self.asker.ask::<UnlockReply>("unlock", Some(&key), &request, self.asker.give_up()).await?;
        Ok(answer.body.status)
    }

    /// Gives back, at best effort and without waiting, a claim by its token and whatever a request still under way
    /// takes: it is asked again with its key, so that its answer, whenever it was decided, names what it took.
    pub(super) fn part(&self, name: Name, release_token: Option<String>, asked: Option<Asked>) {
        let client = self.clone();
        // Counted from now on, not from when the task first runs.
        let parting = self.partings.begin(name);
        self.runtime.spawn(async move {
            let name = &parting.name;
            if let Some(asked) = asked {
                let taken = client.taken_by(&asked).await.filter(|token| Some(token) != release_token.as_ref());
                client.unlock_or_tell(name, taken).await;
            }
            client.unlock_or_tell(name, release_token).await;
        });
    }

    /// The token of what a request took. What the requester had before is not its.
    async fn taken_by(&self, asked: &Asked) -> Option<String> {
        let give_up = self.asker.give_up();
        let answer = self.asker.ask::<LockReply>("lock", Some(&asked.key), &asked.request(), give_up).await;
        let reply =
            answer.inspect_err(|error| tracing::debug!(%error, "what a lock request took is not known")).ok()?;
        matches!(reply.body.status, LockStatus::Acquired | LockStatus::Queued).then_some(reply.body.release_token)?
    }

    async fn unlock_or_tell(&self, name: &Name, release_token: Option<String>) {
        let Some(release_token) = release_token else { return };
        if let Err(error) = self.unlock(name, &release_token).await {
            tracing::warn!(resource = name.resource, %error, "a lock was not given back; its time to live ends it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn a_name_is_waited_for_until_all_that_is_given_back_under_it_is() {
        let partings = Partings::default();
        let name = |resource: &str| Name { requester: "a".to_owned(), resource: resource.to_owned() };
        let is_over = |resource: &str| partings.over(&name(resource)).now_or_never().is_some();
        let (one, two) = (partings.begin(name("r")), partings.begin(name("r")));
        assert!(!is_over("r") && is_over("s"));
        drop(one);
        assert!(!is_over("r"));
        drop(two);
        assert!(is_over("r"));
    }
}

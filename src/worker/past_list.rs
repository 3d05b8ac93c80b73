//! `list` as of an instant: a tenant's reservations that existed then, each as it stood.

use super::past::{Answered, later_than_now, unreadable};
use super::reader::Queries;
use crate::domain::command::List;
use crate::domain::hold::Hold;
use crate::domain::id::{HoldId, Tenant};
use crate::domain::tick::as_of;
use crate::domain::window::Instant;
use crate::store::StoreError;
use crate::wire::recall;
use crate::wire::reply;

/// Reservations that are read at once where their status then decides whether they are of the page.
const READ_AT_ONCE: u32 = 250;

/// Most that are looked at for one page: behind them it ends, however few there were for it.
const LOOKED_AT_MAX: usize = 5_000;

/// A page as it fills up.
#[derive(Debug, Default)]
struct Page {
    holds: Vec<Hold>,
    looked_at: usize,
    /// The last that is of the page or was passed over.
    last: Option<HoldId>,
    has_more: bool,
}

impl Queries {
    pub(super) async fn list_past(&self, tenant: &Tenant, list: List, at: Instant) -> Answered {
        let (_, now) = self.reader.tenant(tenant).await?;
        if at > now {
            return Ok(Err(later_than_now()));
        }
        let mut page = Page { last: list.after.map(|cursor| cursor.id), ..Page::default() };
        loop {
            let Some(read) = self.read_past(tenant, &list, at, page.last).await? else {
                return Ok(Err(unreadable(tenant)));
            };
            if page.take(&list, read) {
                break;
            }
        }
        let Page { holds, last, has_more, .. } = page;
        let is_whole = |shown: &[Hold]| shown.len() == holds.len();
        let encode = |shown: &[Hold], has_more: bool| {
            let end = if is_whole(shown) { last } else { shown.last().map(|hold| hold.id) };
            reply::past_reservations(shown, end.filter(|_| has_more))
        };
        Ok(Ok(self.cut_to_fit(&holds, has_more, encode)))
    }

    /// The next reservations, each as it stood, where its events are still known. `None` where an event can't be read.
    async fn read_past(
        &self,
        tenant: &Tenant,
        list: &List,
        at: Instant,
        after: Option<HoldId>,
    ) -> Result<Option<Vec<(HoldId, Option<Hold>)>>, StoreError> {
        let mut read = Vec::new();
        let mut is_readable = true;
        let add = |present: Hold, payload: Option<&[u8]>| {
            let recorded = payload.map(|payload| recall::decode(payload, &present));
            is_readable &= !matches!(recorded, Some(None));
            read.push((present.id, recorded.flatten().map(|recorded| as_of(recorded.hold, at))));
        };
        self.reader.list_past(tenant, list, at, after, read_at_once(list), add).await?;
        Ok(is_readable.then_some(read))
    }
}

fn read_at_once(list: &List) -> u32 {
    match list.status {
        Some(_) => READ_AT_ONCE,
        None => list.limit.saturating_add(1),
    }
}

impl Page {
    /// Takes what is of the page. Is it done?
    fn take(&mut self, list: &List, read: Vec<(HoldId, Option<Hold>)>) -> bool {
        let is_last = read.len() < read_at_once(list) as usize;
        self.looked_at += read.len();
        for (id, hold) in read {
            let hold = hold.filter(|hold| list.status.is_none_or(|status| status == hold.status));
            if hold.is_some() && self.holds.len() == list.limit as usize {
                self.has_more = true;
                return true;
            }
            self.holds.extend(hold);
            self.last = Some(id);
        }
        self.has_more = !is_last;
        is_last || self.looked_at >= LOOKED_AT_MAX
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::command::SortBy;
    use crate::domain::hold::Status;

    #[test]
    fn a_page_for_which_nothing_is_found_ends_and_goes_on_behind_what_was_looked_at() {
        let list = List {
            pool: None,
            instance_type: None,
            region: None,
            status: Some(Status::Paused),
            sort_by: SortBy::CreatedAt,
            is_descending: false,
            limit: 1,
            after: None,
        };
        let mut page = Page::default();
        let ids =
            |from: usize, count: usize| (from..from + count).map(|n| HoldId::from_uuid(Uuid::from_u128(n as u128)));
        let mut from = 0;
        let mut read = |count| {
            let read = ids(from, count).map(|id| (id, None)).collect();
            from += count;
            read
        };
        let at_once = READ_AT_ONCE as usize;
        let reads = LOOKED_AT_MAX / at_once;
        assert!((1..reads).all(|_| !page.take(&list, read(at_once))));
        assert!(page.take(&list, read(at_once)) && page.has_more);
        assert_eq!(page.last, ids(LOOKED_AT_MAX - 1, 1).next());
        let mut last = Page::default();
        assert!(last.take(&list, read(at_once - 1)) && !last.has_more, "there were no more");
    }
}

//! What has been sent and may come back: kept for a while under a number.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long: the server says at once that nobody has taken something.
const KEPT: Duration = Duration::from_secs(1);
/// How many at most, and with how many bytes together.
const COUNT_MAX: usize = 16_384;
const BYTES_MAX: usize = 64 << 20;

#[derive(Debug)]
pub struct Kept<T> {
    /// The number of the first.
    first: u64,
    bytes: usize,
    items: VecDeque<Item<T>>,
}

#[derive(Debug)]
struct Item<T> {
    since: Instant,
    bytes: usize,
    /// `None`: it was taken out.
    kept: Option<Box<T>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Kept<T> {
        Kept { first: 0, bytes: 0, items: VecDeque::new() }
    }
}

impl<T> Kept<T> {
    /// Gives its number; or it back, where there is no room.
    pub fn keep(&mut self, item: T, bytes: usize, now: Instant) -> Result<u64, Box<T>> {
        if !self.has_room(bytes) {
            self.forget_old(now);
        }
        if !self.has_room(bytes) {
            return Err(Box::new(item));
        }
        self.bytes += bytes;
        self.items.push_back(Item { since: now, bytes, kept: Some(Box::new(item)) });
        Ok(self.first + self.items.len() as u64 - 1)
    }

    /// `None`: it was taken before, or is kept no more.
    pub fn take(&mut self, number: u64) -> Option<Box<T>> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let item = self.items.get_mut(place)?;
        self.bytes -= std::mem::take(&mut item.bytes);
        item.kept.take()
    }

    pub fn forget_old(&mut self, now: Instant) {
        let old = self.items.partition_point(|item| now.duration_since(item.since) >= KEPT);
        self.bytes -= self.items.drain(..old).map(|item| item.bytes).sum::<usize>();
        self.first += old as u64;
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.items.len() < COUNT_MAX && self.bytes + bytes <= BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_taken_once_by_its_number_until_it_is_old() {
        let now = Instant::now();
        let mut kept = Kept::default();
        let [a, b] = ["a", "b"].map(|item| kept.keep(item, 1, now).unwrap());
        let c = kept.keep("c", 1, now + KEPT / 2).unwrap();
        assert_eq!(kept.take(b).as_deref(), Some(&"b"));
        assert_eq!(kept.take(b), None);
        kept.forget_old(now + KEPT);
        assert_eq!(kept.take(a), None, "it is old");
        assert_eq!(kept.take(c).as_deref(), Some(&"c"));
        assert_eq!(kept.take(c + 1), None, "it was never there");
        assert_eq!(kept.bytes, 0);
    }

    #[test]
    fn what_there_is_no_room_for_is_given_back_and_what_is_old_makes_room() {
        let now = Instant::now();
        let mut kept = Kept::default();
        kept.keep("large", BYTES_MAX, now).unwrap();
        assert_eq!(kept.keep("more", 1, now).unwrap_err(), Box::new("more"));
        assert_eq!(kept.keep("more", 1, now + KEPT), Ok(1), "the number is not used twice");
        let mut kept = Kept::default();
        let numbers: Vec<u64> = (0..COUNT_MAX).map(|_| kept.keep((), 0, now).unwrap()).collect();
        assert!(numbers.into_iter().eq(0..COUNT_MAX as u64));
        assert!(kept.keep((), 0, now).is_err());
    }
}

//! What one worker tells another's relay: the events that it has just committed, so that they need not be read back
//! from the journal. Bytes, because a batch of them is told for every batch that is committed:
//!
//! `1`, then for each event: lane, seq, event id, microseconds of its time, tenant, kind, label, type, payload; the last
//! five each behind its length. Nothing, and anything else, only says that the journal has grown.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use chrono::DateTime;
use uuid::Uuid;

use crate::domain::event::EventType;
use crate::domain::hold::Kind;
use crate::domain::id::{Lane, Tenant};
use crate::store::journal::Entry;

const VERSION: u8 = 1;

/// One word at least, each of at most `bytes_max`. What is larger by itself is left to the journal.
pub(super) fn encode(entries: &[Entry], bytes_max: usize) -> Vec<Bytes> {
    let mut words = Vec::new();
    let mut word = BytesMut::new();
    for entry in entries {
        let one = length(entry);
        if !word.is_empty() && word.len() + one > bytes_max {
            words.push(word.split().freeze());
        }
        if one < bytes_max {
            if word.is_empty() {
                word.put_u8(VERSION);
            }
            put(&mut word, entry);
        }
    }
    if words.is_empty() || !word.is_empty() {
        words.push(word.freeze());
    }
    words
}

/// None where it is no such word, or not a whole one.
pub(super) fn decode(mut word: Bytes) -> Vec<Entry> {
    if word.try_get_u8() != Ok(VERSION) {
        return Vec::new();
    }
    let mut entries = Vec::new();
    while word.has_remaining() {
        let Some(entry) = get(&mut word) else { return Vec::new() };
        entries.push(entry);
    }
    entries
}

fn texts(entry: &Entry) -> [&[u8]; 5] {
    let Entry { tenant, kind, label, event_type, payload, .. } = entry;
    [tenant.as_str().as_bytes(), kind.name().as_bytes(), label.as_bytes(), event_type.name().as_bytes(), payload]
}

fn length(entry: &Entry) -> usize {
    1 + 8 + 16 + 8 + texts(entry).iter().map(|text| 4 + text.len()).sum::<usize>()
}

fn put(word: &mut BytesMut, entry: &Entry) {
    word.put_u8(entry.lane.number());
    word.put_i64(entry.seq);
    word.put_u128(entry.event_id.as_u128());
    word.put_i64(entry.at.timestamp_micros());
    for text in texts(entry) {
        word.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX)); // a message has not so many bytes
        word.put_slice(text);
    }
}

/// `None`: it is not whole, or names what is not known here.
fn get(word: &mut Bytes) -> Option<Entry> {
    Some(Entry {
        lane: Lane::new(word.try_get_u8().ok()?)?,
        seq: word.try_get_i64().ok()?,
        event_id: Uuid::from_u128(word.try_get_u128().ok()?),
        at: DateTime::from_timestamp_micros(word.try_get_i64().ok()?)?,
        tenant: Tenant::parse(&text(word)?)?,
        kind: Kind::parse(&text(word)?)?,
        label: text(word)?,
        event_type: EventType::parse(&text(word)?)?,
        payload: part(word)?,
    })
}

fn text(word: &mut Bytes) -> Option<String> {
    String::from_utf8(part(word)?).ok()
}

fn part(word: &mut Bytes) -> Option<Vec<u8>> {
    let length = word.try_get_u32().ok()? as usize;
    (length <= word.remaining()).then(|| word.split_to(length).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn entry(seq: i64, payload: usize) -> Entry {
        Entry {
            lane: Lane::new(7).unwrap(),
            seq,
            event_id: clock::random_uuid(),
            tenant: Tenant::parse("acme").unwrap(),
            kind: Kind::Reservation,
            label: "gpu".to_owned(),
            event_type: EventType::Placed,
            at: DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
            payload: vec![b'x'; payload],
        }
    }

    fn shown(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(|entry| format!("{entry:?}")).collect()
    }

    #[test]
    fn what_is_told_is_what_was_committed_in_as_many_words_as_it_takes() {
        let entries: Vec<Entry> = (1..=5).map(|seq| entry(seq, 300)).collect();
        let words = encode(&entries, 1000);
        assert_eq!(words.len(), 3, "two of them are more than a word takes with a third");
        assert!(words.iter().all(|word| word.len() <= 1000));
        let told: Vec<Entry> = words.into_iter().flat_map(decode).collect();
        assert_eq!(shown(&told), shown(&entries));
    }

    #[test]
    fn what_is_too_large_for_a_word_is_left_out_and_a_word_without_events_is_one_all_the_same() {
        let entries = [entry(1, 10), entry(2, 2000), entry(3, 10)];
        let told: Vec<Entry> = encode(&entries, 1000).into_iter().flat_map(decode).collect();
        assert_eq!(shown(&told), shown(&[entries[0].clone(), entries[2].clone()]));
        for nothing in [&entries[..0], &entries[1..2]] {
            assert_eq!(encode(nothing, 1000), [Bytes::new()]);
        }
    }

    #[test]
    fn of_a_word_that_is_not_whole_or_of_another_version_nothing_is_taken() {
        let word = encode(&[entry(1, 10), entry(2, 10)], 1000).remove(0);
        for length in 0..word.len() {
            let told = decode(word.slice(..length)).len();
            assert!(told == 0 || length == 1 + (word.len() - 1) / 2 && told == 1, "{told} of {length} bytes");
        }
        let mut other = word.to_vec();
        other[0] = VERSION + 1;
        assert!(decode(other.into()).is_empty());
    }
}

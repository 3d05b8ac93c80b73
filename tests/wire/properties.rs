//! What holds for every request.

use berth::domain::command::Command;
use berth::wire::request::{Call, Headers, decode};
use berth::wire::verb::Verb;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::samples::{REQUESTS, START, canonical, tenant};

fn decode_any(verb: Verb, payload: &[u8]) -> Option<Vec<u8>> {
    match decode(verb, Some(&tenant()), &Headers::default(), payload).ok()?.call {
        Call::Command(Command::Look(_), _) | Call::Query(_) => None,
        Call::Command(_, canonical) => Some(canonical.as_bytes().to_vec()),
    }
}

/// Its canonical form is a request with the same canonical form.
fn assert_stable(verb: Verb, payload: &[u8]) {
    if let Some(once) = decode_any(verb, payload) {
        let twice = decode_any(verb, &once);
        assert_eq!(twice.map(|bytes| String::from_utf8(bytes).unwrap()), Some(String::from_utf8(once).unwrap()));
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Replace(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let piece = select(vec!["null", "{}", "[]", "\"", "\\u0000", "1e400", ",", "-", "9223372036854775808", "\u{feff}"]);
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        (any::<Index>(), piece).prop_map(|(at, piece)| Edit::Insert(at, piece.into())),
        (any::<Index>(), 1..9usize).prop_map(|(at, count)| Edit::Remove(at, count)),
    ]
}

fn apply(edits: &[Edit], bytes: &mut Vec<u8>) {
    for edit in edits {
        if bytes.is_empty() {
            return;
        }
        match edit {
            Edit::Replace(at, byte) => *at.get_mut(bytes) = *byte,
            Edit::Insert(at, piece) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, piece.iter().copied());
            }
            Edit::Remove(at, count) => {
                let at = at.index(bytes.len());
                bytes.drain(at..(at + count).min(bytes.len()));
            }
        }
    }
}

/// What a reservation asks for, and ways to write it that mean nothing.
#[derive(Clone, Debug)]
struct Asked {
    start_micros: i64,
    duration_micros: i64,
    quantity: u32,
    name: Option<String>,
    tags: Option<Vec<(String, String)>>,
    price_max: Option<u32>,
}

#[derive(Clone, Debug)]
struct Style {
    order: Vec<usize>,
    offset_minutes: i32,
    writes_defaults: bool,
    writes_nulls: bool,
    space: &'static str,
}

fn asked() -> impl Strategy<Value = Asked> {
    let tags = proptest::collection::btree_map("[a-zé\"\\\\]{1,5}", "[ -~é]{0,5}", 0..4);
    let windows = (0..100_000_000_000i64, 1..100_000_000_000i64);
    let rest = (1..=10_000u32, proptest::option::of("[ -~é]{1,9}"), proptest::option::of(tags), any::<Option<u16>>());
    (windows, rest).prop_map(|((start, duration_micros), (quantity, name, tags, price_max))| Asked {
        start_micros: START + start,
        duration_micros,
        quantity,
        name,
        tags: tags.map(|tags| tags.into_iter().collect()),
        price_max: price_max.map(u32::from),
    })
}

fn style() -> impl Strategy<Value = Style> {
    let order = Just((0..12).collect::<Vec<usize>>()).prop_shuffle();
    let parts = (order, -1_439..1_440i32, any::<bool>(), any::<bool>(), select(vec!["", " ", "\n\t", "\r\n  "]));
    parts.prop_map(|(order, offset_minutes, writes_defaults, writes_nulls, space)| Style {
        order,
        offset_minutes,
        writes_defaults,
        writes_nulls,
        space,
    })
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

impl Style {
    fn instant(&self, micros: i64) -> String {
        let offset = chrono::FixedOffset::east_opt(self.offset_minutes * 60).unwrap();
        let at = berth::domain::window::from_micros(micros).with_timezone(&offset);
        quoted(&at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, self.offset_minutes == 0))
    }

    fn object(&self, members: Vec<(&str, String)>) -> String {
        let mut ordered: Vec<(usize, String)> = members
            .into_iter()
            .enumerate()
            .map(|(at, (name, value))| {
                (self.order[at % self.order.len()], format!("{}{}:{}{value}", self.space, quoted(name), self.space))
            })
            .collect();
        ordered.sort();
        let members: Vec<String> = ordered.into_iter().map(|(_, member)| member).collect();
        format!("{}{{{}{}}}", self.space, members.join(","), self.space)
    }

    fn write(&self, asked: &Asked) -> String {
        let mut members = vec![
            ("pool", quoted("gpu")),
            ("start_time", self.instant(asked.start_micros)),
            ("end_time", self.instant(asked.start_micros + asked.duration_micros)),
            ("quantity", asked.quantity.to_string()),
        ];
        let mut absent = vec!["intervals", "hold_seconds"];
        match &asked.name {
            Some(name) => members.push(("name", quoted(name))),
            None => absent.push("name"),
        }
        match &asked.tags {
            Some(tags) => {
                let tags = tags.iter().map(|(name, value)| (name.as_str(), quoted(value))).collect();
                members.push(("tags", self.object(tags)));
            }
            None => absent.push("tags"),
        }
        let mut price: Vec<(&str, String)> =
            asked.price_max.iter().map(|cents| ("max_unit_price", cents.to_string())).collect();
        if self.writes_defaults {
            price.push(("offer_key", quoted("standard")));
            members.push(("tenant", quoted("acme")));
        }
        match price.is_empty() {
            true => absent.push("price_specification"),
            false => members.push(("price_specification", self.object(price))),
        }
        if self.writes_nulls {
            members.extend(absent.into_iter().map(|name| (name, "null".to_owned())));
        }
        self.object(members)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_decoded_or_refused(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        for verb in Verb::ALL {
            assert_stable(verb, &payload);
        }
    }

    #[test]
    fn a_damaged_request_is_decoded_or_refused(
        (verb, body) in select(REQUESTS),
        edits in proptest::collection::vec(edit(), 1..4),
    ) {
        let mut payload = body.as_bytes().to_vec();
        apply(&edits, &mut payload);
        assert_stable(verb, &payload);
    }

    #[test]
    fn the_same_meaning_has_the_same_canonical_form(asked in asked(), one in style(), other in style()) {
        let (one, other) = (one.write(&asked), other.write(&asked));
        prop_assert_eq!(canonical(Verb::Reserve, &one), canonical(Verb::Reserve, &other), "{} {}", one, other);
    }

    #[test]
    fn another_meaning_has_another_canonical_form(one in asked(), other in asked(), style in style()) {
        let same = format!("{one:?}") == format!("{other:?}");
        let (one, other) = (style.write(&one), style.write(&other));
        prop_assert_eq!(canonical(Verb::Reserve, &one) == canonical(Verb::Reserve, &other), same);
    }
}

#[test]
fn a_canonical_form_is_its_own_canonical_form() {
    for (verb, body) in REQUESTS {
        assert_stable(*verb, body.as_bytes());
    }
}

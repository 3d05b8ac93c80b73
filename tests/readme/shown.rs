//! What a page shows beside what was printed: ids, instants and white space are set aside, `…` stands for anything.

/// `Err`: both texts, line by line, and where they part.
pub fn compare(shown: &str, printed: &str) -> Result<(), String> {
    let (pattern, text) = (plain(shown), plain(printed));
    match first_missing(&pattern, &text) {
        None => Ok(()),
        Some(missing) => {
            let marked =
                |mark: char, text: &str| text.lines().map(|line| format!("{mark} {line}\n")).collect::<String>();
            Err(format!("{}{}this was not printed there: {missing}\n", marked('-', shown), marked('+', printed)))
        }
    }
}

/// The first piece of the pattern, between two `…`, that the text does not have where it should.
fn first_missing<'a>(pattern: &'a str, text: &str) -> Option<&'a str> {
    let pieces: Vec<&str> = pattern.split('…').collect();
    let (Some((first, between)), Some(mut rest)) = (pieces.split_first(), Some(text)) else { return None };
    let Some((last, between)) = between.split_last() else { return (pattern != text).then_some(pattern) };
    match rest.strip_prefix(first) {
        Some(behind) => rest = behind,
        None => return Some(first),
    }
    for piece in between {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return Some(piece),
        }
    }
    (!rest.ends_with(last)).then_some(last)
}

/// Without white space, with one text for all ids and one for all instants.
fn plain(text: &str) -> String {
    const ID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    const INSTANT: &str = "dddd-dd-ddTdd:dd:dd";
    let mut plain = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if has_form(rest, ID) {
            plain.push_str("<id>");
            rest = &rest[ID.len()..];
        } else if has_form(rest, INSTANT) {
            plain.push_str("<instant>");
            let end = rest.find('Z').map_or(INSTANT.len(), |end| end + 1);
            rest = &rest[end..];
        } else {
            if !next.is_whitespace() {
                plain.push(next);
            }
            rest = &rest[next.len_utf8()..];
        }
    }
    plain
}

/// Does the text begin with this form? `x`: a hexadecimal digit, `d`: a decimal one, anything else: itself.
pub fn has_form(text: &str, form: &str) -> bool {
    let fits = |(found, wanted): (u8, u8)| match wanted {
        b'x' => found.is_ascii_hexdigit(),
        b'd' => found.is_ascii_digit(),
        _ => found == wanted,
    };
    text.len() >= form.len() && text.bytes().zip(form.bytes()).all(fits)
}

#[test]
fn ids_instants_and_white_space_are_set_aside_and_nothing_else() {
    let printed =
        r#"{"id":"01a203f3-fea1-76ed-a51c-bed7fde83af8","at":"2026-11-22T15:50:51.809919Z","units":[],"version":2}"#;
    let shown = |version: u32| {
        format!(
            "{{\n  \"id\": \"01a203f4-0000-0000-0000-000000000000\",\n  \"at\": \"2030-01-01T00:00:00Z\",\n  …\n  \"version\": {version}\n}}\n"
        )
    };
    assert_eq!(compare(&shown(2), printed), Ok(()));
    assert!(compare(&shown(3), printed).is_err());
    assert!(compare("…\"version\":2", printed).is_err(), "the end counts");
    assert!(compare("\"at\"…", printed).is_err(), "the beginning counts");
    assert!(compare("{…\"at\"…\"id\"…}", printed).is_err(), "the order counts");
}

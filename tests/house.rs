//! The house rules, held by a test over the source text: each offence is named by file and line.
#![allow(clippy::unwrap_used)] // clippy spares only the tests themselves, not what they call

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// One line of a source file that is code: comments, strings' contents and unit tests are blanked.
struct Line<'a> {
    file: &'a str,
    number: usize,
    code: String,
}

struct Source {
    /// From the project's root, with `/`.
    file: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `folder` with one of these endings, in order of their names.
fn sources(folder: &str, endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
            if path.is_dir() {
                folders.push(path);
            } else if endings.contains(&ending) {
                let file = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
                found.push(Source { file, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found.sort_by(|one, other| one.file.cmp(&other.file));
    found
}

fn rust() -> Vec<Source> {
    sources("src", &["rs"])
}

/// Blanks what is not code, character by character, so that lines and columns stay. Enough of the language for this
/// tree: nested comments, strings, raw strings, character literals.
fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match non_code_end(bytes, at) {
            Some(end) => end,
            None => {
                at += 1;
                continue;
            }
        };
        code[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end;
    }
    String::from_utf8(code).unwrap()
}

/// Where the comment or literal that begins at `at` ends, or `None` where code stands there.
fn non_code_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let find = |needle: &[u8], from: usize| {
        let found = bytes[from..].windows(needle.len()).position(|window| window == needle);
        found.map_or(bytes.len(), |offset| from + offset + needle.len())
    };
    if rest.starts_with(b"//") {
        return Some(at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
    }
    if rest.starts_with(b"/*") {
        return Some(find(b"*/", at + 2));
    }
    let starts_word = at == 0 || !is_word(&bytes[at - 1]);
    let raw = rest.strip_prefix(b"br").or(rest.strip_prefix(b"r")).filter(|_| starts_word);
    if let Some(raw) = raw {
        let hashes = raw.iter().take_while(|byte| **byte == b'#').count();
        if raw.get(hashes) == Some(&b'"') {
            let closing = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
            return Some(find(&closing, at + (rest.len() - raw.len()) + hashes + 1));
        }
    }
    let quote = match rest {
        [b'"', ..] => b'"',
        [b'\'', b'\\', ..] | [b'\'', _, b'\'', ..] => b'\'',
        _ => return None,
    };
    let mut end = at + 1;
    while end < bytes.len() && bytes[end] != quote {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    Some((end + 1).min(bytes.len()))
}

/// The line from which a file holds only its unit tests: they stand last, or in a file of their own.
fn tests_begin(source: &Source) -> usize {
    if source.file.ends_with("/tests.rs") || source.file.ends_with("_tests.rs") {
        return 0;
    }
    source.text.lines().position(|line| line.starts_with("#[cfg(test)]")).unwrap_or(usize::MAX)
}

fn lines(source: &Source) -> Vec<Line<'_>> {
    let code = code_only(&source.text);
    let end = tests_begin(source);
    let numbered = code.lines().enumerate().take_while(|(index, _)| *index < end);
    numbered.map(|(index, code)| Line { file: &source.file, number: index + 1, code: code.to_owned() }).collect()
}

/// Whether `word` stands in `code` and is not a part of a longer name.
fn has_word(code: &str, word: &str) -> bool {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let open_end = !word.ends_with(|character: char| is_name(character));
        !before.is_some_and(is_name) && (open_end || !after.is_some_and(is_name))
    })
}

fn report(rule: &str, offences: Vec<String>) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

/// The lines of `sources`, outside `allowed` prefixes, in which one of `words` stands.
fn words_outside(allowed: &[&str], words: &[&str]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in rust().iter().filter(|source| !allowed.iter().any(|prefix| source.file.starts_with(prefix))) {
        for line in lines(source) {
            for word in words.iter().filter(|word| has_word(&line.code, word)) {
                offences.push(format!("{}:{}: {word}", line.file, line.number));
            }
        }
    }
    offences
}

#[test]
fn each_layer_imports_only_what_lies_below_it() {
    // Folder or file, and the modules of this crate that it may name.
    let allowed: [(&str, &[&str]); 4] = [
        ("src/domain/", &["domain"]),
        ("src/wire/", &["domain", "wire"]),
        ("src/store/", &["domain", "store"]),
        ("src/client/", &["client", "clock"]),
    ];
    let mut offences = Vec::new();
    for source in rust() {
        let Some((_, may)) = allowed.iter().find(|(folder, _)| source.file.starts_with(folder)) else { continue };
        for line in lines(&source) {
            for (at, _) in line.code.match_indices("crate::") {
                let module = line.code[at + "crate::".len()..].split(|c: char| !c.is_alphanumeric() && c != '_').next();
                if !module.is_some_and(|module| may.contains(&module)) {
                    offences.push(format!("{}:{}: {}", line.file, line.number, line.code.trim()));
                }
            }
        }
    }
    report("a layer names one that it must not know (domain: itself; wire and store: domain; client: clock)", offences);
}

#[test]
fn the_domain_knows_few_crates_and_no_clock_network_or_file() {
    let mut offences = Vec::new();
    let foreign = [
        "anyhow::",
        "async_nats::",
        "axum::",
        "backon::",
        "base64::",
        "bytes::",
        "clap::",
        "futures::",
        "humantime::",
        "opentelemetry::",
        "prometheus::",
        "secrecy::",
        "serde::",
        "serde_json::",
        "sqlx::",
        "tokio::",
        "tokio_util::",
        "tracing::",
        "std::env::",
        "std::fs::",
        "std::io::",
        "std::net::",
        "std::process::",
        "std::thread::",
        "std::time::Instant",
        "HashMap",
        "HashSet",
        "async",
    ];
    for source in rust().iter().filter(|source| source.file.starts_with("src/domain/")) {
        for line in lines(source) {
            for word in foreign.iter().filter(|word| has_word(&line.code, word)) {
                offences.push(format!("{}:{}: {word}", line.file, line.number));
            }
        }
    }
    report("the domain is pure, and its maps are ordered", offences);
}

#[test]
fn each_outside_world_is_known_in_one_place() {
    report("only store knows SQL", words_outside(&["src/store/"], &["sqlx"]));
    let nats = ["src/worker/", "src/relay.rs", "src/relay/", "src/cli/", "src/client/"];
    report("only worker, relay, cli and client know NATS", words_outside(&nats, &["async_nats"]));
    let json = ["src/wire/", "src/cli/", "src/client/"];
    report("only wire, cli and client know JSON", words_outside(&json, &["serde_json"]));
    let clock = ["src/clock.rs"];
    report("only clock asks the machine", words_outside(&clock, &["Utc::now", "SystemTime::now", "Uuid::new_v4"]));
}

#[test]
fn nothing_panics_and_only_the_command_line_prints() {
    let panics = ["todo!", "unimplemented!", "unreachable!", "panic!", "dbg!"];
    let mut offences = words_outside(&[], &panics);
    for source in rust() {
        for line in lines(&source) {
            for call in [".unwrap()", ".expect(", ".unwrap_err()"].iter().filter(|call| line.code.contains(**call)) {
                offences.push(format!("{}:{}: {call}", line.file, line.number));
            }
        }
    }
    report("an error is a value", offences);
    let prints = ["println!", "eprintln!", "print!", "eprint!"];
    report("only the command line prints", words_outside(&["src/cli/", "src/main.rs"], &prints));
}

#[test]
fn every_file_says_what_it_is_for_and_is_short_enough_to_read() {
    let mut offences = Vec::new();
    for source in rust() {
        let lines = source.text.lines().count();
        if !source.text.starts_with("//!") {
            offences.push(format!("{}:1: does not begin with //!", source.file));
        }
        if lines > FILE_LINES_MAX {
            offences.push(format!("{}:{lines}: more than {FILE_LINES_MAX} lines", source.file));
        }
    }
    report("a file begins with its purpose and stays short", offences);
}

#[test]
fn every_function_fits_a_screen() {
    let mut offences = Vec::new();
    for source in rust() {
        let code = code_only(&source.text);
        let lines: Vec<&str> = code.lines().map(str::trim_end).collect();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| has_word(line, "fn")) {
            let length = function_length(&lines[index..]);
            if length > FUNCTION_LINES_MAX {
                offences.push(format!("{}:{}: {length} lines: {}", source.file, index + 1, line.trim()));
            }
        }
    }
    report(&format!("a function has at most {FUNCTION_LINES_MAX} lines"), offences);
}

/// The first of `lines` holds a `fn`. By rustfmt's indentation: its end is the first line as deep that begins with `}`
/// or, for one without a body, ends with `;`.
fn function_length(lines: &[&str]) -> usize {
    let depth = |line: &str| line.len() - line.trim_start().len();
    if lines[0].ends_with(['}', ';', ',']) {
        return 1;
    }
    let is_end =
        |line: &&str| depth(line) == depth(lines[0]) && (line.trim_start().starts_with('}') || line.ends_with(';'));
    lines[1..].iter().position(is_end).map_or(lines.len(), |end| end + 2)
}

#[test]
fn every_statement_carries_its_name() {
    let mut offences = Vec::new();
    for source in sources("src", &["sql"]) {
        let name = Path::new(&source.file).file_stem().unwrap().to_string_lossy().into_owned();
        if source.text.lines().next() != Some(&format!("-- name: {name}")) {
            offences.push(format!("{}:1: does not begin with `-- name: {name}`", source.file));
        }
    }
    report("a statement in the database's log leads back to its file", offences);
}

#[test]
fn nothing_names_the_machine_that_it_was_written_on() {
    let personal = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Use", "rs/")];
    let mut offences = Vec::new();
    let folders = ["src", "tests", "examples", "migrations", "scripts", "deploy", "schemas", "clients", "docs"];
    let endings = ["rs", "sql", "py", "sh", "conf", "json", "md", "txt", "ts", "js", "toml", "yml", "yaml"];
    for source in folders.iter().flat_map(|folder| sources(folder, &endings)) {
        for (index, line) in source.text.lines().enumerate() {
            for path in personal.iter().filter(|path| line.contains(**path)) {
                offences.push(format!("{}:{}: {path}", source.file, index + 1));
            }
        }
    }
    report("a path of one machine", offences);
}

#[test]
fn the_reader_of_source_text_tells_code_from_the_rest() {
    let text = "let a = \"todo!\"; // todo!\nlet b = r#\"x\" todo!\"#; let c = '\"'; todo!();\nfn f<'a>(x: &'a str) {}";
    let code = code_only(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(code.match_indices("todo!").map(|(at, _)| at).collect::<Vec<_>>(), [text.rfind("todo!").unwrap()]);
    assert!(code.ends_with("fn f<'a>(x: &'a str) {}"));
    assert!(has_word("use sqlx::Row;", "sqlx") && !has_word("use sqlx_extra;", "sqlx"));
    assert!(has_word("eprintln!(x)", "eprintln!") && !has_word("eprintln!(x)", "println!"));
}

#[test]
fn the_length_of_a_function_is_counted_from_its_name_to_its_closing_brace() {
    assert_eq!(function_length(&["fn f(", "    a: u8,", ") -> u8 {", "    a", "}", "fn g() {"]), 5);
    assert_eq!(function_length(&["    fn f() {", "        if a {", "        }", "    }", "}"]), 4);
    assert_eq!(function_length(&["fn f() -> u8;", "fn g() {", "}"]), 1);
}

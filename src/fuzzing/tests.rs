//! The properties over their corpus, as it is and changed at random.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

use super::TARGETS;

/// What is worth putting anywhere.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"\0",
    b"\"",
    b"\\",
    b";",
    b",",
    b":",
    b"=",
    b"&",
    b"%00",
    b"%2e%2e",
    b"/../",
    b"//",
    b"?",
    b"#",
    b"*",
    b"Host: a\r\n",
    b"Connection: te, x-api-key\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"TE: trailers\r\n",
    b"X_Api_Key: a\r\n",
    b"Cookie: auth_token=a\r\n",
    b"Authorization: a\r\n",
    b"auth_token",
    b"access_token=",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"Bearer ",
    b"DPoP ",
    b"error=",
    b"invalid_token",
    b"99999999999999999999",
    b"-1",
    b"1e309",
    b"NaN",
    b"null",
    b"\"exp\":1",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\xff",
    b"\xc3\xa9",
    b"\xef\xbb\xbf",
    b"Path=/",
    b"Domain=",
    b"Max-Age=0",
    b"[credentials.b]\n",
    b"pointer = \"/a\"\n",
];

/// How one file of the corpus becomes another input.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Cut(Index),
    Remove(Index, u8),
    Double(Index, u8),
    Word(Index, Index),
    Splice(Index, Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), 1..=255_u8).prop_map(|(place, bits)| Change::Flip(place, bits)),
        at().prop_map(Change::Cut),
        (at(), any::<u8>()).prop_map(|(place, length)| Change::Remove(place, length)),
        (at(), any::<u8>()).prop_map(|(place, length)| Change::Double(place, length)),
        (at(), at()).prop_map(|(place, word)| Change::Word(place, word)),
        (at(), at(), at()).prop_map(|(other, from, to)| Change::Splice(other, from, to)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change, corpus: &[Vec<u8>]) {
    let place = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
    let span = |from: usize, length: u8, bytes: &[u8]| from..(from + usize::from(length)).min(bytes.len());
    match change {
        Change::Flip(at, bits) => {
            let at = place(at, bytes);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bits;
            }
        }
        Change::Cut(at) => bytes.truncate(place(at, bytes)),
        Change::Remove(at, length) => drop(bytes.drain(span(place(at, bytes), *length, bytes))),
        Change::Double(at, length) => {
            let span = span(place(at, bytes), *length, bytes);
            let (end, again) = (span.end, bytes[span].to_vec());
            bytes.splice(end..end, again);
        }
        Change::Word(at, word) => {
            let at = place(at, bytes);
            bytes.splice(at..at, word.get(WORDS).iter().copied());
        }
        Change::Splice(other, from, to) => {
            let other = other.get(corpus);
            bytes.truncate(place(to, bytes));
            bytes.extend_from_slice(&other[place(from, other)..]);
        }
    }
}

/// The kept inputs of a target, in the order of their names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Holds the corpus of each of these targets, and 256 changed inputs or as many as `PROPTEST_CASES` says.
fn hold_all(names: &[&str]) {
    for wanted in names {
        let (name, property) = TARGETS.iter().find(|(name, _)| name == wanted).unwrap();
        let corpus = corpus(name);
        assert!(corpus.len() >= 3, "{name} has a corpus");
        property(b"");
        corpus.iter().for_each(|input| property(input));
        let regressions = concat!(env!("CARGO_MANIFEST_DIR"), "/proptest-regressions/fuzzing.txt");
        let failure_persistence = Some(Box::new(FileFailurePersistence::Direct(regressions)) as _);
        let config = Config { failure_persistence, ..Config::default() };
        let changes = (any::<Index>(), prop::collection::vec(change(), 1..8));
        let outcome = TestRunner::new(config).run(&changes, |(first, changes)| {
            let mut input = first.get(&corpus).clone();
            changes.iter().for_each(|change| apply(&mut input, change, &corpus));
            property(&input);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

const FROM_CALLERS: &[&str] = &["framing", "header_rules", "replay_body", "request_target"];
const FROM_SERVERS: &[&str] = &[
    "challenge",
    "jwt_exp",
    "mask",
    "proxy_status",
    "references",
    "retry_after",
    "set_cookie",
    "token_answer",
    "upstream_answer",
];
const FROM_OURSELVES: &[&str] = &["configuration", "json_pointer", "store_entry"];

#[test]
fn what_callers_send_has_its_properties() {
    hold_all(FROM_CALLERS);
}

#[test]
fn what_upstreams_and_token_endpoints_answer_has_its_properties() {
    hold_all(FROM_SERVERS);
}

#[test]
fn what_operators_and_other_instances_write_has_its_properties() {
    hold_all(FROM_OURSELVES);
}

#[test]
fn every_property_is_a_target_has_a_corpus_and_is_held_by_a_test() {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (directory, ending) in [("corpus", ""), ("fuzz_targets", ".rs")] {
        let entries = std::fs::read_dir(root.join(directory)).unwrap();
        let mut found: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        let wanted: Vec<String> = names.iter().map(|name| format!("{name}{ending}")).collect();
        assert_eq!(found, wanted, "fuzz/{directory}");
    }
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(names.iter().all(|name| manifest.contains(&format!("name = \"{name}\""))), "fuzz/Cargo.toml");
    let mut held = [FROM_CALLERS, FROM_SERVERS, FROM_OURSELVES].concat();
    held.sort_unstable();
    assert_eq!(held, names);
}

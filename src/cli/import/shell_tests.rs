//! The words of a shell, in tables.

use proptest::prelude::*;

use super::*;

fn words(text: &str) -> Vec<String> {
    split(text).unwrap().words.into_iter().map(|word| marks::shown(&word.text)).collect()
}

fn refused(text: &str) -> String {
    split(text).unwrap_err().to_string()
}

#[test]
fn words_are_split_as_a_shell_splits_them() {
    let check = |text: &str, wanted: &[&str]| assert_eq!(words(text), wanted, "{text:?}");
    check("curl -d a=b  https://x", &["curl", "-d", "a=b", "https://x"]);
    check("a'b c'd\"e f\"g", &["ab cde fg"]);
    check(r#"'a"b' "c'd" "e\"f\\g\h" \' \ x"#, &["a\"b", "c'd", "e\"f\\g\\h", "'", " x"]);
    check("'' \"\" a''b", &["", "", "ab"]);
    check("a \\\n  b\\\nc", &["a", "b", "c"]);
    check("a \\  \n b", &["a", "b"]);
    check("a ^\r\n b `\n c", &["a", "b", "c"]);
    check("a\u{a0}b\n c", &["a", "b", "c"]);
    check(r"$'a\n\'b\x41\u00e9\101'", &["a\n'bA\u{e9}A"]);
    check("$X ${Y} \"a${Z:-d}b\" '$W' $env:PS $", &["$X", "$Y", "a$Zb", "$W", "$PS", "$"]);
    check("-u <client id>:<secret>", &["-u", "<client id>:<secret>"]);
    check("${not a name}", &["{not a name}"]);
    check("https://x/?a=b&c=d", &["https://x/?a=b&c=d"]);
    check("# first\ncurl x # last", &["curl", "x"]);
    check("curl x 2>/dev/null >out.json -s", &["curl", "x", "-s"]);
    check("a && b", &["a"]);
    check("a; b", &["a"]);
    check("curl x\ncurl y", &["curl", "x"]);
    check("TOKEN=$(curl -s x)", &["curl", "-s", "x"]);
    check("X=1\ncurl $X", &["X=1", "curl", "$X"]);
    check("", &[]);
}

#[test]
fn carets_of_cmd_are_undone_and_those_of_a_posix_line_stay() {
    let check = |text: &str, wanted: &[&str]| assert_eq!(words(text), wanted, "{text:?}");
    // As Chrome and Firefox copy it today.
    check("curl ^\"https://x/t^\" ^\r\n  -H ^\"a: b^\" ", &["curl", "https://x/t", "-H", "a: b"]);
    check("curl ^\"a=b^&c=^%^40d^%e^\"", &["curl", "a=b&c=%40d%e"]);
    check(r#"curl ^"^{^\^"a^\^":^\^"b^\^\c^\^"^}^""#, &["curl", r#"{"a":"b\c"}"#]);
    check("curl ^\"a^\n\nb^\r\n\r\nc^\"", &["curl", "a\nb\nc"]);
    check("curl ^\"p=^$W^`x^`'^^^!^<y^>^|^\" | jq", &["curl", "p=$W`x`'^!<y>|"]);
    check(
        "curl ^\"x^\" -d \"a=b^&c=d\" --cacert C:\\certs\\ca.pem",
        &["curl", "x", "-d", "a=b&c=d", "--cacert", "C:\\certs\\ca.pem"],
    );
    check("curl ^\"^\" ^\n -s\n", &["curl", "", "-s"]);
    // As Chrome copied it before.
    check(
        "curl \"x\" --data \"a=b^&c=^%^40^^^&d\" --compressed",
        &["curl", "x", "--data", "a=b&c=%40^&d", "--compressed"],
    );
    check(r#"curl "x" --data-raw "^{^\^"a^\^":1^}""#, &["curl", "x", "--data-raw", r#"{"a":1}"#]);
    // A POSIX shell's.
    check("curl -d 'a=b^&c=d' -d \"e^&f\"", &["curl", "-d", "a=b^&c=d", "-d", "e^&f"]);
    check("curl -d \"a=$A^&c=d\"", &["curl", "-d", "a=$A^&c=d"]);
    check("curl \\\n -d \"a=b^&c=d\"", &["curl", "-d", "a=b^&c=d"]);
    check("curl -d \"a=b^&c=d&e=f\" g^h ^", &["curl", "-d", "a=b^&c=d&e=f", "g^h"]);
    check("curl -d 'a= ^\"b^\"' -u \"x:y^z\"", &["curl", "-d", "a= ^\"b^\"", "-u", "x:y^z"]);
    assert!(refused("curl ^\"a").starts_with("column 6: this \" has no end"));
}

#[test]
fn what_follows_a_pipe_is_kept() {
    assert_eq!(split("curl x | jq -r .token").unwrap().piped.as_deref(), Some(" jq -r .token"));
    assert_eq!(split("curl x || exit").unwrap().piped, None);
}

#[test]
fn substitutions_whose_value_can_be_said_are_said() {
    let check = |text: &str, wanted: &str| assert_eq!(words(text), [wanted], "{text:?}");
    check("a$(cat /run/s)b", "a$(cat /run/s)b");
    check("$(< s.txt)", "$(cat s.txt)");
    check("\"Basic $(echo -n \"$ID:$SECRET\" | base64)\"", "Basic base64($ID:$SECRET)");
    check("\"Basic $(printf '%s' \"$A:$B\" | base64 -w 0)\"", "Basic base64($A:$B)");
    check("Basic`echo -n a:b | base64`", "Basicbase64(a:b)");
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let check = |text: &str, wanted: &str| assert!(refused(text).starts_with(wanted), "{}", refused(text));
    check("curl 'a", "column 6: this ' has no end");
    check("curl \\\n  -d \"a", "line 2, column 6: this \" has no end");
    check("a $(uuidgen)", "column 3: a command, of which");
    check("a ${X", "column 3: this ${ has no end");
    check("a $(x", "column 3: this $( has no end");
    check("a `x", "column 3: this ` has no end");
    check("a $'x", "column 4: this $' has no end");
    check("curl -d @- <<EOF", "column 12: a here-document");
    check("curl <body.json", "column 6: a redirection");
    check("curl –d x", "column 6: a typographic dash");
    check("curl -d ‘x’", "column 9: a typographic quote");
    check("a \u{F0000}", "column 3: a private character");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in r#"([a-z $'"\\`{}()<>|&;=#^\n\r]|\PC){0,60}"#) {
        let _ = split(&text);
    }

    #[test]
    fn no_line_of_cmd_makes_it_panic(text in r#"curl \^"([a-z $'"\\`{}()<>|&;=#^%\n\r]|\PC){0,60}"#) {
        let _ = split(&text);
    }

    #[test]
    fn a_quoted_word_comes_back_as_it_was(word in "[^']{0,40}") {
        prop_assume!(!word.contains(marks::is_private));
        let line = split(&format!("x '{word}' y")).unwrap();
        prop_assert_eq!(&line.words[1].text, &word);
        prop_assert_eq!(line.words.len(), 3);
    }
}

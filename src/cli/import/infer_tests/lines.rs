//! Lines as they are found and pasted, and what is said of what stays behind.

use super::*;

const PASSWORD: (&str, &str) = ("password", "{ file = \"secrets/acme_password\" }");

fn noted(text: &str, words: &str) {
    let draft = imported(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let notes = draft.notes.join("\n");
    assert!(notes.contains(words), "{text}: {notes}");
}

fn refused(text: &str, words: &str) {
    let error = imported(text).unwrap_err().to_string();
    assert!(error.contains(words), "{text}: {error}");
    assert!(!error.contains("hunter22"), "{error}");
}

#[test]
fn a_grant_that_is_known_is_no_placeholder() {
    let line = |fields: &str| format!("curl https://login.acme.com/token -d grant_type=password {fields}");
    let whole = line("-d username=joe -d password=hunter22");
    shows(&whole, &[ENDPOINT, ("grant_type", "\"password\""), ("username", "\"joe\""), PASSWORD]);
    let none = ("grant_type", "\"none\"");
    for user in ["user", "email", "login"] {
        let params = format!("{{ grant_type = \"password\", {user} = \"joe\" }}");
        let text = line(&format!("-d {user}=joe -d password=hunter22"));
        shows(&text, &[ENDPOINT, none, PASSWORD, ("params", &params)]);
    }
    let params = "{ grant_type = \"password\", login = \"joe\", pwd = { file = \"secrets/acme_pwd\" } }";
    let text = line("-d login=joe -d pwd=hunter22");
    shows(&text, &[ENDPOINT, none, ("params", params)]);
    for text in [whole, text, line("-d email=joe -d password=hunter22")] {
        let written = imported(&text).unwrap().to_toml(true);
        assert!(!written.contains("GUESSED") && !written.contains("REPLACE password"), "{written}");
    }
}

#[test]
fn lines_that_browsers_copy_for_cmd_are_read() {
    let wanted = [
        ENDPOINT,
        GRANT,
        ("client_id", "\"web\""),
        ("client_secret", "{ file = \"secrets/acme_client_secret\" }"),
        POST,
    ];
    shows(
        "curl ^\"https://login.acme.com/token^\" ^\r\n  -H ^\"content-type: application/x-www-form-urlencoded^\" ^\r\n  \
         --data-raw ^\"grant_type=client_credentials^&client_id=web^&client_secret=abc^\"",
        &wanted,
    );
    shows(
        "curl \"https://login.acme.com/token\" -H \"content-type: application/x-www-form-urlencoded\" \
         --data \"grant_type=client_credentials^&client_id=web^&client_secret=abc\" --compressed",
        &wanted,
    );
    shows(
        "curl ^\"https://login.acme.com/token^\" ^\n  -H ^\"content-type: application/json^\" ^\n  --data-raw \
         ^\"^{^\\^\"grant_type^\\^\":^\\^\"client_credentials^\\^\",^\\^\"client_id^\\^\":^\\^\"web^\\^\"^}^\"",
        &[ENDPOINT, GRANT, ("client_id", "\"web\""), ("encoding", "\"json\"")],
    );
}

#[test]
fn what_was_left_out_says_what_it_held() {
    let line = |options: &str| format!("curl {options} https://login.acme.com/token");
    for option in ["-n", "--netrc", "--netrc-optional", "--netrc-file f"] {
        noted(&line(&format!("{option} -d a=1")), "the login stands in");
        assert!(imported(&line(option)).unwrap().notes.iter().all(|note| !note.contains("a URL alone")));
    }
    refused(&line("--variable s=hunter22 --expand-data 'a={{s}}'"), "column 6: --variable is a variable of curl's own");
    refused(&line("--expand-data 'a={{s}}'"), "column 6: --expand-data is a text with variables of curl's own");
    let written = imported(&line("-x proxy:3128 -U joe:hunter22 -d a=1")).unwrap().to_toml(true);
    assert!(written.contains("proxy = { file = \"secrets/acme_proxy\" }"), "{written}");
    assert!(!written.contains("empty") && !written.contains("hunter22"), "{written}");
}

#[test]
fn escapes_of_html_are_undone_or_named() {
    let wanted =
        [ENDPOINT, GRANT, ("client_id", "\"a\""), ("client_secret", "{ file = \"secrets/acme_client_secret\" }"), POST];
    let text = "curl https://login.acme.com/token \
        -d 'grant_type=client_credentials&amp;client_id=a&amp;client_secret=hunter22'";
    shows(text, &wanted);
    noted(text, "&amp;");
    noted("curl 'https://login.acme.com/token?version=1&amp;realm=b' -d a=1", "&amp;");
    shows("curl https://login.acme.com/token -d grant_type=client_credentials&amp;client_id=a", &wanted[..3]);
    refused("curl https://login.acme.com/token -d '{&quot;a&quot;:1}'", "an escape of HTML (&quot;)");
    refused("curl https://login.acme.com/token -d &quot;a=hunter22&quot;", "an escape of HTML (&quot;)");
}

#[test]
fn a_mark_of_the_byte_order_is_no_part_of_the_line() {
    shows("\u{feff}curl https://login.acme.com/token -d grant_type=client_credentials", &[ENDPOINT, GRANT]);
}

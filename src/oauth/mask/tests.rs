use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::line::SHOWN;
use super::*;
use crate::oauth::request::form_encoded;
use crate::oauth::settings::BasicEncoding;
use crate::secret::SecretSource;

fn mask(secrets: &[&str]) -> Mask {
    let mut mask = Mask::default();
    secrets.iter().for_each(|secret| mask.guard(secret));
    mask
}

#[test]
fn a_secret_is_masked_in_every_encoding_that_is_sent() {
    let secret = "pä ss/w\"o&rd";
    let check = |text: &str| {
        let shown = mask(&[secret]).show(&format!("before {text} after"));
        assert_eq!(shown.as_deref(), Ok("before *** after"), "{text}");
    };
    check(secret);
    check("PÄ SS/W\"O&RD".replace('Ä', "ä").as_str());
    check("p%C3%A4+ss%2Fw%22o%26rd");
    check("p%c3%a4+ss%2fw%22o%26rd");
    check("p%C3%A4%20ss%2Fw%22o%26rd");
    check("p%25C3%25A4%2Bss%252Fw%2522o%2526rd");
    check("pä ss/w\\\"o&rd");
    check("p\\u00e4 ss\\/w\\\"o&rd".replace("\\/", "/").as_str());
    check("pä ss\\/w\\\"o&rd");
    check("pä ss/w&quot;o&amp;rd");
    check(&STANDARD.encode(secret));
    check(&URL_SAFE_NO_PAD.encode(secret));
}

#[tokio::test]
async fn the_pair_of_basic_authentication_is_masked() {
    let mut settings = super::super::testing::settings();
    settings.client = super::super::settings::ClientAuthentication::Basic {
        id: SecretSource::inline("the id"),
        secret: SecretSource::inline("the secret"),
        encoding: BasicEncoding::Form,
    };
    let mask = Mask::new(&Material::read(&settings).await.unwrap(), &[]);
    let check = |pair: &str, wanted: &str| {
        assert_eq!(mask.show(&format!("Basic {}", STANDARD.encode(pair))).as_deref(), Ok(wanted), "{pair}");
    };
    check("the+id:the+secret", "Basic ***");
    check("the id:the secret", "Basic ***");
    assert_eq!(mask.show("client 'the id' unknown").as_deref(), Ok("client 'the id' unknown"));
}

#[tokio::test]
async fn what_is_written_in_the_configuration_is_masked_unless_it_is_an_ordinary_short_value() {
    let mut settings = super::super::testing::settings();
    let param = |text: &str| super::super::settings::Param::Text(SecretSource::inline(text));
    settings.params = vec![("tenant".into(), param("abc")), ("key".into(), param("k-12345"))];
    settings.username = Some(SecretSource::inline("bob"));
    let mask = Mask::new(&Material::read(&settings).await.unwrap(), &[Secret::new("r-token")]);
    assert_eq!(mask.show("abc bob k-12345 r-token").as_deref(), Ok("abc bob *** ***"));
}

#[test]
fn a_secret_too_short_to_be_masked_withholds_the_text() {
    assert_eq!(mask(&["abc"]).show("anything"), Err(Withheld));
    assert_eq!(mask(&["  a \n"]).show("anything"), Err(Withheld));
    assert_eq!(mask(&[""]).show("anything").as_deref(), Ok("anything"));
}

#[test]
fn secrets_that_contain_each_other_or_overlap_leave_nothing_behind() {
    let check = |secrets: &[&str], text: &str, wanted: &str| {
        assert_eq!(mask(secrets).show(text).as_deref(), Ok(wanted), "{secrets:?} in {text}");
    };
    check(&["pass", "password"], "a password!", "a ***!");
    check(&["password", "pass"], "a password!", "a ***!");
    check(&["abcdef", "defghi"], "abcdefghi", "***");
    check(&["hunter2"], "hunter2hunter2", "******");
}

#[test]
fn a_secret_that_masking_itself_would_form_withholds_the_text() {
    assert_eq!(mask(&["a***b", "hunter2"]).show("ahunter2b"), Err(Withheld));
    assert_eq!(mask(&["u{1b}"]).show("\u{1b}"), Err(Withheld));
}

#[test]
fn masking_comes_before_cutting() {
    let text = format!("{}hunter2-and-more", "x ".repeat(SHOWN / 2 - 2));
    assert_eq!(mask(&["hunter2-and-more"]).show(&text).unwrap(), format!("{}***", "x ".repeat(SHOWN / 2 - 2)));
    let long = "ä".repeat(1000);
    assert_eq!(mask(&[]).show(&long).unwrap(), format!("{}…", "ä".repeat(SHOWN)));
}

#[test]
fn nothing_that_a_terminal_obeys_is_shown() {
    let check = |text: &str, wanted: &str| assert_eq!(mask(&[]).show(text).as_deref(), Ok(wanted));
    check("a\r\n\tb  c \n", "a b c");
    check("\u{1b}[31mred\u{0}", "\\u{1b}[31mred\\u{0}");
    check("\u{202e}abc\u{200b}", "\\u{202e}abc\\u{200b}");
    check("say \"x\"", "say 'x'");
    check("zoë 東京", "zoë 東京");
}

#[test]
fn json_web_tokens_are_masked_even_if_nobody_knows_them() {
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln";
    assert_eq!(mask(&[]).show(&format!("got '{token}'.")).as_deref(), Ok("got '***'."));
    assert_eq!(mask(&[]).show("eyJ is short").as_deref(), Ok("eyJ is short"));
}

#[track_caller]
fn check_echo(secret: &str, echo: &str) {
    let shown = mask(&[secret]).show(&format!("before {echo} after"));
    assert_eq!(shown.as_deref(), Ok("before *** after"), "{secret} as {echo}");
}

#[test]
fn a_secret_is_masked_as_common_stacks_write_it() {
    let quoted = "it's(me)&you";
    check_echo(quoted, "it&#039;s(me)&amp;you"); // PHP
    check_echo(quoted, "it&#x27;s(me)&amp;you"); // Python
    check_echo(quoted, "it&apos;s(me)&amp;you"); // XML
    check_echo(quoted, "IT&#X27;S(ME)&AMP;YOU");
    check_echo("say\"hi\"&go", "say&#34;hi&#34;&amp;go"); // Go
    check_echo(quoted, "it's(me)%26you"); // encodeURIComponent
    check_echo(quoted, "it''s(me)&you"); // SQL
    check_echo(quoted, "it'\\''s(me)&you"); // a shell
    check_echo("ab/cd&ef g", "ab/cd%26ef%20g"); // Python
    check_echo("ab cd  efg", "ab%2520cd%2520%2520efg");
    check_echo("ab cd  efg", "ab\ncd\r\n\tefg");
    check_echo("Zm9v+YmFy/MT", "Zm9v\\u002BYmFy/MT"); // .NET
    check_echo("Zm9v+YmFy/MT", "Zm9v YmFy/MT"); // read as a form
    check_echo("p<ss&w0rd", "p\\u003css\\u0026w0rd"); // Go
    check_echo("p<ss&w0rd", "p\\x3css\\x26w0rd"); // Jinja and Nginx
    check_echo("pä/ssw", "p\\u00e4\\/ssw"); // PHP
    check_echo("k\u{1f511}y/ssw", "k\\U0001f511y/ssw"); // Python
    check_echo("\u{e4}ccess/w", "\\U00E4CCESS\\/W");
    check_echo("k\u{1f511}y/ssw", "k\\ud83d\\udd11y\\/ssw");
    check_echo("say \"hi\" there", "say \\\\\\\"hi\\\\\\\" there"); // JSON in JSON
    check_echo("C:\\new%20pw&", "C:\\\\new%2520pw%26");
    check_echo("C:\\new%20pw&", "C%3A%5CNEW%2520PW%26amp%3B");
}

#[test]
fn a_secret_is_masked_in_whatever_character_set_it_went_through() {
    let secret = "pÄ/ßw0rd";
    check_echo(secret, "P&Auml;/&szlig;W0RD"); // htmlentities
    check_echo(secret, "p&Atilde;&#132;/&Atilde;&#159;w0rd");
    check_echo(secret, "pä/SSw0rd");
    check_echo(secret, "p%C4/%DFw0rd");
    check_echo(secret, "p%u00C4/%u00DFw0rd"); // escape()
    check_echo(secret, "p\\x{c4}/\\x{df}w0rd"); // Perl
    check_echo(secret, "p\\xc3\\x84/\\xc3\\x9fw0rd"); // bytes of Python
    check_echo(secret, "p\\303\\204/\\303\\237w0rd"); // octal
    check_echo(secret, "p\u{c3}\u{84}/\u{c3}\u{9f}w0rd"); // UTF-8 read as ISO 8859-1
    check_echo(secret, "p\u{c3}„/\u{c3}Ÿw0rd"); // or as Windows-1252
    check_echo(secret, "p\u{fffd}/\u{fffd}w0rd"); // the reverse
    check_echo("pä¿ssw0rd", "P\\u00C4\\u00BFSSW0RD"); // `Ä¿` is the UTF-8 of `Ŀ`
    check_echo("pä¿ssw0rd", "P&Auml;&iquest;SSW0RD");
    check_echo(secret, "p?/?w0rd");
    check_echo(secret, "p??/??w0rd");
}

#[test]
fn a_secret_is_masked_in_base64_of_whatever_it_stands_in() {
    for secret in ["hunter2", "pass", "p&ss/w+rd~?", "pä ss/w\"o&rd"] {
        for id in ["", "i", "id", "the id"] {
            for pair in [format!("{id}:{secret}"), format!("{id}:{}:more", &*form_encoded(secret))] {
                check_echo(secret, &STANDARD.encode(&pair));
                check_echo(secret, &URL_SAFE_NO_PAD.encode(&pair));
                check_echo(secret, &form_encoded(&STANDARD.encode(&pair)));
            }
        }
    }
    check_echo("hunter2", "68756E74657232");
}

#[test]
fn a_text_with_escapes_and_without_secrets_is_shown() {
    let mask = mask(&["it's(me)&you", "hunter2-and-more", "p<ss&w0rd", "tok-1.abcdefghijkl", "Zm9v+YmFy/MT", "hunt"]);
    let texts = [
        "invalid_client: AADSTS7000215: Invalid client secret provided. Trace ID: 0b7a9c1e-5f43-4d2b-9c3e-1a2b3c4d5e6f",
        "gateway_auth_wrong_redirect_url: Wrong redirect url or not set",
        "One or Many Required parameters from company name must be missing, E.g error 'Company Name',",
        "invalid_request: redirect_uri %2Fcb%3Fa%3D1 isn%27t one of your client's",
        "Company &quot;A &amp; B&quot; isn&#039;t known, it&rsquo;s &lt;unknown&gt; &nbsp; here &foo; &#xd800;",
        "Could not read C:\\inetpub\\users\\new\\xml\\login.aspx: error at line 12 (100% sure, 50 %off)",
        "{'code': 400, 'error': 'gateway_auth', 'message': 'Wrong \\'redirect\\' url \\u2013 or not set\\n'}",
        "Falsche Anmeldung für Gerät „Küche“: das Kennwort paßt nicht (façade, naïve, Ã¤)",
        "ユーザー名またはパスワードが正しくありません",
    ];
    for text in texts {
        let shown = mask.show(text).unwrap();
        assert_eq!(shown, escaped(text), "{text}");
    }
}

#[test]
fn escapes_in_escapes_without_end_withhold_the_text() {
    let mask = mask(&["hunter2"]);
    assert_eq!(mask.show(&format!("%{}41", "25".repeat(100))), Err(Withheld));
    assert_eq!(mask.show(&format!("see {}", "\\".repeat(1 << 12))), Err(Withheld));
    assert!(mask.show(&format!("%{}41", "25".repeat(5))).is_ok());
}

#[test]
fn the_largest_answers_take_no_longer_than_their_length() {
    let long = |piece: &str| piece.repeat((256 << 10) / piece.len());
    let mask = mask(&["aaaaaaaa", "it's(me)&you", "p<ss&w0rd"]);
    for piece in
        ["a", "YWFh", "%61", "&#97;", "\\x61", "%25252525252561", "&", "%", "&aaaaaaa", "&#9", "\\u{9", "Ã", " "]
    {
        let shown = mask.show(&long(piece));
        assert!(shown.is_ok_and(|shown| !shown.contains("aaaaaaaa")), "{piece}");
    }
}

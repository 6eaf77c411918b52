use proptest::prelude::*;

use super::line::SHOWN;
use super::*;
use crate::secret::SecretSource;

fn mask(secrets: &[&str]) -> Mask {
    let mut mask = Mask { needles: Vec::new(), withhold: false };
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

proptest! {
    #[test]
    fn no_secret_survives_masking(
        secret in "\\PC{4,40}",
        before in "\\PC{0,30}",
        after in "\\PC{0,300}",
        encoding in 0..7usize,
    ) {
        let sent = match encoding {
            0 => secret.clone(),
            1 => form_encoded(&secret).to_string(),
            2 => utf8_percent_encode(&secret, RESERVED).to_string(),
            3 => in_json(&secret).to_string(),
            4 => in_ascii_json(&secret).to_string(),
            5 => STANDARD.encode(&secret),
            _ => basic_pair("id", &secret, BasicEncoding::Raw).to_string(),
        };
        let mut mask = mask(&[&secret]);
        mask.add(&basic_pair("id", &secret, BasicEncoding::Raw));
        if let Ok(shown) = mask.show(&format!("{before}{sent}{after}")) {
            prop_assert!(!shown.to_ascii_lowercase().contains(&sent.to_ascii_lowercase()), "{shown}");
            prop_assert!(!shown.contains(&secret));
            prop_assert!(shown.chars().count() <= SHOWN + 12);
        }
    }
}

//! What an instance takes over from another, or from an earlier run.

use super::shared::{Many, fleet};
use super::*;

/// The same place, store and endpoint, with other settings.
fn configured_anew(many: &Many, settings: Settings) -> Many {
    let (clock, endpoint, server) = (many.clock.clone(), many.endpoint.clone(), many.server.clone());
    Many { clock, endpoint, server, settings, instances: RefCell::default() }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_an_earlier_run_left_is_not_used_where_it_is_not_wanted() {
    let answer = |asked: &Asked| {
        let refresh_token = Some(Secret::new(format!("refresh-{}", asked.number)));
        Ok(Issued { refresh_token, ..issued(&format!("token-{}", asked.number), 60) })
    };
    fleet(Many::new(settings(), answer), async |many| {
        let first = many.start();
        first.reader.usable().await.unwrap();
        pass(seconds(1)).await;
        first.kill();
        let many = configured_anew(many, Settings { use_refresh_token: false, ..settings() });
        many.start();
        pass(seconds(200)).await;
        let log = many.endpoint.log.borrow();
        assert!(log.len() > 3);
        assert!(log.iter().all(|asked| asked.refresh_token.is_none()), "{log:#?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_heard_of_with_trouble_that_is_over_is_renewed_in_time() {
    fleet(Many::new(settings(), fresh(36_000)), async |many| {
        // Its token is to be renewed in hours.
        let patient = many.start();
        patient.reader.usable().await.unwrap();
        pass(seconds(1)).await;
        patient.cut.set(true);
        // Another one has a token of ten minutes, cannot renew it, and is gone.
        let other = many.start();
        let rejected = other.reader.usable().await.unwrap();
        many.endpoint.answers(fresh(600));
        let Verdict::Replay(token) = other.reader.rejected(&rejected, RequestHash(1)).await else { panic!("passed") };
        many.endpoint.answers(down);
        while many.endpoint.requests() == 2 {
            pass(Duration::from_millis(100)).await;
        }
        pass(Duration::from_millis(100)).await;
        other.kill();
        pass(seconds(20)).await;
        many.endpoint.answers(fresh(600));
        patient.cut.set(false);
        let left = token.expires_at().since(many.clock.now());
        assert!(left > seconds(60), "{left:?}");
        pass(left - seconds(5)).await;
        assert_eq!(many.endpoint.requests(), 4);
        let renewed = patient.reader.current().unwrap();
        assert_eq!(renewed.value().expose(), "token-4");
    })
    .await;
}

/// A token that the endpoint hands out for ever, whose life it says at first.
fn says_so_once(is_said: bool) -> impl FnMut(&Asked) -> Answer + 'static {
    move |asked| Ok(Issued { is_assumed: !is_said || asked.number > 1, ..issued("cached", 60) })
}

#[tokio::test(start_paused = true)]
async fn whether_somebody_has_said_how_long_a_token_lives_is_known_after_a_restart_too() {
    for (is_said, is_usable) in [(true, false), (false, true)] {
        fleet(Many::new(settings(), says_so_once(is_said)), async |many| {
            let first = many.start();
            first.reader.usable().await.unwrap();
            pass(seconds(1)).await;
            first.kill();
            let second = many.start();
            second.reader.usable().await.unwrap();
            assert_eq!(many.endpoint.requests(), 1);
            pass(seconds(70)).await;
            assert!(many.endpoint.requests() > 1);
            assert_eq!(second.reader.current().is_some(), is_usable, "said: {is_said}");
        })
        .await;
    }
}

//! A seal key that is exchanged for another: nothing that lies under the old one is lost.

use super::shared::{Instance, Many, fleet};
use super::*;
use crate::store::SealKeys;

fn keys(current: &str, old: Option<&str>) -> SealKeys {
    let key = |text: &str| Secret::new(format!("{text}, which is a key of 32 characters"));
    SealKeys::new(&key(current), old.map(key).as_ref()).unwrap()
}

/// Each step of the exchange, in which a single instance is started anew and runs for two minutes. The last one goes on.
async fn exchange(many: &Many) -> Rc<Instance> {
    for keys in [keys("one", None), keys("two", Some("one"))] {
        let instance = many.start_with(keys);
        pass(seconds(120)).await;
        instance.kill();
    }
    many.start_with(keys("two", None))
}

/// Another token for a day each time, and a refresh token that works once.
fn rotating(asked: &Asked) -> Answer {
    let before = asked.number - 1;
    assert!(asked.refresh_token.is_none() || asked.refresh_token == Some(format!("r-{before}")), "{asked:?}");
    let refresh_token = Some(Secret::new(format!("r-{}", asked.number)));
    Ok(Issued { refresh_token, ..issued(&format!("token-{}", asked.number), 86_400) })
}

fn by_refresh_token_alone() -> Many {
    let many = Many::new(Settings { lives_by_refresh_token: true, ..settings() }, rotating);
    many.endpoint.first.set(Some("r-0"));
    many
}

#[tokio::test(start_paused = true)]
async fn a_key_is_exchanged_for_another_without_a_request() {
    fleet(Many::new(settings(), fresh(600)), async |many| {
        many.start_with(keys("one", None));
        pass(seconds(5)).await;
        let both = many.start_with(keys("two", Some("one")));
        pass(seconds(5)).await;
        assert_eq!(many.values().len(), 1);
        // It renews for those that know the old key alone and for those that know the new one alone.
        let sent = both.reader.usable().await.unwrap();
        assert!(matches!(both.reader.rejected(&sent, RequestHash(1)).await, Verdict::Replay(_)));
        many.start_with(keys("two", None));
        pass(seconds(5)).await;
        assert_eq!(many.values(), [Some("token-2".to_owned())].into());
        assert_eq!(many.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_token_is_found_under_the_new_key_by_whoever_knows_that_alone() {
    fleet(Many::new(settings(), fresh(86_400)), async |many| {
        let last = exchange(many).await;
        let token = last.reader.usable().await.unwrap();
        assert_eq!((token.value().expose(), many.endpoint.requests()), ("token-1", 1));
        // It is no younger for that.
        let left = token.expires_at().since(many.clock.now()).as_secs();
        assert!((86_155..=86_161).contains(&left), "{left} s left");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_latch_outlives_its_key() {
    fleet(Many::new(login(), denied), async |many| {
        let last = exchange(many).await;
        pass(seconds(120)).await;
        assert!(last.reader.status().latched);
        assert_eq!(many.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_shared_refresh_token_outlives_its_key() {
    fleet(Many::new(settings(), rotating), async |many| {
        exchange(many).await;
        pass(seconds(86_400)).await;
        let used: Vec<_> = many.endpoint.log.borrow().iter().map(|asked| asked.refresh_token.clone()).collect();
        assert_eq!(used, [None, Some("r-1".to_owned())]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_is_the_only_credential_outlives_its_key() {
    fleet(by_refresh_token_alone(), async |many| {
        exchange(many).await;
        pass(seconds(86_400)).await;
        assert_eq!(many.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_is_found_when_the_access_token_is_long_forgotten() {
    fleet(by_refresh_token_alone(), async |many| {
        exchange(many).await.kill();
        pass(seconds(30 * 86_400)).await;
        let late = many.start_with(keys("two", None));
        late.reader.usable().await.unwrap();
        assert_eq!(many.endpoint.log.borrow().last().unwrap().refresh_token.as_deref(), Some("r-1"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_those_learn_who_know_the_old_key_alone_is_brought_along_too() {
    fleet(by_refresh_token_alone(), async |many| {
        let old = many.start_with(keys("one", None));
        pass(seconds(5)).await;
        let both = many.start_with(keys("two", Some("one")));
        pass(seconds(5)).await;
        let sent = old.reader.usable().await.unwrap();
        assert!(matches!(old.reader.rejected(&sent, RequestHash(1)).await, Verdict::Replay(_)));
        pass(seconds(5)).await;
        old.kill();
        both.kill();
        let last = many.start_with(keys("two", None));
        assert_eq!(last.reader.usable().await.unwrap().value().expose(), "token-2");
        assert_eq!(many.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_dies_while_it_asks_leaves_a_lease_that_only_delays_the_exchange() {
    fleet(by_refresh_token_alone(), async |many| {
        many.start_with(keys("one", None));
        pass(seconds(5)).await;
        many.server.hold_all(seconds(30));
        many.instances.borrow()[0].kill();
        let both = many.start_with(keys("two", Some("one")));
        pass(seconds(60)).await;
        both.kill();
        let last = many.start_with(keys("two", None));
        last.reader.usable().await.unwrap();
        assert_eq!(many.endpoint.requests(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn keys_that_a_reload_exchanges_keep_everything_too() {
    fleet(Many::new(settings(), rotating), async |many| {
        let instance = many.start_with(keys("one", None));
        pass(seconds(5)).await;
        for keys in [keys("two", Some("one")), keys("two", None)] {
            many.change_keys(&instance, keys);
            pass(seconds(5)).await;
        }
        pass(seconds(86_400)).await;
        let used: Vec<_> = many.endpoint.log.borrow().iter().map(|asked| asked.refresh_token.clone()).collect();
        assert_eq!(used, [None, Some("r-1".to_owned())]);
    })
    .await;
}

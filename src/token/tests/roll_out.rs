//! Instances of one fleet whose credential is not written alike: another configuration is being rolled out.

use super::shared::{Instance, Many, fleet};
use super::*;

fn start(many: &Many, written: u8) -> Rc<Instance> {
    many.endpoint.written.set(written);
    many.start()
}

/// What was wrong with the first is mended in the second.
fn mended(asked: &Asked) -> Answer {
    if asked.written == 1 { denied(asked) } else { fresh(600)(asked) }
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_cures_a_refusal_is_tried_at_once_and_cures_it_for_all() {
    fleet(Many::new(login(), mended), async |many| {
        let old = start(many, 1);
        pass(seconds(100)).await;
        assert!(old.reader.status().latched);
        start(many, 1);
        pass(seconds(100)).await;
        assert_eq!(many.endpoint.requests(), 2);
        start(many, 2);
        pass(seconds(2)).await;
        assert_eq!(many.values(), [Some("token-3".to_owned())].into());
        assert_eq!(many.endpoint.requests(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_configurations_that_are_all_refused_each_is_tried_twice_at_most() {
    fleet(Many::new(login(), denied), async |many| {
        for written in [1, 2, 1, 3, 2, 1, 1, 2, 3] {
            start(many, written);
            pass(seconds(120)).await;
        }
        let log = many.endpoint.log.borrow();
        let tries = |written| log.iter().filter(|asked| asked.written == written).count();
        assert_eq!(log.len(), 6, "{log:#?}");
        assert!((1..=3).all(|written| tries(written) >= 1), "{log:#?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_down_for_the_next_configuration_unlatches_nobody() {
    let answer = |asked: &Asked| if asked.written == 1 { denied(asked) } else { down(asked) };
    fleet(Many::new(login(), answer), async |many| {
        start(many, 1);
        start(many, 1);
        pass(seconds(120)).await;
        start(many, 2);
        pass(seconds(600)).await;
        let log = many.endpoint.log.borrow();
        assert_eq!(log.iter().filter(|asked| asked.written == 1).count(), 2);
        assert!(log.iter().filter(|asked| asked.written == 2).count() > 20);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_to_one_takes_no_token_from_another_and_is_nothing_new_to_it() {
    fleet(Many::new(settings(), fresh(600)), async |many| {
        let good = start(many, 2);
        pass(seconds(5)).await;
        many.endpoint.answers(mended);
        let bad = start(many, 1);
        pass(seconds(5)).await;
        let token = bad.reader.usable().await.unwrap();
        assert!(matches!(bad.reader.rejected(&token, RequestHash(1)).await, Verdict::Pass(Pass::Unavailable)));
        pass(seconds(5)).await;
        assert_eq!(many.endpoint.requests(), 2);
        // The one that is written well renews when its time comes.
        pass(seconds(500)).await;
        assert_eq!(good.reader.usable().await.unwrap().generation(), 2);
        assert_eq!(good.reader.usable().await.unwrap().value(), bad.reader.usable().await.unwrap().value());
    })
    .await;
}

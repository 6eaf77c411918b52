//! A refresh token beside another grant.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_refresh_token_is_used_first_and_replaced_when_rotated() {
    let answer = |asked: &Asked| {
        let refresh_token = Some(Secret::new(format!("refresh-{}", asked.number)));
        Ok(Issued { refresh_token, ..issued(&format!("token-{}", asked.number), 60) })
    };
    with(settings(), answer, async |world| {
        pass(seconds(200)).await;
        let log = world.endpoint.log.borrow();
        assert!(log.len() > 3);
        for (index, asked) in log.iter().enumerate() {
            let wanted = (index > 0).then(|| format!("refresh-{index}"));
            assert_eq!(asked.refresh_token, wanted);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_stays_in_use_if_no_other_comes() {
    let answer = |asked: &Asked| {
        let refresh_token = (asked.number == 1).then(|| Secret::new("for-ever"));
        Ok(Issued { refresh_token, ..issued(&format!("token-{}", asked.number), 60) })
    };
    with(settings(), answer, async |world| {
        pass(seconds(200)).await;
        let log = world.endpoint.log.borrow();
        assert!(log.len() > 3);
        assert!(log.iter().skip(1).all(|asked| asked.refresh_token.as_deref() == Some("for-ever")));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_fails_for_whatever_reason_is_never_sent_again() {
    for class in [Class::Transient, Class::Refused, Class::Permanent] {
        let answer = move |asked: &Asked| match asked.refresh_token {
            Some(_) => Err(failed(class, 0)),
            None => {
                let refresh_token = Some(Secret::new(format!("refresh-{}", asked.number)));
                Ok(Issued { refresh_token, ..issued(&format!("token-{}", asked.number), 60) })
            }
        };
        with(login(), answer, async |world| {
            for _ in 0..3000 {
                pass(Duration::from_millis(100)).await;
                assert!(
                    world.reader.status().last_error.is_none(),
                    "a failure of the credential though the login works"
                );
            }
            let log = world.endpoint.log.borrow();
            let mut sent: Vec<_> = log.iter().filter_map(|asked| asked.refresh_token.clone()).collect();
            assert!(sent.len() > 3);
            sent.dedup();
            let before = sent.len();
            assert!((before * 2..=before * 2 + 1).contains(&log.len()), "original grants follow: {log:#?}");
            let follows = log.windows(2).filter(|pair| pair[0].refresh_token.is_some());
            for pair in follows {
                assert!(pair[1].at.since(pair[0].at) < Duration::from_millis(1100), "at once but for the floor");
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_is_left_alone_where_it_is_not_wanted() {
    let answer = |asked: &Asked| {
        let refresh_token = Some(Secret::new("unwanted"));
        Ok(Issued { refresh_token, ..issued(&format!("token-{}", asked.number), 60) })
    };
    with(Settings { use_refresh_token: false, ..settings() }, answer, async |world| {
        pass(seconds(200)).await;
        assert!(world.endpoint.requests() > 3);
        assert!(world.endpoint.log.borrow().iter().all(|asked| asked.refresh_token.is_none()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_is_told_to_come_later_is_no_occasion_for_a_login() {
    let answer = |asked: &Asked| match asked.refresh_token {
        None => Ok(Issued { refresh_token: Some(Secret::new("refresh")), ..issued("token", 60) }),
        Some(_) => Err(FetchError { retry_after: Some(seconds(20)), ..failed(Class::Transient, 429) }),
    };
    with(settings(), answer, async |world| {
        world.token().await;
        while world.endpoint.requests() < 2 {
            pass(Duration::from_millis(100)).await;
        }
        pass(seconds(15)).await;
        assert_eq!(world.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_refresh_that_says_when_to_come_again_is_followed_by_a_login_then() {
    for class in [Class::Refused, Class::Permanent] {
        let answer = move |asked: &Asked| match asked.refresh_token {
            None => Ok(Issued { refresh_token: Some(Secret::new("refresh")), ..issued("token", 60) }),
            Some(_) => Err(FetchError { retry_after: Some(seconds(20)), ..failed(class, 400) }),
        };
        with(login(), answer, async |world| {
            while world.endpoint.requests() < 2 {
                pass(Duration::from_millis(100)).await;
            }
            pass(seconds(19)).await;
            assert_eq!(world.endpoint.requests(), 2, "{class:?}");
            pass(seconds(2)).await;
            assert_eq!(world.endpoint.requests(), 3, "{class:?}");
            assert!(world.endpoint.log.borrow()[2].refresh_token.is_none());
            assert!(world.reader.current().is_some());
        })
        .await;
    }
}

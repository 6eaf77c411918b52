//! Other figures for a credential that goes on.

use super::*;
use crate::token::Figures;
use crate::token::settings::Budget;

/// A credential, and what changes its figures.
struct Changing {
    world: World,
    figures: Figures<Endpoint>,
}

impl Changing {
    fn change(&self, settings: Settings) {
        self.figures.change(settings, self.world.endpoint.clone(), None);
    }

    /// As [`Changing::change`], with other words around the same secrets.
    fn rewrite(&self, settings: Settings) {
        let endpoint = self.world.endpoint.clone();
        endpoint.written.set(1);
        self.figures.change(settings, endpoint, None);
    }
}

async fn changing<F, B>(settings: Settings, answer: F, body: B)
where
    F: FnMut(&Asked) -> Answer + 'static,
    B: AsyncFnOnce(&Changing),
{
    let clock = Clock::for_tests();
    let (endpoint, metrics) = (Endpoint::new(clock.clone(), answer), Metrics::new());
    let credential = metrics.credential(&settings.name);
    let (refresher, reader) = Refresher::new(settings, endpoint.clone(), clock.clone(), credential, None);
    let (refresher, figures) = refresher.changeable();
    let (trigger, heard) = shutdown::channel();
    let changing = Changing { world: World { clock, endpoint, reader, metrics, trigger }, figures };
    let watched = async {
        body(&changing).await;
        changing.world.trigger.fire();
    };
    tokio::join!(watched, refresher.run(heard));
}

fn renewed_at(share: f64) -> Settings {
    Settings { early: Early::Share(1.0 - share), ..settings() }
}

#[tokio::test(start_paused = true)]
async fn the_token_stays_and_is_renewed_when_the_new_figures_say() {
    changing(renewed_at(0.9), fresh(1000), async |it| {
        let token = it.world.token().await;
        it.change(renewed_at(0.6));
        pass(seconds(1)).await;
        assert!(Arc::ptr_eq(&token, &it.world.token().await));
        pass(seconds(490)).await;
        assert_eq!(it.world.endpoint.requests(), 1);
        pass(seconds(150)).await;
        assert_eq!((it.world.endpoint.requests(), it.world.token().await.generation()), (2, 2));
        // And back: it would be due by now.
        it.change(renewed_at(0.9));
        pass(seconds(650)).await;
        assert_eq!(it.world.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_renews_the_token_stays_too() {
    let answer = |asked: &Asked| {
        let refresh_token = Some(Secret::new(format!("r-{}", asked.number)));
        Ok(Issued { refresh_token, ..issued(&format!("token-{}", asked.number), 100) })
    };
    changing(settings(), answer, async |it| {
        it.world.token().await;
        it.change(renewed_at(0.6));
        pass(seconds(70)).await;
        assert_eq!(it.world.endpoint.log.borrow()[1].refresh_token.as_deref(), Some("r-1"));
        it.change(Settings { use_refresh_token: false, ..renewed_at(0.6) });
        pass(seconds(70)).await;
        assert_eq!(it.world.endpoint.log.borrow()[2].refresh_token, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_is_the_only_credential_goes_on_from_where_it_was() {
    let answer = |asked: &Asked| {
        let refresh_token = Some(Secret::new(format!("r-{}", asked.number)));
        Ok(Issued { refresh_token, ..issued(&format!("token-{}", asked.number), 100) })
    };
    let alone = Settings { lives_by_refresh_token: true, ..settings() };
    changing(alone.clone(), answer, async |it| {
        it.world.endpoint.first.set(Some("r-0"));
        it.world.token().await;
        it.change(Settings { wait: seconds(1), ..alone });
        pass(seconds(90)).await;
        assert_eq!(it.world.endpoint.log.borrow()[1].refresh_token.as_deref(), Some("r-1"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_latch_ends_if_what_has_changed_may_cure_it_and_else_stays() {
    for settings in [settings(), login()] {
        changing(settings.clone(), denied, async |it| {
            pass(seconds(100)).await;
            assert!(it.world.reader.status().latched);
            it.change(Settings { early: Early::Share(0.5), ..settings.clone() });
            pass(seconds(100)).await;
            assert_eq!(it.world.endpoint.requests(), 2);
            it.world.endpoint.answers(fresh(600));
            it.rewrite(settings);
            pass(seconds(1)).await;
            assert_eq!(it.world.token().await.value().expose(), "token-3");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_ends_where_no_account_can_be_locked_any_more() {
    changing(login(), refused, async |it| {
        pass(seconds(100)).await;
        assert_eq!(it.world.endpoint.requests(), 2);
        it.world.endpoint.answers(fresh(600));
        it.change(settings());
        pass(seconds(1)).await;
        assert!(it.world.reader.current().is_some());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_under_way_is_not_cut_off_and_whoever_waits_goes_on_waiting() {
    changing(settings(), fresh(600), async |it| {
        it.world.endpoint.latency.set(seconds(5));
        let waiting = it.world.reader.usable();
        let change = async {
            pass(seconds(1)).await;
            it.change(Settings { wait: seconds(1), ..renewed_at(0.6) });
        };
        let (token, ()) = tokio::join!(waiting, change);
        assert_eq!(token.unwrap().value().expose(), "token-1");
        pass(seconds(290)).await;
        assert_eq!(it.world.endpoint.requests(), 1);
        pass(seconds(75)).await;
        assert_eq!(it.world.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn readers_obey_at_once() {
    changing(settings(), down, async |it| {
        pass(seconds(1)).await;
        it.change(Settings { wait: Duration::ZERO, required: false, ..settings() });
        assert!(!it.world.reader.status().required);
        let begun = it.world.clock.now();
        assert!(it.world.reader.usable().await.is_err());
        assert_eq!(it.world.clock.now(), begun);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_budget_and_the_longest_gap_are_those_of_now() {
    let budget = |requests| Settings { budget: Some(Budget { requests, per: seconds(365 * 86_400) }), ..settings() };
    changing(budget(2), fresh(100), async |it| {
        pass(seconds(300)).await;
        assert_eq!(it.world.endpoint.requests(), 2);
        it.change(budget(3));
        pass(seconds(400)).await;
        assert_eq!(it.world.endpoint.requests(), 3);
        it.change(settings());
        pass(seconds(400)).await;
        assert!(it.world.endpoint.requests() > 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_latch_is_remembered_in_the_directory_of_now() {
    let state = tempfile::tempdir().unwrap();
    changing(settings(), denied, async |it| {
        pass(seconds(100)).await;
        it.figures.change(settings(), it.world.endpoint.clone(), Some(state.path().to_owned()));
        pass(seconds(1)).await;
        assert!(it.world.reader.status().latched);
    })
    .await;
    let clock = Clock::for_tests();
    let endpoint = Endpoint::new(clock.clone(), fresh(60));
    run(settings(), clock, endpoint, Some(state.path()), async |world| {
        pass(seconds(10)).await;
        assert!(world.reader.status().latched);
        assert_eq!(world.endpoint.requests(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_they_are_taken_up_changes_nothing_of_the_rest() {
    changing(renewed_at(0.9), fresh(1000), async |it| {
        let token = it.world.token().await;
        it.figures.change(renewed_at(0.9), it.world.endpoint.unheard_of(), None);
        pass(seconds(800)).await;
        assert!(Arc::ptr_eq(&token, &it.world.token().await));
        pass(seconds(110)).await;
        assert_eq!((it.world.endpoint.requests(), it.world.token().await.generation()), (2, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_they_are_taken_up_ends_no_latch() {
    changing(settings(), denied, async |it| {
        pass(seconds(100)).await;
        assert_eq!(it.world.endpoint.requests(), 2);
        it.figures.change(settings(), it.world.endpoint.unheard_of(), None);
        pass(seconds(7200)).await;
        assert_eq!(it.world.endpoint.requests(), 2);
        assert!(it.world.reader.status().latched);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_figure_leaves_the_renewal_when_it_was_planned() {
    changing(settings(), fresh(1000), async |it| {
        it.world.token().await;
        let planned = |it: &Changing| {
            it.world.reader.status().next_fetch_in.unwrap() + it.world.clock.now().since(Moment::ORIGIN)
        };
        let before = planned(it);
        for wait in 1..5 {
            it.change(Settings { wait: seconds(wait), ..settings() });
            pass(seconds(1)).await;
            assert_eq!(planned(it), before);
        }
    })
    .await;
}

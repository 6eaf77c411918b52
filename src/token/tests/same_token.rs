//! A token endpoint that hands out the token that it gave before.

use super::*;

/// An endpoint that keeps each token for a minute and a second more, and says what is left of the minute in whole seconds: nothing
/// in the last one, which counts as absent, so that an hour is assumed. Each answer brings another refresh token.
struct Cached {
    born: Rc<Cell<Option<Moment>>>,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Cached {
    fn new() -> Self {
        Self { born: Rc::default() }
    }

    fn answer(&self) -> impl FnMut(&Asked) -> Answer + 'static {
        let born = Rc::clone(&self.born);
        move |asked| {
            let at = born.get().filter(|born| asked.at.since(*born) < MINUTE + seconds(1)).unwrap_or(asked.at);
            born.set(Some(at));
            let left = MINUTE.saturating_sub(asked.at.since(at)).as_secs();
            let refresh_token = Some(Secret::new(format!("refresh-{}", asked.number)));
            let token = issued(&format!("token-of-{}", at.since(Moment::ORIGIN).as_nanos()), left);
            Ok(match left {
                0 => Issued { lifetime: seconds(3600), is_assumed: true, refresh_token, ..token },
                _ => Issued { refresh_token, ..token },
            })
        }
    }

    fn has_ended(&self, now: Moment) -> bool {
        self.born.get().is_some_and(|born| now.since(born) >= MINUTE)
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_handed_out_until_it_ends_is_not_sent_after_that() {
    let cached = Cached::new();
    with(login(), cached.answer(), async |world| {
        world.token().await;
        let mut without = 0;
        for _ in 0..60_000 {
            match world.reader.current() {
                Some(_) => assert!(!cached.has_ended(world.clock.now()), "sent after its end"),
                None => without += 1,
            }
            pass(Duration::from_millis(10)).await;
        }
        let requests = world.endpoint.requests();
        assert!((20..=100).contains(&requests), "{requests} requests in ten minutes");
        assert!(without < 60_000 / 20, "without a token for {without} of 60000 moments");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_beside_a_token_that_has_ended_is_kept() {
    with(settings(), Cached::new().answer(), async |world| {
        pass(seconds(600)).await;
        for asked in world.endpoint.log.borrow().iter().skip(1) {
            assert_eq!(asked.refresh_token, Some(format!("refresh-{}", asked.number - 1)));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_token_of_whose_life_nobody_has_ever_said_anything_is_in_use_as_long_as_it_is_handed_out() {
    let answer = |_: &Asked| Ok(Issued { is_assumed: true, ..issued("for-ever", 60) });
    with(settings(), answer, async |world| {
        for _ in 0..20 {
            pass(seconds(30)).await;
            assert_eq!(world.reader.current().expect("a token").generation(), 1);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_life_that_was_assumed_gives_way_to_one_that_is_said() {
    let answer = |asked: &Asked| match asked.number {
        1 => Ok(Issued { is_assumed: true, ..issued("cached", 3600) }),
        _ => Ok(issued("cached", 7200)),
    };
    with(settings(), answer, async |world| {
        world.token().await;
        pass(seconds(3600)).await;
        assert!(world.reader.current().expect("a token").expires_at().since(world.clock.now()) > seconds(3600));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_path_that_always_rejects_costs_next_to_nothing_where_the_same_token_lives_on() {
    let session = |_: &Asked| Ok(issued("session", 12));
    with(settings(), session, async |world| {
        let mut copy = None;
        world.token().await;
        for _ in 0..3000 {
            if let Some(sent) = world.reader.current_copy(&mut copy) {
                let verdict = world.reader.rejected(&sent, RequestHash(22)).await;
                assert!(matches!(verdict, Verdict::Pass(_)), "{verdict:?}");
            }
            pass(Duration::from_millis(100)).await;
        }
        // Each life of twelve seconds is prolonged after six and a half at the earliest.
        assert!(world.endpoint.requests() <= 60, "{} requests in five minutes", world.endpoint.requests());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_was_given_a_token_before_its_life_was_prolonged_is_in_the_gap_like_all() {
    let session = |_: &Asked| Ok(issued("session", 60));
    with(settings(), session, async |world| {
        let sent = world.token().await;
        pass(seconds(65)).await;
        assert!(!world.reader.is_fresh(&sent) && world.reader.current().is_some());
        world.reader.replayed(&sent, true);
        let verdict = world.reader.rejected(&sent, RequestHash(22)).await;
        assert!(matches!(verdict, Verdict::Pass(Pass::Gap)), "{verdict:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_token_that_came_before_is_no_short_life_of_its_own() {
    let born = Rc::new(Cell::new(None::<Moment>));
    // It says that the token ends a little sooner than it does.
    let answer = move |asked: &Asked| {
        let at = born.get().filter(|born| asked.at.since(*born) < seconds(30)).unwrap_or(asked.at);
        born.set(Some(at));
        let left = Duration::from_millis(29_700).saturating_sub(asked.at.since(at)).max(Duration::from_millis(1));
        Ok(Issued { lifetime: left, ..issued(&format!("token-of-{}", at.since(Moment::ORIGIN).as_nanos()), 0) })
    };
    with(settings(), answer, async |world| {
        world.token().await;
        let (mut without, mut longest) = (0, 0);
        for _ in 0..60_000 {
            without = if world.reader.current().is_some() { 0 } else { without + 1 };
            longest = longest.max(without);
            pass(Duration::from_millis(10)).await;
        }
        assert!((1..=110).contains(&longest), "{longest} hundredths of a second without a token");
    })
    .await;
}

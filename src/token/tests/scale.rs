//! A fleet by simulation: real refreshers and the real store code, a simulated clock, network and endpoint, days in seconds.
//!
//! In the usual run small fleets. With `BEARERD_SIMULATION=full` it is up to 10,000 instances, in minutes:
//! `BEARERD_SIMULATION=full cargo test --profile simulation --lib scale -- --nocapture` prints the curves as tables.

use super::shared::{Many, fleet};
use super::*;
use crate::store::simulated::Mood;

/// What a simulation showed.
struct Figures {
    instances: usize,
    requests: usize,
    /// How many tokens in a row that was.
    lives: f64,
    busiest_second: usize,
}

fn is_full() -> bool {
    std::env::var_os("BEARERD_SIMULATION").is_some_and(|wanted| wanted == "full")
}

fn figures(many: &Many, began: Moment, instances: usize) -> Figures {
    let log = many.endpoint.log.borrow();
    let asked: Vec<_> = log.iter().filter(|asked| asked.at >= began).collect();
    let mut seconds_of_day = std::collections::BTreeMap::<u64, usize>::new();
    for asked in &asked {
        *seconds_of_day.entry(asked.at.since(Moment::ORIGIN).as_secs()).or_default() += 1;
    }
    let span = many.clock.now().since(began).as_secs_f64();
    Figures {
        instances,
        requests: asked.len(),
        lives: span / 3600.0,
        busiest_second: seconds_of_day.values().copied().max().unwrap_or(0),
    }
}

/// Tokens of an hour, all instances started in one second, for so many hours.
async fn live(instances: usize, hours: u64) -> Figures {
    let out = std::cell::Cell::new(None);
    fleet(Many::new(settings(), fresh(3600)), async |many| {
        for _ in 0..instances {
            many.start();
            if fastrand::usize(..instances) % (instances / 20).max(1) == 0 {
                pass(Duration::from_millis(40)).await;
            }
        }
        pass(seconds(60)).await;
        let began = many.clock.now();
        pass(seconds(hours * 3600)).await;
        assert_eq!(many.values().len(), 1);
        out.set(Some(figures(many, began, instances)));
    })
    .await;
    out.take().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_fleet_asks_as_often_as_one_instance_whatever_its_size() {
    let sizes: &[usize] = if is_full() { &[1, 10, 100, 1000, 10_000] } else { &[1, 10, 100] };
    eprintln!("instances | token requests | in lifetimes | busiest second");
    for size in sizes {
        let figures = live(*size, 48).await;
        let row =
            format!("{} | {} | {:.0} | {}", figures.instances, figures.requests, figures.lives, figures.busiest_second);
        eprintln!("{row}");
        // One instance renews between 70 % and 80 % of a life.
        let most = (figures.lives / 0.69).ceil() as usize + 1;
        assert!(figures.requests <= most, "{row}");
        assert!(figures.busiest_second <= 2, "{row}");
    }
}

/// How long after a fault's end everybody has the same fresh token again, and what callers missed meanwhile.
async fn ride_out(instances: usize, fault: impl Fn(&Many), mend: impl Fn(&Many)) -> (f64, usize, usize) {
    let out = std::cell::Cell::new((0.0, 0, 0));
    fleet(Many::new(settings(), fresh(300)), async |many| {
        many.start_many(instances);
        pass(seconds(100)).await;
        let before = many.endpoint.requests();
        fault(many);
        let mut without = 0;
        for _ in 0..450 {
            pass(seconds(2)).await;
            without += many.instances.borrow().iter().filter(|instance| instance.reader.current().is_none()).count();
        }
        mend(many);
        let mended = many.clock.now();
        let during = many.endpoint.requests() - before;
        while many.values().len() > 1 || many.values().contains(&None) {
            pass(seconds(1)).await;
            assert!(many.clock.now().since(mended) < seconds(600), "they do not find together");
        }
        out.set((many.clock.now().since(mended).as_secs_f64(), during, without));
    })
    .await;
    out.get()
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_the_store_ends_in_one_fleet_again() {
    let size = if is_full() { 1000 } else { 20 };
    type Change = fn(&Many);
    let faults: [(&str, Change, Change); 4] = [
        ("down", |many| many.server.is(Mood::Down), |many| many.server.is(Mood::Well)),
        ("hanging", |many| many.server.is(Mood::Hung), |many| many.server.is(Mood::Well)),
        ("full", |many| many.server.is(Mood::Full), |many| many.server.is(Mood::Well)),
        ("wiped", |many| many.server.wipe(), |_| {}),
    ];
    let mut table = format!(
        "store of {size} instances, 900 s | token requests meanwhile | seconds to one token again | without a token\n"
    );
    for (name, fault, mend) in faults {
        let (recovery, during, without) = ride_out(size, fault, mend).await;
        table.push_str(&format!("{name} | {during} | {recovery:.0} | {without}\n"));
        assert_eq!(without, 0, "{table}");
        // A token lives 300 s, and each renews it alone about every 220 s.
        assert!(during <= size * 6, "{table}");
        assert!(recovery <= 300.0, "{table}");
    }
    eprintln!("{table}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_down_is_not_stormed_when_it_comes_back() {
    let size = if is_full() { 10_000 } else { 50 };
    fleet(Many::new(settings(), fresh(300)), async |many| {
        many.start_many(size);
        pass(seconds(30)).await;
        many.endpoint.answers(down);
        pass(seconds(600)).await;
        let (while_down, began) = (many.endpoint.requests(), many.clock.now());
        many.endpoint.answers(fresh(300));
        while many.values().len() > 1 || many.values().contains(&None) {
            pass(Duration::from_millis(500)).await;
            assert!(many.clock.now().since(began) < seconds(60));
        }
        let recovery = many.clock.now().since(began).as_secs_f64();
        assert!(recovery <= 6.0, "{recovery} s");
        assert_eq!(many.endpoint.requests(), while_down + 1);
        assert!(while_down < 500, "{while_down} while it was down");
        eprintln!(
            "{size} instances, endpoint down for 600 s: {while_down} requests meanwhile, {recovery:.1} s to one token"
        );
    })
    .await;
}

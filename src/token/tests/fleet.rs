//! Many instances that started together.

use super::*;

#[tokio::test(start_paused = true)]
async fn two_hundred_instances_started_in_one_second_do_not_renew_in_one_second() {
    // The same jitter in each run: the figure is a property of the schedule, not of luck.
    fastrand::seed(20);
    let clock = Clock::for_tests();
    let started = clock.now();
    let endpoint = Endpoint::new(clock.clone(), fresh(60));
    let metrics = Metrics::new();
    let (trigger, heard) = shutdown::channel();
    let local = tokio::task::LocalSet::new();
    let mut readers = Vec::new();
    for number in 0..200 {
        let settings = Settings { name: format!("instance-{number}"), ..settings() };
        let credential = metrics.credential(&settings.name);
        let (refresher, reader) = Refresher::new(settings, endpoint.clone(), clock.clone(), credential, None);
        local.spawn_local(refresher.run(heard.clone()));
        readers.push(reader);
    }
    local.run_until(pass(seconds(400))).await;
    trigger.fire();
    local.await;

    let mut seconds_of_day = std::collections::BTreeMap::<u64, usize>::new();
    for asked in endpoint.log.borrow().iter() {
        *seconds_of_day.entry(asked.at.since(started).as_secs()).or_default() += 1;
    }
    let later: Vec<_> = seconds_of_day.iter().filter(|(second, _)| **second > 2).collect();
    assert!(later.len() > 100, "renewals happened in only {} seconds", later.len());
    let busiest = later.iter().map(|(_, count)| **count).max().unwrap();
    assert!(busiest <= 30, "{busiest} of 200 in one second");
}

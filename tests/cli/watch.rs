//! `berth watch`: which events it prints, and when it ends.

use super::*;

const PLACED: &str = "berth.event.v1.acme.reservation.h100.placed";

#[tokio::test]
async fn watch_prints_past_events_byte_for_byte_and_ends_after_as_many_as_asked_for() {
    let nats = Nats::start();
    let client = nats.client().await;
    make_stream(&client, "BERTH_EVENTS", "berth.event.v1.>").await;
    let events = [
        event("acme", "reservation", ID, 1, r#""pool":"h100","status":"Pending""#),
        event("other", "reservation", OTHER_ID, 1, r#""pool":"h100","status":"Pending""#),
        event("acme", "reservation", OTHER_ID, 1, r#""pool":"h100","status":"Pending""#),
        event("acme", "reservation", ID, 2, r#""pool":"h100","status":"Active","previous_status":"Pending""#),
    ];
    publish(&client, PLACED, &events[0]).await;
    publish(&client, "berth.event.v1.other.reservation.h100.placed", &events[1]).await;
    publish(&client, PLACED, &events[2]).await;
    publish(&client, "berth.event.v1.acme.reservation.h100.active", &events[3]).await;

    let all = berth(&nats.url(), &["watch", "--since", "all", "--json", "--count", "4"]).await;
    assert_eq!((all.status, all.stdout), (0, events.join("\n") + "\n"));
    let one = ["watch", "--since", "1h", "--json", "--tenant", "acme", "--reservation", ID, "--count", "2"];
    let one = berth(&nats.url(), &one).await;
    assert_eq!((one.status, one.stdout), (0, format!("{}\n{}\n", events[0], events[3])));
    assert_eq!(one.stderr, "watching berth.event.v1.acme.> in BERTH_EVENTS\n");

    let lines = berth(&nats.url(), &["watch", "--since", "all", "--tenant", "acme", "--count", "3"]).await;
    let last = lines.stdout.lines().last().unwrap();
    let expected = ["2030-01-01T00:00:00Z", "Active", "acme/h100", ID, "v2", "Pending → Active"];
    assert!(expected.iter().all(|part| last.contains(part)), "{last}");
}

#[tokio::test]
async fn watch_waits_for_the_stream_shows_new_events_only_and_survives_a_restart_of_the_server() {
    let mut nats = Nats::start();
    let mut process = program(&nats.url(), &["watch", "--json"]).spawn().unwrap();
    let mut stderr = tokio::io::BufReader::new(process.stderr.take().unwrap());
    let mut stdout = tokio::io::BufReader::new(process.stdout.take().unwrap()).lines();
    let waiting = line_of(&mut stderr, "the stream").await;
    assert_eq!(waiting, "the stream BERTH_EVENTS is not there yet: waiting for a worker to make it");

    let mut client = nats.client().await;
    make_stream(&client, "BERTH_EVENTS", "berth.event.v1.>").await;
    line_of(&mut stderr, "watching").await;
    // Nothing is shown twice or left out.
    for version in 1..=4 {
        let event = event("acme", "reservation", ID, version, r#""status":"Pending""#);
        publish(&client, PLACED, &event).await;
        let line = tokio::time::timeout(PATIENCE, stdout.next_line()).await.unwrap().unwrap();
        assert_eq!(line.as_deref(), Some(event.as_str()));
        if version == 2 {
            nats.restart();
            client = nats.client().await;
        }
    }
    let id = process.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let status = tokio::time::timeout(PATIENCE, process.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn watch_that_saw_nothing_before_it_lost_its_consumer_shows_no_old_events_after_it() {
    let nats = Nats::start();
    let client = nats.client().await;
    make_stream(&client, "BERTH_EVENTS", "berth.event.v1.>").await;
    publish(&client, PLACED, &event("acme", "reservation", ID, 1, r#""status":"Pending""#)).await;
    let mut process = program(&nats.url(), &["watch", "--json", "--count", "1"]).spawn().unwrap();
    let mut stderr = tokio::io::BufReader::new(process.stderr.take().unwrap());
    line_of(&mut stderr, "watching").await;

    let stream = jetstream::new(client.clone()).get_stream("BERTH_EVENTS").await.unwrap();
    let consumer = stream.consumer_names().next().await.unwrap().unwrap();
    stream.delete_consumer(&consumer).await.unwrap();
    let new = event("acme", "reservation", ID, 2, r#""status":"Active""#);
    publish(&client, PLACED, &new).await;
    let ended = ended(process).await;
    assert_eq!((ended.status, ended.stdout), (0, new + "\n"));
}

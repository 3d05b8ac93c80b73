//! A database without its last commits: restored from a backup, or a replica that had not got them. The stream has
//! their events, and what is decided now has their numbers.

use crate::Berth;

impl Berth {
    /// Loses the events of lane 1 behind the first two, and decides two others instead.
    async fn lose_commits(&mut self) {
        self.run("delete from journal where lane = 1 and seq > 2").await;
        self.run("update lane set seq = 2 where lane = 1").await;
        self.run("update relay_cursor set seq = 2 where lane = 1").await;
        self.commit_anew(2).await;
    }

    async fn commit_anew(&mut self, count: i64) {
        self.commit(1..2, count).await;
        let anew = "update journal set payload = convert_to('1:' || seq || ' anew', 'UTF8') where lane = 1 and seq > 2";
        self.run(anew).await;
    }

    async fn payloads(&self) -> Vec<String> {
        let stream = self.context.get_stream(self.subjects.stream("EVENTS")).await.unwrap();
        let mut payloads = Vec::new();
        for sequence in 1..=stream.cached_info().state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            payloads.push(String::from_utf8(message.payload.to_vec()).unwrap());
        }
        payloads
    }
}

#[tokio::test]
async fn what_is_decided_anew_is_published_under_numbers_that_the_stream_has_already() {
    let mut berth = Berth::new().await;
    berth.commit(1..2, 5).await;
    berth.publish(5).await;
    berth.lose_commits().await;
    berth.publish(7).await;
    // As if the relay had been killed before it stored its cursors: nothing is published twice for it.
    berth.run("update relay_cursor set seq = 2 where lane = 1").await;
    berth.commit_anew(1).await;
    berth.publish(8).await;
    assert_eq!(berth.payloads().await, ["1:1", "1:2", "1:3", "1:4", "1:5", "1:3 anew", "1:4 anew", "1:5 anew"]);
}

/// The lease is the same row in a replica that is promoted, and its holder may find no connection broken.
#[tokio::test]
async fn a_relay_that_runs_on_learns_that_the_server_is_another() {
    for lease_there in [
        "update lease set server_started_at = server_started_at - interval '1 day'",
        // That it was taken is lost too.
        "update lease set server_started_at = server_started_at - interval '1 day', holder = null, epoch = epoch - 1",
        "delete from lease",
    ] {
        let mut berth = Berth::new().await;
        berth.commit(1..2, 5).await;
        let relay = berth.relay().await;
        berth.stored(5).await;
        berth.settle().await;
        berth.lose_commits().await;
        berth.run(lease_there).await;
        berth.stored(7).await;
        berth.settle().await;
        relay.stop().await;
        assert_eq!(berth.payloads().await[5..], ["1:3 anew", "1:4 anew"], "{lease_there}");
    }
}

#[tokio::test]
async fn a_number_that_was_published_before_those_below_it_does_not_hide_them() {
    let mut berth = Berth::new().await;
    berth.commit(1..2, 3).await;
    berth.publish(3).await;
    berth.lose_commits().await;
    // A relay that did not know of it held 1:3 for published.
    berth.publish_behind("1:4", "1:4 anew").await;
    berth.publish(6).await;
    assert_eq!(berth.payloads().await, ["1:1", "1:2", "1:3", "1:4 anew", "1:3 anew", "1:4 anew"]);
}

/// Of a database that was made anew nothing is known in the stream.
#[tokio::test]
async fn the_events_of_a_database_that_was_made_anew_follow_those_of_the_one_before() {
    let mut berth = Berth::new().await;
    berth.commit(1..3, 2).await;
    berth.publish(4).await;
    berth.run("truncate journal").await;
    berth.run("update lane set seq = 0").await;
    berth.run("update relay_cursor set seq = 0").await;
    berth.commit(2..3, 1).await;
    berth.run("update journal set payload = convert_to('2:1 anew', 'UTF8')").await;
    berth.publish(5).await;
    assert_eq!(berth.payloads().await.last().map(String::as_str), Some("2:1 anew"));
}

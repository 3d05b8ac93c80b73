//! The least that Postgres could do for the same reservations: nothing is looked up and nothing decided, only rows that
//! berth has written (hold, event, receipt) are inserted once more, under new ids, into tables with the same columns,
//! indexes and settings. One statement and one round trip for all three tables, committed by itself.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio_postgres::{Client, NoTls, Statement};
use uuid::Uuid;

use crate::load::Load;
use crate::rows::{Raw, Table};

/// How many of berth's rows are taken; then they come again.
const ROWS: usize = 16_384;

const COPIES: &str = "
    drop schema if exists berth_bulk cascade;
    create schema berth_bulk;
    create table berth_bulk.hold (like hold including all);
    create table berth_bulk.journal (like journal including all);
    create table berth_bulk.receipt (like receipt including all);
    do $$
    declare
        original record;
    begin
        for original in
            select relname, array_to_string(reloptions, ', ') as options from pg_class
            where oid in ('hold'::regclass, 'journal'::regclass, 'receipt'::regclass) and reloptions is not null
        loop
            execute format('alter table berth_bulk.%I set (%s)', original.relname, original.options);
        end loop;
    end
    $$";

pub async fn run(database_url: &str, batch: usize, load: Load) -> Result<serde_json::Value> {
    ensure!(load.in_flight == 1 && load.connections == 1, "bulk inserts one statement at a time");
    let (client, connection) = tokio_postgres::connect(database_url, NoTls).await.context("no Postgres")?;
    let connection = tokio::spawn(connection);
    let mut inserts = Inserts::prepare(&client, batch).await?;
    let mut tally = load.tally()?;
    loop {
        let sent = Instant::now();
        inserts.insert(&client).await?;
        let now = Instant::now();
        tally.answered(sent, now, batch as u64, true);
        if tally.is_over(now) {
            break;
        }
    }
    inserts.check(&client).await?;
    client.batch_execute("drop schema berth_bulk cascade").await?;
    drop(client);
    connection.await??;
    load.report(&tally)
}

struct Inserts {
    holds: Table,
    events: Table,
    receipts: Table,
    statement: Statement,
    batch: usize,
    /// Where in berth's rows the next batch begins.
    at: usize,
    /// The last event's number of each lane, by the lane as it travels.
    last: HashMap<Vec<u8>, i64>,
    inserted: usize,
}

impl Inserts {
    async fn prepare(client: &Client, batch: usize) -> Result<Inserts> {
        client.batch_execute(COPIES).await?;
        let holds = Table::read(client, "hold", "where kind = 'reservation' order by id desc", ROWS).await?;
        let events = Table::read(client, "journal", "where event_type = 'placed' order by at desc", ROWS).await?;
        let which = "where verb = 'reserve' and error_code is null order by at desc";
        let receipts = Table::read(client, "receipt", which, ROWS).await?;
        let rows = holds.rows().min(events.rows()).min(receipts.rows());
        ensure!(rows >= batch, "berth has written only {rows} reservations: run berth bench before this");
        let text = format!(
            "with new_hold as ({}), new_event as ({}) {}",
            holds.insert(1),
            events.insert(2),
            receipts.insert(3)
        );
        let statement = client.prepare(&text).await?;
        Ok(Inserts { holds, events, receipts, statement, batch, at: 0, last: HashMap::new(), inserted: 0 })
    }

    async fn insert(&mut self, client: &Client) -> Result<()> {
        let (rows, count) = (self.holds.rows().min(self.events.rows()).min(self.receipts.rows()), self.batch);
        self.at = if self.at + count > rows { 0 } else { self.at };
        // The order of time for holds, as berth's ids have it; that of their index for receipts, as berth sorts them.
        let ids: Vec<Raw> = (0..count).map(|_| uuid(Uuid::now_v7())).collect();
        let mut keys: Vec<Uuid> = (0..count).map(|_| Uuid::new_v4()).collect();
        keys.sort_unstable();
        let keys: Vec<Raw> = keys.into_iter().map(uuid).collect();
        let mut numbers = Vec::with_capacity(count);
        for lane in &self.holds.values("lane")?[self.at..self.at + count] {
            let last = self.last.entry(lane.0.clone().context("a hold without a lane")?).or_default();
            *last += 1;
            numbers.push(Raw(Some(last.to_be_bytes().to_vec())));
        }
        let lanes = &self.holds.values("lane")?[self.at..self.at + count];
        let holds = self.holds.records(self.at, count, &[("id", &ids), ("last_seq", &numbers)]);
        let new = [("lane", lanes), ("hold_id", &ids), ("seq", &numbers)];
        let events = self.events.records(self.at, count, &new);
        let receipts = self.receipts.records(self.at, count, &[("id", &keys)]);
        client.execute(&self.statement, &[&holds, &events, &receipts]).await?;
        self.at += count;
        self.inserted += count;
        Ok(())
    }

    /// All that was inserted is there.
    async fn check(&self, client: &Client) -> Result<()> {
        for table in ["hold", "journal", "receipt"] {
            let row = client.query_one(&format!("select count(*) from berth_bulk.{table}"), &[]).await?;
            let count: i64 = row.get(0);
            ensure!(count == i64::try_from(self.inserted)?, "{count} rows in {table} instead of {}", self.inserted);
        }
        Ok(())
    }
}

fn uuid(id: Uuid) -> Raw {
    Raw(Some(id.as_bytes().to_vec()))
}

// The same reservations as jobs of graphile-worker: what somebody would take who has Postgres and wants requests to be
// carried out behind each other. The jobs are put in beforehand, in bulk, and only carrying them out is measured. Each
// is bench/pgbench/reserve.sql with prepared statements. Prints one line of JSON.
//
// node run.js --database-url URL [--seconds N] [--warmup N] [--concurrency N] [--jobs-per-second N]
"use strict";

const { parseArgs } = require("node:util");
const { run, runMigrations, Logger } = require("graphile-worker");
const { Pool } = require("pg");

const { values } = parseArgs({
  options: {
    "database-url": { type: "string" },
    seconds: { type: "string", default: "6" },
    warmup: { type: "string", default: "2" },
    // The fastest of 8, 16 and 32 where Postgres and this process share two cores.
    concurrency: { type: "string", default: "16" },
    // More than can be carried out, or the queue would run empty.
    "jobs-per-second": { type: "string", default: "6000" },
  },
});
const databaseUrl = values["database-url"];
const [seconds, warmup, concurrency] = [values.seconds, values.warmup, values.concurrency].map(Number);
const jobs = Number(values["jobs-per-second"]) * (seconds + warmup);

const FILL = `
  select count(*) from graphile_worker.add_jobs(array(
    select (
      'reserve',
      json_build_object(
        'key', gen_random_uuid(), 'pool', 1 + floor(random() * 1000)::integer,
        'first', floor(random() * 28800)::integer, 'grains', 1 + floor(random() * 4)::integer
      ),
      null, null, null, null, null, null
    )::graphile_worker.job_spec
    from generate_series(1, $1::integer)
  ))`;

// As reserve.sql has it.
const FIND_RECEIPT = `select reply from berth_compare.receipt where tenant = 'bench' and key = $1`;
const LOCK_POOL = `select capacity from berth_compare.pool where id = $1::integer for update`;
const RESERVE = `
  with asked as (
    select
      date_trunc('day', now()) + interval '1 day' + $2::integer * interval '15 minutes' as start_time,
      date_trunc('day', now()) + interval '1 day' + ($2::integer + $3::integer) * interval '15 minutes' as end_time
  ),
  used as (
    select coalesce(sum(reservation.quantity), 0) as quantity
    from asked
    join berth_compare.reservation
      on reservation.pool_id = $1::integer
      and reservation.status <> 'Canceled'
      and reservation.start_time > asked.start_time - interval '1 hour'
      and reservation.start_time < asked.end_time
      and reservation.end_time > asked.start_time
  ),
  placed as (
    insert into berth_compare.reservation (tenant, pool_id, status, start_time, end_time, quantity)
    select 'bench', pool.id, 'Pending', asked.start_time, asked.end_time, 1
    from asked, used, berth_compare.pool
    where pool.id = $1::integer and used.quantity + 1 <= pool.capacity
    returning *
  ),
  told as (
    insert into berth_compare.outbox (subject, payload)
    select 'event.bench.reservation.' || pool_id || '.placed', to_jsonb(placed) from placed
  )
  insert into berth_compare.receipt (tenant, key, request, reply)
  select
    'bench', $4::text,
    jsonb_build_object('pool', $1::integer, 'first', $2::integer, 'grains', $3::integer, 'quantity', 1),
    to_jsonb(placed)
  from placed`;

let finished = 0;

async function reserve(job, helpers) {
  await helpers.withPgClient(async (client) => {
    await client.query("begin");
    try {
      const found = await client.query({ name: "find_receipt", text: FIND_RECEIPT, values: [job.key] });
      if (found.rowCount === 0) {
        await client.query({ name: "lock_pool", text: LOCK_POOL, values: [job.pool] });
        const reservation = [job.pool, job.first, job.grains, job.key];
        await client.query({ name: "reserve", text: RESERVE, values: reservation });
      }
      await client.query("commit");
    } catch (error) {
      await client.query("rollback");
      throw error;
    }
  });
  finished += 1;
}

const after = (time) => new Promise((resolve) => setTimeout(resolve, time * 1000));

async function main() {
  const pool = new Pool({ connectionString: databaseUrl, max: concurrency + 4 });
  // A connection that is cut while it is given back is no news.
  pool.on("error", () => {});
  await pool.query("drop schema if exists graphile_worker cascade");
  const logger = new Logger(() => () => {});
  const preset = {
    worker: {
      concurrentJobs: concurrency,
      pollInterval: 100,
      // Fetched and finished in batches: otherwise each job costs two statements more.
      localQueue: { size: 8 * concurrency },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
  };
  await runMigrations({ pgPool: pool, logger, preset });
  await pool.query(FILL, [jobs]);
  await pool.query("vacuum analyze");
  await pool.query("checkpoint");
  const before = (await pool.query("select count(*)::integer as count from berth_compare.reservation")).rows[0].count;

  const runner = await run({ pgPool: pool, taskList: { reserve }, logger, preset, noHandleSignals: true });
  await after(warmup);
  const [begun, first] = [process.hrtime.bigint(), finished];
  await after(seconds);
  const [elapsed, answers] = [Number(process.hrtime.bigint() - begun) / 1e9, finished - first];
  await runner.stop();

  const rows = (await pool.query("select count(*)::integer as count from berth_compare.reservation")).rows[0].count;
  await pool.end();
  if (answers === 0) throw new Error("no job was carried out");
  if (finished >= jobs) throw new Error(`all ${jobs} jobs were carried out before the time was over`);
  if (rows - before !== finished) throw new Error(`${rows - before} reservations after ${finished} jobs`);
  console.log(JSON.stringify({ concurrency, seconds: elapsed, answers, rate: answers / elapsed }));
}

main().catch((error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
});

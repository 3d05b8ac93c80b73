//! The configuration of pools: rows to types and back.

use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::columns::{array, column, lane_numbers};
use super::error::StoreError;
use super::row::{get, maybe_number, maybe_parsed, number, opaque, parsed};
use super::{sql, zone};
use crate::domain::hold::Opaque;
use crate::domain::id::{Label, Lane, PoolName};
use crate::domain::resource::{Capacity, CapacityStep, Offer, Policy, Pool};
use crate::domain::window::Instant;

/// The pools of some lanes.
pub async fn load(connection: &mut PgConnection, lanes: &[Lane]) -> Result<Vec<Pool>, StoreError> {
    if lanes.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(sql::LOAD_POOLS.clone())
        .bind(lane_numbers(lanes.iter().copied()))
        .fetch_all(connection)
        .await
        .map_err(StoreError::of("load pools"))?;
    rows.iter().map(pool).collect::<Result<_, _>>().map_err(StoreError::of("read the row of a pool"))
}

pub async fn put(connection: &mut PgConnection, pools: &[Pool]) -> Result<(), sqlx::Error> {
    if pools.is_empty() {
        return Ok(());
    }
    upsert(connection, pools).await?;
    sqlx::query(sql::DELETE_OFFERS.clone())
        .bind(lane_numbers(pools.iter().map(Pool::lane)))
        .bind(column(pools, |pool| pool.name.as_str()))
        .execute(&mut *connection)
        .await?;
    insert_offers(connection, pools).await?;
    zone::put(connection, pools).await
}

async fn upsert(connection: &mut PgConnection, pools: &[Pool]) -> Result<(), sqlx::Error> {
    let numbers = |of: fn(&Policy) -> u32| column(pools, |pool| i64::from(of(&pool.policy)));
    let maybe_numbers = |of: fn(&Policy) -> Option<u32>| column(pools, |pool| of(&pool.policy).map(i64::from));
    let flags = |of: fn(&Policy) -> bool| column(pools, |pool| of(&pool.policy));
    sqlx::query(sql::UPSERT_POOLS.clone())
        .bind(lane_numbers(pools.iter().map(Pool::lane)))
        .bind(column(pools, |pool| pool.name.as_str()))
        .bind(column(pools, |pool| i64::from(pool.version)))
        .bind(column(pools, |pool| constant(&pool.capacity)))
        .bind(column(pools, |pool| schedule(&pool.capacity, |step| step.effective_at.to_rfc3339())))
        .bind(column(pools, |pool| schedule(&pool.capacity, |step| step.quantity.to_string())))
        .bind(column(pools, |pool| pool.instance_type.as_ref().map(Label::as_str)))
        .bind(column(pools, |pool| pool.region.as_ref().map(Label::as_str)))
        .bind(numbers(|policy| policy.grain_seconds))
        .bind(numbers(|policy| policy.quantity_step))
        .bind(maybe_numbers(|policy| policy.quantity_min))
        .bind(maybe_numbers(|policy| policy.quantity_max))
        .bind(maybe_numbers(|policy| policy.duration_min_seconds))
        .bind(maybe_numbers(|policy| policy.duration_max_seconds))
        .bind(numbers(|policy| policy.lead_time_seconds))
        .bind(numbers(|policy| policy.horizon_seconds))
        .bind(numbers(|policy| policy.intervals_max))
        .bind(numbers(|policy| policy.ending_soon_seconds))
        .bind(flags(|policy| policy.cancellable))
        .bind(flags(|policy| policy.extendable))
        .bind(flags(|policy| policy.pausable))
        .bind(flags(|policy| policy.reducible))
        .bind(flags(|policy| policy.enabled))
        .bind(column(pools, |pool| pool.instance_spec.as_ref().map(Opaque::as_str)))
        .bind(column(pools, |pool| pool.tags.as_ref().map(Opaque::as_str)))
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert_offers(connection: &mut PgConnection, pools: &[Pool]) -> Result<(), sqlx::Error> {
    let of_pool = |pool| -> Vec<(&Pool, i32, &Offer)> {
        let pool: &Pool = pool;
        (0..).zip(&pool.offers).map(|(position, offer)| (pool, position, offer)).collect()
    };
    let offers: Vec<_> = pools.iter().flat_map(of_pool).collect();
    if offers.is_empty() {
        return Ok(());
    }
    sqlx::query(sql::INSERT_OFFERS.clone())
        .bind(lane_numbers(offers.iter().map(|(pool, ..)| pool.lane())))
        .bind(column(&offers, |(pool, ..)| pool.name.as_str()))
        .bind(column(&offers, |(_, position, _)| *position))
        .bind(column(&offers, |(.., offer)| offer.key.as_str()))
        .bind(column(&offers, |(.., offer)| offer.display_name.as_str()))
        .bind(column(&offers, |(.., offer)| offer.unit_price_cents))
        .bind(column(&offers, |(.., offer)| offer.return_buyback_price_cents))
        .bind(column(&offers, |(.., offer)| offer.pause_buyback_price_cents))
        .bind(column(&offers, |(.., offer)| offer.option_premium_cents))
        .execute(connection)
        .await?;
    Ok(())
}

fn constant(capacity: &Capacity) -> Option<i64> {
    match capacity {
        Capacity::Constant(quantity) => Some(i64::from(*quantity)),
        Capacity::Schedule(_) => None,
    }
}

fn schedule(capacity: &Capacity, of: impl Fn(&CapacityStep) -> String) -> Option<String> {
    match capacity {
        Capacity::Constant(_) => None,
        Capacity::Schedule(steps) => Some(array(steps.iter().map(of))),
    }
}

pub fn pool(row: &PgRow) -> Result<Pool, sqlx::Error> {
    Ok(Pool {
        name: parsed(row, "name", PoolName::parse)?,
        version: number::<i64, _>(row, "version")?,
        capacity: capacity(row)?,
        instance_type: maybe_parsed(row, "instance_type", Label::parse)?,
        region: maybe_parsed(row, "region", Label::parse)?,
        policy: policy(row)?,
        offers: offers(row)?,
        instance_spec: opaque(row, "instance_spec")?,
        tags: opaque(row, "tags")?,
        zones: zone::zones(row)?,
    })
}

fn capacity(row: &PgRow) -> Result<Capacity, sqlx::Error> {
    if let Some(quantity) = maybe_number::<i64, u32>(row, "capacity")? {
        return Ok(Capacity::Constant(quantity));
    }
    let instants: Vec<Instant> = get(row, "capacity_at")?;
    let quantities: Vec<i64> = get(row, "capacity_quantity")?;
    let step = |(effective_at, quantity): (Instant, i64)| {
        let quantity = u32::try_from(quantity).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok(CapacityStep { effective_at, quantity })
    };
    Ok(Capacity::Schedule(instants.into_iter().zip(quantities).map(step).collect::<Result<_, sqlx::Error>>()?))
}

fn policy(row: &PgRow) -> Result<Policy, sqlx::Error> {
    let seconds = |column| number::<i64, u32>(row, column);
    let maybe = |column| maybe_number::<i64, u32>(row, column);
    Ok(Policy {
        grain_seconds: seconds("grain_seconds")?,
        quantity_step: seconds("quantity_step")?,
        quantity_min: maybe("quantity_min")?,
        quantity_max: maybe("quantity_max")?,
        duration_min_seconds: maybe("duration_min_seconds")?,
        duration_max_seconds: maybe("duration_max_seconds")?,
        lead_time_seconds: seconds("lead_time_seconds")?,
        horizon_seconds: seconds("horizon_seconds")?,
        intervals_max: seconds("intervals_max")?,
        ending_soon_seconds: seconds("ending_soon_seconds")?,
        cancellable: get(row, "cancellable")?,
        extendable: get(row, "extendable")?,
        pausable: get(row, "pausable")?,
        reducible: get(row, "reducible")?,
        enabled: get(row, "enabled")?,
    })
}

fn offers(row: &PgRow) -> Result<Vec<Offer>, sqlx::Error> {
    let keys: Vec<String> = get(row, "offer_keys")?;
    let display_names: Vec<String> = get(row, "offer_display_names")?;
    let prices = |column| get::<Vec<i64>>(row, column);
    let (unit, back) = (prices("offer_unit_prices")?, prices("offer_return_prices")?);
    let (pause, premium) = (prices("offer_pause_prices")?, prices("offer_premiums")?);
    let label = |text: &String| Label::parse(text).ok_or_else(|| sqlx::Error::Decode("not a label".into()));
    let mut offers = Vec::with_capacity(keys.len());
    let texts = keys.iter().zip(&display_names);
    let amounts = unit.into_iter().zip(back).zip(pause.into_iter().zip(premium));
    for ((key, display_name), ((unit, back), (pause, premium))) in texts.zip(amounts) {
        offers.push(Offer {
            key: label(key)?,
            display_name: label(display_name)?,
            unit_price_cents: unit,
            return_buyback_price_cents: back,
            pause_buyback_price_cents: pause,
            option_premium_cents: premium,
        });
    }
    Ok(offers)
}

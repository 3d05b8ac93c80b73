//! What is asked before something is reserved, and what is answered, in the words of a table.

use berth::domain::look::{Availability, Find, Look, Looked, Mode, Quote, Quoted, Target};
use berth::domain::window::Interval;

use super::parse::{Words, instant, name, show_instant};
use super::show::window;

impl Words {
    /// `latest gpu 13:00 x4`, `slots gpu 12:00..16:00`, `fits gpu 13:00..14:00 x4`, `find gpu,big 12:00..16:00 x4
    /// for=3600 limit=3`, `quote gpu 13:00..14:00 x4`; `-` for no pool.
    pub fn look(&self) -> Look {
        let target = self.targets()[0].clone();
        let mode = |mode| Look::Availability(Availability { target: target.clone(), mode });
        match self.verb.as_str() {
            "latest" => {
                let quantity = self.words[2].strip_prefix('x').unwrap().parse().unwrap();
                mode(Mode::LatestEnd { start: instant(&self.words[1]), quantity })
            }
            "slots" => {
                let (earliest_start, latest_end) = self.window();
                mode(Mode::Slots { earliest_start, latest_end })
            }
            "fits" => mode(Mode::Check(self.intervals()[0])),
            "quote" => Look::Quote(Quote { target, window: self.intervals()[0] }),
            _ => Look::Find(self.find()),
        }
    }

    fn targets(&self) -> Vec<Target> {
        let target = |text: &str| Target { pool: (text != "-").then(|| name(text)), wanted_kind: self.wanted_kind() };
        self.subject().split(',').map(target).collect()
    }

    fn find(&self) -> Find {
        let Interval { start: earliest_start, end: latest_end, quantity } = self.intervals()[0];
        let targets = self.targets();
        Find {
            is_many: targets.len() > 1,
            targets,
            quantity,
            duration_seconds: self.number("for").unwrap(),
            earliest_start,
            latest_end,
            limit: self.number("limit").unwrap_or(10),
        }
    }
}

pub fn show(looked: &Looked) -> String {
    match looked {
        Looked::LatestEnd(end) => end.map_or_else(|| "none".to_owned(), show_instant),
        Looked::Check(is_available) => if *is_available { "yes" } else { "no" }.to_owned(),
        Looked::Slots(slots) => listed(slots.iter().map(interval)),
        Looked::Found(found) => listed(found.iter().map(|(found, pool)| match pool {
            Some(pool) => format!("{pool}:{}", window(found.start, found.end)),
            None => window(found.start, found.end),
        })),
        Looked::Extension { is_available, latest_end } => {
            format!("{} {}", if *is_available { "yes" } else { "no" }, show_instant(*latest_end))
        }
        Looked::Locks { locks, .. } => listed(locks.iter().map(|checked| {
            let holders = checked.holders.iter().filter_map(|holder| holder.lock());
            let holders: Vec<String> = holders.map(|lock| format!("{}:{}", lock.requester, lock.place())).collect();
            let state = if checked.is_reserved { "reserved" } else { "free" };
            format!("{state} waiting={} {}", checked.waiting, holders.join("+")).trim_end().to_owned()
        })),
        Looked::Quoted(offers) => listed(offers.iter().map(quoted)),
    }
}

fn listed(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "nothing".to_owned() } else { items.join(",") }
}

fn interval(it: &Interval) -> String {
    format!("{}x{}", window(it.start, it.end), it.quantity)
}

/// `key:price:return price`, then what the whole window costs and gives back.
fn quoted(it: &Quoted) -> String {
    let offer = &it.offer;
    let (price, back) = (offer.unit_price_cents, offer.return_buyback_price_cents);
    let (total, total_back) = (it.total_price_cents, it.total_return_cents);
    format!("{}:{price}:{back}={total}:{total_back}", offer.key)
}

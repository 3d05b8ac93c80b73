//! One line of a table: read, carried out, and what came of it in words.

mod look;
mod parse;
mod show;

use std::collections::BTreeMap;

use berth::domain::command::{Command, Method, Request, Siblings, Transact};
use berth::domain::hold::{Claim, Hold};
use berth::domain::id::{Actor, HoldId, Lane, Tenant};
use berth::domain::look::Look;
use berth::domain::outcome::{Answer, Outcome, Refusal, TransactItem};
use berth::domain::state::Changes;
use berth::domain::tick::as_of;
use berth::domain::window::Instant;
use uuid::Uuid;

use crate::world::{World, request};
use parse::Words;
pub use show::Shown;

pub struct Story {
    world: World,
    now: Instant,
    /// How many requests there were: the randomness of the next.
    count: u64,
    ids: BTreeMap<String, HoldId>,
}

impl Story {
    pub fn new() -> Story {
        let now = parse::instant("12:00");
        Story { world: World::new(now), now, count: 0, ids: BTreeMap::new() }
    }

    /// What the line is answered with, where it is, and its events.
    pub fn run(&mut self, line: &str) -> (Option<Shown>, Vec<String>) {
        let words = Words::read(line);
        match words.verb.as_str() {
            "==" => *self = Story::new(),
            "at" => {
                self.now = parse::instant(words.subject());
                self.world.set_now(self.now);
            }
            "tick" => {
                let until = words.option("until").map_or(self.now, parse::instant);
                let changes = self.world.tick(until);
                return (None, self.events(&changes));
            }
            "load" => {
                let (start, end) = words.window();
                let pool = parse::name(words.subject());
                let load = match words.zone() {
                    Some(zone) => self.world.lanes[&Lane::of_pool(&pool)].pools[&pool].peak(Some(&zone), start, end),
                    None => self.world.peak(&pool, start, end).unwrap(),
                };
                return (Some(Shown::fact(load.to_string())), Vec::new());
            }
            "used" => {
                let used = self.world.used(&Tenant::parse(words.subject()).unwrap());
                return (Some(Shown::fact(show::used(used, self.now))), Vec::new());
            }
            "as_of" => {
                let hold = as_of(self.world.holds[&self.id(words.subject())].clone(), self.now);
                return (Some(Shown::fact(show::hold(&hold))), Vec::new());
            }
            "instead" => return (Some(self.instead(line.trim_start_matches("instead "))), Vec::new()),
            _ => return self.command(line, &words),
        }
        (None, Vec::new())
    }

    fn command(&mut self, line: &str, words: &Words) -> (Option<Shown>, Vec<String>) {
        let command = self.read(line, words);
        self.count += 1;
        let mut request = request(words.option("tenant").unwrap_or("acme"), self.count, command);
        request.actor = words.option("actor").and_then(Actor::parse);
        request.not_after = words.option("not_after").map(parse::instant);
        request.is_dry_run = words.has("dry");
        let (outcomes, changes) = self.world.batch(std::slice::from_ref(&request));
        self.name_holds(line, &request, &outcomes[0]);
        let names = |id: HoldId| self.name_of(id).to_owned();
        (Some(show::outcome(&outcomes[0], &names)), self.events(&changes))
    }

    /// What the refusal of a command would offer in its place. Every offer has to be granted as it is.
    fn instead(&mut self, line: &str) -> Shown {
        let words = Words::read(line);
        let tenant = words.option("tenant").unwrap_or("acme");
        let mut asked = request(tenant, self.count + 1, self.read(line, &words));
        let siblings = words.option("siblings").map(|names| names.split(',').map(parse::name).collect());
        asked.siblings = Siblings { pools: siblings.unwrap_or_default(), are_locked: true };
        let outcome = self.dry_run(asked);
        let Err(Refusal::InsufficientCapacity { instead, .. }) = outcome else {
            return show::outcome(&outcome, &|id| self.name_of(id).to_owned());
        };
        for offer in &instead.offers {
            let granted = self.dry_run(request(tenant, self.count + 1, Command::Reserve(offer.request.clone())));
            assert!(granted.is_ok(), "{line}: {} is refused: {granted:?}", offer.reason.name());
        }
        Shown { text: show::instead(&instead), is_refusal: true }
    }

    fn dry_run(&mut self, request: Request) -> Outcome {
        self.world.batch(&[Request { is_dry_run: true, ..request }]).0.remove(0)
    }

    fn read(&self, line: &str, words: &Words) -> Command {
        match words.verb.as_str() {
            "several" => {
                let items = line.trim_start_matches("several ").split(" ; ");
                Command::Several(items.map(|item| self.read(item, &Words::read(item))).collect())
            }
            "transact" => {
                let (head, items) = line.split_once(" : ").unwrap();
                let items = items.split(" ; ").map(|item| self.read(item, &Words::read(item))).collect();
                let method = Method::parse(head.split_whitespace().nth(1).unwrap()).unwrap();
                Command::Transact(Transact { method, commands: items })
            }
            "unlock" | "renew" => words.lock_command(self.token(words)),
            verb => match verb {
                "latest" | "slots" | "fits" | "find" | "quote" => Command::Look(words.look()),
                "extension" => Command::Look(Look::Extension(self.id(words.subject()))),
                "confirm" | "extend" | "terminate" | "cancel" | "update" | "reservation_terminate" => {
                    words.change(self.id(words.subject()), |n| self.id(n))
                }
                _ => words.new_thing(),
            },
        }
    }

    /// Remembers what a line calls the hold that it makes: the reservation's name, or `as=` for a lock's claim.
    fn name_holds(&mut self, line: &str, request: &Request, outcome: &Outcome) {
        let items = line.split_once(" : ").map_or(line.trim_start_matches("several "), |(_, items)| items);
        let names = items.split(" ; ").map(|item| {
            let words = Words::read(item);
            match words.option("as") {
                Some(name) => name.to_owned(),
                None => words.subject().to_owned(),
            }
        });
        let outcomes = match (&request.command, outcome) {
            (Command::Several(_), Ok(Answer::Several(outcomes))) => outcomes.clone(),
            (Command::Transact(_), Ok(Answer::Transacted(transacted))) => {
                let outcome = |item: &TransactItem| match item {
                    TransactItem::Decided(outcome) => outcome.clone(),
                    _ => Err(Refusal::NotFound),
                };
                transacted.results.iter().map(outcome).collect()
            }
            _ => vec![outcome.clone()],
        };
        for (name, outcome) in names.zip(outcomes) {
            match outcome {
                Ok(Answer::Reservation(hold)) => self.ids.insert(name, hold.id),
                Ok(Answer::Lock(answer)) => answer.claim.and_then(|claim| self.ids.insert(name, claim.id)),
                _ => None,
            };
        }
    }

    fn id(&self, name: &str) -> HoldId {
        self.ids.get(name).copied().unwrap_or_else(|| HoldId::from_uuid(Uuid::from_u128(name.len() as u128)))
    }

    /// The token of the claim that `token=` names; another one for a name that nothing has.
    fn token(&self, words: &Words) -> Uuid {
        let hold: Option<&Hold> = words.option("token").and_then(|name| self.world.holds.get(&self.id(name)));
        match hold.map(|hold| &hold.claim) {
            Some(Claim::Lock(lock)) => lock.release_token,
            _ => Uuid::nil(),
        }
    }

    fn name_of(&self, id: HoldId) -> &str {
        self.ids.iter().find(|(_, known)| **known == id).map_or("?", |(name, _)| name)
    }

    fn events(&self, changes: &Changes) -> Vec<String> {
        changes.events.iter().map(|event| show::event(event, self.name_of(event.hold.id))).collect()
    }
}

//! What is asked for: one kind of request, or several with weights.

use std::fmt;
use std::str::FromStr;

/// A kind of load. `PoolPut` makes the pools of a run, and can't be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Reserve,
    Extend,
    Cancel,
    Get,
    Availability,
    Lock,
    LockUnlock,
    PoolPut,
}

impl Kind {
    const ASKED: [Kind; 7] =
        [Kind::Reserve, Kind::Extend, Kind::Cancel, Kind::Get, Kind::Availability, Kind::Lock, Kind::LockUnlock];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Reserve => "reserve",
            Kind::Extend => "extend",
            Kind::Cancel => "cancel",
            Kind::Get => "get",
            Kind::Availability => "availability",
            Kind::Lock => "lock",
            Kind::LockUnlock => "lock-unlock",
            Kind::PoolPut => "pool_put",
        }
    }

    fn is_lock(self) -> bool {
        matches!(self, Kind::Lock | Kind::LockUnlock)
    }
}

/// Kinds with their weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    parts: Vec<(Kind, u32)>,
    total: u64,
}

impl Mix {
    pub fn of(kind: Kind) -> Mix {
        Mix { parts: vec![(kind, 1)], total: 1 }
    }

    /// The kind that a random number stands for.
    pub fn pick(&self, random: u64) -> Kind {
        let mut rest = random % self.total;
        for (kind, weight) in &self.parts {
            match rest.checked_sub(u64::from(*weight)) {
                Some(behind) => rest = behind,
                None => return *kind,
            }
        }
        Kind::Reserve // not reached: the weights add up to the total
    }

    pub fn needs_pools(&self) -> bool {
        !self.parts.iter().all(|(kind, _)| kind.is_lock())
    }

    pub fn has_locks(&self) -> bool {
        self.parts.iter().any(|(kind, _)| kind.is_lock())
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts.as_slice() {
            [(kind, _)] => f.write_str(kind.name()),
            parts => {
                let parts: Vec<String> =
                    parts.iter().map(|(kind, weight)| format!("{}={weight}", kind.name())).collect();
                f.write_str(&parts.join(","))
            }
        }
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Mix, String> {
        let mut parts: Vec<(Kind, u32)> = Vec::new();
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let kind = Kind::ASKED
                .into_iter()
                .find(|kind| kind.name() == name)
                .ok_or_else(|| format!("'{name}' is none of {}", Kind::ASKED.map(Kind::name).join(", ")))?;
            let weight = weight.parse().ok().filter(|weight| *weight > 0);
            let weight = weight.ok_or_else(|| format!("the weight of {name} is not a number from 1 on"))?;
            if parts.iter().any(|(other, _)| *other == kind) {
                return Err(format!("{name} stands twice"));
            }
            parts.push((kind, weight));
        }
        let total = parts.iter().map(|(_, weight)| u64::from(*weight)).sum();
        Ok(Mix { parts, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_read_and_shown_as_it_was_written() {
        for text in ["reserve", "lock-unlock", "reserve=7,availability=2,get=1"] {
            assert_eq!(text.parse::<Mix>().unwrap().to_string(), text);
        }
        assert_eq!("reserve=5".parse::<Mix>().unwrap().to_string(), "reserve");
        assert_eq!("get,extend=2".parse::<Mix>().unwrap().to_string(), "get=1,extend=2");
    }

    #[test]
    fn what_is_no_mix_is_refused() {
        for (text, told) in [
            ("", "'' is none of reserve, extend, cancel, get, availability, lock, lock-unlock"),
            ("pool_put", "'pool_put' is none of reserve, extend, cancel, get, availability, lock, lock-unlock"),
            ("reserve=0", "the weight of reserve is not a number from 1 on"),
            ("reserve=x", "the weight of reserve is not a number from 1 on"),
            ("reserve,get,reserve", "reserve stands twice"),
        ] {
            assert_eq!(text.parse::<Mix>(), Err(told.to_owned()));
        }
    }

    #[test]
    fn each_kind_comes_as_often_as_it_weighs() {
        let mix: Mix = "reserve=7,availability=2,get=1".parse().unwrap();
        let count = |kind| (0..1000).filter(|random| mix.pick(*random) == kind).count();
        assert_eq!([Kind::Reserve, Kind::Availability, Kind::Get, Kind::Lock].map(count), [700, 200, 100, 0]);
    }

    #[test]
    fn only_locks_need_no_pools() {
        let mix = |text: &str| text.parse::<Mix>().unwrap();
        assert!(!mix("lock,lock-unlock").needs_pools() && mix("lock,get").needs_pools());
        assert!(mix("lock,get").has_locks() && !mix("reserve,get").has_locks());
    }
}

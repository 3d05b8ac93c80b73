//! What the README says of settings, limits, metrics and files is so.

use berth::config::WorkerConfig;
use berth::domain::lock::{BLOCKS_MAX, DEPTH_MAX, PLACES_MAX, RELATED_MAX, WAITERS_MAX};
use berth::domain::resource::{CAPACITY_MAX, GRAIN_MAX_SECONDS, PRICE_MAX_CENTS, Policy, QUANTITY_MAX};
use berth::wire::request::PAYLOAD_MAX;
use berth::wire::verb::Verb;

use crate::book::page;

/// The cells of every table's rows.
fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|line| line.split(" | ").map(str::trim).collect())
        .collect()
}

#[test]
fn every_setting_has_the_default_that_the_readme_gives() {
    let text = page("README.md");
    let command = <WorkerConfig as clap::Args>::augment_args(clap::Command::new("berth"));
    let mut count = 0;
    for row in rows(&text) {
        let Some(name) = row[0].strip_prefix("`BERTH_").and_then(|name| name.strip_suffix('`')) else { continue };
        let name = format!("BERTH_{name}");
        let argument = command.get_arguments().find(|argument| argument.get_env().is_some_and(|env| env == &*name));
        let argument = argument.unwrap_or_else(|| panic!("no setting {name}"));
        let default: Vec<&str> = argument.get_default_values().iter().filter_map(|value| value.to_str()).collect();
        assert_eq!(default, [row[1]], "{name}");
        count += 1;
    }
    assert!(count >= 8, "{count}");
}

const OF_RESOURCES: &str = "slots of a resource; what it blocks; levels of a tree; resources that hang together";

#[test]
fn the_limits_of_the_readme_are_those_of_the_code() {
    let text = page("README.md");
    let (_, limits) = text.split_once("\n## Limits\n").unwrap();
    let (limits, _) = limits.split_once("\n## ").unwrap();
    let stated: [(&str, i64); 11] = [
        ("a request's payload", PAYLOAD_MAX as i64),
        ("units of one reservation", QUANTITY_MAX.into()),
        ("capacity of a pool", CAPACITY_MAX.into()),
        ("intervals of one reservation", Policy::default().intervals_max.into()),
        ("grain of a pool", GRAIN_MAX_SECONDS.into()),
        ("price of a unit-hour", PRICE_MAX_CENTS),
        (OF_RESOURCES, PLACES_MAX.into()),
        (OF_RESOURCES, BLOCKS_MAX as i64),
        (OF_RESOURCES, DEPTH_MAX as i64),
        (OF_RESOURCES, RELATED_MAX as i64),
        ("waiters for one lock; how long one waits", WAITERS_MAX as i64),
    ];
    for (what, limit) in stated {
        let row = rows(limits).into_iter().find(|row| row[0] == what).unwrap_or_else(|| panic!("no row {what}"));
        let numbers = row[1].split(|c: char| !c.is_ascii_digit() && c != ',');
        let numbers: Vec<i64> = numbers.filter_map(|number| number.replace(',', "").parse().ok()).collect();
        assert!(numbers.contains(&limit), "{what}: the code has {limit}, the README {}", row[1]);
    }
}

#[test]
fn every_verb_metric_and_file_that_the_readme_names_is_there() {
    let text = page("README.md");
    for verb in Verb::ALL {
        assert!(text.contains(&format!("`{}`", verb.name())), "the README does not name {}", verb.name());
    }
    let metrics = page("src/telemetry/metrics.rs");
    let names = text.split('`').filter(|word| word.starts_with("berth_"));
    let unknown: Vec<&str> = names.filter(|name| !metrics.contains(&format!("`{name}"))).collect();
    assert_eq!(unknown, Vec::<&str>::new());
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["README.md", "docs/contract.md"] {
        let text = page(name);
        let folder = root.join(name).parent().unwrap().to_owned();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in links.filter(|link| !link.contains("://")) {
            let file = link.split('#').next().unwrap();
            assert!(folder.join(file).exists(), "{name} leads to {link}");
        }
    }
}

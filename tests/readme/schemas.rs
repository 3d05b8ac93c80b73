//! The published schemas, `schemas/v1`, as a client would load them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jsonschema::{Registry, Validator};
use serde_json::Value;

pub struct Schemas(BTreeMap<String, Validator>);

impl Schemas {
    pub fn load() -> Schemas {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas/v1");
        let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let read = |name: String| {
            let text = std::fs::read_to_string(folder.join(&name)).unwrap();
            (name, serde_json::from_str::<Value>(&text).unwrap())
        };
        let documents: Vec<(String, Value)> = names.filter(|name| name != "asyncapi.json").map(read).collect();
        let mut registry = Registry::new();
        for (_, document) in &documents {
            registry = registry.add(document["$id"].as_str().unwrap(), document.clone()).unwrap();
        }
        let registry = registry.prepare().unwrap();
        let build = |(name, document): &(String, Value)| {
            let validator = jsonschema::options().with_registry(&registry).build(document);
            (name.clone(), validator.unwrap_or_else(|error| panic!("{name}: {error}")))
        };
        Schemas(documents.iter().map(build).collect())
    }

    /// `Err`: every fault that the schema of this name finds.
    pub fn check(&self, name: &str, value: &Value) -> Result<(), String> {
        let schema = self.0.get(name).unwrap_or_else(|| panic!("there is no schema {name}"));
        let faults: Vec<String> =
            schema.iter_errors(value).map(|fault| format!("{fault} at {}", fault.instance_path())).collect();
        if faults.is_empty() { Ok(()) } else { Err(format!("{name}: {}", faults.join("; "))) }
    }
}

//! The resources that tenants have registered, and how they hang together: as trees, and by what is taken with what.

use std::collections::{BTreeMap, BTreeSet};

use super::id::{Lane, ResourceName, Tenant};
use super::lock::Resource;
use super::resource::LockName;

/// The registered resources of one lane: those of some tenants, each wholly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    resources: BTreeMap<LockName, Resource>,
    /// The other ends of `parent`, and of `blocks` and `former_blocks`.
    parts: BTreeMap<LockName, BTreeSet<ResourceName>>,
    blocked_by: BTreeMap<LockName, BTreeSet<ResourceName>>,
}

impl Registry {
    pub fn get(&self, name: &LockName) -> Option<&Resource> {
        self.resources.get(name)
    }

    /// How many may hold it at once.
    pub fn capacity(&self, name: &LockName) -> u32 {
        self.get(name).map_or(1, |resource| resource.capacity)
    }

    /// Gives what there was.
    pub fn put(&mut self, resource: Resource) -> Option<Resource> {
        let name = resource.lock_name();
        let before = self.remove(&name);
        if let Some(parent) = &resource.parent {
            self.parts.entry(name.sibling(parent)).or_default().insert(name.resource.clone());
        }
        for blocked in resource.blocks.iter().chain(&resource.former_blocks) {
            self.blocked_by.entry(name.sibling(blocked)).or_default().insert(name.resource.clone());
        }
        self.resources.insert(name, resource);
        before
    }

    pub fn remove(&mut self, name: &LockName) -> Option<Resource> {
        let before = self.resources.remove(name)?;
        if let Some(parent) = &before.parent {
            take_out(&mut self.parts, name.sibling(parent), &name.resource);
        }
        for blocked in before.blocks.iter().chain(&before.former_blocks) {
            take_out(&mut self.blocked_by, name.sibling(blocked), &name.resource);
        }
        Some(before)
    }

    /// What it is a part of, nearest first.
    pub fn ancestors<'a>(&'a self, name: &LockName) -> impl Iterator<Item = &'a ResourceName> {
        let tenant = name.tenant.clone();
        let parent = move |tenant: &Tenant, resource: &ResourceName| {
            let name = LockName { tenant: tenant.clone(), resource: resource.clone() };
            self.get(&name).and_then(|resource| resource.parent.as_ref())
        };
        std::iter::successors(parent(&tenant, &name.resource), move |resource| parent(&tenant, resource))
    }

    /// What is a part of it, directly or not.
    pub fn descendants<'a>(&'a self, name: &LockName) -> impl Iterator<Item = &'a ResourceName> {
        let mut found: Vec<&ResourceName> = self.parts.get(name).into_iter().flatten().collect();
        let mut next = 0;
        while let Some(resource) = found.get(next) {
            found.extend(self.parts.get(&name.sibling(resource)).into_iter().flatten());
            next += 1;
        }
        found.into_iter()
    }

    /// Does it stand above itself? Has to be asked after each change of a parent, before its ancestors are.
    pub fn is_in_circle(&self, name: &LockName) -> bool {
        self.ancestors(name).take(self.resources.len()).any(|ancestor| *ancestor == name.resource)
    }

    /// Has it to be held with itself?
    pub fn blocks_itself(&self, name: &LockName) -> bool {
        let blocks_it = |by: &LockName| self.get(by).is_some_and(|resource| resource.blocks.contains(&name.resource));
        blocks_it(name) || self.blockers(name).iter().any(|blocker| blocks_it(&name.sibling(blocker)))
    }

    /// The names from the root to its own; empty where it stands in no tree.
    pub fn path(&self, name: &LockName) -> Vec<ResourceName> {
        let mut path: Vec<ResourceName> = self.ancestors(name).cloned().collect();
        if path.is_empty() && !self.parts.contains_key(name) {
            return path;
        }
        path.reverse();
        path.push(name.resource.clone());
        path
    }

    /// All that has to be held with it, sorted.
    pub fn blockers(&self, name: &LockName) -> Vec<ResourceName> {
        let mut found = BTreeSet::new();
        let mut left = vec![name.clone()];
        while let Some(next) = left.pop() {
            for blocked in self.get(&next).map_or(&[][..], |resource| &resource.blocks) {
                if *blocked != name.resource && found.insert(blocked.clone()) {
                    left.push(name.sibling(blocked));
                }
            }
        }
        found.into_iter().collect()
    }

    /// Is it the name of a place of a resource that has several?
    pub fn is_place(&self, name: &LockName) -> bool {
        self.place(name).is_some()
    }

    /// The resource that has a place of this name, and which place that is.
    pub fn place(&self, name: &LockName) -> Option<(&Resource, u32)> {
        let (resource, number) = name.resource.as_str().rsplit_once('_')?;
        let is_number = number == "0" || !number.starts_with(['0', '+']);
        let place = number.parse::<u32>().ok().filter(|_| is_number)?;
        let resource = self.get(&name.sibling(&ResourceName::parse(resource)?))?;
        (resource.capacity > 1 && place < resource.capacity).then_some((resource, place))
    }

    /// All that a claim on it can come to depend on: what stands with it in trees, or is taken with what.
    pub fn related(&self, name: &LockName) -> BTreeSet<LockName> {
        let mut found = BTreeSet::from([name.clone()]);
        let mut left = if self.resources.is_empty() { Vec::new() } else { vec![name.clone()] };
        while let Some(next) = left.pop() {
            for neighbour in self.neighbours(&next) {
                let neighbour = next.sibling(neighbour);
                if found.insert(neighbour.clone()) {
                    left.push(neighbour);
                }
            }
        }
        found
    }

    fn neighbours<'a>(&'a self, name: &LockName) -> impl Iterator<Item = &'a ResourceName> {
        let own = self
            .get(name)
            .into_iter()
            .flat_map(|resource| resource.parent.iter().chain(&resource.blocks).chain(&resource.former_blocks));
        let others = [self.parts.get(name), self.blocked_by.get(name)].into_iter().flatten().flatten();
        own.chain(others).chain(self.place(name).map(|(resource, _)| &resource.name))
    }
}

/// All that claims on these names can come to depend on, by what is registered in their lanes.
pub fn related<'n, 'r>(
    names: impl IntoIterator<Item = &'n LockName>,
    registry: impl Fn(Lane) -> Option<&'r Registry>,
) -> BTreeSet<LockName> {
    let mut related = BTreeSet::new();
    for name in names {
        match registry(name.lane()) {
            Some(registry) if !related.contains(name) => related.extend(registry.related(name)),
            _ => drop(related.insert(name.clone())),
        }
    }
    related
}

fn take_out(map: &mut BTreeMap<LockName, BTreeSet<ResourceName>>, key: LockName, name: &ResourceName) {
    if let Some(names) = map.get_mut(&key) {
        names.remove(name);
        if names.is_empty() {
            map.remove(&key);
        }
    }
}

//! Hashes of keys: each is one, and each says who asks. A key that two have would make the caller whoever stands last
//! in the file; one that a tenant shares with the admin listener shows that tenant everyone's decisions, which a
//! warning says.

use std::collections::BTreeMap;

use super::{Check, Place, Spot};
use crate::auth::KeyHash;

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner<'c> {
    Admin,
    Tenant(&'c str),
}

impl<'c> Check<'c> {
    /// Keys of tenants and of the admin listener.
    pub(super) fn keys(&mut self) {
        let mut found: Vec<(Place, Owner<'c>, KeyHash)> = Vec::new();
        let admin = self.tree.get("server").and_then(|s| s.get("admin_keys"));
        self.hashes(Owner::Admin, &self.config.server.admin_keys, admin, &mut found);
        for (tenant, spot) in self.config.tenants.iter().zip(self.good("tenants")) {
            self.hashes(Owner::Tenant(&tenant.name), &tenant.keys, spot.get("keys"), &mut found);
        }
        found.sort_by_key(|(place, ..)| *place);
        let mut first = BTreeMap::new();
        for (place, owner, hash) in found {
            // written anew, so that the case of its letters makes no difference
            match first.get(&hash.to_string()) {
                Some(other) => self.twice(place, *other, owner),
                None => {
                    first.insert(hash.to_string(), owner);
                }
            }
        }
    }

    fn hashes(
        &mut self,
        owner: Owner<'c>,
        keys: &[String],
        list: Option<&Spot>,
        found: &mut Vec<(Place, Owner<'c>, KeyHash)>,
    ) {
        for (index, key) in keys.iter().enumerate() {
            let place = list.and_then(|l| l.item(index)).map_or_else(Place::default, |s| s.place);
            if let Some(hash) = KeyHash::parse(key) {
                found.push((place, owner, hash));
            } else {
                let help = "keys are kept hashed: `mixgate hash-key` reads a key and prints `sha256:` and 64 hex digits";
                self.faults.push(place, "this is no hash of a key", help);
            }
        }
    }

    fn twice(&mut self, place: Place, first: Owner<'_>, second: Owner<'_>) {
        let (what, help) = match (first, second) {
            (Owner::Admin, Owner::Admin) => {
                ("`admin_keys` has this key twice".to_owned(), "take one of them out")
            }
            (Owner::Tenant(one), Owner::Tenant(other)) if one == other => {
                (format!("the tenant `{one}` has this key twice"), "take one of them out")
            }
            (Owner::Tenant(one), Owner::Tenant(other)) => (
                format!("the tenants `{one}` and `{other}` have the same key"),
                "a key says who asks: give each tenant its own (`mixgate hash-key`)",
            ),
            (Owner::Tenant(tenant), Owner::Admin) | (Owner::Admin, Owner::Tenant(tenant)) => {
                return self.warnings.push(format!(
                    "the tenant `{tenant}` and the admin listener have the same key: it can read everyone's decisions; \
                     give the admin listener a key of its own"
                ));
            }
        };
        self.faults.push(place, what, help);
    }
}

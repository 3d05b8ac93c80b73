//! The verbs: the last token of a request's subject.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    Reserve,
    Confirm,
    Extend,
    Terminate,
    Cancel,
    Update,
    Get,
    List,
    Availability,
    Find,
    ExtensionAvailability,
    Quote,
    Pools,
    History,
    Usage,
    Schedule,
    Lock,
    Unlock,
    Renew,
    Transact,
    Register,
    Resources,
    Locks,
    Check,
    Verify,
    Receipt,
    PoolPut,
    PoolGet,
    PoolList,
    TenantPut,
    TenantGet,
    Quota,
    ReservationTerminate,
    LockRelease,
}

impl Verb {
    pub const ALL: [Verb; 34] = [
        Verb::Reserve,
        Verb::Confirm,
        Verb::Extend,
        Verb::Terminate,
        Verb::Cancel,
        Verb::Update,
        Verb::Get,
        Verb::List,
        Verb::Availability,
        Verb::Find,
        Verb::ExtensionAvailability,
        Verb::Quote,
        Verb::Pools,
        Verb::History,
        Verb::Usage,
        Verb::Schedule,
        Verb::Lock,
        Verb::Unlock,
        Verb::Renew,
        Verb::Transact,
        Verb::Register,
        Verb::Resources,
        Verb::Locks,
        Verb::Check,
        Verb::Verify,
        Verb::Receipt,
        Verb::PoolPut,
        Verb::PoolGet,
        Verb::PoolList,
        Verb::TenantPut,
        Verb::TenantGet,
        Verb::Quota,
        Verb::ReservationTerminate,
        Verb::LockRelease,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Verb::Reserve => "reserve",
            Verb::Confirm => "confirm",
            Verb::Extend => "extend",
            Verb::Terminate => "terminate",
            Verb::Cancel => "cancel",
            Verb::Update => "update",
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Availability => "availability",
            Verb::Find => "find",
            Verb::ExtensionAvailability => "extension_availability",
            Verb::Quote => "quote",
            Verb::Pools => "pools",
            Verb::History => "history",
            Verb::Usage => "usage",
            Verb::Schedule => "schedule",
            Verb::Lock => "lock",
            Verb::Unlock => "unlock",
            Verb::Renew => "renew",
            Verb::Transact => "transact",
            Verb::Register => "register",
            Verb::Resources => "resources",
            Verb::Locks => "locks",
            Verb::Check => "check",
            Verb::Verify => "verify",
            Verb::Receipt => "receipt",
            Verb::PoolPut => "pool_put",
            Verb::PoolGet => "pool_get",
            Verb::PoolList => "pool_list",
            Verb::TenantPut => "tenant_put",
            Verb::TenantGet => "tenant_get",
            Verb::Quota => "quota",
            Verb::ReservationTerminate => "reservation_terminate",
            Verb::LockRelease => "lock_release",
        }
    }

    pub fn parse(name: &str) -> Option<Verb> {
        Verb::ALL.into_iter().find(|verb| verb.name() == name)
    }

    /// Is it the operator's (`berth.admin.v1.<verb>`) and not a tenant's?
    pub fn is_admin(self) -> bool {
        matches!(
            self,
            Verb::PoolPut
                | Verb::PoolGet
                | Verb::PoolList
                | Verb::TenantPut
                | Verb::TenantGet
                | Verb::ReservationTerminate
                | Verb::LockRelease
        )
    }

    /// Does it change anything? Only mutations have receipts.
    pub fn is_mutation(self) -> bool {
        !matches!(
            self,
            Verb::Get
                | Verb::List
                | Verb::History
                | Verb::Usage
                | Verb::Schedule
                | Verb::Resources
                | Verb::Locks
                | Verb::Check
                | Verb::Verify
                | Verb::Receipt
                | Verb::PoolGet
                | Verb::PoolList
                | Verb::TenantGet
                | Verb::Quota
        ) && !self.is_look()
    }

    /// Is it asked before something is reserved?
    fn is_look(self) -> bool {
        matches!(self, Verb::Availability | Verb::Find | Verb::ExtensionAvailability | Verb::Quote | Verb::Pools)
    }
}

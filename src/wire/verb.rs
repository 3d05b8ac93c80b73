//! The verbs: the last token of a request's subject.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    Reserve,
    Confirm,
    Extend,
    Terminate,
    Cancel,
    Get,
    List,
    Lock,
    Unlock,
    Renew,
    Check,
    Verify,
    Receipt,
    PoolPut,
    PoolGet,
    PoolList,
    ReservationTerminate,
    LockRelease,
}

impl Verb {
    pub const ALL: [Verb; 18] = [
        Verb::Reserve,
        Verb::Confirm,
        Verb::Extend,
        Verb::Terminate,
        Verb::Cancel,
        Verb::Get,
        Verb::List,
        Verb::Lock,
        Verb::Unlock,
        Verb::Renew,
        Verb::Check,
        Verb::Verify,
        Verb::Receipt,
        Verb::PoolPut,
        Verb::PoolGet,
        Verb::PoolList,
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
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Lock => "lock",
            Verb::Unlock => "unlock",
            Verb::Renew => "renew",
            Verb::Check => "check",
            Verb::Verify => "verify",
            Verb::Receipt => "receipt",
            Verb::PoolPut => "pool_put",
            Verb::PoolGet => "pool_get",
            Verb::PoolList => "pool_list",
            Verb::ReservationTerminate => "reservation_terminate",
            Verb::LockRelease => "lock_release",
        }
    }

    pub fn parse(name: &str) -> Option<Verb> {
        Verb::ALL.into_iter().find(|verb| verb.name() == name)
    }

    /// Is it the operator's (`berth.admin.v1.<verb>`) and not a tenant's?
    pub fn is_admin(self) -> bool {
        matches!(self, Verb::PoolPut | Verb::PoolGet | Verb::PoolList | Verb::ReservationTerminate | Verb::LockRelease)
    }

    /// Does it change anything? Only mutations have receipts.
    pub fn is_mutation(self) -> bool {
        !matches!(
            self,
            Verb::Get | Verb::List | Verb::Check | Verb::Verify | Verb::Receipt | Verb::PoolGet | Verb::PoolList
        )
    }
}

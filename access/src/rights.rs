//! What one user may do.

use std::fmt;
use std::sync::Arc;

use crate::action::{Access, Action};
use crate::built_in::ADMINISTRATOR;
use crate::objects::{Membership, Objects};
use crate::pattern::Pattern;
use crate::permission::{Effect, Permission};
use crate::policy::{Grant, Grantee, can_be_limited};
use crate::scope::Scope;

/// A permission of a role, with the patterns of what it applies to.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) permission: Permission,
    pub(crate) objects: Objects,
}

/// The rules of a role, by their actions.
#[derive(Debug, Default)]
pub(crate) struct Role {
    rules: Box<[Rule]>,
    /// Where those of each action end, in the order of [`Action::ALL`].
    ends: [usize; Action::ALL.len()],
    /// The number of patterns of each action.
    patterns: [usize; Action::ALL.len()],
}

impl Role {
    /// Sorts rules by their actions. Those of one action stay in their order.
    pub(crate) fn new(mut rules: Vec<Rule>) -> Self {
        rules.sort_by_key(|rule| rule.permission.action);
        let until = |action| rules.partition_point(|rule| rule.permission.action <= action);
        let (ends, mut patterns) = (Action::ALL.map(until), [0; Action::ALL.len()]);
        for rule in &rules {
            patterns[rule.permission.action as usize] += rule.objects.len();
        }
        Self {
            rules: rules.into(),
            ends,
            patterns,
        }
    }

    fn of(&self, action: Action) -> &[Rule] {
        let index = action as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.rules[start..self.ends[index]]
    }
}

/// Where a role comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Grant(Arc<Grant>),
    /// The user is an administrator.
    Administrator,
    /// No grant: there are no rules, or it is a token's restriction.
    None,
}

/// A role that a user has.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) source: Source,
    pub(crate) role: Arc<Role>,
    /// What the grant is limited to; `None` if it is not limited.
    pub(crate) on: Option<Objects>,
    pub(crate) until: Option<i64>,
}

impl Held {
    /// Returns the number of patterns with which an access is compared.
    pub(crate) fn comparisons(&self, action: Action) -> usize {
        match self.role.patterns[action as usize] {
            0 => 0,
            patterns => patterns + self.on.as_ref().map_or(0, Objects::len),
        }
    }

    /// Returns whether the role has rules for the action, and the limits of the grant include the
    /// object.
    fn includes(&self, action: Action, object: &str) -> bool {
        match &self.on {
            _ if self.role.of(action).is_empty() => false,
            None => true,
            Some(on) => can_be_limited(action) && on.include(action, object),
        }
    }
}

impl Rule {
    /// Returns whether it is for that action and object, with some attribute.
    fn applies(&self, action: Action, object: &str) -> bool {
        self.permission.action == action && self.objects.include(action, object)
    }

    /// Returns the pattern of attributes: only requests to services have any.
    fn attributes(&self) -> Pattern {
        if self.permission.action.has_attribute() {
            self.permission.attribute.clone()
        } else {
            Pattern::everything()
        }
    }

    /// Returns whether it is for an access, without regard to its grant.
    fn is_for(&self, access: &Access<'_>) -> bool {
        self.applies(access.action, access.object) && self.allows_attribute(access)
    }

    /// Returns whether it allows an access without approval, without regard to its grant.
    fn allows(&self, access: &Access<'_>) -> bool {
        self.permission.effect == Effect::Allow && self.is_for(access)
    }

    /// Returns whether an access that it applies to has an attribute that matches.
    fn allows_attribute(&self, access: &Access<'_>) -> bool {
        !access.action.has_attribute() || self.permission.attribute.matches(access.attribute)
    }
}

/// The end of a grant is not part of it.
fn has_ended(until: Option<i64>, now: i64) -> bool {
    until.is_some_and(|until| now >= until)
}

/// Until when something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Until {
    /// It is not allowed.
    Never,
    /// Until a time in seconds since 1970, which is not included.
    Time(i64),
    /// Without an end.
    Always,
}

impl Until {
    fn of(until: Option<i64>) -> Self {
        until.map_or(Self::Always, Self::Time)
    }

    /// Returns whether it is allowed. `now` returns the present in seconds since 1970; it is called
    /// only if there is an end.
    #[inline]
    pub fn includes(self, now: impl FnOnce() -> i64) -> bool {
        match self {
            Self::Never => false,
            Self::Time(end) => now() < end,
            Self::Always => true,
        }
    }
}

/// The decision about an access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is allowed, or waits for approval.
    Allowed {
        /// What happens to the request: the strictest of what the rights and their limits say.
        effect: Effect,
        /// The first rule of the rights that allows it; if none does, the first that asks.
        reason: Reason,
    },
    /// It is refused.
    Denied {
        /// The permission that is missing, such as `call DMM.read`.
        missing: String,
    },
}

impl Decision {
    /// Returns whether it is allowed without approval.
    pub fn is_allowed(&self) -> bool {
        self.effect() == Some(Effect::Allow)
    }

    /// Returns what happens to the request; `None` if it is refused.
    pub fn effect(&self) -> Option<Effect> {
        match self {
            Self::Allowed { effect, .. } => Some(*effect),
            Self::Denied { .. } => None,
        }
    }
}

/// What a permission of a granted role means for an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It allows it.
    Allows,
    /// It lets it wait for approval.
    Asks,
    /// It would allow it, but the grant has ended.
    Ended,
    /// The grant is limited to other services or topics; or it is limited, and the access is an
    /// administrator's request.
    OutsideGrant,
    /// The permission is for other services, topics or requests.
    OtherObject,
    /// The permission is for other attributes.
    OtherAttribute,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Allows => "allows",
            Self::Asks => "asks",
            Self::Ended => "ended",
            Self::OutsideGrant => "outside the grant",
            Self::OtherObject => "other object",
            Self::OtherAttribute => "other attribute",
        })
    }
}

/// A permission of a granted role, and what it means for an access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The grant that gives the role; `None` if the user has it as an administrator, or without rules.
    pub grant: Option<Arc<Grant>>,
    /// The permission.
    pub permission: Permission,
    /// What it means for the access.
    pub verdict: Verdict,
    /// In which of the sets that the permission and the grant name the object is, each set once.
    pub memberships: Vec<Membership>,
}

impl fmt::Display for Reason {
    /// Writes the rule without the verdict: `grant 3, role operator to the user ada on @bench3: call (in bench3 by
    /// DMM*)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.grant {
            None => write!(formatter, "the user is an administrator")?,
            Some(grant) => {
                let (kind, name) = match &grant.to {
                    Grantee::User(name) => ("user", name),
                    Grantee::Group(name) => ("group", name),
                };
                let Grant { id, role, on, .. } = &**grant;
                write!(formatter, "grant {id}, role {role} to the {kind} {name}")?;
                if !on.is_everything() {
                    write!(formatter, " on {on}")?;
                }
            }
        }
        write!(formatter, ": {}", self.permission)?;
        if !self.memberships.is_empty() {
            let memberships = self.memberships.iter().map(Membership::to_string);
            write!(formatter, " ({})", memberships.collect::<Vec<_>>().join(", "))?;
        }
        Ok(())
    }
}

/// What one user may do, at any time: ends of grants are compared with the present at each
/// decision. The default is nothing.
#[derive(Debug, Default)]
pub struct Rights {
    held: Box<[Held]>,
    comparisons: [usize; Action::ALL.len()],
    /// What a token allows of it; `None` without a token.
    within: Option<Arc<Rights>>,
}

impl Rights {
    pub(crate) fn new(held: Vec<Held>, comparisons: [usize; Action::ALL.len()]) -> Self {
        Self {
            held: held.into(),
            comparisons,
            within: None,
        }
    }

    /// Returns the number of patterns with which an access is compared before it is refused.
    pub fn comparisons(&self, action: Action) -> usize {
        let within = self.within.as_ref();
        self.comparisons[action as usize] + within.map_or(0, |within| within.comparisons(action))
    }

    /// Returns the rights to do everything, those of everybody in a manager without rules.
    pub fn everything() -> Self {
        Self::of(&Action::ALL.map(Permission::everything), None)
    }

    /// Returns the rights that permissions give without a grant, until a time in seconds since 1970:
    /// those of a token. A permission for a set allows nothing, since there are no sets here.
    pub fn of(permissions: &[Permission], until: Option<i64>) -> Self {
        let rule = |permission: &Permission| {
            let objects = match &permission.object {
                Scope::Pattern(pattern) => Objects::one(pattern.clone()),
                Scope::Set(_) | Scope::Sets(_) => Objects::nothing(),
            };
            Rule {
                permission: permission.clone(),
                objects,
            }
        };
        let held = Held {
            source: Source::None,
            role: Arc::new(Role::new(permissions.iter().map(rule).collect())),
            on: None,
            until,
        };
        let comparisons = Action::ALL.map(|action| held.comparisons(action));
        Self::new(vec![held], comparisons)
    }

    /// Returns what both these rights and `limits` allow. [`explain`](Self::explain) explains these
    /// rights only.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use labwire_access::{Access, Rights};
    ///
    /// let token = Rights::of(&["call DMM.read*".parse()?], Some(1_000));
    /// let rights = Rights::everything().within(Arc::new(token));
    /// assert!(rights.allows(&Access::call("DMM", "read"), 999));
    /// assert!(!rights.allows(&Access::call("DMM", "write"), 999));
    /// assert!(!rights.allows(&Access::call("DMM", "read"), 1_000));
    /// # Ok::<_, labwire_access::PermissionError>(())
    /// ```
    #[must_use]
    pub fn within(&self, limits: Arc<Self>) -> Self {
        let within = match &self.within {
            None => limits,
            Some(within) => Arc::new(within.within(limits)),
        };
        Self {
            held: self.held.clone(),
            comparisons: self.comparisons,
            within: Some(within),
        }
    }

    /// Decides about an access. `now` is the present in seconds since 1970. The time is
    /// proportional to [`comparisons`](Self::comparisons).
    ///
    /// A rule that allows wins over those that ask, in whatever order they are granted. Of the rights
    /// and their limits, the stricter effect counts.
    pub fn decide(&self, access: &Access<'_>, now: i64) -> Decision {
        let Some((effect, held, rule)) = self.applying(access, now) else {
            return Decision::Denied {
                missing: access.to_string(),
            };
        };
        let reason = Self::reason(held, rule, verdict_of(rule.permission.effect), access);
        Decision::Allowed { effect, reason }
    }

    /// Returns whether an access is allowed without approval: see [`decide`](Self::decide). Allocates
    /// nothing.
    pub fn allows(&self, access: &Access<'_>, now: i64) -> bool {
        self.effect(access, now) == Some(Effect::Allow)
    }

    /// Returns what happens to an access; `None` if it is refused: see [`decide`](Self::decide).
    /// Allocates nothing.
    pub fn effect(&self, access: &Access<'_>, now: i64) -> Option<Effect> {
        self.applying(access, now).map(|(effect, ..)| effect)
    }

    /// Returns the effect of an access, and the first own rule with the mildest effect.
    fn applying(&self, access: &Access<'_>, now: i64) -> Option<(Effect, &Held, &Rule)> {
        let limit = match &self.within {
            None => Effect::Allow,
            Some(within) => within.effect(access, now)?,
        };
        let mut asking = None;
        let including = self
            .held
            .iter()
            .filter(|held| !has_ended(held.until, now) && held.includes(access.action, access.object));
        for held in including {
            for rule in held.role.of(access.action) {
                let effect = rule.permission.effect;
                if (effect == Effect::Ask && asking.is_some()) || !rule.is_for(access) {
                    continue;
                }
                if effect == Effect::Allow {
                    return Some((limit, held, rule));
                }
                asking = Some((held, rule));
            }
        }
        asking.map(|(held, rule)| (Effect::Ask, held, rule))
    }

    /// Returns until when an access is allowed without approval, whenever that is.
    pub fn until(&self, access: &Access<'_>) -> Until {
        let mut until = Until::Never;
        for held in &self.held {
            if !held.includes(access.action, access.object) {
                continue;
            }
            let end = Until::of(held.until);
            if end > until && held.role.of(access.action).iter().any(|rule| rule.allows(access)) {
                until = end;
            }
            if until == Until::Always {
                break;
            }
        }
        match &self.within {
            Some(within) => until.min(within.until(access)),
            None => until,
        }
    }

    /// Returns all rules for the same action, and what each of them means for the access.
    pub fn explain(&self, access: &Access<'_>, now: i64) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for held in &self.held {
            let rules = held.role.of(access.action);
            let is_included = held.includes(access.action, access.object);
            for rule in rules {
                let verdict = Self::judge(held, is_included, rule, access, now);
                reasons.push(Self::reason(held, rule, verdict, access));
            }
        }
        reasons
    }

    /// Returns the decisions about all attributes of one object.
    pub fn on(&self, action: Action, object: &str) -> Coverage {
        let own = self.own_on(action, object);
        match &self.within {
            None => own,
            Some(within) => match (own, within.on(action, object)) {
                (Coverage::Everything, other) | (other, Coverage::Everything) => other,
                (own, other) => Coverage::Both(Box::new([own, other])),
            },
        }
    }

    /// As [`on`](Self::on), without the limits.
    fn own_on(&self, action: Action, object: &str) -> Coverage {
        let mut rules = Vec::new();
        for held in &self.held {
            if !held.includes(action, object) {
                continue;
            }
            let applying = held.role.of(action).iter();
            let applying = applying.filter(|rule| rule.applies(action, object));
            rules.extend(applying.map(|rule| (rule.attributes(), held.until, rule.permission.effect)));
        }
        if rules.iter().any(|(attribute, until, effect)| {
            *effect == Effect::Allow && attribute.is_everything() && until.is_none()
        }) {
            return Coverage::Everything;
        }
        Coverage::Some(rules.into())
    }

    /// Returns the roles that apply to a service, each with the end of its grant in seconds since 1970:
    /// those of grants whose limits include the service. An administrator has the role
    /// [`ADMINISTRATOR`]. A role that several grants give is there several
    /// times.
    pub fn roles_at(&self, service: &str) -> impl Iterator<Item = (&str, Option<i64>)> {
        let held = self.held.iter();
        let held = held.filter(move |held| held.includes(Action::Call, service));
        held.filter_map(|held| match &held.source {
            Source::Grant(grant) => Some((&*grant.role, held.until)),
            Source::Administrator => Some((ADMINISTRATOR, held.until)),
            Source::None => None,
        })
    }

    /// Returns whether an action is allowed for all objects and attributes, without an end and without
    /// approval.
    pub fn is_everywhere(&self, action: Action) -> bool {
        let is_for_all = |rule: &Rule| {
            rule.permission.effect == Effect::Allow
                && rule.objects.is_everything()
                && rule.attributes().is_everything()
        };
        let mut endless = self.held.iter().filter(|held| held.until.is_none());
        endless.any(|held| held.on.is_none() && held.role.of(action).iter().any(is_for_all))
            && self
                .within
                .as_ref()
                .is_none_or(|within| within.is_everywhere(action))
    }

    fn judge(held: &Held, is_included: bool, rule: &Rule, access: &Access<'_>, now: i64) -> Verdict {
        if !is_included {
            Verdict::OutsideGrant
        } else if !rule.applies(access.action, access.object) {
            Verdict::OtherObject
        } else if !rule.allows_attribute(access) {
            Verdict::OtherAttribute
        } else if has_ended(held.until, now) {
            Verdict::Ended
        } else {
            verdict_of(rule.permission.effect)
        }
    }

    fn reason(held: &Held, rule: &Rule, verdict: Verdict, access: &Access<'_>) -> Reason {
        let of = |objects: &Objects, scope| objects.memberships(scope, access.action, access.object);
        let mut memberships = of(&rule.objects, &rule.permission.object);
        if let (Source::Grant(grant), Some(on)) = (&held.source, &held.on) {
            memberships.extend(of(on, &grant.on));
        }
        memberships.sort_by(|one, other| one.set.cmp(&other.set));
        memberships.dedup();
        Reason {
            grant: match &held.source {
                Source::Grant(grant) => Some(Arc::clone(grant)),
                Source::Administrator | Source::None => None,
            },
            permission: rule.permission.clone(),
            verdict,
            memberships,
        }
    }
}

/// Returns the verdict of a rule that applies to an access.
fn verdict_of(effect: Effect) -> Verdict {
    match effect {
        Effect::Allow => Verdict::Allows,
        Effect::Ask => Verdict::Asks,
    }
}

/// The decisions about all attributes of one object, for a program that decides often.
#[derive(Clone, Debug)]
pub enum Coverage {
    /// Everything is allowed, without an end.
    Everything,
    /// What matches one of these patterns has the effect beside it, until its end. The mildest effect
    /// counts.
    Some(Box<[(Pattern, Option<i64>, Effect)]>),
    /// The stricter effect of both counts.
    Both(Box<[Coverage; 2]>),
}

impl Coverage {
    /// Returns whether an attribute is allowed without approval: see [`effect`](Self::effect).
    #[inline]
    pub fn allows(&self, attribute: &str, now: impl Fn() -> i64) -> bool {
        self.effect(attribute, now) == Some(Effect::Allow)
    }

    /// Decides about an attribute: the decision of [`Rights::decide`], `None` if it is refused. `now`
    /// returns the present in seconds since 1970; it is called only for rules that have an end.
    #[inline]
    pub fn effect(&self, attribute: &str, now: impl Fn() -> i64) -> Option<Effect> {
        self.effect_at(attribute, &now)
    }

    /// Returns the number of patterns with which an attribute is compared, at most.
    pub fn comparisons(&self) -> usize {
        match self {
            Self::Everything => 0,
            Self::Some(rules) => rules.len(),
            Self::Both(both) => both.iter().map(Self::comparisons).sum(),
        }
    }

    fn effect_at<N: Fn() -> i64>(&self, attribute: &str, now: &N) -> Option<Effect> {
        match self {
            Self::Everything => Some(Effect::Allow),
            Self::Some(rules) => {
                let mut mildest = None;
                for (pattern, until, effect) in rules {
                    let is_milder = mildest.is_none_or(|mildest| *effect < mildest);
                    if is_milder && pattern.matches(attribute) && !until.is_some_and(|end| now() >= end) {
                        if *effect == Effect::Allow {
                            return Some(Effect::Allow);
                        }
                        mildest = Some(*effect);
                    }
                }
                mildest
            }
            Self::Both(both) => {
                let [one, other] = &**both;
                Some(
                    one.effect_at(attribute, now)?
                        .max(other.effect_at(attribute, now)?),
                )
            }
        }
    }
}

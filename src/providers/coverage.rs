//! What a provider's proof covers: computed from its schemes, never written down.

use super::{IdPlace, Place, Preset, Proof};
use crate::signature::{Method, Part, Scheme};

/// What one way of proving covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    pub body: BodyCoverage,
    /// Whether a request that was caught on its way cannot be sent again under another event id.
    pub id: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyCoverage {
    Whole,
    /// Some of its values.
    Fields,
    /// By a checksum that anyone can keep while changing the body.
    Checksum,
    Nothing,
}

impl Preset {
    /// By scheme, in their order: its name and what it covers. Of a provider that proves itself as agreed: nothing.
    pub fn coverage(&self) -> Vec<(&str, Coverage)> {
        match &self.proof {
            Proof::Signature(schemes) => schemes
                .iter()
                .map(|scheme| (&*scheme.name, scheme_coverage(scheme, &ids(self.event_id))))
                .collect(),
            Proof::Jwt(rule, _) => {
                let body = match rule.body_sha256 {
                    Some(_) => BodyCoverage::Whole,
                    None => BodyCoverage::Nothing,
                };
                let id = covers_id(&ids(self.event_id), body, &|_| Covered::No);
                vec![("jwt", Coverage { body, id })]
            }
            Proof::Agreed => Vec::new(),
        }
    }
}

impl Preset {
    /// What whoever has caught a request can do with it, in sentences; none where body, id and time are covered.
    pub fn caveats(&self) -> Vec<String> {
        let coverage = self.coverage();
        let of = |wanted: &dyn Fn(&Coverage) -> bool| {
            let found = coverage.iter().filter(|(_, coverage)| wanted(coverage));
            let names: Vec<_> = found.map(|(name, _)| *name).collect();
            match names.len() {
                0 => None,
                all if all == coverage.len() => Some("the proof".to_owned()),
                _ => Some(names.join(" and ")),
            }
        };
        let body = of(&|coverage| coverage.body != BodyCoverage::Whole).map(|who| {
            format!("{who} does not cover the whole body: another one may be sent with it")
        });
        let id = of(&|coverage| !coverage.id).map(|who| {
            format!(
                "{who} does not cover the event id: the same request may be sent as another event"
            )
        });
        body.into_iter().chain(id).chain(self.untimed()).collect()
    }

    /// Of the schemes that one secret is for, those without a time where another has one.
    fn untimed(&self) -> Option<String> {
        let bounded = |scheme: &&Scheme| {
            let rule = scheme.timestamp.as_ref();
            rule.is_some_and(|rule| rule.past.is_some())
        };
        let timed = self.schemes().iter().find(bounded)?;
        let others = self
            .schemes()
            .iter()
            .filter(|scheme| scheme.timestamp.is_none() && scheme.secret_form == timed.secret_form);
        let names: Vec<_> = others.map(|scheme| &*scheme.name).collect();
        (!names.is_empty()).then(|| {
            format!(
                "{}: no time is signed, and without its newer signature the same request may be sent again later; scheme = \"{}\" \
                 takes no such request",
                names.join(" and "),
                timed.name
            )
        })
    }
}

/// Where a part of an event id stands, as a route or a preset says.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    Json(&'a str),
    /// In lower case.
    Header(&'a str),
}

/// One source of an event id.
#[derive(Clone, Debug)]
pub enum Id<'a> {
    /// Joined, if there are several.
    Fields(Vec<Asked<'a>>),
    BodySha256,
}

/// What `scheme` covers of requests whose event ids stand at these places.
pub fn scheme_coverage(scheme: &Scheme, event_id: &[Id<'_>]) -> Coverage {
    let body = body(scheme);
    Coverage {
        body,
        id: covers_id(event_id, body, &|place| covers(scheme, place)),
    }
}

fn asked(place: Place) -> Asked<'static> {
    match place {
        Place::Json(pointer) => Asked::Json(pointer),
        Place::Header(name) => Asked::Header(name),
    }
}

fn ids(places: &[IdPlace]) -> Vec<Id<'static>> {
    let id = |place: &IdPlace| match place {
        IdPlace::One(place) => Id::Fields(vec![asked(*place)]),
        IdPlace::Joined(places) => Id::Fields(places.iter().copied().map(asked).collect()),
        IdPlace::BodySha256 => Id::BodySha256,
    };
    places.iter().map(id).collect()
}

fn body(scheme: &Scheme) -> BodyCoverage {
    let signs = |wanted: fn(&Part) -> bool| scheme.signed.iter().any(wanted);
    if scheme.method == Method::Equal {
        BodyCoverage::Nothing
    } else if signs(|part| matches!(part, Part::Body | Part::SortedForm))
        || scheme.body_sha256.is_some()
    {
        BodyCoverage::Whole
    } else if signs(|part| matches!(part, Part::Crc32)) {
        BodyCoverage::Checksum
    } else if signs(|part| matches!(part, Part::Json(_) | Part::JsonLines(_))) {
        BodyCoverage::Fields
    } else {
        BodyCoverage::Nothing
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Covered {
    No,
    /// Where it is there at all.
    Yes,
    /// And a request without it is refused.
    Required,
}

/// The places are gone through in order, as the id is found: one that may be missing leads on to the next.
fn covers_id(event_id: &[Id<'_>], body: BodyCoverage, part: &dyn Fn(Asked<'_>) -> Covered) -> bool {
    let of = |place: Asked<'_>| match place {
        Asked::Json(_) if body == BodyCoverage::Whole => Covered::Yes,
        _ => part(place),
    };
    for id in event_id {
        let covered =
            match id {
                Id::Fields(places) => places.iter().map(|place| of(*place)).fold(
                    Covered::Required,
                    |all, one| match (all, one) {
                        (Covered::No, _) | (_, Covered::No) => Covered::No,
                        (Covered::Required, Covered::Required) => Covered::Required,
                        _ => Covered::Yes,
                    },
                ),
                Id::BodySha256 if body == BodyCoverage::Whole => Covered::Required,
                Id::BodySha256 => Covered::No,
            };
        match covered {
            Covered::No => return false,
            Covered::Required => return true,
            Covered::Yes => {}
        }
    }
    !event_id.is_empty()
}

/// Whether the signed parts of `scheme` hold what stands at `place`.
fn covers(scheme: &Scheme, place: Asked<'_>) -> Covered {
    if scheme.method == Method::Equal {
        return Covered::No;
    }
    let found = scheme.signed.iter().map(|part| match (part, place) {
        (Part::Header(name), Asked::Header(wanted)) if name == wanted => Covered::Required,
        (Part::Listed(listed), Asked::Header(wanted))
            if listed.required.iter().any(|name| name == wanted) =>
        {
            Covered::Required
        }
        (Part::Json(pointer), Asked::Json(wanted)) if is_at(scheme, pointer, wanted) => {
            Covered::Yes
        }
        (Part::JsonLines(names), Asked::Json(wanted))
            if names
                .iter()
                .any(|name| wanted.strip_prefix('/') == Some(&**name)) =>
        {
            Covered::Yes
        }
        _ => Covered::No,
    });
    found.fold(Covered::No, |best, one| match (best, one) {
        (Covered::Required, _) | (_, Covered::Required) => Covered::Required,
        (Covered::Yes, _) | (_, Covered::Yes) => Covered::Yes,
        _ => Covered::No,
    })
}

/// A pointer of a scheme with `each` starts from each of its elements.
fn is_at(scheme: &Scheme, pointer: &str, wanted: &str) -> bool {
    match &scheme.each {
        Some(each) => wanted.strip_prefix(&**each) == Some(pointer),
        None => wanted == pointer,
    }
}

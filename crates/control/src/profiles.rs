//! The certificate profiles in force: templates that two people put into the ledger, compiled for this installation, and the
//! built-in ones for what no template covers. The same at every site (R47): the ledger has them, no site's files do.

use std::collections::{BTreeMap, HashMap};

use lanyard_domain::device::Device;
use lanyard_domain::tier::Tier;
use lanyard_pki::name::Naming;
use lanyard_pki::profile::template::{Catalogue, CatalogueError, NoRevocationUris, SubjectKind, Template};
use lanyard_pki::profile::{CsrExpectation, Profile, ProfileName, RevocationUris};

use crate::plane::ControlError;

/// What applications get when nobody wrote a template for them: a week, no lists needed, the names that were ordered and no
/// other. A machine name of ours would be asked for at renewal (lego orders every name of the certificate before), and no
/// web server answers for it. The installation's domain is written behind it.
const APPLICATION: &str = r#"
name = "application"
description = "Servers of the hospital, without a template of their own"
subject = "application"
[key]
types = ["p256", "p384", "rsa2048+"]
[names]
subject = "common-name"
alternative = ["dns", "ip"]
[usage]
purposes = ["serverAuth", "clientAuth"]
[validity]
default = "7d"
longest = "7d"
[revocation]
mode = "short-lived"
[enrollment]
label = "application"
[convention]
dns_suffixes = "#;

/// The label of that.
const BUILT_IN_APPLICATION: &str = "application";

/// Why templates cannot be put in force together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfilesError {
    /// A text is no template.
    #[error("profile: {0}")]
    Template(String),
    /// Two that do not go together.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// One needs lists, and none are served.
    #[error(transparent)]
    NoRevocation(#[from] NoRevocationUris),
}

/// What an installation compiles profiles with.
#[derive(Debug, Clone)]
pub struct Installation {
    /// Organisation and domain in names.
    pub naming: Naming,
    /// Where revocation is served, if it is.
    pub revocation: Option<RevocationUris>,
}

/// All profiles.
pub struct Profiles {
    catalogue: Catalogue,
    compiled: HashMap<(String, Option<Tier>), Profile>,
    device: Profile,
    pub(crate) gateway: Profile,
    pub(crate) control: Profile,
    application: Profile,
}

impl Profiles {
    /// From the templates in force.
    pub fn new<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        installation: &Installation,
    ) -> Result<Self, ProfilesError> {
        let templates: Vec<Template> = texts.into_iter().map(parse).collect::<Result<_, _>>()?;
        let catalogue = Catalogue::new(templates)?;
        let naming = || installation.naming.clone();
        let uris = installation.revocation.as_ref();
        let mut compiled = HashMap::new();
        for template in catalogue.templates() {
            for tier in Tier::ALL.into_iter().map(Some).chain([None]) {
                let profile = template.profile(tier, naming(), uris)?;
                compiled.insert((template.name().to_owned(), tier), profile);
            }
        }
        // A DNS name needs no escapes.
        let application = format!("{APPLICATION}[\"{}\"]\n", installation.naming.domain);
        let application = parse(&application)?.profile(None, naming(), uris)?;
        Ok(Self {
            catalogue,
            compiled,
            device: Profile::new(ProfileName::DeviceLdevid, naming()),
            gateway: Profile::new(ProfileName::GatewayServer, naming()),
            control: Profile::new(ProfileName::ControlServer, naming()),
            application,
        })
    }

    /// The templates.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Whether some device could be given this profile by asking for it.
    pub fn offers_devices(&self, label: &str) -> bool {
        label == ProfileName::DeviceLdevid.as_str() || self.labelled(label).is_some()
    }

    /// The template for devices under this label.
    pub fn labelled(&self, label: &str) -> Option<&Template> {
        self.catalogue.labelled(label).filter(|t| t.subject() == SubjectKind::Device)
    }

    /// What a request should hold that is sent under this label. Without a label it depends on the device's class, and is
    /// known only where there are no templates.
    pub fn expected(&self, label: Option<&str>) -> Option<CsrExpectation> {
        let built_in = || Some(self.device.csr_expectation());
        match label {
            Some(label) => match self.labelled(label) {
                Some(template) => {
                    self.compiled.get(&(template.name().to_owned(), None)).map(Profile::csr_expectation)
                }
                None => self.offers_devices(label).then(built_in).flatten(),
            },
            None if self.device_templates().next().is_none() => built_in(),
            None => None,
        }
    }

    /// Whether the server may make a device's key under this label; without one, whether there is any that lets it.
    pub fn makes_keys(&self, label: Option<&str>) -> bool {
        match label {
            Some(label) => self.labelled(label).is_some_and(Template::server_generated),
            None => self.device_templates().any(Template::server_generated),
        }
    }

    fn device_templates(&self) -> impl Iterator<Item = &Template> {
        self.catalogue.templates().iter().filter(|t| t.subject() == SubjectKind::Device)
    }

    /// What clients of ACME may ask for: label and sentence.
    pub fn offered(&self) -> BTreeMap<String, String> {
        let built_in = [
            (ProfileName::DeviceLdevid.as_str().to_owned(), "Devices, as their record says".to_owned()),
            (BUILT_IN_APPLICATION.to_owned(), "Servers of the hospital".to_owned()),
        ];
        let templates = self.catalogue.templates().iter();
        let served =
            templates.filter(|t| matches!(t.subject(), SubjectKind::Device | SubjectKind::Application));
        built_in
            .into_iter()
            .chain(served.map(|t| (t.label().to_owned(), t.description().to_owned())))
            .collect()
    }

    /// The profile for a device: the one that it asks for by label, if it may have that; else its class's; else the
    /// built-in one.
    pub fn for_device(&self, device: &Device, label: Option<&str>) -> Result<&Profile, ControlError> {
        let (class, tier) = (device.record.class.as_str(), device.record.tier);
        let fitting = self.catalogue.for_class(class);
        let template = match label {
            None => fitting.first().copied(),
            Some(label) if label == ProfileName::DeviceLdevid.as_str() => None,
            Some(label) => {
                let found = fitting.iter().find(|t| t.label() == label);
                Some(*found.ok_or_else(|| {
                    ControlError::refused(
                        "profile_unknown",
                        format!(
                            "there is no profile `{label}` for devices of class `{class}`: leave it out, or have one approved"
                        ),
                    )
                })?)
            }
        };
        Ok(template
            .and_then(|t| self.compiled.get(&(t.name().to_owned(), Some(tier))))
            .unwrap_or(&self.device))
    }

    /// The profile for an application, and whether it writes its id. `accepted` are the labels that its record names, which two
    /// people accepted: it gets one of those, without asking the first of them. Where the record names none it is what
    /// applications get by default, whatever they ask for (R33).
    pub fn for_application(
        &self,
        asked: Option<&str>,
        accepted: &[String],
    ) -> Result<(&Profile, bool), ControlError> {
        let default = || self.of_applications().next().map_or(BUILT_IN_APPLICATION, Template::label);
        let first = || accepted.first().map_or_else(default, String::as_str);
        let label = asked.unwrap_or_else(first);
        let template = self.of_applications().find(|t| t.label() == label);
        if template.is_none() && label != BUILT_IN_APPLICATION {
            return Err(ControlError::refused(
                "profile_unknown",
                format!("there is no profile `{label}` for applications: leave it out, or have one approved"),
            ));
        }
        let may = if accepted.is_empty() { label == default() } else { accepted.iter().any(|a| a == label) };
        if !may {
            return Err(ControlError::refused(
                "profile_not_accepted",
                format!(
                    "profile `{label}` is not one that this application may use: leave it out, or have the application \
                     registered and approved with it in `profiles`"
                ),
            ));
        }
        let found = template
            .and_then(|t| Some((self.compiled.get(&(t.name().to_owned(), None))?, t.names_its_subject())));
        Ok(found.unwrap_or((&self.application, false)))
    }

    fn of_applications(&self) -> impl Iterator<Item = &Template> {
        self.catalogue.templates().iter().filter(|t| t.subject() == SubjectKind::Application)
    }
}

/// Reads a template; the error has every problem with line, column and clause.
pub fn parse(text: &str) -> Result<Template, ProfilesError> {
    Template::parse(text).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        ProfilesError::Template(lines.join("; "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_profiles_compile_without_lists() {
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let installation = Installation { naming, revocation: None };
        let profiles = Profiles::new([], &installation).unwrap();
        assert_eq!(profiles.for_application(None, &[]).unwrap().0.name(), "application");
        assert_eq!(refusal(&profiles, Some("nobody's"), &[]), "profile_unknown");
    }

    fn refusal(profiles: &Profiles, asked: Option<&str>, accepted: &[&str]) -> String {
        let accepted: Vec<String> = accepted.iter().map(|a| (*a).to_owned()).collect();
        match profiles.for_application(asked, &accepted) {
            Ok((profile, _)) => profile.name().to_owned(),
            Err(ControlError::Refused(refused)) => refused.code,
            Err(other) => panic!("expected a refusal: {other}"),
        }
    }

    // R33: of several templates an application has what its own record was accepted with, not what it asks for.
    #[test]
    fn an_application_gets_what_two_people_accepted_for_it() {
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let base = "http://pki.hospital.example";
        let uris = RevocationUris::new(base, base, base, 8).unwrap();
        let installation = Installation { naming, revocation: Some(uris) };
        let text = |name: &str| {
            format!(
                "name = \"{name}\"\ndescription = \"Servers\"\nsubject = \"application\"\n[usage]\n\
                 purposes = [\"serverAuth\"]\n[convention]\ndns_suffixes = [\"hospital.example\"]\n"
            )
        };
        let (archive, portal) = (text("archive"), text("portal"));
        let profiles = Profiles::new([archive.as_str(), portal.as_str()], &installation).unwrap();
        for (asked, accepted, outcome) in [
            (None, &[][..], "archive"),
            (Some("archive"), &[], "archive"),
            (Some("portal"), &[], "profile_not_accepted"),
            (Some("application"), &[], "profile_not_accepted"),
            (None, &["portal"], "portal"),
            (Some("portal"), &["portal"], "portal"),
            (Some("archive"), &["portal"], "profile_not_accepted"),
            (Some("archive"), &["portal", "archive"], "archive"),
            (Some("application"), &["application"], "application"),
            (None, &["gone"], "profile_unknown"),
            (Some("gone"), &["gone"], "profile_unknown"),
        ] {
            assert_eq!(refusal(&profiles, asked, accepted), outcome, "{asked:?} of {accepted:?}");
        }
    }

    // R47
    #[test]
    fn a_profile_that_needs_lists_is_refused_where_none_are_served() {
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let text = include_str!("../../../docs/profiles/imaging-modality.toml");
        let without = Installation { naming: naming.clone(), revocation: None };
        assert!(matches!(Profiles::new([text], &without), Err(ProfilesError::NoRevocation(_))));
        let base = "http://pki.hospital.example";
        let uris = RevocationUris::new(base, base, base, 8).unwrap();
        let with = Installation { naming, revocation: Some(uris) };
        assert!(Profiles::new([text], &with).is_ok());
        assert!(matches!(Profiles::new([text, text], &with), Err(ProfilesError::Catalogue(_))));
        assert!(matches!(Profiles::new(["name = 3"], &with), Err(ProfilesError::Template(_))));
    }

    // R47
    #[test]
    fn what_a_request_should_hold_follows_the_label() {
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let installation = Installation { naming, revocation: None };
        let none = Profiles::new([], &installation).unwrap();
        let built_in = none.expected(None).unwrap();
        assert_eq!(none.expected(Some("device_ldevid")), Some(built_in.clone()));
        assert_eq!(none.expected(Some("patient-monitor")), None);
        assert!(!none.makes_keys(None) && !none.makes_keys(Some("device_ldevid")));

        let monitor = include_str!("../../../docs/profiles/patient-monitor.toml");
        let made_here = monitor
            .replace("name = \"patient-monitor\"", "name = \"old-monitor\"")
            .replace("[key]", "[key]\nserver_generated = true");
        let some = Profiles::new([monitor, &made_here], &installation).unwrap();
        assert_eq!(some.expected(None), None, "it depends on the device's class");
        assert_eq!(some.expected(Some("device_ldevid")), Some(built_in));
        assert_eq!(some.expected(Some("patient-monitor")).unwrap().key_types.len(), 2);
        assert!(some.makes_keys(None) && some.makes_keys(Some("old-monitor")));
        assert!(!some.makes_keys(Some("patient-monitor")) && !some.makes_keys(Some("nobody's")));
    }
}

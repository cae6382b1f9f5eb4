//! Subject and alternative names of a certificate, as its template says, from facts of the record.

use crate::name::Naming;
use crate::profile::names::{AltNames, Attribute, Names, subject_name};
use crate::profile::subject::{Addresses, HardwareNames, SubjectError, SubjectFacts};

use super::Template;
use super::vocabulary::{AltNameForm, SubjectKind, SubjectStyle};

/// RFC 5280 appendix A.1: ub-common-name.
const MOST_COMMON_NAME: usize = 64;

/// The facts of any kind in one shape.
struct Subject<'a> {
    /// The id as text.
    id: Option<String>,
    /// The label between id and domain in its machine name.
    kind: &'static str,
    addresses: Option<&'a Addresses>,
    hardware: Option<&'a HardwareNames>,
}

impl Template {
    pub(in crate::profile) fn names(
        &self,
        naming: &Naming,
        facts: &SubjectFacts,
    ) -> Result<Names, SubjectError> {
        let subject = self.subject_of(facts)?;
        let addresses = self.addresses(subject.addresses)?;
        let missing = |form| SubjectError::Missing { profile: self.name.clone(), form };
        let has = |form: AltNameForm| self.forms.contains(&form);
        let id = || subject.id.as_deref().ok_or_else(|| missing("the id"));

        let (mut dns, mut uri) = (Vec::new(), None);
        let machine;
        if has(AltNameForm::MachineDns) {
            machine = format!("{}.{}.{}", id()?, subject.kind, naming.domain);
            dns.push(machine.as_str());
        }
        if has(AltNameForm::UriId) {
            uri = Some(format!("urn:uuid:{}", id()?));
        }
        dns.extend(addresses.dns().iter().map(|name| name.as_str()));
        let mut names = AltNames { dns, uri: uri.as_deref(), ips: addresses.ips(), ..AltNames::default() };
        if has(AltNameForm::PermanentIdentifier) {
            let form = "the maker's serial number";
            let serial = subject.hardware.and_then(HardwareNames::serial).ok_or_else(|| missing(form))?;
            let assigner = self.assigner.as_ref().ok_or_else(|| missing("its assigner"))?;
            names.permanent_identifier = Some((serial, assigner));
        }
        if has(AltNameForm::HardwareModuleName) {
            let form = "the serial number of the security module";
            let serial = subject.hardware.and_then(HardwareNames::module).ok_or_else(|| missing(form))?;
            let kind = self.hardware_type.as_ref().ok_or_else(|| missing("its type"))?;
            names.hardware_module = Some((kind, serial));
        }
        if names.dns.is_empty() && names.uri.is_none() && names.ips.is_empty() {
            return Err(missing("a DNS name or address"));
        }
        let subject = self.subject_name(naming, subject.id.as_deref(), addresses)?;
        Ok(Names { subject, alt_names: names.extension() })
    }

    fn subject_of<'a>(&self, facts: &'a SubjectFacts) -> Result<Subject<'a>, SubjectError> {
        let none = Subject { id: None, kind: "", addresses: None, hardware: None };
        Ok(match (self.subject, facts) {
            (SubjectKind::Device, SubjectFacts::Device { id }) => {
                Subject { id: Some(id.to_string()), kind: "device", ..none }
            }
            (SubjectKind::Device, SubjectFacts::DeviceHardware { id, names }) => {
                Subject { id: Some(id.to_string()), kind: "device", hardware: Some(names), ..none }
            }
            (SubjectKind::Gateway, SubjectFacts::Gateway { id, addresses }) => {
                Subject { id: Some(id.to_string()), kind: "gateway", addresses: Some(addresses), ..none }
            }
            (SubjectKind::Application, SubjectFacts::Application { id, addresses }) => Subject {
                id: id.map(|id| id.to_string()),
                kind: "application",
                addresses: Some(addresses),
                ..none
            },
            _ => return Err(SubjectError::WrongKind(self.name.clone())),
        })
    }

    /// The addresses to write. What the record has and the template does not write is refused: a name that is left out
    /// in silence is found when clients fail.
    fn addresses<'a>(&self, found: Option<&'a Addresses>) -> Result<&'a Addresses, SubjectError> {
        static NONE: Addresses = Addresses::none();
        let found = found.unwrap_or(&NONE);
        let not_written = |form| Err(SubjectError::NotWritten { profile: self.name.clone(), form });
        if !found.dns().is_empty() && !self.forms.contains(&AltNameForm::Dns) {
            return not_written("DNS names");
        }
        if !found.ips().is_empty() && !self.forms.contains(&AltNameForm::Ip) {
            return not_written("IP addresses");
        }
        // R10. A gateway's names come from its own configuration; they are bound where the template has suffixes.
        let bound = self.subject == SubjectKind::Application || !self.convention.dns_suffixes.is_empty();
        match found.dns().iter().find(|name| bound && !self.convention.allows_dns(name)) {
            Some(name) => {
                Err(SubjectError::OutsideSuffixes { name: name.clone(), profile: self.name.clone() })
            }
            None => Ok(found),
        }
    }

    fn subject_name(
        &self,
        naming: &Naming,
        id: Option<&str>,
        addresses: &Addresses,
    ) -> Result<Vec<u8>, SubjectError> {
        let missing = |form| SubjectError::Missing { profile: self.name.clone(), form };
        let first = addresses.dns().first().filter(|_| self.subject == SubjectKind::Application);
        let common = match first {
            Some(name) if name.as_str().len() > MOST_COMMON_NAME => None,
            Some(name) => Some(name.as_str()),
            None => id,
        };
        let serial = || Ok(Attribute::SerialNumber(id.ok_or_else(|| missing("the id"))?));
        let common = || match (common, first) {
            (Some(text), _) => Ok(Attribute::CommonName(text)),
            (None, Some(name)) => Err(SubjectError::LongCommonName(name.clone())),
            (None, None) => Err(missing("a DNS name for the common name")),
        };
        let attributes = match self.style {
            SubjectStyle::SerialNumber => vec![serial()?],
            SubjectStyle::CommonName => vec![common()?],
            SubjectStyle::Both => vec![serial()?, common()?],
        };
        Ok(subject_name(naming, &attributes))
    }
}

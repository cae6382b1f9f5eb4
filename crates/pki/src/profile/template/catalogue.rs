//! The templates of an installation, that fit together: a name or a label means one of them.

use super::Template;
use super::vocabulary::SubjectKind;

/// Why templates do not make a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// One name, two templates.
    #[error("two templates are called `{0}`: events and commands could mean either")]
    NameTwice(String),
    /// One label, two templates.
    #[error("templates `{first}` and `{second}` have one label, `{label}`: a request could mean either")]
    LabelTwice {
        /// The label.
        label: String,
        /// One.
        first: String,
        /// The other.
        second: String,
    },
}

/// Templates by name and by label.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    templates: Vec<Template>,
}

impl Catalogue {
    /// Checks that no two have one name or one label.
    pub fn new(templates: Vec<Template>) -> Result<Self, CatalogueError> {
        for (i, template) in templates.iter().enumerate() {
            for before in templates.iter().take(i) {
                if before.name() == template.name() {
                    return Err(CatalogueError::NameTwice(template.name().to_owned()));
                }
                if before.label() == template.label() {
                    return Err(CatalogueError::LabelTwice {
                        label: template.label().to_owned(),
                        first: before.name().to_owned(),
                        second: template.name().to_owned(),
                    });
                }
            }
        }
        Ok(Self { templates })
    }

    /// All of them, in the order given.
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// The one with this name.
    pub fn named(&self, name: &str) -> Option<&Template> {
        self.templates.iter().find(|t| t.name() == name)
    }

    /// The one that a request asks for (EST label, ACME profile, CMP certProfile, SCEP path).
    pub fn labelled(&self, label: &str) -> Option<&Template> {
        self.templates.iter().find(|t| t.label() == label)
    }

    /// Those that may certify a device of this class: first those that name it, then those for any.
    pub fn for_class(&self, class: &str) -> Vec<&Template> {
        let devices = || self.templates.iter().filter(|t| t.subject() == SubjectKind::Device);
        let named = devices().filter(|t| t.classes().iter().any(|c| c == class));
        named.chain(devices().filter(|t| t.classes().is_empty())).collect()
    }
}

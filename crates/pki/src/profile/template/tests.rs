use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::profile::template::document::{KEYS, MAX_BYTES, MOST_CHARACTERS, MOST_ITEMS};

const REFERENCE: &str = include_str!("../../../../../docs/pki-profiles.md");

const MONITOR: &str = include_str!("../../../../../docs/profiles/patient-monitor.toml");
const PUMP: &str = include_str!("../../../../../docs/profiles/infusion-pump.toml");
const MODALITY: &str = include_str!("../../../../../docs/profiles/imaging-modality.toml");
const LEGACY: &str = include_str!("../../../../../docs/profiles/legacy-8021x.toml");
const SDC: &str = include_str!("../../../../../docs/profiles/sdc-participant.toml");
const SERVER: &str = include_str!("../../../../../docs/profiles/application-server.toml");
const EXAMPLES: [&str; 6] = [MONITOR, PUMP, MODALITY, LEGACY, SDC, SERVER];

/// A small good device template with `more` behind it.
fn device(more: &str) -> String {
    format!(
        "name = \"a\"\ndescription = \"b\"\nsubject = \"device\"\nusage.purposes = [\"clientAuth\"]\n{more}\n"
    )
}

/// The same for another subject.
fn other(kind: &str, purposes: &str, more: &str) -> String {
    format!(
        "name = \"a\"\ndescription = \"b\"\nsubject = \"{kind}\"\nusage.purposes = [{purposes}]\n{more}\n"
    )
}

fn application(more: &str) -> String {
    other("application", "\"serverAuth\"", &format!("convention.dns_suffixes = [\"h.example\"]\n{more}"))
}

/// The problem of `rule`, where it is the only rule that speaks.
fn only(text: &str, rule: &str) -> Vec<Problem> {
    let problems = lint(text);
    assert!(!problems.is_empty(), "no rule speaks on\n{text}");
    for problem in &problems {
        assert_eq!(problem.rule, rule, "{problem}\n{text}");
    }
    problems
}

// R47
#[test]
fn the_example_templates_have_no_problem_and_fit_together() {
    let mut files = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/profiles")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(EXAMPLES.contains(&text.as_str()), "an example that no test knows");
        files += 1;
    }
    assert_eq!(files, EXAMPLES.len());
    let templates = EXAMPLES
        .map(|text| {
            Template::parse(text).unwrap_or_else(|problems| {
                panic!("{}", problems.iter().map(|p| format!("{p}\n")).collect::<String>())
            })
        })
        .to_vec();
    let catalogue = Catalogue::new(templates).unwrap();
    let names = |class| catalogue.for_class(class).iter().map(|t| t.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names("ct"), ["imaging-modality", "legacy-8021x"]);
    assert_eq!(names("lamp"), ["legacy-8021x"]);
    assert_eq!(catalogue.labelled("server").unwrap().name(), "application-server");
    assert!(catalogue.named("server").is_none() && catalogue.labelled("application-server").is_none());
}

#[test]
fn a_small_template_has_the_defaults_of_the_reference() {
    let template = Template::parse(&device("")).unwrap();
    assert_eq!(template.key_types, [KeyType::P256, KeyType::P384]);
    assert_eq!(template.forms, [AltNameForm::UriId, AltNameForm::MachineDns]);
    assert_eq!(template.style, SubjectStyle::SerialNumber);
    assert_eq!((template.mode, template.est_base64), (RevocationMode::ShortLived, Base64Style::AsRequest));
    assert_eq!((template.label.as_str(), template.classes.len()), ("a", 0));
    assert_eq!(template.renewal, RenewalShare::TWO_THIRDS);
    assert!(!template.key_encipherment && !template.server_generated);
    assert_eq!(template.convention, Convention::default());
    let expected = Validity { default_seconds: 86_400, longest_seconds: 7 * 86_400 };
    for tier in Tier::ALL.map(Some).into_iter().chain([None]) {
        assert_eq!(template.validity(tier), expected);
    }
    let gateway = Template::parse(&other("gateway", "\"serverAuth\", \"clientAuth\"", "")).unwrap();
    let application = Template::parse(&application("")).unwrap();
    for template in [gateway, application] {
        use AltNameForm::{Dns, Ip, MachineDns, UriId};
        assert_eq!(template.forms, [UriId, MachineDns, Dns, Ip]);
    }
}

// R66
#[test]
fn a_tier_has_its_own_lifetimes_and_the_general_ones_where_it_has_none() {
    let template = Template::parse(PUMP).unwrap();
    let hours = |default: i64, longest: i64| Validity {
        default_seconds: default * 3_600,
        longest_seconds: longest * 3_600,
    };
    assert_eq!(template.validity(Some(Tier::Critical)), hours(12, 48));
    assert_eq!(template.validity(Some(Tier::High)), hours(24, 168));
    assert_eq!(template.validity(None), hours(24, 168));
    let naming = Naming::new("General Hospital", "hospital.example").unwrap();
    let profile = template.profile(Some(Tier::Critical), naming.clone(), None).unwrap();
    assert_eq!(profile.lifetime_seconds(), 12 * 3_600);
    assert!(profile.clone().with_lifetime(49 * 3_600).is_err());
    assert!(profile.with_lifetime(48 * 3_600).is_ok());
    let listed = Template::parse(MODALITY).unwrap();
    assert!(listed.profile(None, naming, None).unwrap_err().to_string().contains("imaging-modality"));
}

/// Each row is a text that breaks one rule, and where.
fn rows() -> Vec<(&'static str, (usize, usize), &'static str, String)> {
    let listed = "revocation.mode = \"crl-ocsp\"\n";
    let items = |n: usize| (0..n).map(|i| format!("\"c{i}\"")).collect::<Vec<_>>().join(",");
    vec![
        ("file_size", (1, 1), "", " ".repeat(MAX_BYTES + 1)),
        ("toml_syntax", (1, 8), "", "name = ".into()),
        ("toml_syntax", (6, 1), "", device("\nname = \"twice\"").to_string()),
        ("known_key", (5, 1), "nmae", device("nmae = \"x\"")),
        ("known_key", (6, 1), "key.typs", device("[key]\ntyps = [\"p256\"]")),
        ("known_key", (5, 2), "kye", device("[kye]\ntypes = [\"p256\"]")),
        ("value_type", (5, 11), "classes", device("classes = \"pump\"")),
        ("value_type", (5, 12), "classes[0]", device("classes = [7]")),
        ("value_type", (5, 20), "key.post_quantum", device("key.post_quantum = \"no\"")),
        ("value_type", (5, 21), "validity.renew_at", device("validity.renew_at = 1")),
        ("value_type", (5, 7), "key", device("key = \"p256\"")),
        ("value_type", (5, 20), "validity.default", device("validity.default = {}")),
        (
            "required_key",
            (1, 1),
            "name",
            "description = \"b\"\nsubject = \"device\"\nusage.purposes = [\"clientAuth\"]".into(),
        ),
        (
            "required_key",
            (1, 1),
            "description",
            "name = \"b\"\nsubject = \"device\"\nusage.purposes = [\"clientAuth\"]".into(),
        ),
        (
            "required_key",
            (1, 1),
            "subject",
            "name = \"b\"\ndescription = \"b\"\nusage.purposes = [\"clientAuth\"]".into(),
        ),
        (
            "required_key",
            (4, 2),
            "usage.purposes",
            "name = \"b\"\ndescription = \"b\"\nsubject = \"device\"\n[usage]".into(),
        ),
        ("list_size", (5, 11), "classes", device(&format!("classes = [{}]", items(MOST_ITEMS + 1)))),
        ("text_size", (5, 12), "classes[0]", device("classes = [\"\"]")),
        (
            "text_size",
            (5, 18),
            "names.subject",
            device("names.subject = \"a\\nb\"").replace("names.subject =", "names.subject  ="),
        ),
        (
            "text_size",
            (5, 19),
            "enrollment.label",
            device(&format!("enrollment.label = \"{}\"", "x".repeat(MOST_CHARACTERS + 1)))
                .replace(".label =", ".label="),
        ),
        ("name_slug", (1, 8), "name", device("").replace("\"a\"", "\"A b\"")),
        ("label_slug", (5, 20), "enrollment.label", device("enrollment.label = \"a/b\"")),
        ("class_slug", (5, 12), "classes[0]", device("classes = [\"Infusion Pump\"]")),
        ("classes_are_of_devices", (6, 11), "classes", application("classes = [\"pump\"]")),
        ("subject_kind", (3, 11), "subject", device("").replace("\"device\"", "\"person\"")),
        ("key_type_known", (5, 22), "key.types[1]", device("key.types = [\"p256\", \"p521\"]")),
        ("key_types_given", (5, 13), "key.types", device("key.types = []")),
        ("post_quantum_opt_in", (5, 13), "key.types", device("key.types = [\"p256\", \"ml-dsa-65\"]")),
        (
            "post_quantum_opt_in",
            (5, 13),
            "key.types",
            device("key.types = [\"ml-dsa-65\"]\nkey.post_quantum = false"),
        ),
        ("post_quantum_opt_in", (5, 20), "key.post_quantum", device("key.post_quantum = true")),
        ("encipherment_needs_rsa", (5, 24), "key.key_encipherment", device("key.key_encipherment = true")),
        (
            "hardware_names_need_hardware",
            (5, 24),
            "key.server_generated",
            device(
                "key.server_generated = true\nnames.alternative = [\"uri-id\", \"machine-dns\", \"permanent-identifier\"]\nnames.permanent_identifier_assigner = \"1.2.3\"",
            ),
        ),
        (
            "purpose_known",
            (4, 33),
            "usage.purposes[1]",
            device("").replace("[\"clientAuth\"]", "[\"clientAuth\", \"kitchen\"]"),
        ),
        (
            "no_any_purpose",
            (4, 33),
            "usage.purposes[1]",
            device("").replace("[\"clientAuth\"]", "[\"clientAuth\", \"2.5.29.37.0\"]"),
        ),
        (
            "reserved_purpose",
            (4, 33),
            "usage.purposes[1]",
            device("").replace("[\"clientAuth\"]", "[\"clientAuth\", \"1.3.6.1.5.5.7.3.9\"]"),
        ),
        (
            "reserved_purpose",
            (4, 33),
            "usage.purposes[1]",
            device("").replace("[\"clientAuth\"]", "[\"clientAuth\", \"1.3.6.1.5.5.7.3.4\"]"),
        ),
        ("purposes_for_subject", (4, 18), "usage.purposes", device("").replace("clientAuth", "serverAuth")),
        ("purposes_for_subject", (4, 18), "usage.purposes", device("").replace("[\"clientAuth\"]", "[]")),
        ("purposes_for_subject", (4, 18), "usage.purposes", other("gateway", "\"serverAuth\"", "")),
        (
            "gateway_short_lived",
            (5, 19),
            "revocation.mode",
            other("gateway", "\"serverAuth\", \"clientAuth\"", "revocation.mode = \"crl-ocsp\""),
        ),
        (
            "purposes_for_subject",
            (4, 18),
            "usage.purposes",
            application("").replace("serverAuth", "eapOverLAN"),
        ),
        (
            "list_without_repeats",
            (4, 33),
            "usage.purposes[1]",
            device("").replace("[\"clientAuth\"]", "[\"clientAuth\", \"clientAuth\"]"),
        ),
        (
            "list_without_repeats",
            (4, 33),
            "usage.purposes[1]",
            device("").replace("[\"clientAuth\"]", "[\"clientAuth\", \"1.3.6.1.5.5.7.3.2\"]"),
        ),
        ("list_without_repeats", (5, 17), "classes[1]", device("classes = [\"a\", \"a\"]")),
        (
            "san_form_known",
            (5, 45),
            "names.alternative[2]",
            device("names.alternative = [\"uri-id\",\"machine-dns\",\"directory\"]"),
        ),
        (
            "no_person",
            (5, 45),
            "names.alternative[2]",
            device("names.alternative = [\"uri-id\",\"machine-dns\",\"rfc822-name\"]"),
        ),
        ("no_person", (5, 17), "names.subject", device("names.subject = \"email\"")),
        ("no_person", (6, 1), "names.contact", device("[names]\ncontact = \"ward@hospital.example\"")),
        ("no_person", (5, 1), "owner", device("owner = \"Dr. Who\"")),
        (
            "san_given",
            (6, 21),
            "names.alternative",
            application("names.alternative = []").replace("convention.dns_suffixes = [\"h.example\"]", ""),
        ),
        (
            "san_for_subject",
            (5, 45),
            "names.alternative[2]",
            device("names.alternative = [\"uri-id\",\"machine-dns\",\"dns\"]"),
        ),
        (
            "san_for_subject",
            (5, 45),
            "names.alternative[2]",
            device("names.alternative = [\"uri-id\",\"machine-dns\",\"ip\"]"),
        ),
        (
            "san_for_subject",
            (6, 28),
            "names.alternative[1]",
            application(
                "names.alternative = [\"dns\",\"hardware-module-name\"]\nnames.hardware_module_type = \"2.23.133.1.2\"",
            ),
        ),
        ("identity_names", (5, 21), "names.alternative", device("names.alternative = [\"uri-id\"]")),
        (
            "identity_names",
            (5, 21),
            "names.alternative",
            other(
                "gateway",
                "\"serverAuth\", \"clientAuth\"",
                "names.alternative = [\"machine-dns\", \"dns\"]",
            ),
        ),
        (
            "identity_names",
            (6, 21),
            "names.alternative",
            application("names.alternative = [\"uri-id\", \"dns\"]"),
        ),
        ("subject_style", (5, 17), "names.subject", device("names.subject = \"organization\"")),
        (
            "oid_form",
            (6, 39),
            "names.permanent_identifier_assigner",
            device(
                "names.alternative = [\"uri-id\", \"machine-dns\", \"permanent-identifier\"]\nnames.permanent_identifier_assigner = \"us\"",
            ),
        ),
        (
            "oid_form",
            (6, 30),
            "names.hardware_module_type",
            device(
                "names.alternative = [\"uri-id\", \"machine-dns\", \"hardware-module-name\"]\nnames.hardware_module_type = \"TPM 2.0\"",
            ),
        ),
        (
            "assigner_with_form",
            (5, 2),
            "names.permanent_identifier_assigner",
            device("[names]\nalternative = [\"uri-id\", \"machine-dns\", \"permanent-identifier\"]"),
        ),
        (
            "assigner_with_form",
            (5, 39),
            "names.permanent_identifier_assigner",
            device("names.permanent_identifier_assigner = \"1.2.3\""),
        ),
        (
            "hardware_type_with_form",
            (5, 2),
            "names.hardware_module_type",
            device("[names]\nalternative = [\"uri-id\", \"machine-dns\", \"hardware-module-name\"]"),
        ),
        (
            "hardware_type_with_form",
            (5, 30),
            "names.hardware_module_type",
            device("names.hardware_module_type = \"1.2.3\""),
        ),
        ("duration_form", (5, 20), "validity.default", device("validity.default = \"a day\"")),
        ("duration_form", (5, 26), "validity.low.longest", device("validity.low.longest   = \"1w\"")),
        ("renewal_share", (5, 21), "validity.renew_at", device("validity.renew_at = 0.95")),
        ("renewal_share", (5, 21), "validity.renew_at", device("validity.renew_at = 0.4")),
        (
            "default_within_longest",
            (5, 20),
            "validity.default",
            device("validity.default = \"6d\"\nvalidity.longest = \"5d\""),
        ),
        (
            "default_within_longest",
            (5, 29),
            "validity.critical.longest",
            device("validity.critical.longest = \"2h\""),
        ),
        ("short_lived_longest", (5, 20), "validity.longest", device("validity.longest = \"8d\"")),
        ("short_lived_longest", (5, 24), "validity.low.longest", device("validity.low.longest = \"169h\"")),
        (
            "longest_bound",
            (6, 20),
            "validity.longest",
            device(&format!("{listed}validity.longest = \"399d\"")),
        ),
        (
            "longest_bound",
            (6, 24),
            "validity.low.longest",
            device(&format!("{listed}validity.low.longest = \"10000h\"")),
        ),
        ("tier_order", (5, 29), "validity.critical.default", device("validity.critical.default = \"25h\"")),
        ("tier_order", (5, 24), "validity.low.longest", device("validity.low.longest = \"6d\"")),
        ("revocation_mode", (5, 19), "revocation.mode", device("revocation.mode = \"none\"")),
        ("base64_style", (5, 25), "enrollment.est_base64", device("enrollment.est_base64 = \"pem\"")),
        (
            "naming_pattern",
            (5, 26),
            "convention.device_name",
            device("convention.device_name = \"{serial}\""),
        ),
        ("naming_pattern", (5, 23), "convention.ae_title", device("convention.ae_title = \"{n}{n}\"")),
        (
            "ae_title_fits",
            (5, 23),
            "convention.ae_title",
            device("convention.ae_title = \"CT_SCANNER_NORTH_{n}\""),
        ),
        ("ae_title_fits", (5, 23), "convention.ae_title", device("convention.ae_title = \" CT{n}\"")),
        (
            "convention_for_subject",
            (5, 27),
            "convention.dns_suffixes",
            device("convention.dns_suffixes = [\"h.example\"]"),
        ),
        (
            "convention_for_subject",
            (6, 26),
            "convention.device_name",
            application("convention.device_name = \"{site}\""),
        ),
        (
            "dns_suffix",
            (5, 28),
            "convention.dns_suffixes[0]",
            application("").replace("h.example", "*.example"),
        ),
        (
            "dns_suffix",
            (5, 28),
            "convention.dns_suffixes[0]",
            application("").replace("h.example", "example"),
        ),
        ("dns_suffix_given", (1, 1), "convention.dns_suffixes", other("application", "\"serverAuth\"", "")),
        (
            "dns_suffix_given",
            (5, 27),
            "convention.dns_suffixes",
            application("").replace("\"h.example\"", ""),
        ),
    ]
}

#[test]
fn every_rule_says_no_at_the_place_and_nothing_else_does() {
    let (mut said_no, mut wrong) = (BTreeSet::new(), Vec::new());
    for (rule, place, field, text) in rows() {
        let problems = lint(&text);
        let found: Vec<_> = problems.iter().map(|p| (p.rule, (p.line, p.column), p.field.as_str())).collect();
        if found != [(rule, place, field)] {
            wrong.push(format!(
                "expected {rule} at {place:?} in `{field}`, found {found:?} on\n{:.400}\n",
                text
            ));
        }
        said_no.insert(rule);
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
    let all: BTreeSet<_> = rules::ALL.iter().map(|rule| rule.name).collect();
    assert_eq!(said_no, all, "a rule without a row, or a row without a rule");
}

#[test]
fn the_list_of_rules_is_in_order_and_names_its_files() {
    assert!(rules::ALL.is_sorted_by(|a, b| a.name < b.name));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/profile/template/rules");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "mod")
        .collect();
    assert_eq!(files, rules::ALL.iter().map(|rule| rule.name.to_owned()).collect());
}

// R47
#[test]
fn all_problems_of_a_text_are_told_in_the_order_of_its_lines() {
    let text = "name = 'Pump 7'\nsubject = 'device'\nowner = 'x'\n[key]\ntypes = ['rsa512', 'dsa']\n[usage]\npurposes = ['serverAuth', 'any']\n[validity]\nlongest = '30d'\n";
    let found: Vec<_> = lint(text).iter().map(|p| (p.line, p.rule)).collect();
    assert_eq!(
        found,
        [
            (1, "required_key"),
            (1, "name_slug"),
            (3, "no_person"),
            (5, "key_type_known"),
            (5, "key_type_known"),
            (7, "purposes_for_subject"),
            (7, "purpose_known"),
            (9, "short_lived_longest"),
        ]
    );
    let shown = lint(text).last().unwrap().to_string();
    assert!(shown.starts_with("line 9, column 11: validity.longest: 30d is more than 7d"), "{shown}");
    assert!(shown.ends_with("[short_lived_longest; RFC 9608 2, CA/Browser Forum BR 1.6.1]"), "{shown}");
    // Both mistakes of syntax, and nothing of what was recovered in between.
    let broken = lint("name = \nsubject = \nnmae = 'x'\n");
    assert_eq!(
        broken.iter().map(|p| (p.line, p.rule)).collect::<Vec<_>>(),
        [(1, "toml_syntax"), (2, "toml_syntax")]
    );
}

#[test]
fn a_place_is_counted_in_characters() {
    let problem = only(&device("classes = ['ü', \"ä b\"]").replace("'ü', ", ""), "class_slug").remove(0);
    assert_eq!((problem.line, problem.column), (5, 12));
    let problem = only("name = 'ä' # ö\ndescription = 'ü'; ", "toml_syntax").remove(0);
    assert_eq!((problem.line, problem.column), (2, 18));
}

#[test]
fn templates_with_one_name_or_label_make_no_catalogue() {
    let one = Template::parse(&device("")).unwrap();
    assert_eq!(
        Catalogue::new(vec![one.clone(), one.clone()]).unwrap_err(),
        CatalogueError::NameTwice("a".into())
    );
    let label =
        Template::parse(&device("enrollment.label = \"a\"").replace("name = \"a\"", "name = \"b\"")).unwrap();
    assert!(matches!(Catalogue::new(vec![one, label]), Err(CatalogueError::LabelTwice { .. })));
}

// I12
#[test]
fn every_cut_of_the_examples_is_read_or_refused_without_harm() {
    for text in EXAMPLES {
        for cut in (0..text.len()).filter_map(|end| text.get(..end)) {
            assert_eq!(lint(cut).is_empty(), Template::parse(cut).is_ok());
        }
    }
}

// I12
#[test]
fn a_hostile_text_costs_little_and_gives_few_problems() {
    let many = (0..4_000).map(|i| format!("k{i} = 1\n")).collect::<String>();
    assert_eq!(lint(&many).len(), 100);
    for nested in
        ["[".repeat(30_000), format!("a = {}", "[".repeat(30_000)), format!("a = {}", "{b=".repeat(10_000))]
    {
        assert!(!lint(&nested).is_empty());
    }
    let dotted = format!("{}x = 1", "a.".repeat(20_000));
    assert!(lint(&dotted).iter().all(|p| p.field.len() <= 80));
}

proptest! {
    #[test]
    fn any_edit_of_an_example_is_read_or_refused_with_places_in_the_text(
        which in 0usize..6, at in 0usize..2_000, with in "[ -~\\n]{0,6}", drop in 0usize..12,
    ) {
        let text = EXAMPLES[which];
        let (start, end) = (at.min(text.len()), (at + drop).min(text.len()));
        let (Some(before), Some(after)) = (text.get(..start), text.get(end..)) else { return Ok(()) };
        let edited = format!("{before}{with}{after}");
        let lines = edited.split('\n').count();
        for problem in lint(&edited) {
            prop_assert!((1..=lines).contains(&problem.line), "{problem}");
            prop_assert!(problem.column >= 1 && !problem.help.contains("bug"), "{problem}");
        }
    }
}

// The reference: one heading for each key, with its default and its danger.
#[test]
fn the_reference_has_every_key_with_its_default_and_its_danger() {
    let headings: BTreeSet<&str> = REFERENCE
        .lines()
        .filter_map(|line| line.strip_prefix("### `"))
        .filter_map(|line| line.strip_suffix('`'))
        .collect();
    let keys: BTreeSet<&str> = KEYS.iter().map(|(key, _)| *key).collect();
    // The four tiers have one paragraph for each of their two keys.
    let tiers = ["critical", "high", "standard", "low"];
    let expected: BTreeSet<String> = keys
        .iter()
        .map(|key| {
            tiers.iter().fold((*key).to_owned(), |k, tier| k.replace(&format!(".{tier}."), ".<tier>."))
        })
        .collect();
    assert_eq!(headings.iter().map(|h| (*h).to_owned()).collect::<BTreeSet<_>>(), expected);
    for (i, section) in REFERENCE.split("### `").enumerate().skip(1) {
        assert_eq!(section.matches("Default:").count(), 1, "section {i}: {section}");
        assert_eq!(section.matches("Danger:").count(), 1, "section {i}: {section}");
    }
}

#[test]
fn the_reference_names_every_rule_and_its_whole_example_has_every_key_and_no_problem() {
    for rule in rules::ALL {
        assert!(REFERENCE.contains(&format!("| `{}` |", rule.name)), "{} is not in the table", rule.name);
        assert!(REFERENCE.contains(rule.clause), "the clause of {} is not in the table", rule.name);
    }
    let wholes: Vec<&str> =
        REFERENCE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let mut seen = BTreeSet::new();
    for text in wholes {
        assert_eq!(lint(text), [], "{text}");
        let mut report = Report::new(text);
        let draft = document::read(text, &mut report).unwrap();
        seen.extend(KEYS.iter().map(|(key, _)| *key).filter(|key| draft.has(key)));
    }
    assert_eq!(seen, KEYS.iter().map(|(key, _)| *key).collect());
}

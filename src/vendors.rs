//! Configurations to begin with, one file a vendor.
//!
//! Owns the list of files and how one is read: its first line is its name and what it is, the second may say by which other names
//! it goes, and whatever begins with `YOUR` is to be replaced. What a vendor wants stands in its file and nowhere else.

/// The files, in the order in which they are listed.
const FILES: &[&str] = &[
    include_str!("../examples/auth0.toml"),
    include_str!("vendors/okta.toml"),
    include_str!("vendors/entra.toml"),
    include_str!("vendors/keycloak.toml"),
    include_str!("vendors/google.toml"),
    include_str!("vendors/cognito.toml"),
    include_str!("vendors/ping.toml"),
    include_str!("vendors/zitadel.toml"),
    include_str!("vendors/zitadel-jwt.toml"),
    include_str!("vendors/authentik.toml"),
    include_str!("vendors/salesforce.toml"),
    include_str!("vendors/salesforce-jwt.toml"),
    include_str!("vendors/sap.toml"),
    include_str!("vendors/sap-mtls.toml"),
    include_str!("vendors/servicenow.toml"),
    include_str!("vendors/adobe.toml"),
    include_str!("vendors/docusign.toml"),
    include_str!("vendors/paypal.toml"),
    include_str!("vendors/twilio.toml"),
    include_str!("vendors/zoom.toml"),
    include_str!("../examples/klearstack.toml"),
    include_str!("../examples/orglogin.toml"),
    include_str!("../examples/stretch.toml"),
    include_str!("../examples/wrapped.toml"),
];

/// What begins a placeholder.
const MARK: &str = "YOUR";

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    /// The name by which it is asked for.
    pub name: &'static str,
    /// One line that says what it is.
    pub title: &'static str,
    /// Other names for it.
    pub aliases: &'static str,
    /// The whole file.
    pub text: &'static str,
}

impl Template {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        FILES.iter().filter_map(|text| Self::read(text))
    }

    /// The one of this name, in whatever case.
    pub fn named(name: &str) -> Option<Self> {
        let is_it = |other: &str| other.eq_ignore_ascii_case(name);
        Self::all().find(|template| is_it(template.name) || template.aliases().any(is_it))
    }

    /// The name that was likely meant.
    pub fn nearest(name: &str) -> Option<&'static str> {
        let name = name.to_ascii_lowercase();
        let names = Self::all().flat_map(|template| {
            std::iter::once(template.name).chain(template.aliases()).map(move |known| (known, template.name))
        });
        let distance = |(known, _): &(&str, &str)| match known.contains(&*name) && name.len() > 2 {
            true => 0,
            false => strsim::damerau_levenshtein(known, &name),
        };
        names.min_by_key(distance).filter(|found| distance(found) <= 2).map(|(_, name)| name)
    }

    /// The other names.
    pub fn aliases(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.aliases.split(", ").filter(|alias| !alias.is_empty())
    }

    /// What is to be replaced, each once, in the order of the settings: `YOUR-TENANT`, `YOUR_CLIENT_ID`.
    pub fn placeholders(&self) -> Vec<&'static str> {
        let mut found = Vec::new();
        let lines = self.text.lines().filter(|line| !line.starts_with('#'));
        for placeholder in lines.flat_map(placeholders) {
            if !found.contains(&placeholder) {
                found.push(placeholder);
            }
        }
        found
    }

    fn read(text: &'static str) -> Option<Self> {
        let mut lines = text.lines();
        let (name, title) = lines.next()?.strip_prefix("# ")?.split_once(": ")?;
        let aliases = lines.next().and_then(|line| line.strip_prefix("# also called: ")).unwrap_or_default();
        Some(Self { name, title, aliases, text })
    }
}

/// Puts a value in the place of a placeholder, wherever it stands alone.
pub fn replace(text: &str, placeholder: &str, value: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(placeholder) {
        let (before, from) = rest.split_at(start);
        let (found, after) = from.split_at(placeholder.len());
        replaced.push_str(before);
        replaced.push_str(if after.starts_with(is_part) { found } else { value });
        rest = after;
    }
    replaced + rest
}

fn placeholders(line: &'static str) -> impl Iterator<Item = &'static str> {
    // Behind a value's comment nothing is a setting.
    let line = line.split(" # ").next().unwrap_or_default();
    line.match_indices(MARK).filter_map(move |(start, _)| {
        let from = line.get(start..)?;
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        from.get(..end).filter(|found| found.len() > MARK.len()).map(|found| found.trim_end_matches(['-', '_']))
    })
}

/// Whether a character belongs to a placeholder.
fn is_part(character: char) -> bool {
    character.is_ascii_uppercase() || character.is_ascii_digit() || character == '-' || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed_and_has_its_name() {
        let root = env!("CARGO_MANIFEST_DIR");
        let mut files: Vec<String> = ["src/vendors", "examples"]
            .iter()
            .flat_map(|directory| std::fs::read_dir(format!("{root}/{directory}")).unwrap())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
            .collect();
        let mut names: Vec<String> = Template::all().map(|template| template.name.to_owned()).collect();
        files.sort();
        names.sort();
        assert_eq!(files, names);
        assert_eq!(names.len(), FILES.len());
    }

    #[test]
    fn every_file_says_what_a_reader_has_to_know() {
        for template in Template::all() {
            let head: String =
                template.text.lines().take_while(|line| line.starts_with('#')).collect::<Vec<_>>().join("\n");
            for topic in ["Authentication  ", "Lifetime  ", "Errors  ", "Limits  ", "Documentation  ", "Replace  "] {
                assert!(head.contains(&format!("\n# {topic}")), "{}: {topic}", template.name);
            }
            assert!(head.contains("\n# Scope  ") || head.contains("\n# Audience  "), "{}", template.name);
            assert!(template.text.lines().all(|line| line.chars().count() <= 132), "{}: a long line", template.name);
            template.text.parse::<toml::Table>().unwrap_or_else(|error| panic!("{}: {error}", template.name));
        }
    }

    #[test]
    fn no_two_files_answer_to_one_name() {
        let mut names: Vec<&str> = Template::all().flat_map(|t| t.aliases().chain([t.name])).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn placeholders_are_found_and_replaced_as_whole_words() {
        let text = "# a: b\n[x]\na = \"https://YOUR-A.YOUR-A-B/\"   # YOUR_C\n# b = \"YOUR_D\"\nc = \"YOUR_C_ID\"\n";
        let template = Template::read(text).unwrap();
        assert_eq!(template.placeholders(), ["YOUR-A", "YOUR-A-B", "YOUR_C_ID"]);
        let replaced = replace(text, "YOUR-A", "1");
        assert!(replaced.contains("https://1.YOUR-A-B/"), "{replaced}");
    }

    #[test]
    fn names_are_found_by_alias_in_any_case_and_by_a_slip() {
        let first = Template::all().find(|template| !template.aliases.is_empty()).unwrap();
        let alias = first.aliases().next().unwrap();
        assert_eq!(Template::named(&alias.to_uppercase()), Some(first));
        assert_eq!(Template::nearest(&format!("{}x", first.name)), Some(first.name));
        assert_eq!(Template::named("nobody"), None);
        assert_eq!(Template::nearest("qqqqqqqqqq"), None);
    }
}

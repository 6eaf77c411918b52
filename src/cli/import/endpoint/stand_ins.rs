//! Words of a URL that stand for what only the reader knows, without brackets around them: `YOUR-TENANT`, `yourDomain`, `:tenant`.
//!
//! Owns the guess. What is one is named and keeps its spelling, which `check` knows as well; what is none stays as it is.

/// What documentation calls `yourdomain` and the like.
const YOURS: &[&str] = &[
    "account",
    "app",
    "company",
    "domain",
    "host",
    "instance",
    "name",
    "org",
    "organization",
    "project",
    "realm",
    "region",
    "server",
    "site",
    "subdomain",
    "tenant",
    "tenantid",
    "url",
];

/// Whether a label of a host is one.
pub(super) fn is_label(label: &str, host: &str) -> bool {
    // Capitals mean something only where not all are.
    is_yours(label) || (is_shouted(label) && host.contains(|c: char| c.is_ascii_lowercase()))
}

/// Whether a segment of a path is one.
pub(super) fn is_segment(segment: &str) -> bool {
    is_yours(segment) || (is_shouted(segment) && segment.contains('_'))
}

/// The name in `:tenant`, as routers and their documentation have it.
pub(super) fn name_in(segment: &str) -> Option<&str> {
    let is_name = |name: &&str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    segment.strip_prefix(':').filter(is_name)
}

fn is_yours(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    lower.strip_prefix("your").is_some_and(|rest| rest.starts_with(['-', '_']) || YOURS.contains(&rest))
}

fn is_shouted(word: &str) -> bool {
    let letters = word.chars().filter(char::is_ascii_uppercase).count();
    letters > 2 && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
}

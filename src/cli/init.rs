//! `bearerd init`: a commented configuration for a vendor, on standard output.
//!
//! Owns the verb; the configurations are files: see [`crate::vendors`].

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use super::USAGE;
use super::run::complain;
use crate::vendors::{self, Template};

const HELP: &str = "\
Examples:
  bearerd init                              list the vendors
  bearerd init VENDOR > bearerd.toml
  bearerd init VENDOR --set client_id=my-client --set scope=read

Exit codes: 0 printed, 2 wrong usage: no such vendor, no such placeholder.";

/// `bearerd init`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct InitArgs {
    /// Whose authorization server; left out, all are listed
    vendor: Option<String>,
    /// Replace a placeholder: --set client_id=x for YOUR_CLIENT_ID (never a secret: those are files)
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_set, requires = "vendor")]
    set: Vec<(String, String)>,
}

fn parse_set(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((_, value)) if value.is_empty() || value.contains(|c: char| c.is_control() || c == '"' || c == '\\') => {
            Err("the value must be a text without quotes and backslashes".to_owned())
        }
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("must be NAME=VALUE".to_owned()),
    }
}

/// Prints the configuration, and on standard error what is left to do.
pub(super) fn run(args: &InitArgs) -> ExitCode {
    let Some(vendor) = &args.vendor else {
        let _ = write!(io::stdout(), "{}", list());
        return ExitCode::SUCCESS;
    };
    let Some(template) = Template::named(vendor) else {
        let near = Template::nearest(vendor).map_or(String::new(), |near| format!("; did you mean {near}?"));
        return complain(&format!("bearerd init: no vendor is called {vendor:?}{near}\n\n{}", list()), USAGE);
    };
    match filled(template, &args.set) {
        Ok((text, left)) => {
            let _ = write!(io::stdout(), "{text}");
            let _ = io::stdout().flush();
            let _ = write!(io::stderr(), "{}", to_do(&text, &left, super::output::is_file()));
            ExitCode::SUCCESS
        }
        Err(message) => complain(&format!("bearerd init: {message}"), USAGE),
    }
}

/// What comes first: to save the lines, unless they went into a file.
pub(super) fn first(are_saved: bool) -> &'static str {
    match are_saved {
        true => "next:\n",
        false => "next:\n  save the lines above in a file, bearerd.toml for example\n",
    }
}

/// What comes last.
pub(super) const CHECK: &str = "  bearerd check --fetch FILE\n";

/// Every vendor with its line.
fn list() -> String {
    let width = Template::all().map(|template| template.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Template { name, title, .. } in Template::all() {
        let _ = writeln!(text, "  {name:width$}  {title}");
    }
    text.push_str("\nbearerd init VENDOR prints the configuration. Another server: bearerd import curl, or config.example.toml.\n");
    text
}

/// The text with its placeholders replaced, and those that are left.
fn filled(template: Template, set: &[(String, String)]) -> Result<(String, Vec<&'static str>), String> {
    let mut text = template.text.to_owned();
    let mut left = template.placeholders();
    for (name, value) in set {
        let Some(place) = left.iter().position(|placeholder| key(placeholder) == key(name)) else {
            let names: Vec<String> = template.placeholders().iter().map(|placeholder| key(placeholder)).collect();
            let known = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            return Err(format!("there is no {name} to set for {}, but {known}", template.name));
        };
        text = vendors::replace(&text, left.remove(place), value);
    }
    Ok((text, left))
}

/// `YOUR-TENANT-ID` and `tenant_id` are the same.
fn key(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace('-', "_");
    name.strip_prefix("your_").map(str::to_owned).unwrap_or(name)
}

fn to_do(text: &str, left: &[&str], are_saved: bool) -> String {
    let mut said = String::from(first(are_saved));
    if !left.is_empty() {
        let _ = writeln!(said, "  replace {}", left.join(", "));
    }
    let mut files = Vec::new();
    if let Ok(table) = text.parse::<toml::Table>() {
        files_in(&toml::Value::Table(table), &mut files);
    }
    for file in files {
        let _ = writeln!(said, "  put the secret into {file}");
    }
    said.push_str(CHECK);
    said
}

/// Every `{ file = "…" }`.
fn files_in(value: &toml::Value, files: &mut Vec<String>) {
    let Some(table) = value.as_table() else { return };
    for (name, member) in table {
        match member.as_str() {
            Some(path) if name == "file" => files.push(path.to_owned()),
            _ => files_in(member, files),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_every_vendor_on_a_line_that_fits() {
        let list = list();
        for template in Template::all() {
            assert_eq!(
                list.matches(&format!("\n  {} ", template.name)).count()
                    + usize::from(list.starts_with(&format!("  {} ", template.name))),
                1,
                "{}",
                template.name
            );
        }
        assert!(list.lines().all(|line| line.chars().count() <= 132), "{list}");
    }

    #[test]
    fn placeholders_are_set_by_name() {
        let template = Template {
            name: "x",
            title: "",
            aliases: "",
            text: "a = \"https://YOUR-ORG-ID.x\"\nb = \"YOUR_ID\"\nc = { file = \"/s\" }\n",
        };
        let set = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            filled(template, &pairs)
        };
        let (text, left) = set(&[("org_id", "acme")]).unwrap();
        assert_eq!((text.lines().next(), left.as_slice()), (Some("a = \"https://acme.x\""), &["YOUR_ID"][..]));
        assert_eq!(
            to_do(&text, &left, false),
            "next:\n  save the lines above in a file, bearerd.toml for example\n  replace YOUR_ID\n  put the secret into /s\n  bearerd check --fetch FILE\n"
        );
        assert_eq!(set(&[("ID", "1"), ("ORG-ID", "2")]).unwrap().1, Vec::<&str>::new());
        assert!(set(&[("domain", "x")]).unwrap_err().contains("org_id, id"));
        assert!(parse_set("a").is_err() && parse_set("a=").is_err() && parse_set("a=b\"c").is_err());
    }
}

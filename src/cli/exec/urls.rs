//! The URLs that the command is told, and the variables that tell them.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::app::Bound;

/// The variable of the first route.
const FIRST: &str = "BEARERD_URL";

/// Each route with its URL, in the order of the configuration.
pub(super) struct Urls(Vec<(String, String)>);

impl Urls {
    /// `paths` are the routes' own, in the same order.
    pub(super) fn new(bound: &Bound, paths: &[String], is_secure: bool) -> Self {
        let url = |(name, addresses): &(String, Vec<crate::server::Bound>), path: &String| {
            let port = addresses.iter().find_map(|address| address.tcp())?.port();
            // A certificate is for a name.
            let base = if is_secure { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") };
            Some((name.clone(), base + path.trim_end_matches('/')))
        };
        Self(bound.routes.iter().zip(paths).filter_map(|(route, path)| url(route, path)).collect())
    }

    /// Every variable for the command.
    pub(super) fn variables(&self, templates: &[Template]) -> Vec<(String, String)> {
        let first = self.0.first().map(|(_, url)| (FIRST.to_owned(), url.clone()));
        let named = self.0.iter().map(|(name, url)| (variable(name), url.clone()));
        let written = templates.iter().map(|template| (template.name.clone(), self.expand(&template.text)));
        first.into_iter().chain(named).chain(written).collect()
    }

    fn expand(&self, text: &str) -> String {
        let first = self.0.first().map_or("", |(_, url)| url);
        let named = |text: String, (name, url): &(String, String)| text.replace(&format!("{{url.{name}}}"), url);
        self.0.iter().fold(text.replace("{url}", first), named)
    }
}

/// `BEARERD_URL_` and the name in capitals, `_` for what is no letter or digit.
fn variable(route: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("{FIRST}_{}", route.chars().map(letter).collect::<String>())
}

/// # Errors
/// One line, if two routes would be told by one variable.
pub(super) fn check_names<'a>(routes: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for route in routes {
        let variable = variable(route);
        if let Some(other) = known.get(&variable) {
            return Err(format!("the routes {other:?} and {route:?} would both be {variable}: rename one of them"));
        }
        known.insert(variable, route);
    }
    Ok(())
}

/// `NAME=TEXT` of `--env`.
#[derive(Clone, Debug)]
pub(super) struct Template {
    name: String,
    text: String,
}

impl FromStr for Template {
    type Err = &'static str;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        match written.split_once('=') {
            Some((name, text)) if !name.is_empty() => Ok(Self { name: name.to_owned(), text: text.to_owned() }),
            _ => Err("must be NAME=TEXT, as in API_BASE={url}"),
        }
    }
}

impl Template {
    /// # Errors
    /// One line, if a URL of no route is wanted.
    pub(super) fn check<'a>(&self, routes: impl Iterator<Item = &'a str>) -> Result<(), String> {
        let routes: Vec<_> = routes.collect();
        for rest in self.text.split("{url.").skip(1) {
            let name = rest.split_once('}').map_or(rest, |(name, _)| name);
            if !routes.contains(&name) {
                let known = routes.join(", ");
                return Err(format!(
                    "--env {}: there is no route {name:?} for {{url.{name}}}; there are: {known}",
                    self.name
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_whose_variables_would_be_the_same_are_an_error() {
        assert_eq!(check_names(["a-b", "ab", "a"].into_iter()), Ok(()));
        let error = check_names(["a-b", "c", "a.b"].into_iter()).unwrap_err();
        assert_eq!(error, "the routes \"a-b\" and \"a.b\" would both be BEARERD_URL_A_B: rename one of them");
    }

    fn urls(is_secure: bool) -> Urls {
        let on =
            |name: &str, port: u16| (name.to_owned(), vec![crate::server::Bound::Tcp(([127, 0, 0, 1], port).into())]);
        let bound = Bound { routes: vec![on("items", 1), on("bill-ing.x", 2)], ..Bound::default() };
        Urls::new(&bound, &["/".to_owned(), "/billing".to_owned()], is_secure)
    }

    #[test]
    fn each_route_has_a_variable_and_templates_have_their_urls() {
        let template: Template = "JSON={\"a\":\"{url}/v2\",\"b\":\"{url.bill-ing.x}\"}".parse().unwrap();
        let variables = urls(false).variables(&[template]);
        let wanted = [
            ("BEARERD_URL", "http://127.0.0.1:1"),
            ("BEARERD_URL_ITEMS", "http://127.0.0.1:1"),
            ("BEARERD_URL_BILL_ING_X", "http://127.0.0.1:2/billing"),
            ("JSON", "{\"a\":\"http://127.0.0.1:1/v2\",\"b\":\"http://127.0.0.1:2/billing\"}"),
        ];
        assert_eq!(variables, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(urls(true).variables(&[])[0].1, "https://localhost:1");
    }

    #[test]
    fn a_template_names_routes_that_exist() {
        let check = |text: &str| text.parse::<Template>().unwrap().check(["a", "b"].into_iter());
        assert_eq!(check("X={url}{url.a}"), Ok(()));
        assert_eq!(check("X={url.c}"), Err("--env X: there is no route \"c\" for {url.c}; there are: a, b".to_owned()));
        assert!(check("X={url.a").is_ok() && check("X={url.").is_err());
        assert!("X".parse::<Template>().is_err() && "=y".parse::<Template>().is_err());
    }
}

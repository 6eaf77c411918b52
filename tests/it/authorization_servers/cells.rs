//! All cells, one test each, and the table of the documentation.

use super::Cell;

/// Makes a list of cells and a test of each. The first name in a line is the test's, the second the cell's.
macro_rules! cells {
    ($($module:ident $server:literal { $($grant_module:ident $grant:literal { $($test:ident $authentication:literal)* })* })*) => {
        const CELLS: &[Cell] = &[$($($(
            Cell { grant: $grant, authentication: $authentication, server: $server },
        )*)*)*];

        $(mod $module {
            $(mod $grant_module {
                $(#[test]
                fn $test() {
                    super::super::Cell { grant: $grant, authentication: $authentication, server: $server }.passes();
                })*
            })*
        })*
    };
}

cells! {
    oidc_provider "oidc-provider" {
        client_credentials "client_credentials" {
            client_secret_basic "client_secret_basic"
            client_secret_post "client_secret_post"
            client_secret_jwt "client_secret_jwt"
            private_key_jwt_rs256 "private_key_jwt RS256"
            private_key_jwt_ps256 "private_key_jwt PS256"
            private_key_jwt_es256 "private_key_jwt ES256"
            private_key_jwt_eddsa "private_key_jwt EdDSA"
            tls_client_auth "tls_client_auth"
            self_signed_tls_client_auth "self_signed_tls_client_auth"
        }
        password "password" {
            none "none"
            client_secret_basic "client_secret_basic"
            client_secret_post "client_secret_post"
            client_secret_jwt "client_secret_jwt"
            private_key_jwt_rs256 "private_key_jwt RS256"
            private_key_jwt_ps256 "private_key_jwt PS256"
            private_key_jwt_es256 "private_key_jwt ES256"
            private_key_jwt_eddsa "private_key_jwt EdDSA"
            tls_client_auth "tls_client_auth"
            self_signed_tls_client_auth "self_signed_tls_client_auth"
        }
        refresh_token "refresh_token" {
            none "none"
            client_secret_basic "client_secret_basic"
            client_secret_post "client_secret_post"
            client_secret_jwt "client_secret_jwt"
            private_key_jwt_rs256 "private_key_jwt RS256"
            private_key_jwt_ps256 "private_key_jwt PS256"
            private_key_jwt_es256 "private_key_jwt ES256"
            private_key_jwt_eddsa "private_key_jwt EdDSA"
            tls_client_auth "tls_client_auth"
            self_signed_tls_client_auth "self_signed_tls_client_auth"
        }
        jwt_bearer "jwt-bearer" {
            none "none"
            client_secret_basic "client_secret_basic"
            client_secret_post "client_secret_post"
            client_secret_jwt "client_secret_jwt"
            private_key_jwt_rs256 "private_key_jwt RS256"
            private_key_jwt_ps256 "private_key_jwt PS256"
            private_key_jwt_es256 "private_key_jwt ES256"
            private_key_jwt_eddsa "private_key_jwt EdDSA"
            tls_client_auth "tls_client_auth"
            self_signed_tls_client_auth "self_signed_tls_client_auth"
        }
        token_exchange "token-exchange" {
            none "none"
            client_secret_basic "client_secret_basic"
            client_secret_post "client_secret_post"
            client_secret_jwt "client_secret_jwt"
            private_key_jwt_rs256 "private_key_jwt RS256"
            private_key_jwt_ps256 "private_key_jwt PS256"
            private_key_jwt_es256 "private_key_jwt ES256"
            private_key_jwt_eddsa "private_key_jwt EdDSA"
            tls_client_auth "tls_client_auth"
            self_signed_tls_client_auth "self_signed_tls_client_auth"
        }
    }
    glewlwyd "Glewlwyd" {
        client_credentials "client_credentials" {
            client_secret_basic "client_secret_basic"
            client_secret_post "client_secret_post"
            client_secret_jwt "client_secret_jwt"
            private_key_jwt_rs256 "private_key_jwt RS256"
            private_key_jwt_ps256 "private_key_jwt PS256"
            private_key_jwt_es256 "private_key_jwt ES256"
            private_key_jwt_eddsa "private_key_jwt EdDSA"
            tls_client_auth "tls_client_auth"
        }
        password "password" {
            client_secret_basic "client_secret_basic"
            client_secret_post "client_secret_post"
            client_secret_jwt "client_secret_jwt"
            private_key_jwt_rs256 "private_key_jwt RS256"
            private_key_jwt_ps256 "private_key_jwt PS256"
            private_key_jwt_es256 "private_key_jwt ES256"
            private_key_jwt_eddsa "private_key_jwt EdDSA"
            tls_client_auth "tls_client_auth"
        }
        refresh_token "refresh_token" {
            client_secret_basic "client_secret_basic"
            client_secret_post "client_secret_post"
            client_secret_jwt "client_secret_jwt"
            private_key_jwt_rs256 "private_key_jwt RS256"
            private_key_jwt_ps256 "private_key_jwt PS256"
            private_key_jwt_es256 "private_key_jwt ES256"
            private_key_jwt_eddsa "private_key_jwt EdDSA"
            tls_client_auth "tls_client_auth"
        }
    }
    canaille "Canaille" {
        client_credentials "client_credentials" {
            client_secret_basic "client_secret_basic"
        }
        password "password" {
            none "none"
            client_secret_basic "client_secret_basic"
            client_secret_post "client_secret_post"
            private_key_jwt_rs256 "private_key_jwt RS256"
            private_key_jwt_es256 "private_key_jwt ES256"
        }
        refresh_token "refresh_token" {
            none "none"
            client_secret_basic "client_secret_basic"
            client_secret_post "client_secret_post"
            private_key_jwt_rs256 "private_key_jwt RS256"
            private_key_jwt_es256 "private_key_jwt ES256"
        }
        jwt_bearer "jwt-bearer" {
            none "none"
        }
    }
}

const DOCUMENT: &str = "docs/authorization-servers.md";

/// The rows of its table: a grant and an authentication, and the servers for which there is a cell.
fn documented() -> Vec<Cell> {
    let path = format!("{}/{DOCUMENT}", env!("CARGO_MANIFEST_DIR"));
    let text: &'static str = std::fs::read_to_string(path).unwrap().leak();
    let mut rows = text
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>());
    let servers = rows.next().expect("a heading")[2..].to_vec();
    rows.flat_map(|row| {
        let (grant, authentication) = (row[0], row[1]);
        let marks = servers.clone().into_iter().zip(row[2..].to_vec());
        marks.filter(|(_, mark)| *mark == "yes").map(move |(server, _)| Cell { grant, authentication, server })
    })
    .collect()
}

#[test]
fn the_documentation_has_these_cells_and_no_others() {
    let mut told = documented();
    let mut tested = CELLS.to_vec();
    assert!(tested.len() > 80, "{}", tested.len());
    told.sort();
    tested.sort();
    let only =
        |left: &[Cell], right: &[Cell]| left.iter().filter(|cell| !right.contains(cell)).copied().collect::<Vec<_>>();
    let (untested, untold) = (only(&told, &tested), only(&tested, &told));
    assert!(untested.is_empty() && untold.is_empty(), "{DOCUMENT}: without a test: {untested:?}; not told: {untold:?}");
    assert_eq!(told, tested, "{DOCUMENT}: a row twice");
}

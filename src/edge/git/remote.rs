//! What a repository is called wherever it is cloned: host and path of its URL, without who asks and with what secret.

/// The name of a remote: `git@github.com:acme/models.git` and `https://TOKEN@github.com/acme/models` are both
/// `github.com/acme/models`. Empty for a folder of this machine, which on another one is something else.
pub(super) fn remote_name(url: &str) -> String {
    let Some((authority, path)) = parts(url) else { return String::new() };
    // What stands before the last `@` may be a password with one in it.
    let host = authority.rsplit('@').next().unwrap_or_default().to_lowercase();
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let odd = |text: &str| text.chars().any(|c| c.is_control() || c.is_whitespace());
    if host.is_empty() || path.is_empty() || odd(&host) || odd(path) {
        return String::new();
    }
    format!("{host}/{path}")
}

/// What stands for the machine, without the usual port, and the path there.
fn parts(url: &str) -> Option<(&str, &str)> {
    let Some((scheme, rest)) = url.split_once("://") else {
        // As scp writes it; a slash before the colon makes it a path.
        let (host, path) = url.split_once(':')?;
        return Some((host, path)).filter(|(host, _)| !host.contains('/'));
    };
    let (authority, path) = rest.split_once('/')?;
    let usual = match scheme.to_ascii_lowercase().as_str() {
        "https" => ":443",
        "http" => ":80",
        "ssh" | "git+ssh" | "ssh+git" => ":22",
        "git" => ":9418",
        _ => return None,
    };
    Some((authority.strip_suffix(usual).unwrap_or(authority), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_one_name_and_no_secret() {
        for (url, name) in [
            ("https://github.com/acme/models.git", "github.com/acme/models"),
            ("https://GitHub.com:443/acme/models/", "github.com/acme/models"),
            ("https://ada:se@cret@github.com/acme/models", "github.com/acme/models"),
            ("https://x-access-token:ghs_1@github.com/acme/models?token=t#f", "github.com/acme/models"),
            ("git@github.com:acme/models.git", "github.com/acme/models"),
            ("github.com:/acme/models", "github.com/acme/models"),
            ("ssh://git@github.com:22/acme/models.git", "github.com/acme/models"),
            ("git://github.com:9418/acme/models", "github.com/acme/models"),
            // Another port may be another server, and other letters another repository.
            ("ssh://git@git.acme.com:2222/models", "git.acme.com:2222/models"),
            ("https://github.com/Acme/models", "github.com/Acme/models"),
            // No other machine calls these so.
            ("/srv/git/models.git", ""),
            ("../models", ""),
            ("./a:b", ""),
            ("file:///srv/git/models.git", ""),
            ("file://host/srv/models", ""),
            ("ext::sh -c x", ""),
            ("https://github.com", ""),
            ("https://github.com/", ""),
            ("https://ada@/models", ""),
            ("github.com:acme/a\nb", ""),
            ("", ""),
        ] {
            assert_eq!(remote_name(url), name, "{url:?}");
        }
    }
}

//! Names of services as names of containers, and as names of hosts.

use super::ServiceSpec;

/// A container's name has 63 characters, and holds more than this.
const LONGEST: usize = 40;

/// Returns a name for each service of a job that is part of a container's name: lower-case letters, digits
/// and `-`. Services whose names differ only in what is not taken are numbered.
pub fn service_labels(services: &[ServiceSpec]) -> Vec<String> {
    let mut labels: Vec<String> = Vec::with_capacity(services.len());
    for service in services {
        let plain = label(&service.name);
        let numbered = (2_u32..).map(|number| format!("{plain}-{number}"));
        let free = std::iter::once(plain.clone()).chain(numbered).find(|name| !labels.contains(name));
        labels.push(free.unwrap_or(plain));
    }
    labels
}

fn label(name: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let label: String = name.chars().take(LONGEST).map(clean).collect();
    match label.trim_matches('-') {
        "" => "unnamed".to_owned(),
        label => label.to_owned(),
    }
}

/// Tells whether a pod can give its containers a host of this name (Kubernetes, "Object Names and IDs": a
/// label of RFC 1123).
pub fn is_host_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len())
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_whose_names_differ_have_labels_that_differ() {
        let of = |names: &[&str]| {
            let service = |name: &&str| ServiceSpec { name: (*name).to_owned(), ..ServiceSpec::default() };
            service_labels(&names.iter().map(service).collect::<Vec<_>>())
        };
        assert_eq!(of(&["db", "DB_main", "_"]), ["db", "db-main", "unnamed"]);
        assert_eq!(
            of(&["a_b", "a-b-2", "a-b", "A_B", "a-b-3"]),
            ["a-b", "a-b-2", "a-b-3", "a-b-4", "a-b-3-2"]
        );
        let long = "a".repeat(60);
        let both = of(&[&format!("{long}x"), &format!("{long}y")]);
        assert!(both[0] != both[1] && both.iter().all(|label| label.len() <= 42), "{both:?}");
    }

    #[test]
    fn hosts_of_a_pod() {
        for name in ["db", "a-b", "7z", &"a".repeat(63)] {
            assert!(is_host_label(name), "{name}");
        }
        for name in ["", "DB", "a_b", "-a", "a-", "é", "a.b", &"a".repeat(64)] {
            assert!(!is_host_label(name), "{name}");
        }
    }
}

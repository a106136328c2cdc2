//! A service container: its keys, and what of Docker's `options` there is where it runs.

use super::absent::Place;
use super::evaluate::{optional, text};
use super::volumes::{no_effect, no_folder};
use super::{Contexts, pod};
use crate::job::{Health, ServiceSpec, no_place, pod_volume};
use tidegate_lang::expr::Template;
use tidegate_lang::workflow::Container;

/// Evaluates a service; one whose image is empty is left out, as at GitHub. `notes` gets what has no
/// effect there.
pub(super) fn service(
    name: &str,
    given: &Container,
    contexts: &Contexts,
    place: Place,
    notes: &mut Vec<String>,
) -> Result<Option<ServiceSpec>, String> {
    let key = |part: &str| format!("services.{name}.{part}");
    if given.expression.is_some() {
        return Err(format!(
            "`services.{name}` must be written out: an expression for all of it is not read"
        ));
    }
    let Some(image) = optional(&key("image"), given.image.as_ref(), contexts)? else { return Ok(None) };
    if given.env.expression.is_some() {
        return Err(format!("`services.{name}.env` must be a mapping: one expression for all is not read"));
    }
    let words = |part: &str, given: Option<&Template>| -> Result<Vec<String>, String> {
        Ok(split(&optional(&key(part), given, contexts)?.unwrap_or_default()))
    };
    let mut made = ServiceSpec {
        name: name.to_owned(),
        image,
        entrypoint: words("entrypoint", given.entrypoint.as_ref())?,
        command: words("command", given.command.as_ref())?,
        credentials: pod::credentials(given),
        ..ServiceSpec::default()
    };
    for (variable, value) in &given.env.variables {
        // A secret's value is nowhere in the log or in a spec.
        if pod::reads_secrets(value) {
            made.secret.push(variable.value.clone());
            made.env.push((variable.value.clone(), value.raw.to_string()));
        } else {
            made.env.push((variable.value.clone(), text(&key("env"), value, contexts)?));
        }
    }
    let mut said = Vec::new();
    for port in &given.ports {
        said.push(("ports", take_port(&text(&key("ports"), port, contexts)?, &mut made)));
    }
    for volume in &given.volumes {
        said.push(("volumes", take_volume(text(&key("volumes"), volume, contexts)?, place, &mut made)));
    }
    let options = optional(&key("options"), given.options.as_ref(), contexts)?.unwrap_or_default();
    said.push(("options", take_all_options(&options, place, &mut made)));
    for (part, finding) in said {
        match finding {
            Some(Finding::Wrong(words)) => return Err(format!("`{}`: {words}", key(part))),
            Some(Finding::Ignored(words)) => notes.push(format!("`{}`: {words}", key(part))),
            None => {}
        }
    }
    Ok(Some(made))
}

/// What of a key is not carried out where the service runs.
#[derive(Debug, PartialEq)]
pub(super) enum Finding {
    /// The job cannot run with it.
    Wrong(String),
    /// It has no effect.
    Ignored(String),
}

/// The service as far as it is written without an expression, and what of that is not carried out, by key.
pub(super) fn written(
    name: &str,
    given: &Container,
    place: Place,
) -> (ServiceSpec, Vec<(&'static str, Finding)>) {
    let mut made = ServiceSpec { name: name.to_owned(), ..ServiceSpec::default() };
    let mut said = Vec::new();
    for port in given.ports.iter().filter(|port| port.is_literal()) {
        said.push(("ports", take_port(&port.raw, &mut made)));
    }
    for volume in given.volumes.iter().filter(|volume| volume.is_literal()) {
        said.push(("volumes", take_volume(volume.raw.to_string(), place, &mut made)));
    }
    if let Some(options) = given.options.as_ref().filter(|options| options.is_literal()) {
        said.push(("options", take_all_options(&options.raw, place, &mut made)));
    }
    (made, said.into_iter().filter_map(|(part, finding)| Some((part, finding?))).collect())
}

/// Says that a service listens where one before it does: containers of one attempt share one network.
pub(super) fn same_port(before: &[ServiceSpec], made: &ServiceSpec) -> Option<String> {
    before.iter().find_map(|other| {
        let port = other.ports.iter().find(|port| made.ports.contains(port))?;
        let (one, two) = (&other.name, &made.name);
        Some(format!("`{one}` and `{two}` both listen on port {port}, and a job has one network"))
    })
}

fn take_port(port: &str, into: &mut ServiceSpec) -> Option<Finding> {
    let Some((number, mapped)) = container_port(port) else {
        return Some(Finding::Wrong(format!("`{port}` is no port such as `5432` or `5432:5432`")));
    };
    into.ports.push(number);
    let name = &into.name;
    mapped
        .map(|mapped| Finding::Ignored(format!("{mapped} is not mapped; steps reach it at {name}:{number}")))
}

fn take_volume(volume: String, place: Place, into: &mut ServiceSpec) -> Option<Finding> {
    if place == Place::Containers {
        into.volumes.push(volume);
        return None;
    }
    let said = match pod_volume(&volume) {
        Some(found) => no_effect(&volume, found),
        None => return Some(Finding::Wrong(no_folder(&volume))),
    };
    if let Some(words) = no_place(&volume, &into.volumes) {
        return Some(Finding::Wrong(words));
    }
    into.volumes.push(volume);
    said.map(Finding::Ignored)
}

fn take_all_options(options: &str, place: Place, into: &mut ServiceSpec) -> Option<Finding> {
    let mut ignored = match take_options(options, into) {
        Ok(ignored) => ignored,
        Err(words) => return Some(Finding::Wrong(words)),
    };
    if place == Place::Containers {
        (ignored, into.options) = ours(ignored);
    }
    let there = if place == Place::Containers { "" } else { " in a pod" };
    (!ignored.is_empty()).then(|| Finding::Ignored(format!("{} has no effect{there}", ignored.join(" "))))
}

/// Options of `docker create` that the executor sets itself, and whether each takes a value.
const OURS: [(&str, bool); 14] = [
    ("--name", true),
    ("--network", true),
    ("--net", true),
    ("--network-alias", true),
    ("--entrypoint", true),
    ("--cidfile", true),
    ("--publish", true),
    ("-p", true),
    ("--publish-all", false),
    ("-P", false),
    ("--rm", false),
    ("--detach", false),
    ("-d", false),
    ("--pull", true),
];

/// Parts words of `docker create` into those that the executor sets itself, and the others.
pub(super) fn ours(words: Vec<String>) -> (Vec<String>, Vec<String>) {
    let (mut refused, mut taken) = (Vec::new(), Vec::new());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name).to_owned();
        match OURS.iter().find(|(ours, _)| *ours == name) {
            Some((_, value)) => {
                let joined = word.contains('=');
                refused.push(word);
                if *value && !joined {
                    refused.extend(words.next());
                }
            }
            None => taken.push(word),
        }
    }
    (refused, taken)
}

/// The port of the container, and that of the host where it is another.
fn container_port(text: &str) -> Option<(u16, Option<u16>)> {
    let text = text.split('/').next()?;
    let mut parts = text.rsplit(':');
    let inner: u16 = parts.next()?.trim().parse().ok().filter(|port| *port > 0)?;
    let outer = match parts.next() {
        None => None,
        Some(outer) => Some(outer.trim().parse::<u16>().ok()?),
    };
    Some((inner, outer.filter(|outer| *outer != inner)))
}

/// Takes what a pod has of `docker create`'s options; returns the others.
fn take_options(text: &str, into: &mut ServiceSpec) -> Result<Vec<String>, String> {
    let mut words = split(text).into_iter().peekable();
    let mut ignored = Vec::new();
    let mut health: Option<Health> = None;
    while let Some(word) = words.next() {
        let (name, joined) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (word.clone(), None),
        };
        const KNOWN: [&str; 9] = [
            "--health-cmd",
            "--health-interval",
            "--health-timeout",
            "--health-retries",
            "--health-start-period",
            "--env",
            "-e",
            "--entrypoint",
            "--user",
        ];
        if !KNOWN.contains(&name.as_str()) {
            ignored.push(word);
            while words.peek().is_some_and(|next| !next.starts_with('-')) {
                ignored.extend(words.next());
            }
            continue;
        }
        let value = joined.or_else(|| words.next()).ok_or_else(|| format!("`{name}` needs a value"))?;
        let seconds =
            || super::measure::seconds(&name, Some(&tidegate_lang::value::Value::from(value.as_str())), 0.0);
        let probe = health.get_or_insert_with(Health::default);
        match name.as_str() {
            "--health-cmd" => probe.command.clone_from(&value),
            "--health-interval" => probe.interval_seconds = seconds()?,
            "--health-timeout" => probe.timeout_seconds = seconds()?,
            "--health-start-period" => probe.start_seconds = seconds()?,
            "--health-retries" => {
                probe.retries =
                    value.parse().map_err(|_| format!("`--health-retries {value}` is no number"))?;
            }
            "--entrypoint" => into.entrypoint = vec![value],
            "--user" => match value.split(':').next().unwrap_or_default().parse() {
                Ok(user) => into.user = Some(user),
                Err(_) => ignored.extend([name, value]),
            },
            _ => {
                let (name, value) =
                    value.split_once('=').ok_or_else(|| format!("`{name} {value}` has no value"))?;
                into.env.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    into.health = health.filter(|health| !health.command.is_empty());
    Ok(ignored)
}

/// Splits words as a shell does: quotes hold together, a backslash takes the next character.
pub(super) fn split(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_docker() {
        let mut service = ServiceSpec::default();
        let ignored = take_options(
            r#"--health-cmd "pg_isready -U 'me'" --health-interval=10s --health-retries 5 --cpus 1 --network-alias x -e A=b --user 70:70"#,
            &mut service,
        )
        .unwrap();
        let health = service.health.unwrap();
        assert_eq!(health.command, "pg_isready -U 'me'");
        assert_eq!((health.interval_seconds, health.retries, health.timeout_seconds), (10.0, 5, 30.0));
        assert_eq!(service.env, [("A".to_owned(), "b".to_owned())]);
        assert_eq!(service.user, Some(70));
        assert_eq!(ignored, ["--cpus", "1", "--network-alias", "x"]);
        for wrong in ["--health-cmd", "--health-retries x", "--health-interval soon", "-e A"] {
            assert!(take_options(wrong, &mut ServiceSpec::default()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ports() {
        let table = [
            ("5432", Some((5432, None))),
            ("5432:5432/tcp", Some((5432, None))),
            ("127.0.0.1:15432:5432", Some((5432, Some(15432)))),
            ("x", None),
            ("0", None),
            ("80-90", None),
        ];
        for (text, port) in table {
            assert_eq!(container_port(text), port, "{text}");
        }
    }

    #[test]
    fn words_of_a_shell() {
        assert_eq!(split(r#" a  'b c' "d \" e"f \g '' "#), ["a", "b c", "d \" ef", "g", ""]);
    }
}

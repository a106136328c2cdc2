//! The containers of an attempt as words of `docker run`. Pure.
//!
//! What the steps see as folders lies at the same path inside and outside, so that the agent and the
//! steps mean the same by a path. No value of a secret is among the words: anybody can read them.

use super::engine::Kind;
use std::path::{Path, PathBuf};
use tidegate_flow::job::{JobSpec, ServiceSpec, StepContainer, service_labels};

/// Labels of everything that an engine starts.
pub(super) const STORE: &str = "tidegate.dev/store";
/// The run's ULID.
pub(super) const RUN: &str = "tidegate.dev/run";
/// The attempt's token.
const ATTEMPT: &str = "tidegate.dev/attempt";

/// Where the static program is in a container.
const PROGRAM: &str = "/run/tidegate/bin/tidegate";
/// The sockets once more: where they lie, a path may be too long for an address.
const DOORS: &str = "/run/tidegate/io";
/// The variables of a service that are secret come through a pipe here.
const PRIVATE: &str = "/run/tidegate/env";

/// What all containers of an attempt have in common.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) kind: Kind,
    /// The store's id.
    pub(super) store: String,
    pub(super) spec: JobSpec,
    /// The static program on this machine.
    pub(super) program: PathBuf,
    /// What agent and steps share.
    pub(super) shared: PathBuf,
    /// Where its checkpoint is kept between attempts; those of other jobs are not its to see.
    pub(super) checkpoint: Option<PathBuf>,
    /// The group that may change what is shared.
    pub(super) group: u32,
    /// Cores of this machine: more cannot be asked for.
    pub(super) cores: u32,
}

impl Site {
    /// The name of one of the attempt's containers.
    pub(super) fn name(&self, part: &str) -> String {
        let instance = self.spec.token.split('.').nth(1).unwrap_or_default();
        let run = self.spec.run.to_ascii_lowercase();
        format!("tg-{run}-{instance}-{}-{}", self.spec.attempt, slug(part))
    }

    /// The name of the container of one of the attempt's services.
    pub(super) fn name_of(&self, service: &ServiceSpec) -> String {
        self.name(&self.part(service))
    }

    /// What names the container of a service among those of its attempt.
    fn part(&self, service: &ServiceSpec) -> String {
        let services = &self.spec.pod.services;
        let labels = services.iter().zip(service_labels(services));
        let own = labels.into_iter().find(|(given, _)| given.name == service.name);
        format!("service-{}", own.map_or_else(|| service.name.clone(), |(_, label)| label))
    }

    /// The socket of a container, as the agent opens it.
    pub(super) fn door(&self, part: &str) -> PathBuf {
        self.shared.join("io").join(format!("{part}.sock"))
    }

    /// A pipe for the secret variables of a service, and the folder that it alone sees.
    pub(super) fn private(&self, service: &ServiceSpec) -> PathBuf {
        self.shared.join("private").join(self.part(service)).join("env")
    }

    /// A container of steps; `net`: the one whose network it shares.
    pub(super) fn steps(&self, part: &StepContainer, image: &str, net: Option<&str>) -> Vec<String> {
        let mut words = self.start(&part.name);
        words.extend(self.folders());
        words.extend(limits(part, self.cores));
        words.extend(self.gpus(part));
        words.extend(net.map(|net| format!("--network=container:{net}")));
        for volume in part.container.iter().flat_map(|container| &container.volumes) {
            words.push(format!("--volume={volume}"));
        }
        words.extend(part.container.iter().flat_map(|container| container.options.iter().cloned()));
        words.extend(shim(&part.name, image));
        words
    }

    /// The container that holds the network of all others, as long as the attempt takes.
    pub(super) fn net(&self, image: &str) -> Vec<String> {
        let mut words = self.start("net");
        words.extend(self.folders());
        let names = self.spec.pod.services.iter();
        words.extend(names.map(|service| format!("--add-host={}:127.0.0.1", service.name)));
        words.extend(shim("net", image));
        words
    }

    /// A service. `own` is what the image starts by itself: its entry point and its command.
    pub(super) fn service(
        &self,
        service: &ServiceSpec,
        image: &str,
        net: &str,
        own: (&[String], &[String]),
    ) -> Vec<String> {
        let mut words = self.start(&self.part(service));
        words.push(format!("--network=container:{net}"));
        for (name, value) in service.env.iter().filter(|(name, _)| !service.secret.contains(name)) {
            words.push(format!("--env={name}={value}"));
        }
        words.extend(service.volumes.iter().map(|volume| format!("--volume={volume}")));
        words.extend(service.user.map(|user| format!("--user={user}")));
        words.extend(service.options.iter().cloned());
        let entry = if service.entrypoint.is_empty() { own.0 } else { &service.entrypoint };
        // An entry point of its own takes the place of the image's command, too.
        let usual = if service.entrypoint.is_empty() { own.1 } else { &[] };
        let command = if service.command.is_empty() { usual } else { &service.command };
        if service.secret.is_empty() {
            words.extend(service.entrypoint.first().map(|entry| format!("--entrypoint={entry}")));
            words.push(image.to_owned());
            words.extend(service.entrypoint.iter().skip(1).cloned());
            words.extend(service.command.iter().cloned());
            return words;
        }
        let private = self.private(service);
        let private = private.parent().unwrap_or(&private);
        words.push(bind(&self.program, Path::new(PROGRAM), true));
        words.push(bind(private, Path::new(PRIVATE), true));
        words.push(format!("--entrypoint={PROGRAM}"));
        words.push(image.to_owned());
        words.extend(["shim", "--env", &format!("{PRIVATE}/env"), "--"].map(str::to_owned));
        words.extend(entry.iter().chain(command).cloned());
        words
    }

    /// A container that removes what is shared, as root of the image: steps of other users may have made
    /// what this process may not remove.
    pub(super) fn clear(&self, image: &str) -> Vec<String> {
        let all = self.shared.parent().unwrap_or(&self.shared);
        let mut words = self.start("clear");
        words.retain(|word| word != "--detach");
        words.extend(["--rm", "--user=0", "--network=none"].map(str::to_owned));
        words.extend([bind(&self.program, Path::new(PROGRAM), true), bind(all, all, false)]);
        words.extend([format!("--entrypoint={PROGRAM}"), image.to_owned()]);
        words.extend(["shim".to_owned(), "--clear".to_owned(), self.shared.display().to_string()]);
        words
    }

    fn start(&self, part: &str) -> Vec<String> {
        let mut words: Vec<String> = ["run", "--detach", "--pull=never"].map(str::to_owned).to_vec();
        words.push(format!("--name={}", self.name(part)));
        for (label, value) in [(STORE, &self.store), (RUN, &self.spec.run), (ATTEMPT, &self.spec.token)] {
            words.push(format!("--label={label}={value}"));
        }
        // As in a pod. Labels of SELinux would hide the shared folder.
        words.extend(["no-new-privileges", "label=disable"].map(|option| format!("--security-opt={option}")));
        words
    }

    /// The folders that agent and steps share.
    fn folders(&self) -> Vec<String> {
        let io = self.shared.join("io");
        let mut words = vec![
            bind(&self.program, Path::new(PROGRAM), true),
            bind(&self.shared, &self.shared, false),
            bind(&io, Path::new(DOORS), false),
            format!("--group-add={}", self.group),
        ];
        words.extend(self.checkpoint.iter().map(|kept| bind(kept, kept, false)));
        if let Some(tree) = &self.spec.source.in_place {
            words.push(bind(Path::new(tree), Path::new(tree), false));
        }
        words
    }

    /// The GPUs that the line gave to the attempt (Docker: the NVIDIA runtime; podman: CDI).
    fn gpus(&self, part: &StepContainer) -> Vec<String> {
        let count = usize::try_from(part.resources.gpus).unwrap_or(usize::MAX);
        let given: Vec<String> =
            self.spec.gpus.iter().flatten().take(count).map(ToString::to_string).collect();
        match self.kind {
            _ if given.is_empty() => Vec::new(),
            // The list is one value, and commas part values.
            Kind::Docker => vec![format!("--gpus=\"device={}\"", given.join(","))],
            Kind::Podman => given.iter().map(|gpu| format!("--device=nvidia.com/gpu={gpu}")).collect(),
        }
    }
}

/// The shim as first process.
fn shim(part: &str, image: &str) -> Vec<String> {
    let socket = format!("{DOORS}/{part}.sock");
    let words = [&format!("--entrypoint={PROGRAM}"), image, "shim", "--socket", &socket];
    words.map(str::to_owned).to_vec()
}

/// Memory without swap, so that its end is a kill and not a slow death; cores as far as there are any.
fn limits(part: &StepContainer, cores: u32) -> Vec<String> {
    let asked = &part.resources;
    let mut words = Vec::new();
    if asked.memory_bytes > 0 {
        words.push(format!("--memory={}b", asked.memory_bytes));
        words.push(format!("--memory-swap={}b", asked.memory_bytes));
    }
    if asked.cpu_millis > 0 {
        let millis = asked.cpu_millis.min(u64::from(cores.max(1)) * 1000);
        words.push(format!("--cpus={}.{:03}", millis / 1000, millis % 1000));
    }
    if asked.shm_bytes > 0 {
        words.push(format!("--shm-size={}b", asked.shm_bytes));
    }
    words
}

/// A folder or file of this machine in a container. A path may hold colons and commas, so it is quoted
/// as a field of a CSV line.
fn bind(from: &Path, to: &Path, read_only: bool) -> String {
    let field = |name: &str, path: &Path| {
        let field = format!("{name}={}", path.display());
        if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
    };
    let mode = if read_only { ",readonly" } else { "" };
    format!("--mount=type=bind,{},{}{mode}", field("source", from), field("target", to))
}

/// Text as part of a container's name.
fn slug(text: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '-' };
    text.chars().take(60).map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_flow::job::{ContainerSpec, PodRequest, ResourceRequest, step_containers};

    fn site(kind: Kind) -> Site {
        let resources = ResourceRequest {
            cpu_millis: 64_500,
            memory_bytes: 1 << 30,
            shm_bytes: 1 << 20,
            gpus: 2,
            ..ResourceRequest::default()
        };
        let container = ContainerSpec {
            volumes: vec!["/data:/data:ro".into()],
            options: vec!["--cap-add".into(), "SYS_PTRACE".into()],
            ..ContainerSpec::default()
        };
        let spec = JobSpec {
            run: "01JDX3Z9M7ABCDEFGHJKMNPQRS".into(),
            token: "01JDX3Z9M7ABCDEFGHJKMNPQRS.12.2".into(),
            attempt: 2,
            image: Some("python:3.12".into()),
            gpus: Some(vec![0, 3]),
            resources,
            pod: PodRequest { container: Some(container), ..PodRequest::default() },
            ..JobSpec::default()
        };
        Site {
            kind,
            store: "01store".into(),
            spec,
            program: "/bin/tidegate".into(),
            shared: "/p/.tidegate/containers/x".into(),
            checkpoint: None,
            group: 1000,
            cores: 4,
        }
    }

    #[test]
    fn a_container_of_steps() {
        let site = site(Kind::Docker);
        let part = step_containers(&site.spec).remove(0);
        insta::assert_snapshot!(site.steps(&part, "python:3.12", Some("net")).join("\n"), @r#"
        run
        --detach
        --pull=never
        --name=tg-01jdx3z9m7abcdefghjkmnpqrs-12-2-steps
        --label=tidegate.dev/store=01store
        --label=tidegate.dev/run=01JDX3Z9M7ABCDEFGHJKMNPQRS
        --label=tidegate.dev/attempt=01JDX3Z9M7ABCDEFGHJKMNPQRS.12.2
        --security-opt=no-new-privileges
        --security-opt=label=disable
        --mount=type=bind,source=/bin/tidegate,target=/run/tidegate/bin/tidegate,readonly
        --mount=type=bind,source=/p/.tidegate/containers/x,target=/p/.tidegate/containers/x
        --mount=type=bind,source=/p/.tidegate/containers/x/io,target=/run/tidegate/io
        --group-add=1000
        --memory=1073741824b
        --memory-swap=1073741824b
        --cpus=4.000
        --shm-size=1048576b
        --gpus="device=0,3"
        --network=container:net
        --volume=/data:/data:ro
        --cap-add
        SYS_PTRACE
        --entrypoint=/run/tidegate/bin/tidegate
        python:3.12
        shim
        --socket
        /run/tidegate/io/steps.sock
        "#);
        let podman = Site { kind: Kind::Podman, checkpoint: Some("/p/c/k".into()), ..site };
        let words = podman.steps(&part, "python:3.12", None).join(" ");
        assert!(words.contains("--mount=type=bind,source=/p/c/k,target=/p/c/k "), "{words}");
        assert!(words.contains("--device=nvidia.com/gpu=0 --device=nvidia.com/gpu=3"), "{words}");
    }

    #[test]
    fn secrets_of_a_service_are_not_among_its_words() {
        let site = site(Kind::Podman);
        let mut service = ServiceSpec {
            name: "db".into(),
            image: "pg".into(),
            env: vec![("USER".into(), "me".into()), ("PW".into(), "${{ secrets.PW }}".into())],
            secret: vec!["PW".into()],
            volumes: vec!["/var/lib".into()],
            ..ServiceSpec::default()
        };
        let own = (["/entry.sh".to_owned()], ["postgres".to_owned()]);
        let words = |service: &ServiceSpec| site.service(service, "pg", "net", (&own.0, &own.1)).join(" ");
        let made = words(&service);
        assert!(!made.contains("secrets.PW") && made.contains("--env=USER=me"), "{made}");
        assert!(made.ends_with("pg shim --env /run/tidegate/env/env -- /entry.sh postgres"), "{made}");
        service.entrypoint = vec!["sh".into(), "-c".into()];
        assert!(words(&service).ends_with("-- sh -c"), "{}", words(&service));
        service.secret.clear();
        service.command = vec!["serve".into()];
        assert!(words(&service).ends_with("--entrypoint=sh pg -c serve"), "{}", words(&service));
    }

    #[test]
    fn services_that_are_called_alike_have_containers_of_their_own() {
        let service = |name: &str| ServiceSpec { name: name.into(), ..ServiceSpec::default() };
        let mut site = site(Kind::Podman);
        site.spec.pod.services = vec![service("a_b"), service("a-b")];
        let names = site.spec.pod.services.iter().map(|service| site.name_of(service)).collect::<Vec<_>>();
        assert!(names[0].ends_with("-service-a-b") && names[1].ends_with("-service-a-b-2"), "{names:?}");
        let [one, other] = &site.spec.pod.services[..] else { panic!() };
        assert_ne!(site.private(one), site.private(other));
        assert!(site.service(other, "i", "net", (&[], &[])).contains(&format!("--name={}", names[1])));
    }

    #[test]
    fn a_path_with_commas_stays_one_path() {
        let word = bind(Path::new("/a,b"), Path::new("/c:\"d"), true);
        assert_eq!(word, r#"--mount=type=bind,"source=/a,b","target=/c:""d",readonly"#);
    }
}

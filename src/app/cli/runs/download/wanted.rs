//! Which artifacts of a run are asked for, and where each goes: as `gh run download` does it
//! (<https://cli.github.com/manual/gh_run_download>), and apart where several have one name.

use crate::app::cli::Failure;
use crate::app::cli::runs::chosen::{choose, name};
use crate::app::report::{InstanceView, RunView, shown_name};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use tidegate_edge::agent::matches;
use tidegate_flow::job::ArtifactRef;

/// What is asked for.
#[derive(Debug, Default)]
pub(super) struct Asked<'a> {
    pub(super) names: &'a [String],
    pub(super) patterns: &'a [String],
    pub(super) job: Option<&'a str>,
    pub(super) matrix: &'a [String],
}

/// One artifact that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    /// As the job called it.
    pub(super) name: String,
    /// The job, and its matrix values, that kept it.
    pub(super) of: String,
    pub(super) artifact: ArtifactRef,
    /// Where it goes below the folder.
    pub(super) below: PathBuf,
    /// What its only file is called.
    pub(super) file: String,
}

/// One artifact of a run.
struct Kept<'a> {
    name: &'a str,
    artifact: &'a ArtifactRef,
    instance: &'a InstanceView,
    /// Kept by `upload-artifact`, not by `produces`.
    upload: bool,
}

/// Finds what is asked for; what the run does not have is an error.
pub(super) fn wanted(asked: &Asked, view: &RunView) -> Result<Vec<Wanted>, Failure> {
    let kept = kept(asked, view)?;
    let number = view.created.number;
    if kept.is_empty() {
        let whose =
            if asked.job.is_some() || !asked.matrix.is_empty() { ", of what was asked for" } else { "" };
        return Err(Failure::wrong(format!("run {number} kept no artifact{whose}"))
            .hint(view.next(&format!("runs show {number}"))));
    }
    let names: BTreeSet<&String> = asked.names.iter().collect();
    let all = names.is_empty() && asked.patterns.is_empty();
    let missing = names.iter().find(|name| !kept.iter().any(|kept| kept.name == ***name));
    let idle = asked.patterns.iter().find(|pattern| !kept.iter().any(|kept| matches(pattern, kept.name)));
    if let Some(word) = missing.copied().or(idle) {
        let known: BTreeSet<String> = kept.iter().map(|kept| shown_name(kept.name)).collect();
        let known: Vec<String> = known.into_iter().collect();
        return Err(Failure::wrong(format!("run {number} kept no artifact `{}`", shown_name(word)))
            .hint(format!("its artifacts: {}", known.join(", "))));
    }
    let mut named: BTreeMap<&str, Vec<Kept>> = BTreeMap::new();
    for kept in kept {
        let matched = || asked.patterns.iter().any(|pattern| matches(pattern, kept.name));
        if all || names.iter().any(|name| **name == kept.name) || matched() {
            named.entry(kept.name).or_default().push(kept);
        }
    }
    let straight = names.len() == 1 && asked.patterns.is_empty();
    let mut wanted = Vec::new();
    for (name, kept) in named {
        let base = if straight { PathBuf::new() } else { PathBuf::from(folder(name)?) };
        let apart = kept.len() > 1;
        let mut taken = BTreeSet::new();
        for kept in kept {
            let mut below = if apart { base.join(place(view, kept.instance)?) } else { base.clone() };
            if !taken.insert(below.clone()) && kept.upload {
                below.as_mut_os_string().push("-upload");
            }
            wanted.push(Wanted { below, ..kept.wanted(view) });
        }
    }
    Ok(wanted)
}

fn kept<'a>(asked: &Asked, view: &'a RunView) -> Result<Vec<Kept<'a>>, Failure> {
    let mut all = Vec::new();
    for (_, instance) in choose(asked.job, asked.matrix, view)? {
        let Some(receipt) = &instance.receipt else { continue };
        let parts = [(&receipt.artifacts, false), (&receipt.uploads, true)];
        for (artifacts, upload) in parts {
            all.extend(artifacts.iter().map(|(name, artifact)| Kept { name, artifact, instance, upload }));
        }
    }
    Ok(all)
}

impl Kept<'_> {
    fn wanted(&self, view: &RunView) -> Wanted {
        let file = [&*self.artifact.name, self.name].into_iter().find(|name| is_name(name));
        Wanted {
            name: self.name.to_owned(),
            of: name(view, self.instance),
            artifact: self.artifact.clone(),
            below: PathBuf::new(),
            file: file.unwrap_or("artifact").to_owned(),
        }
    }
}

/// Tells whether a name is one of a file, and leads nowhere else.
fn is_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let one = matches!((parts.next(), parts.next()), (Some(Component::Normal(one)), None) if one == name);
    one && !name.contains('\0')
}

/// The folder of an artifact's own.
fn folder(name: &str) -> Result<&str, Failure> {
    if is_name(name) {
        return Ok(name);
    }
    let shown = shown_name(name);
    Err(Failure::wrong(format!("the artifact `{shown}` has a name that no folder can have: nothing was written"))
        .hint("`--name` with this name writes what is in it straight into `--dir`; another `--name` or `--pattern` leaves it out"))
}

/// Where an instance's artifact goes if others have the same name: the job, and the instance's index in its matrix, as
/// `needs.JOB.instances` counts.
fn place(view: &RunView, instance: &InstanceView) -> Result<PathBuf, Failure> {
    let Some(job) = view.jobs.get(instance.job as usize) else { return Ok(PathBuf::new()) };
    let parts: Result<PathBuf, Failure> =
        job.declared.id.split('/').map(|part| folder(part.trim())).collect();
    let mut place = parts?;
    let mut own = view.instances_of(job);
    if instance.matrix().is_object()
        && let Some(index) = own.position(|(_, other)| std::ptr::eq(other, instance))
    {
        place.push(index.to_string());
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::report::JobView;
    use serde_json::json;
    use std::sync::Arc;
    use tidegate_flow::job::{Conclusion, Receipt};
    use tidegate_flow::run::{InstanceDeclared, JobDeclared};

    fn artifact(file: &str) -> ArtifactRef {
        ArtifactRef { name: file.to_owned(), ..ArtifactRef::default() }
    }

    /// Names of products and of uploads.
    type Names<'a> = (&'a [&'a str], &'a [&'a str]);

    /// Jobs by id, each with what its instances kept.
    fn view(jobs: &[(&str, &[Names])]) -> RunView {
        let mut view = RunView::default();
        for (job, (id, instances)) in (0..).zip(jobs) {
            let declared = JobDeclared { id: (*id).to_owned(), ..JobDeclared::default() };
            let mut made = JobView { declared: declared.into(), ..JobView::default() };
            for (index, (products, uploads)) in instances.iter().enumerate() {
                made.instances.push(u32::try_from(view.instances.len()).unwrap());
                let of = |names: &[&str]| names.iter().map(|n| ((*n).to_owned(), artifact("f"))).collect();
                let receipt = Receipt {
                    artifacts: of(products),
                    uploads: of(uploads),
                    ..Receipt::bare(Conclusion::Success, None, String::new())
                };
                let matrix = if instances.len() > 1 { json!({ "n": index }) } else { json!(null) };
                let declared = Arc::new(InstanceDeclared { matrix, ..InstanceDeclared::default() });
                let receipt = Some(receipt.into());
                view.instances.push(InstanceView { job, declared, receipt, ..InstanceView::default() });
            }
            view.jobs.push(made);
        }
        view
    }

    fn places(view: &RunView, names: &[&str], patterns: &[&str]) -> String {
        let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let (names, patterns) = (owned(names), owned(patterns));
        let asked = Asked { names: &names, patterns: &patterns, ..Asked::default() };
        match wanted(&asked, view) {
            Ok(all) => all.iter().map(|w| w.below.display().to_string()).collect::<Vec<_>>().join(" "),
            Err(failure) => failure.render(false),
        }
    }

    #[test]
    fn an_artifact_has_a_folder_of_its_name_and_one_alone_has_none() {
        let view = view(&[("a", &[(&["model"], &["report"])]), ("b", &[(&[], &["logs"])])]);
        assert_eq!(places(&view, &[], &[]), "logs model report");
        assert_eq!(places(&view, &["report"], &[]), "");
        assert_eq!(places(&view, &["report", "report"], &[]), "");
        assert_eq!(places(&view, &["report", "logs"], &[]), "logs report");
        assert_eq!(places(&view, &[], &["m*"]), "model", "a pattern may match more");
        assert_eq!(places(&view, &["logs"], &["m*"]), "logs model");
        let none = places(&view, &["model", "no\nsuch"], &[]);
        assert!(
            none.contains("no artifact `no such`") && none.contains("its artifacts: logs, model"),
            "{none}"
        );
        assert!(places(&view, &[], &["x*", "m*"]).contains("kept no artifact `x*`"));
    }

    #[test]
    fn several_of_one_name_lie_apart() {
        let matrix: &[Names] = &[(&["model"], &[]), (&["model"], &[])];
        let view = view(&[("fit", matrix), ("call/best", &[(&["model", "x"], &["x"])])]);
        assert_eq!(
            places(&view, &[], &[]),
            "model/fit/0 model/fit/1 model/call/best x/call/best x/call/best-upload"
        );
        assert_eq!(places(&view, &["model"], &[]), "fit/0 fit/1 call/best");
        let matrix = ["n=1".to_owned()];
        let asked = Asked { job: Some("fit"), matrix: &matrix, ..Asked::default() };
        let one = wanted(&asked, &view).unwrap();
        assert_eq!((one.len(), one[0].below.to_str(), &*one[0].of), (1, Some("model"), "fit (n=1)"));
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        for name in ["..", ".", "", "a/b", "/etc", "../x", "a/", "a\0"] {
            let view = view(&[("a", &[(&[], &[name])])]);
            let said = places(&view, &[], &[]);
            assert!(said.contains("a name that no folder can have"), "{name:?}: {said}");
            assert_eq!(places(&view, &[name], &[]), "", "{name:?}");
        }
        let mut one = view(&[("a", &[(&[], &["x"])])]);
        for (file, expected) in [("../passwd", "x"), ("", "x"), ("m.bin", "m.bin"), ("/", "x")] {
            let receipt = one.instances[0].receipt.as_mut().unwrap();
            Arc::make_mut(receipt).uploads.insert("x".to_owned(), artifact(file));
            assert_eq!(wanted(&Asked::default(), &one).unwrap()[0].file, expected);
        }
    }
}

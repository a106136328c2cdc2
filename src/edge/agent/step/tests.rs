//! A cancel between a step's condition and its start.

use crate::agent::launcher::Environment;
use crate::agent::process::Program;
use crate::agent::{
    ActionCaches, Caches, Checkpoints, Children, Control, FreshFolders, Launcher, Link, Running,
    Surroundings, TempFolders, Uplink, Wish, run,
};
use crate::python::Environments;
use crate::store::FileObjects;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, PipeReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tidegate_flow::job::{ActionSpec, Conclusion, JobMessage, JobSpec, MessageBody, StepSpec};

/// A place where a cancel comes while the second step's container is waited for. It comes when somebody waits for
/// it a second time.
struct Slow {
    children: Arc<Children>,
    control: Arc<Control>,
    comes: bool,
}

impl Launcher for Slow {
    fn enter(&self) {}

    fn leave(&self) {}

    fn reach(&self, step: u32, patience: Wish) -> io::Result<Option<Environment>> {
        if step == 0 || self.control.wish() > Wish::Run {
            return Ok(None);
        }
        self.control.ask(Wish::Cancel, "told so");
        if self.comes || patience > Wish::Run { Ok(None) } else { Err(io::ErrorKind::Interrupted.into()) }
    }

    fn find(&self, name: &str, path: &OsStr, directory: &Path) -> Option<PathBuf> {
        self.children.find(name, path, directory)
    }

    fn start(&self, program: &Program<'_>) -> io::Result<(Box<dyn Running>, PipeReader)> {
        self.children.start(program)
    }

    fn has_strays(&self) -> bool {
        false
    }

    fn has_unmarked(&self) -> bool {
        false
    }

    fn clean(&self, _: &str, _: bool) -> Vec<String> {
        Vec::new()
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<MessageBody>>);

impl Uplink for Heard {
    fn send(&self, message: JobMessage, _: bool) {
        self.0.lock().unwrap().push(message.body);
    }

    fn flush(&self) {}
}

fn step(condition: &str, script: &str) -> StepSpec {
    let action =
        ActionSpec::Run { script: script.to_owned(), shell: Some("sh".into()), working_directory: None };
    StepSpec { condition: condition.to_owned(), action, ..StepSpec::default() }
}

/// Runs steps; returns their outcomes and what they wrote to a file.
fn ran(comes: bool, steps: Vec<StepSpec>) -> (Vec<Conclusion>, String, Conclusion) {
    let store = tempfile::tempdir().unwrap();
    let folder = store.path();
    let tree = folder.join("tree");
    std::fs::create_dir(&tree).unwrap();
    let objects = Arc::new(FileObjects::open(folder.join("objects")).unwrap());
    let control = Arc::new(Control::new());
    let around = Surroundings {
        store: folder.to_owned(),
        objects: objects.clone(),
        checkpoints: Checkpoints::Stay(folder.to_owned()),
        tools: folder.join("tools"),
        caches: Caches::Here(ActionCaches::of_machine(folder)),
        places: Arc::new(FreshFolders::new(folder.join("work"), objects)),
        python: Environments::new(folder.join("python")),
        temps: TempFolders::new(folder.join("tmp")),
        launcher: Box::new(Slow { children: Arc::new(Children::default()), control: control.clone(), comes }),
        env: std::env::vars_os().collect(),
        mark: "test_".to_owned(),
        in_image: true,
        prints: false,
    };
    let mut spec =
        JobSpec { run: "r".into(), job: "j".into(), token: "r.1.1".into(), steps, ..JobSpec::default() };
    spec.source.in_place = Some(tree.to_string_lossy().into_owned());
    let heard = Arc::new(Heard::default());
    let link = Arc::new(Link::new(&spec.token, heard.clone(), control));
    run(&spec, &BTreeMap::new(), &around, &link);
    let (mut outcomes, mut whole) = (Vec::new(), Conclusion::Success);
    for body in heard.0.lock().unwrap().iter() {
        match body {
            MessageBody::StepEnded { outcome, .. } => outcomes.push(*outcome),
            MessageBody::Ended(receipt) => whole = receipt.conclusion,
            _ => {}
        }
    }
    (outcomes, std::fs::read_to_string(tree.join("ran")).unwrap_or_default(), whole)
}

#[test]
fn a_cancel_while_a_container_is_awaited_keeps_its_step_back() {
    use Conclusion::{Cancelled, Skipped, Success};
    for comes in [true, false] {
        let steps = vec![
            step("", "echo 0 >> ran"),
            step("", "echo 1 >> ran"),
            step("", "echo 2 >> ran"),
            step("always()", "echo 3 >> ran"),
        ];
        let (outcomes, ran, whole) = ran(comes, steps);
        assert_eq!(ran, "0\n3\n", "{comes}");
        assert_eq!(outcomes, [Success, Cancelled, Skipped, Success], "{comes}");
        assert_eq!(whole, Cancelled);
    }
}

/// What runs after a cancel, too, is waited for again.
#[test]
fn a_step_that_always_runs_is_waited_for_in_spite_of_a_cancel() {
    for comes in [true, false] {
        let (outcomes, ran, _) =
            ran(comes, vec![step("", "echo 0 >> ran"), step("always()", "echo 1 >> ran")]);
        assert_eq!(ran, "0\n1\n", "{comes}");
        assert_eq!(outcomes, [Conclusion::Success, Conclusion::Success], "{comes}");
    }
}

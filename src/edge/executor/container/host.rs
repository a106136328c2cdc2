//! Hosts attempts whose steps run in containers: one agent for each, in this process.

use super::create::Site;
use super::engine::ContainerEngine;
use super::images::Images;
use super::stand::{Stand, StartError};
use crate::agent::{
    ActionCaches, Caches, Checkpoints, Control, FreshFolders, Host, Link, Row, Surroundings, TempFolders,
    Uplink, Wish, checkpoint_folder, file_name, now, remove_folder, run,
};
use crate::executor::inside::{REMOVED, tools};
use crate::python::Environments;
use crate::store::FileObjects;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tidegate_flow::job::{
    Conclusion, FailureClass, JobMessage, JobSpec, Masks, MessageBody, Question, Receipt, step_containers,
};

/// The store's folder of what attempts share with their containers.
pub(super) const FOLDER: &str = "containers";

/// What containers are made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerOptions {
    /// docker or podman.
    pub engine: ContainerEngine,
    /// A static `tidegate`: the first process of each container.
    pub program: PathBuf,
    /// The store's id: a label of all containers.
    pub store_id: String,
}

/// Runs attempts in containers.
pub struct ContainerHost {
    options: ContainerOptions,
    store: PathBuf,
    objects: Arc<FileObjects>,
    images: Images,
    group: OnceLock<u32>,
    mark: String,
}

impl ContainerHost {
    /// Hosts attempts of a store; `mark` starts the mark of all processes of steps.
    pub fn new(options: ContainerOptions, store: PathBuf, objects: Arc<FileObjects>, mark: String) -> Self {
        // What the agent lays out, steps of any user may change: by the folder's group.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o002));
        Self { options, store, objects, images: Images::default(), group: OnceLock::new(), mark }
    }

    fn stand(
        &self,
        spec: &JobSpec,
        secrets: &BTreeMap<String, String>,
        up: &dyn Uplink,
        control: &Arc<Control>,
    ) -> Result<Arc<Stand>, StartError> {
        let all = self.store.join(FOLDER);
        std::fs::create_dir_all(&all)?;
        // Nobody else of this machine comes in, whatever the folders below allow.
        std::fs::set_permissions(&all, std::fs::Permissions::from_mode(0o700))?;
        let checkpoint = checkpoint_folder(&self.store, spec)
            .map_err(|e| StartError::new(FailureClass::Disk, format!("checkpoint: {e}")))?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let site = Site {
            kind: self.options.engine.kind,
            store: self.options.store_id.clone(),
            spec: spec.clone(),
            program: self.options.program.clone(),
            shared: all.join(file_name(&spec.token)),
            checkpoint,
            group: *self.group.get_or_init(|| self.options.engine.group()),
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
        };
        let waits = |line: &str| {
            let body = MessageBody::Tail { step: 0, line: line.to_owned() };
            up.send(JobMessage { token: spec.token.clone(), seq: 0, at: now(), body }, true);
        };
        let (parts, told, shared) = (step_containers(spec), control.clone(), site.shared.clone());
        let made = Stand::new(&self.options.engine, site, parts, secrets, told, &self.images, &waits);
        if made.is_err() {
            remove_folder(&shared);
        }
        made.map(Arc::new)
    }

    /// What the agent of an attempt works with.
    fn around(&self, stand: &Stand, row: &Arc<Row>) -> Surroundings {
        let shared = &stand.site.shared;
        Surroundings {
            store: self.store.clone(),
            objects: self.objects.clone(),
            checkpoints: Checkpoints::Stay(self.store.clone()),
            tools: tools(shared),
            caches: Caches::Here(ActionCaches::of_machine(&self.store)),
            places: Arc::new(FreshFolders::new(shared.join("work"), self.objects.clone())),
            // Never asked: an image brings its Python along.
            python: Environments::new(self.store.join("python")),
            temps: TempFolders::new(shared.join("tmp")),
            launcher: Box::new(row.clone()),
            env: row.environment(),
            mark: self.mark.clone(),
            in_image: true,
            prints: false,
        }
    }
}

impl Host for ContainerHost {
    fn attempt(
        &self,
        spec: &JobSpec,
        secrets: &BTreeMap<String, String>,
        up: Arc<dyn Uplink>,
        control: Arc<Control>,
    ) {
        let stand = match self.stand(spec, secrets, &*up, &control) {
            Ok(stand) => stand,
            Err(error) => return end(spec, secrets, &up, &control, error),
        };
        match stand.enter() {
            Ok(Some(row)) => {
                let around = self.around(&stand, &row);
                let ears = Arc::new(Ears { up, stand: stand.clone(), row: Mutex::new(Some(row)) });
                let link = Arc::new(Link::new(&spec.token, ears, control));
                // A container numbers the devices that it was given by itself.
                let mut inside = spec.clone();
                inside.gpus = None;
                run(&inside, secrets, &around, &link);
            }
            Ok(None) => end(spec, secrets, &up, &control, StartError::Stopped),
            Err(error) => end(spec, secrets, &up, &control, error),
        }
        stand.remove();
    }

    fn end(&self) {}
}

/// Says how an attempt ended whose steps never started.
fn end(
    spec: &JobSpec,
    secrets: &BTreeMap<String, String>,
    up: &Arc<dyn Uplink>,
    control: &Arc<Control>,
    error: StartError,
) {
    let receipt = match error {
        _ if control.wish() > Wish::Run => Receipt::bare(Conclusion::Cancelled, None, control.reason()),
        StartError::Stopped => Receipt::bare(Conclusion::Cancelled, None, control.reason()),
        StartError::Failed { class, reason } => {
            let masks = Masks::new(secrets.values().map(String::as_str));
            Receipt::bare(Conclusion::Failure, Some(class), masks.apply(&reason))
        }
    };
    Link::new(&spec.token, up.clone(), control.clone()).say(MessageBody::Ended(receipt));
}

/// Hears what an agent says to its engine: questions about its containers are answered here, and it
/// has ended when they have.
struct Ears {
    up: Arc<dyn Uplink>,
    stand: Arc<Stand>,
    row: Mutex<Option<Arc<Row>>>,
}

impl Uplink for Ears {
    fn send(&self, mut message: JobMessage, urgent: bool) {
        match &mut message.body {
            MessageBody::Ask { id, question: Question::Death } => {
                let answer = self.stand.death();
                return self.stand.control.answer(*id, answer);
            }
            MessageBody::Ended(receipt) => {
                if let Some(row) = self.row.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    row.finish(0);
                }
                if receipt.conclusion == Conclusion::Failure {
                    receipt.add_beside(&self.stand.ended_services());
                }
                self.stand.end_services();
                receipt.images = self.stand.resolved().into();
                if receipt.conclusion == Conclusion::Cancelled && receipt.reason.as_deref() == Some(REMOVED) {
                    receipt.conclusion = Conclusion::Failure;
                    receipt.class = Some(FailureClass::Lost);
                    receipt.reason = Some("its container was stopped by somebody".to_owned());
                }
            }
            _ => {}
        }
        self.up.send(message, urgent);
    }

    fn flush(&self) {
        self.up.flush();
    }
}

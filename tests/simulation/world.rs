//! The scheduler: what is possible, and what is done.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail, ensure};
use matchpurse_bus::Spool;
use matchpurse_contracts::topology::Queue;
use matchpurse_settings::Settings;
use matchpurse_testkit::model_broker::{BatchId, ConnectionId, ModelBroker, Step};

use crate::conditions::{Chance, Conditions};
use crate::defects::Defect;
use crate::ingress::{Came, Ingress};
use crate::lab::Lab;
use crate::process::Process;
use crate::provider::Provider;
use crate::relay::Relay;
use crate::trace::Trace;
use crate::worker::{Job, Worker};
use crate::wrappers::Timeless;

/// More steps than any seed needs: whoever takes them does not come to rest.
const STEPS_MAX: u32 = 200_000;

/// What all processes of a seed have around them.
pub(crate) struct Site<'l> {
    pub(crate) lab: &'l Lab,
    pub(crate) settings: Settings,
    pub(crate) broker: ModelBroker,
    pub(crate) chance: Chance,
    pub(crate) conditions: Conditions,
    pub(crate) trace: Trace,
    pub(crate) defect: Defect,
    spooled: Arc<AtomicBool>,
    numbers: Cell<u64>,
    /// How many faults there may still be.
    faults: Cell<u32>,
}

impl Site<'_> {
    /// A number that nothing else has.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    pub(crate) fn may_be_spooled(&self) -> bool {
        self.spooled.load(Ordering::Relaxed)
    }

    /// The spool, as a process sees it.
    pub(crate) fn spool(&self, process: &Process) -> Arc<dyn Spool> {
        let (process, spooled) = (process.clone(), Arc::clone(&self.spooled));
        Arc::new(Timeless { process, inner: Arc::new(self.lab.store.spool(100_000)), spooled })
    }

    /// True when something goes wrong in `permille` of a thousand cases; there is an end to that.
    fn goes_wrong(&self, permille: u64) -> bool {
        if self.faults.get() == 0 || !self.chance.permille(permille) {
            return false;
        }
        self.faults.set(self.faults.get() - 1);
        true
    }

    /// True when a process is to die amid what it does.
    pub(crate) fn dies(&self) -> bool {
        self.goes_wrong(self.conditions.deaths)
    }

    /// Lets a process die at one of the next points, or not. Whoever works rarely may die the more often.
    pub(crate) fn doom(&self, process: &Process, often: u64) {
        process.doom(self.goes_wrong(often * self.conditions.deaths).then(|| self.chance.below(4)));
    }
}

pub(crate) struct World<'l> {
    pub(crate) site: Site<'l>,
    pub(crate) provider: Provider,
    ingresses: Vec<Ingress>,
    workers: Vec<Worker>,
    relays: Vec<Relay>,
}

/// A process, by its kind and place.
#[derive(Debug, Clone, Copy)]
enum Node {
    Ingress(usize),
    Worker(usize),
    Relay(usize),
}

/// Something that can happen next.
#[derive(Debug, Clone)]
enum Action {
    Send,
    Resume(usize, usize),
    Broker(Step),
    Work(usize),
    Relay(usize),
    /// The delays that are over first are over.
    Later,
    Restart(Node),
    Reconnect(Node),
    AlarmEnds,
    RoomAgain(Queue),
}

impl<'l> World<'l> {
    pub(crate) async fn new(lab: &'l Lab, seed: u64, defect: Defect) -> Result<Self> {
        let (settings, sources) = lab.configure(seed)?;
        let chance = Chance::new(seed);
        let mut conditions = Conditions::of(&chance);
        if defect != Defect::None {
            conditions.worsen();
        }
        let broker = ModelBroker::new();
        for queue in Queue::ALL {
            broker.limit_deliveries(queue.name(), conditions.delivery_limit);
        }
        if conditions.disorder {
            let chance = chance.clone();
            broker.set_disorder(move |waiting| chance.below(waiting + 1));
        }
        let trace = Trace::default();
        trace.note("conditions", format_args!("{conditions:?}"));
        let provider = Provider::new(seed, sources, conditions.lives)?;
        let site = Site {
            lab,
            settings,
            broker,
            chance,
            trace,
            defect,
            spooled: Arc::default(),
            numbers: Cell::new(0),
            faults: Cell::new(conditions.faults_max),
            conditions,
        };
        let mut world =
            Self { site, provider, ingresses: Vec::new(), workers: Vec::new(), relays: Vec::new() };
        for number in 1..=world.site.conditions.ingresses {
            world.ingresses.push(Ingress::start(&world.site, number).await?);
        }
        for number in 1..=world.site.conditions.workers {
            for queue in Queue::ALL {
                world.workers.push(Worker::start(&world.site, Job::Queue(queue), number)?);
            }
        }
        world.workers.push(Worker::start(&world.site, Job::DeadLetters, 1)?);
        if world.site.conditions.spool {
            let relays = 1..=world.site.conditions.relays;
            world.relays = relays.map(|number| Relay::start(&world.site, number)).collect();
        }
        Ok(world)
    }

    pub(crate) fn trace(&self) -> String {
        self.site.trace.text()
    }

    /// Lets everything happen, until nothing more can.
    ///
    /// # Errors
    /// When it does not come to rest, or rests with work undone.
    pub(crate) async fn run(&mut self) -> Result<()> {
        for _ in 0..STEPS_MAX {
            if self.site.goes_wrong(self.site.conditions.faults) {
                self.fault();
                continue;
            }
            match self.site.chance.pick(&self.possible()) {
                Some(action) => self.perform(action).await?,
                None => return self.rest().await,
            }
        }
        bail!("it does not come to rest within {STEPS_MAX} steps")
    }

    async fn rest(&mut self) -> Result<()> {
        if self.site.defect == Defect::AckBeforeCommit {
            for worker in &self.workers {
                worker.flush().await;
            }
        }
        let held = self.site.broker.held_in_all();
        ensure!(held == 0, "it rests, and the broker still has {held} messages");
        let waiting: usize = self.ingresses.iter().map(|ingress| ingress.requests.len()).sum();
        ensure!(waiting == 0, "it rests, and {waiting} requests are not answered");
        Ok(())
    }

    fn possible(&self) -> Vec<Action> {
        let Self { site, provider, ingresses, workers, relays } = self;
        let mut actions: Vec<Action> = site.broker.possible().into_iter().map(Action::Broker).collect();
        let in_flight: usize = ingresses.iter().map(|ingress| ingress.requests.len()).sum();
        let receiving = ingresses.iter().any(Ingress::is_alive);
        if provider.has_more() && receiving && in_flight < site.conditions.in_flight {
            actions.push(Action::Send);
        }
        for (at, ingress) in ingresses.iter().enumerate() {
            let answered = ingress.requests.iter().enumerate();
            let answered = answered.filter(|(_, request)| request.task.is_answered(&site.broker));
            actions.extend(answered.map(|(request, _)| Action::Resume(at, request)));
            up(&mut actions, Node::Ingress(at), ingress.is_alive(), ingress.publisher.connection().is_some());
        }
        for (at, worker) in workers.iter().enumerate() {
            if worker.can_work(site) {
                actions.push(Action::Work(at));
            }
            up(&mut actions, Node::Worker(at), worker.is_alive(), worker.is_connected());
        }
        for (at, relay) in relays.iter().enumerate() {
            if relay.can_work(site) {
                actions.push(Action::Relay(at));
            }
            up(&mut actions, Node::Relay(at), relay.is_alive(), relay.publisher.connection().is_some());
        }
        if site.broker.next_due().is_some() {
            actions.push(Action::Later);
        }
        if site.broker.has_alarm() {
            actions.push(Action::AlarmEnds);
        }
        actions.extend(
            site.broker.bounded().into_iter().filter_map(|name| Queue::by_name(&name)).map(Action::RoomAgain),
        );
        actions
    }

    async fn perform(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Send => self.send().await?,
            Action::Resume(at, request) => {
                let came = self.ingresses[at].resume(&self.site, request).await;
                self.came(at, came);
            }
            Action::Broker(step) => {
                let told = self.site.broker.perform(&step);
                self.site.trace.note("broker", format_args!("{step:?}: {told}"));
            }
            Action::Work(at) => self.workers[at].work(&self.site).await,
            Action::Relay(at) => self.relays[at].work(&self.site).await,
            Action::Later => {
                if let Some(due) = self.site.broker.next_due() {
                    self.site.trace.note("clock", format_args!("{due:?}"));
                    self.site.broker.advance(due);
                }
            }
            Action::Restart(node) => self.restart(node).await?,
            Action::Reconnect(node) => self.reconnect(node),
            Action::AlarmEnds => {
                self.site.trace.note("broker", "its alarm ends");
                self.site.broker.set_alarm(false);
            }
            Action::RoomAgain(queue) => {
                self.site.trace.note("broker", format_args!("{} has room again", queue.name()));
                self.site.broker.limit_length(queue.name(), None);
            }
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<()> {
        let receiving: Vec<usize> =
            (0..self.ingresses.len()).filter(|at| self.ingresses[*at].is_alive()).collect();
        let Some(at) = self.site.chance.pick(&receiving) else { return Ok(()) };
        let Some(place) = self.provider.next(&self.site.chance) else { return Ok(()) };
        let ingress = &mut self.ingresses[at];
        ingress.process.note(format_args!("is sent {}", self.provider.name(place)));
        let came = ingress.receive(&self.site, place, self.provider.request(place)?).await;
        self.came(at, came);
        Ok(())
    }

    fn came(&mut self, at: usize, came: Came) {
        let process = &self.ingresses[at].process;
        match came {
            Came::Waits => {}
            Came::Answered(place, answer) if self.site.goes_wrong(self.site.conditions.lost_answers) => {
                process.note(format_args!("answers {} to {place}, and is not heard", answer.0));
                self.provider.heard_nothing(place);
            }
            Came::Answered(place, answer) => {
                process.note(format_args!("answers {} to {place}", answer.0));
                self.provider.heard(place, answer);
            }
            Came::Died(lost) => lost.into_iter().for_each(|place| self.provider.heard_nothing(place)),
        }
    }

    async fn restart(&mut self, node: Node) -> Result<()> {
        match node {
            Node::Ingress(at) => self.ingresses[at].restart(&self.site).await?,
            Node::Worker(at) => self.workers[at].restart(&self.site)?,
            Node::Relay(at) => self.relays[at].restart(&self.site),
        }
        self.process(node).note("starts again");
        Ok(())
    }

    fn reconnect(&mut self, node: Node) {
        match node {
            Node::Ingress(at) => drop(self.ingresses[at].publisher.connect()),
            Node::Worker(at) => self.workers[at].connect(&self.site),
            Node::Relay(at) => drop(self.relays[at].publisher.connect()),
        }
        self.process(node).note("connects again");
    }

    fn process(&self, node: Node) -> &Process {
        match node {
            Node::Ingress(at) => &self.ingresses[at].process,
            Node::Worker(at) => &self.workers[at].process,
            Node::Relay(at) => &self.relays[at].process,
        }
    }

    // What goes wrong.

    fn fault(&mut self) {
        let chance = self.site.chance.clone();
        let nodes: Vec<Node> = (0..self.ingresses.len())
            .map(Node::Ingress)
            .chain((0..self.workers.len()).map(Node::Worker))
            .chain((0..self.relays.len()).map(Node::Relay))
            .collect();
        let Some(node) = chance.pick(&nodes) else { return };
        match chance.below(12) {
            0..=3 => self.crash(node),
            4..=6 => self.cut(node),
            7 => {
                self.site.trace.note("broker", "restarts");
                self.site.broker.restart();
            }
            8 => {
                self.site.trace.note("broker", "raises an alarm");
                self.site.broker.set_alarm(true);
            }
            9 => {
                if let Some(queue) = chance.pick(&Queue::ALL) {
                    self.site.trace.note("broker", format_args!("{} is full", queue.name()));
                    self.site.broker.limit_length(queue.name(), Some(chance.below(3)));
                }
            }
            10 => self.time_out(),
            _ => self.hang_up(),
        }
    }

    fn crash(&mut self, node: Node) {
        self.process(node).note("is killed");
        match node {
            Node::Ingress(at) => {
                let lost = self.ingresses[at].crash(&self.site);
                lost.into_iter().for_each(|place| self.provider.heard_nothing(place));
            }
            Node::Worker(at) => self.workers[at].crash(&self.site),
            Node::Relay(at) => self.relays[at].crash(&self.site),
        }
    }

    fn cut(&mut self, node: Node) {
        let connections: Vec<ConnectionId> = match node {
            Node::Ingress(at) => self.ingresses[at].publisher.connection().into_iter().collect(),
            Node::Worker(at) => self.workers[at].connections(),
            Node::Relay(at) => self.relays[at].publisher.connection().into_iter().collect(),
        };
        if let Some(connection) = self.site.chance.pick(&connections) {
            self.process(node).note("loses a connection");
            self.site.broker.disconnect(connection);
        }
    }

    /// Somebody has waited long enough for a confirm.
    fn time_out(&mut self) {
        let requests = self.ingresses.iter().flat_map(|ingress| &ingress.requests);
        let batches = requests.flat_map(|request| request.task.batches().to_vec());
        let batches = batches.chain(self.workers.iter().flat_map(Worker::batches));
        let batches = batches.chain(self.relays.iter().flat_map(Relay::batches));
        let waiting: Vec<BatchId> = batches.filter(|batch| self.site.broker.is_unanswered(*batch)).collect();
        if let Some(batch) = self.site.chance.pick(&waiting) {
            self.site.trace.note("clock", format_args!("nobody waits any more for {batch:?}"));
            self.site.broker.time_out(batch);
        }
    }

    /// A sender does not wait for its answer any more.
    fn hang_up(&mut self) {
        let waiting: Vec<(usize, usize)> = self
            .ingresses
            .iter()
            .enumerate()
            .flat_map(|(at, ingress)| (0..ingress.requests.len()).map(move |request| (at, request)))
            .collect();
        if let Some((at, request)) = self.site.chance.pick(&waiting) {
            let request = self.ingresses[at].requests.remove(request);
            self.site.trace.note("provider", format_args!("hangs up on {}", request.place));
            self.provider.heard_nothing(request.place);
        }
    }
}

/// What brings a process up again.
fn up(actions: &mut Vec<Action>, node: Node, alive: bool, connected: bool) {
    match (alive, connected) {
        (false, _) => actions.push(Action::Restart(node)),
        (true, false) => actions.push(Action::Reconnect(node)),
        (true, true) => {}
    }
}

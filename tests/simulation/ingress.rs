//! An ingress: its code from the request to the answer, without a server around it.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, web};
use anyhow::Result;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use matchpurse_bus::{FallbackPublisher, Publisher, SpoolPublisher};
use matchpurse_ingress::Hooks;
use matchpurse_testkit::model_broker::ModelPublisher;

use crate::defects::{ConfirmFirst, Defect};
use crate::process::{Process, Rest, Task};
use crate::provider::Answer;
use crate::world::Site;
use crate::wrappers::InTurn;

type Call = Rc<dyn Fn(TestRequest) -> LocalBoxFuture<'static, Answer>>;

pub(crate) struct Ingress {
    name: String,
    pub(crate) process: Process,
    pub(crate) publisher: ModelPublisher,
    /// None while it is dead.
    call: Option<Call>,
    pub(crate) requests: Vec<Request>,
}

/// A request that waits for the broker.
pub(crate) struct Request {
    /// Which one, as a place in the provider's plan.
    pub(crate) place: usize,
    pub(crate) task: Task<Answer>,
}

/// What came of driving a request.
pub(crate) enum Came {
    Answered(usize, Answer),
    Waits,
    /// The ingress died, and with it all that it had in work.
    Died(Vec<usize>),
}

impl Ingress {
    pub(crate) async fn start(site: &Site<'_>, number: usize) -> Result<Self> {
        let name = format!("ingress {number}");
        let mut ingress = Self {
            process: Process::new(&name, &site.trace),
            name,
            publisher: ModelPublisher::new(&site.broker),
            call: None,
            requests: Vec::new(),
        };
        ingress.restart(site).await?;
        Ok(ingress)
    }

    /// Begins anew, from nothing but the configuration.
    pub(crate) async fn restart(&mut self, site: &Site<'_>) -> Result<()> {
        self.process = Process::new(&self.name, &site.trace);
        self.publisher.connect();
        let mut broker: Arc<dyn Publisher> = Arc::new(self.publisher.clone());
        if site.defect == Defect::AnswerBeforeConfirm {
            broker = Arc::new(ConfirmFirst(broker));
        }
        let mut publisher: Arc<dyn Publisher> =
            Arc::new(InTurn { process: self.process.clone(), inner: broker });
        if site.conditions.spool {
            let spool = SpoolPublisher::to_broker(site.spool(&self.process));
            publisher = Arc::new(FallbackPublisher::new(publisher, spool));
        }
        let hooks = Hooks::new(&site.settings, publisher)?;
        let configure = move |config: &mut web::ServiceConfig| hooks.configure(config);
        let service = Rc::new(init_service(App::new().configure(configure)).await);
        self.call = Some(Rc::new(move |request| {
            let service = Rc::clone(&service);
            async move {
                let answer = call_service(&*service, request.to_request()).await;
                (answer.status().as_u16(), read_body(answer).await)
            }
            .boxed_local()
        }));
        Ok(())
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.call.is_some()
    }

    /// Dies; the requests that it had in work.
    pub(crate) fn crash(&mut self, site: &Site<'_>) -> Vec<usize> {
        if let Some(connection) = self.publisher.connection() {
            site.broker.abandon(connection);
        }
        self.call = None;
        self.requests.drain(..).map(|request| request.place).collect()
    }

    /// Takes a request on.
    pub(crate) async fn receive(&mut self, site: &Site<'_>, place: usize, request: TestRequest) -> Came {
        let Some(call) = &self.call else { return Came::Died(vec![place]) };
        let task = Task::new(site.number(), call(request));
        self.drive(site, Request { place, task }).await
    }

    /// Goes on with a request that has heard from the broker.
    pub(crate) async fn resume(&mut self, site: &Site<'_>, at: usize) -> Came {
        let request = self.requests.remove(at);
        self.drive(site, request).await
    }

    async fn drive(&mut self, site: &Site<'_>, request: Request) -> Came {
        let Request { place, task } = request;
        site.doom(&self.process, 1);
        let rest = task.drive(&self.process, &site.broker, &self.publisher).await;
        self.process.doom(None);
        match rest {
            Rest::Done(answer) => Came::Answered(place, answer),
            Rest::Publishing(task) => {
                self.requests.push(Request { place, task });
                Came::Waits
            }
            Rest::Died => {
                let mut lost = self.crash(site);
                lost.push(place);
                Came::Died(lost)
            }
        }
    }
}

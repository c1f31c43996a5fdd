//! Owners of what others ask of this node: clients of the control socket, the peer, and plugins that watch the pair or read documents.

use std::path::Path;

use spared_journal::report::Reports;
use spared_requests::documents::Documents;
use spared_requests::questions::Questions;
use spared_requests::server::Server;
use spared_requests::snapshot::Snapshots;
use spared_requests::watchers::Watchers;

#[derive(Debug)]
pub(super) struct Clients {
    pub(super) control: Server,
    pub(super) questions: Questions,
    pub(super) snapshots: Snapshots,
    pub(super) watchers: Watchers,
    pub(super) documents: Documents,
    pub(super) reports: Reports,
}

impl Clients {
    pub(super) fn new(control: Server, runtime_dir: &Path) -> Self {
        Self {
            control,
            questions: Questions::default(),
            snapshots: Snapshots::default(),
            watchers: Watchers::default(),
            documents: Documents::default(),
            reports: Reports::new(runtime_dir),
        }
    }
}

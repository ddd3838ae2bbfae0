//! The queue of the items of a call and its latest progress.

use labwire_device::payload::Received;
use tokio::sync::watch;

use crate::item_queue::{ItemReceiver, ItemSender, item_queue};
use crate::progress_value::ProgressValue;

/// The sender of the progress and the items of a call.
#[derive(Debug)]
pub(crate) struct Follower {
    items: ItemSender,
    progress: watch::Sender<Option<ProgressValue>>,
}

/// The receivers of the progress and the items of a call.
pub(crate) struct Followed {
    pub(crate) items: ItemReceiver,
    pub(crate) progress: watch::Receiver<Option<ProgressValue>>,
}

impl Follower {
    pub(crate) fn new() -> (Self, Followed) {
        let (items, receiver) = item_queue();
        let (progress, latest) = watch::channel(None);
        let followed = Followed {
            items: receiver,
            progress: latest,
        };
        (Self { items, progress }, followed)
    }

    pub(crate) fn item(&self, item: Received) {
        self.items.push(item);
    }

    /// Notes that items may have been lost.
    pub(crate) fn mark_gap(&self) {
        self.items.lose();
    }

    pub(crate) fn progress(&self, value: ProgressValue) {
        self.progress.send_replace(Some(value));
    }
}

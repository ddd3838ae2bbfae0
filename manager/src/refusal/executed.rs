//! Whether a refused request may have been executed.

use labwire_wire::Executed;

use super::{CallRefusal, LineEnd, Refusal, TopicRefusal};

impl Refusal {
    /// Returns whether the refused request may have been executed.
    ///
    /// Programs send a request again without asking after [`Executed::No`]. Every refusal is listed
    /// by name, so that a new one must be considered.
    pub(crate) fn executed(&self) -> Executed {
        match self {
            Self::Session(refusal) => refusal.executed(),
            // The service had received the request, whatever happened to it there, or to its reply.
            Self::ServiceLeft { .. }
            | Self::ShuttingDown { .. }
            | Self::MalformedReply { .. }
            | Self::ReplyStalled { .. }
            | Self::ReplyEnded { .. }
            | Self::UnreadableReply { .. }
            | Self::UnconvertibleReply { .. }
            | Self::ReplyTooDeep { .. }
            | Self::ReplyTooLong { .. }
            | Self::LineEnded(LineEnd::DeliveredInPart { .. })
            | Self::Call(CallRefusal::Cancelled { .. } | CallRefusal::Deadline { .. }) => Executed::Maybe,
            // The other subscribers have received the value.
            Self::Topic(TopicRefusal::Unconvertible {
                left_out,
                subscribers,
            }) if left_out < subscribers => Executed::Maybe,
            Self::Store { executed, .. } | Self::LoginEnded { executed, .. } => *executed,
            Self::NoSuchService { .. }
            | Self::NotTaken
            | Self::LinkBecauseLimited { .. }
            | Self::CallLocked { .. }
            | Self::NoSuchKeyword { .. }
            | Self::UnreadableRequest { .. }
            // A service that receives a request while it arrives discards one that is broken off.
            | Self::RequestStalled { .. }
            | Self::UnreadableNotification
            | Self::UnconvertibleRequest { .. }
            | Self::UnconvertibleNotification { .. }
            | Self::UnconvertibleItem { .. }
            | Self::TooDeep { .. }
            | Self::TypedTooMuch
            | Self::Unterminated
            | Self::AskedTooMuch
            | Self::ServiceTypes
            | Self::TooManyInFlight { .. }
            | Self::InFlightOverBudget { .. }
            | Self::CannotLink { .. }
            | Self::Locked { .. }
            | Self::Limit { .. }
            | Self::NotLinked { .. }
            | Self::CannotLock { .. }
            | Self::LockWithoutLink { .. }
            | Self::NotAlone { .. }
            | Self::CannotRelease { .. }
            | Self::Lock(_)
            | Self::Topic(_)
            | Self::Call(
                CallRefusal::CancelledUnsent { .. }
                | CallRefusal::DeadlineUnsent { .. }
                | CallRefusal::WrongDeadline { .. }
                | CallRefusal::DeadlineNeedsUid
                | CallRefusal::Owed { .. }
                | CallRefusal::NotInFlight { .. }
                | CallRefusal::Reason
                | CallRefusal::ProgressTooLarge { .. }
                | CallRefusal::Unreadable,
            )
            | Self::Arguments { .. }
            | Self::NotPermitted { .. }
            | Self::ServiceRequests
            | Self::ClientReplies
            | Self::AlreadyConnected
            | Self::Envelope(_)
            | Self::Terminal(_)
            | Self::NotText(_)
            | Self::LineTooLong { .. }
            | Self::LineEnded(LineEnd::Stalled { .. } | LineEnd::Unterminated { .. } | LineEnd::OverBudget { .. })
            | Self::Identity(_)
            | Self::NoIdentity(_)
            | Self::NoIdentityTyped { .. }
            | Self::Http
            | Self::TlsInPlainText
            | Self::PlainTextInTls { .. }
            | Self::SilenceInTls { .. }
            | Self::NameTaken(_)
            | Self::NameLooksTaken { .. }
            | Self::IdentitiesOverBudget { .. }
            | Self::ClientNameTaken(_)
            | Self::WrongManagerPassword
            | Self::WrongLogin
            | Self::TooManyLogins { .. }
            | Self::TooManyLoginsWaiting
            | Self::UntrustedHostname(_)
            | Self::CertificateRequired
            | Self::NamelessCertificate(_)
            | Self::CertificateOfNobody(_)
            | Self::CertificateEnded(_)
            | Self::Stopping
            | Self::NotLocal(_)
            | Self::HandshakeTimeout { .. }
            | Self::TooManyConnections { .. }
            | Self::TooManyUnidentified
            | Self::TooManyUnidentifiedPerAddress
            | Self::NotAdministrator
            | Self::PasswordKept
            | Self::NoSuchAttribute(_)
            | Self::History(_)
            | Self::Approval(_)
            | Self::LoginPending => Executed::No,
        }
    }
}

//! Whether what was refused may have been executed all the same.

use labwire_wire::Executed;

use super::Refusal;

impl Refusal {
    /// Whether the request that is refused may have been executed.
    ///
    /// Programs send a request again without asking when this says [`Executed::No`]. Every refusal stands
    /// here by its name, so that a new one is thought about.
    pub(crate) fn executed(&self) -> Executed {
        match self {
            // The service had got the request, whatever became of it there, or of its reply.
            Self::ServiceLeft { .. }
            | Self::ShuttingDown { .. }
            | Self::MalformedReply { .. }
            | Self::ReplyStalled { .. }
            | Self::ReplyEnded { .. }
            | Self::UnreadableReply { .. }
            | Self::ReplyTooDeep { .. }
            | Self::ReplyTooLong { .. } => Executed::Maybe,
            Self::Store { executed, .. } => *executed,
            Self::NoSuchService { .. }
            | Self::NotTaken
            | Self::LinkBecauseLimited { .. }
            | Self::CallLocked { .. }
            | Self::NoSuchKeyword { .. }
            | Self::UnreadableRequest { .. }
            // A service that gets a request while it arrives forgets one that is broken off.
            | Self::RequestStalled { .. }
            | Self::UnreadableNotification
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
            | Self::Arguments { .. }
            | Self::ServiceRequests
            | Self::ClientReplies
            | Self::AlreadyConnected
            | Self::Envelope(_)
            | Self::Terminal(_)
            | Self::NotText(_)
            | Self::LineTooLong { .. }
            | Self::LineEnded(_)
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
            | Self::Stopping
            | Self::NotLocal(_)
            | Self::HandshakeTimeout { .. }
            | Self::TooManyConnections { .. }
            | Self::TooManyUnidentified
            | Self::TooManyUnidentifiedPerAddress
            | Self::NotAdministrator
            | Self::PasswordKept
            | Self::NoSuchAttribute(_)
            | Self::LoginPending => Executed::No,
        }
    }
}

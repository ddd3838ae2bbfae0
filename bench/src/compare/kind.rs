//! The kinds of brokers.

use std::fmt;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Kind {
    Labwire,
    LabwireTls,
    Relay,
    Mux,
    Nats,
    Mosquitto,
    /// MSL-Network as it starts by default.
    Python,
    /// MSL-Network without its log of each request.
    Quiet,
    PythonTls,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Labwire => "labwire",
            Self::LabwireTls => "labwire TLS",
            Self::Relay => "relay",
            Self::Mux => "mux",
            Self::Nats => "nats",
            Self::Mosquitto => "mosquitto",
            Self::Python => "python",
            Self::Quiet => "quiet",
            Self::PythonTls => "python TLS",
        })
    }
}

impl Kind {
    pub(super) fn is_labwire(self) -> bool {
        matches!(self, Self::Labwire | Self::LabwireTls)
    }

    pub(super) fn has_tls(self) -> bool {
        matches!(self, Self::LabwireTls | Self::PythonTls)
    }
}

//! What the paper on L2S-CES published: "Architecting Multi-Cluster Layer-2 Connectivity for
//! Cloud-Native Network Slicing", Future Internet 2026, 18(1), 39, doi:10.3390/fi18010039, and the
//! data beside it, github.com/Tjaarda1/paper-slices-2025 at 8fa4397.

/// Set-up times, as estimated there (`setuptime/l2sces/captures`, `setup_time_summary.csv` and, for
/// the jump between 74 and 188 ms, `setup_time.csv`).
pub(super) mod setup_time {
    /// Networks set up.
    pub(crate) const RUNS: u32 = 74;
    /// In milliseconds.
    pub(crate) const MEAN: f64 = 143.7;
    /// Shares of all networks, and the milliseconds within which they were set up. One is below zero:
    /// two clocks were compared.
    pub(crate) const QUANTILES: [(f64, f64); 8] = [
        (0.0, -7.0),
        (0.5, MEDIAN),
        (0.797, 74.0),
        (0.811, 188.0),
        (0.9, P90),
        (0.95, 874.8),
        (0.99, P99),
        (1.0, MOST),
    ];
    /// Milliseconds within which half of them were.
    pub(crate) const MEDIAN: f64 = 10.0;
    /// The same of nine in ten, and of 99 in a hundred.
    pub(crate) const P90: f64 = 692.2;
    pub(crate) const P99: f64 = 945.3;
    /// The median before the difference of two clocks was subtracted.
    pub(crate) const MEASURED_MEDIAN: f64 = 79.5;
    /// Milliseconds that the last took.
    pub(crate) const MOST: f64 = 946.0;
    /// Milliseconds between pings.
    pub(crate) const PING_INTERVAL_MS: u64 = 5;
    /// Milliseconds in which one network was deleted and the next set up, on average: 69 in 657 s by
    /// their time stamps (`setup_time.csv`).
    pub(crate) const PACE_MS: u64 = 9_660;
}

/// Usage of a cluster (`cpu_usage/captures/k8s_usage_12h_stats_cluster_app.csv` and, for memory,
/// `k8s_usage_12h.csv`).
#[derive(Clone, Copy)]
pub(super) struct Cluster {
    pub(super) name: &'static str,
    /// Mean of the processors that were busy.
    pub(super) cores: f64,
    /// Standard deviation of that.
    pub(super) deviation: f64,
    /// Mean of memory, in MiB.
    pub(super) memory: f64,
}

/// The cluster of the control services, and two that they manage.
pub(super) const CLUSTERS: [Cluster; 3] = [
    Cluster { name: "control", cores: 0.02357, deviation: 0.00155, memory: 808.6 },
    Cluster { name: "managed a", cores: 0.05573, deviation: 0.00438, memory: 909.8 },
    Cluster { name: "managed b", cores: 0.05483, deviation: 0.00131, memory: 860.2 },
];

/// Pings answered and sent across L2S-CES (`pods_tcpdump/captures/20250826_104041`).
pub(super) const ISOLATION_PINGS: (u64, u64) = (50, 50);
/// Frames of the controller's own link discovery that came to a pod within a minute: in an idle
/// capture, nothing else (`pods_tcpdump/captures/20250826_105059`).
pub(super) const STRAY_FRAMES: u64 = 57;
/// Replies to as many pings to the broadcast address, of each of two pods, and datagrams of a
/// multicast stream sent, and received by each of two pods
/// (`multicast/captures/20250827_182715`).
pub(super) const BROADCAST_REPLIES: u64 = 50;
pub(super) const MULTICAST_DATAGRAMS: u64 = 212;

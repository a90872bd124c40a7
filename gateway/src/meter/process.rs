//! What Prometheus's client libraries say of their process, read from /proc at each scrape.

use prometheus::{Gauge, IntGauge, Opts, Registry};

/// Ticks a second in /proc/self/stat: 100 on every Linux that Rust supports.
const TICKS: f64 = 100.0;
const PAGE: i64 = 4096;

#[derive(Debug)]
pub(super) struct Process {
    cpu: prometheus::Counter,
    resident: IntGauge,
    virtual_bytes: IntGauge,
    open_fds: IntGauge,
    start: Gauge,
    threads: IntGauge,
}

impl Process {
    pub(super) fn new(registry: &Registry) -> Self {
        let gauge = |name: &str, help: &str| {
            let gauge =
                IntGauge::with_opts(Opts::new(name, help)).unwrap_or_else(|e| unreachable!("{name}: {e}"));
            register(registry, gauge.clone());
            gauge
        };
        let start = Gauge::with_opts(Opts::new(
            "process_start_time_seconds",
            "Start time of the process, Unix time.",
        ));
        let start = start.unwrap_or_else(|e| unreachable!("{e}"));
        register(registry, start.clone());
        let cpu = prometheus::Counter::with_opts(Opts::new(
            "process_cpu_seconds_total",
            "User and system CPU time.",
        ));
        let cpu = cpu.unwrap_or_else(|e| unreachable!("{e}"));
        register(registry, cpu.clone());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        start.set(now.as_secs_f64());
        Self {
            cpu,
            resident: gauge("process_resident_memory_bytes", "Resident memory."),
            virtual_bytes: gauge("process_virtual_memory_bytes", "Virtual memory."),
            open_fds: gauge("process_open_fds", "Open file descriptors."),
            threads: gauge("process_threads", "Threads."),
            start,
        }
    }

    pub(super) fn refresh(&self) {
        let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
        let Some((_, rest)) = stat.rsplit_once(") ") else { return };
        let fields: Vec<i64> = rest.split(' ').map(|f| f.parse().unwrap_or(0)).collect();
        let at = |field: usize| fields.get(field - 3).copied().unwrap_or(0);
        let cpu = (at(14) + at(15)) as f64 / TICKS;
        self.cpu.inc_by((cpu - self.cpu.get()).max(0.0));
        self.threads.set(at(20));
        self.virtual_bytes.set(at(23));
        self.resident.set(at(24) * PAGE);
        self.open_fds.set(std::fs::read_dir("/proc/self/fd").map_or(0, |dir| dir.count() as i64));
        let _ = &self.start;
    }
}

fn register<C: prometheus::core::Collector + 'static>(registry: &Registry, collector: C) {
    if let Err(error) = registry.register(Box::new(collector)) {
        unreachable!("a metric is declared twice: {error}");
    }
}

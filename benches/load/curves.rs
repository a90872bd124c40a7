//! How CPU grows with the size of bodies, the number of experts, of connections, of chunks.

use std::time::Duration;

use crate::Fault;
use crate::drive::{self, Slice};
use crate::pace::Pace;
use crate::prompts::{Answer, Bodies};
use crate::run::{Curve, Line, Point, Spread};
use crate::world::{Target, Via, World};

const BODY_BYTES: [usize; 5] = [1 << 10, 10 << 10, 100 << 10, 1 << 20, 10 << 20];
const EXPERTS: [usize; 4] = [2, 10, 50, 200];
const CONNECTIONS: [usize; 5] = [1, 8, 64, 256, 1000];
const CHUNKS: [usize; 4] = [10, 100, 1_000, 10_000];

/// Takes the curves, and counts what failed.
pub(crate) struct Plotter<'a> {
    pub(crate) pace: &'a Pace,
    pub(crate) world: &'a World,
    pub(crate) failed: u64,
}

/// One point's load.
struct Load {
    x: usize,
    bodies: Bodies,
    connections: usize,
}

impl Plotter<'_> {
    pub(crate) async fn all(&mut self) -> Result<Vec<Curve>, Fault> {
        Ok(vec![self.bodies().await?, self.experts().await?, self.connections().await?, self.chunks().await?])
    }

    async fn bodies(&mut self) -> Result<Curve, Fault> {
        let load = |x| {
            let connections = if x > 1 << 18 { 4 } else { 32 };
            Load { x, bodies: Bodies::new(x, Answer::Whole), connections }
        };
        let lines = self.both(BODY_BYTES.map(load).as_slice(), Slice::cpu_per_request).await?;
        Ok(curve(
            "bodies",
            "CPU per request by size of its body",
            "bytes of body",
            "µs CPU per request",
            lines,
        ))
    }

    async fn connections(&mut self) -> Result<Curve, Fault> {
        let load = |x| Load { x, bodies: Bodies::new(2048, Answer::Whole), connections: x };
        let lines = self.both(CONNECTIONS.map(load).as_slice(), Slice::cpu_per_request).await?;
        let title = "CPU per request by connections";
        Ok(curve("connections", title, "connections, closed loop", "µs CPU per request", lines))
    }

    async fn chunks(&mut self) -> Result<Curve, Fault> {
        let load = |x| Load { x, bodies: Bodies::new(2048, Answer::Tokens(x)), connections: 8 };
        let lines = self.both(CHUNKS.map(load).as_slice(), Slice::cpu_per_event).await?;
        let title = "CPU per chunk by length of the stream, sent at once";
        Ok(curve("chunks", title, "chunks per stream", "µs CPU per chunk", lines))
    }

    async fn experts(&mut self) -> Result<Curve, Fault> {
        let mut points = Vec::new();
        for experts in EXPERTS {
            let server = self.world.another(experts)?;
            let load = Load { x: experts, bodies: Bodies::new(2048, Answer::Whole), connections: 64 };
            points.push(self.point(&server.target(), &load, Slice::cpu_per_request).await?);
        }
        let lines = vec![Line { name: Via::Mixgate.name(), points }];
        let title = "CPU per request by number of experts";
        Ok(curve("experts", title, "experts", "µs CPU per request", lines))
    }

    async fn both(&mut self, loads: &[Load], figure: fn(Slice) -> f64) -> Result<Vec<Line>, Fault> {
        let mut lines = Via::PROXIES.map(|via| Line { name: via.name(), points: Vec::new() });
        for load in loads {
            for (via, line) in Via::PROXIES.into_iter().zip(&mut lines) {
                line.points.push(self.point(&self.world.target(via), load, figure).await?);
            }
        }
        Ok(lines.into())
    }

    async fn point(
        &mut self,
        target: &Target,
        load: &Load,
        figure: fn(Slice) -> f64,
    ) -> Result<Point, Fault> {
        let mut rounds = Vec::new();
        for _ in 0..self.pace.curve_rounds {
            let time: Duration = self.pace.curve_slice;
            let slice = drive::closed(target, &load.bodies, load.connections, time).await?;
            self.failed += slice.failed;
            rounds.push(figure(slice));
        }
        Ok(Point { x: load.x as f64, y: Spread::of(rounds) })
    }
}

fn curve(
    name: &'static str,
    title: &'static str,
    x_label: &'static str,
    y_label: &'static str,
    lines: Vec<Line>,
) -> Curve {
    Curve { name, title, x_label, y_label, lines }
}

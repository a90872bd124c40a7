//! Before the commit the next endpoint, and then the next candidate, takes over; what the client caused passes.

use crate::harness::{Model, Setup, chat};
use testkit::Refusing;

#[tokio::test]
async fn a_dead_endpoint_costs_an_attempt_and_no_answer() {
    let (dead, alive, large) = (Refusing::new(), Model::honest().await, Model::honest().await);
    let setup = Setup::new().expert_at_all("pair", &[dead.addr(), alive.addr], "");
    let rig = setup.large(large.addr, "").start().await;
    for _ in 0..8 {
        let reply = rig.chat(&chat("pair", "hello")).await;
        assert_eq!((reply.status, reply.header("x-mixgate-expert")), (200, Some("pair")));
    }
    let dead = dead.addr().to_string();
    let refused = rig.metric("upstream_attempts_total", &[("endpoint", &dead), ("outcome", "ok")]).await;
    assert_eq!((refused, alive.requests(), large.requests()), (0.0, 8, 0));
}

//! Which of an expert's endpoints: the less loaded of two, drawn by weight (Mitzenmacher, «The power of two
//! choices in randomized load balancing», 2001).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::circuit::ProbePermit;
use super::endpoint::Endpoint;

/// Chooses among the endpoints whose circuit lets a request pass and that are not in `tried`; all of these where every
/// one was. `insist`: where no circuit does, one is asked all the same, unless it asked to be left alone.
pub fn pick<'e>(
    endpoints: &'e [Arc<Endpoint>],
    tried: &[usize],
    insist: bool,
    random: &mut dyn FnMut(u64) -> u64,
) -> Option<(usize, &'e Arc<Endpoint>, ProbePermit)> {
    if let [only] = endpoints
        && let Some(permit) = only.circuit.try_pass()
    {
        return Some((0, only, permit));
    }
    let mut passing: Vec<usize> = (0..endpoints.len()).filter(|i| endpoints[*i].circuit.allows()).collect();
    while !passing.is_empty() {
        let fresh: Vec<usize> = passing.iter().copied().filter(|i| !tried.contains(i)).collect();
        let best = less_loaded(endpoints, if fresh.is_empty() { &passing } else { &fresh }, random)?;
        if let Some(permit) = endpoints[best].circuit.try_pass() {
            return Some((best, &endpoints[best], permit));
        }
        // another request was faster to be its trial
        passing.retain(|i| *i != best);
    }
    let patient = |i: &usize| endpoints[*i].circuit.asked_to_wait().is_none();
    let failing: Vec<usize> = (0..endpoints.len()).filter(|_| insist).filter(patient).collect();
    let best = less_loaded(endpoints, &failing, random)?;
    Some((best, &endpoints[best], endpoints[best].circuit.insist()))
}

fn less_loaded(
    endpoints: &[Arc<Endpoint>],
    open: &[usize],
    random: &mut dyn FnMut(u64) -> u64,
) -> Option<usize> {
    let first = draw(endpoints, open, random)?;
    let second = draw(endpoints, open, random)?;
    let load = |i: usize| endpoints[i].load.load(Ordering::Relaxed) as f32 / endpoints[i].weight as f32;
    Some(if load(second) < load(first) { second } else { first })
}

fn draw(endpoints: &[Arc<Endpoint>], open: &[usize], random: &mut dyn FnMut(u64) -> u64) -> Option<usize> {
    let total: u64 = open.iter().map(|i| u64::from(endpoints[*i].weight)).sum();
    let mut left = random(total.max(1));
    for &index in open {
        let weight = u64::from(endpoints[index].weight);
        if left < weight {
            return Some(index);
        }
        left -= weight;
    }
    open.first().copied()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::written::ProviderName;
    use crate::provider;

    fn endpoints(weight: u32) -> Vec<Arc<Endpoint>> {
        let provider = provider::of(ProviderName::Openai);
        ["http://a/v1", "http://b/v1"].map(|u| Arc::new(Endpoint::new(u, weight, provider).unwrap())).to_vec()
    }

    fn picked(
        endpoints: &[Arc<Endpoint>],
        tried: &[usize],
        insist: bool,
        random: &mut dyn FnMut(u64) -> u64,
    ) -> Option<usize> {
        pick(endpoints, tried, insist, random).map(|(index, _, _)| index)
    }

    #[test]
    fn the_less_loaded_of_two_is_taken() {
        let endpoints = endpoints(1);
        let _busy = endpoints[0].busy();
        let mut draws = [0, 1].into_iter().cycle();
        assert_eq!(picked(&endpoints, &[], false, &mut |_| draws.next().unwrap()), Some(1));
    }

    #[test]
    fn the_largest_weights_share_as_others_do() {
        let endpoints = endpoints(u32::MAX);
        let whole = 2 * u64::from(u32::MAX);
        for (at, expected) in [(0, 0), (u64::from(u32::MAX) - 1, 0), (u64::from(u32::MAX), 1), (whole - 1, 1)]
        {
            let mut asked = 0;
            let index = picked(&endpoints, &[], false, &mut |most| {
                asked = most;
                at
            });
            assert_eq!((index, asked), (Some(expected), whole));
        }
    }

    #[test]
    fn one_that_failed_is_not_asked_again_while_another_is_left() {
        let endpoints = endpoints(1);
        for draw in 0..2 {
            assert_eq!(picked(&endpoints, &[0], false, &mut |n| draw.min(n - 1)), Some(1));
        }
        assert!(picked(&endpoints, &[0, 1], false, &mut |_| 0).is_some());
    }

    #[test]
    fn an_open_circuit_is_passed_by_unless_nothing_else_is_left() {
        let endpoints = endpoints(1);
        let open = |index: usize| (0..5).for_each(|_| endpoints[index].circuit.insist().failed(None));
        open(0);
        for insist in [false, true] {
            assert_eq!(picked(&endpoints, &[], insist, &mut |_| 0), Some(1));
        }
        assert_eq!(picked(&endpoints, &[1], false, &mut |_| 0), Some(1));
        open(1);
        for some in [&endpoints[..], &endpoints[..1]] {
            assert_eq!(picked(some, &[], false, &mut |_| 0), None);
            assert_eq!(picked(some, &[], true, &mut |_| 0), Some(0));
        }
    }

    #[test]
    fn who_asked_to_be_left_alone_is_not_insisted_upon() {
        let endpoints = endpoints(1);
        endpoints[0].circuit.insist().failed(Some(Duration::from_secs(60)));
        assert_eq!(picked(&endpoints[..1], &[], true, &mut |_| 0), None);
    }
}

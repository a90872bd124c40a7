//! Which of an expert's endpoints: the less loaded of two, drawn by weight (Mitzenmacher, «The power of two
//! choices in randomized load balancing», 2001).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::endpoint::Endpoint;

/// Chooses among the endpoints whose circuit lets a request pass and that are not in `tried`; all of these where every
/// one was. `last_resort`: where no circuit does, none is asked.
pub fn pick<'e>(
    endpoints: &'e [Arc<Endpoint>],
    tried: &[usize],
    last_resort: bool,
    random: &mut dyn FnMut(u32) -> u32,
) -> Option<(usize, &'e Arc<Endpoint>)> {
    if let [only] = endpoints {
        return (last_resort || only.circuit.admits()).then_some((0, only));
    }
    let mut passing: Vec<usize> = (0..endpoints.len()).filter(|i| endpoints[*i].circuit.admits()).collect();
    if passing.is_empty() && last_resort {
        passing = (0..endpoints.len()).collect();
    }
    let fresh: Vec<usize> = passing.iter().copied().filter(|i| !tried.contains(i)).collect();
    let open = if fresh.is_empty() { passing } else { fresh };
    let first = draw(endpoints, &open, random)?;
    let second = draw(endpoints, &open, random)?;
    let load = |i: usize| endpoints[i].load.load(Ordering::Relaxed) as f32 / endpoints[i].weight as f32;
    let best = if load(second) < load(first) { second } else { first };
    Some((best, &endpoints[best]))
}

fn draw(endpoints: &[Arc<Endpoint>], open: &[usize], random: &mut dyn FnMut(u32) -> u32) -> Option<usize> {
    let total: u32 = open.iter().map(|i| endpoints[*i].weight).sum();
    let mut left = random(total.max(1));
    for &index in open {
        let weight = endpoints[index].weight;
        if left < weight {
            return Some(index);
        }
        left -= weight;
    }
    open.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::written::ProviderName;
    use crate::provider;

    fn endpoints() -> Vec<Arc<Endpoint>> {
        let provider = provider::of(ProviderName::Openai);
        ["http://a/v1", "http://b/v1"].map(|u| Arc::new(Endpoint::new(u, 1, provider).unwrap())).to_vec()
    }

    #[test]
    fn the_less_loaded_of_two_is_taken() {
        let endpoints = endpoints();
        let _busy = endpoints[0].busy();
        let mut draws = [0, 1].into_iter().cycle();
        let (index, _) = pick(&endpoints, &[], false, &mut |_| draws.next().unwrap()).unwrap();
        assert_eq!(index, 1);
    }

    #[test]
    fn one_that_failed_is_not_asked_again_while_another_is_left() {
        let endpoints = endpoints();
        for draw in 0..2 {
            let (index, _) = pick(&endpoints, &[0], false, &mut |n| draw.min(n - 1)).unwrap();
            assert_eq!(index, 1);
        }
        assert!(pick(&endpoints, &[0, 1], false, &mut |_| 0).is_some());
    }

    #[test]
    fn an_open_circuit_is_passed_by_unless_nothing_else_is_left() {
        let endpoints = endpoints();
        let long = Some(std::time::Duration::from_secs(60));
        endpoints[0].circuit.failed(long);
        for last_resort in [false, true] {
            assert_eq!(pick(&endpoints, &[], last_resort, &mut |_| 0).map(|(index, _)| index), Some(1));
        }
        assert_eq!(pick(&endpoints, &[1], false, &mut |_| 0).map(|(index, _)| index), Some(1));
        endpoints[1].circuit.failed(long);
        assert!(pick(&endpoints, &[], false, &mut |_| 0).is_none());
        assert!(pick(&endpoints[..1], &[], false, &mut |_| 0).is_none());
        assert!(pick(&endpoints, &[], true, &mut |_| 0).is_some());
    }
}

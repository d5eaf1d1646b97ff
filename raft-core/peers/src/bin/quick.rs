//! x
use raft_core_peers::*;
use std::time::Instant;
fn main() {
    let want: Vec<String> = std::env::args().skip(1).collect();
    for library in Library::ALL {
        if !want.iter().any(|w| library.name().starts_with(w.as_str())) { continue; }
        for depth in DEPTHS.into_iter().filter(|d| std::env::var("D").map_or(true, |v| v == d.to_string())) {
            let mut group = library.open();
            group.run(depth, 20_000);
            let mut best = vec![];
            for _ in 0..5 {
                let n = std::env::var("N").map_or(100_000, |s| s.parse::<u64>().unwrap());
                let t = Instant::now();
                group.run(depth, n);
                best.push(n as f64 / t.elapsed().as_secs_f64());
            }
            best.sort_by(f64::total_cmp);
            println!("{} {depth} {:.0} [{:.0} {:.0}]", library.name(), best[2], best[0], best[4]);
        }
    }
}

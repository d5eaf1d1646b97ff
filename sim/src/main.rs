//! wip
fn main() {
    let a: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    for seed in a[0]..a[1] {
        let mut o = sim::RunOptions::new(seed);
        if let Some(n) = a.get(2) {
            o.nodes = *n as usize;
        }
        let t = std::time::Instant::now();
        let sink: Option<Box<dyn FnMut(String)>> =
            if a.get(3).is_some() { Some(Box::new(|l| println!("{l}"))) } else { None };
        let s = sim::run(&o, sink);
        println!("{s} {:?}", t.elapsed());
    }
}

//! The Prometheus page.

use std::net::SocketAddr;

use crate::http::plain_client;

/// What the page said.
#[derive(Clone, Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Reads the page of the ops listener at `ops`.
    pub async fn read(ops: SocketAddr) -> Self {
        let page = plain_client().get(format!("http://{ops}/metrics")).send().await.expect("the page is served");
        assert_eq!(page.status(), 200);
        Self(page.text().await.expect("the page is text"))
    }

    /// The page.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The sum of all samples of `name` whose labels contain each of `labels`, such as `outcome="rejected"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let samples = self.0.lines().filter(|line| !line.starts_with('#'));
        samples
            .filter_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                let (found, set) = series.split_once('{').unwrap_or((series, ""));
                let fits = found == name && labels.iter().all(|label| set.contains(label));
                fits.then(|| value.parse::<f64>().expect("a sample is a number"))
            })
            .sum()
    }
}

//! Metrics of Prometheus from the status of a node: for `sparectl metrics`, its probes, and the page of the plugin web.

#![forbid(unsafe_code)]

pub mod sources;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    CounterValueEncoder, DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue,
    GaugeValueEncoder, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use sources::Labels;
pub use status::{AddressStatus, GroupStatus, Status, Value};
use table::{METRICS, Metric};
use values::Values;

/// Prefix of all names.
const PREFIX: &str = "spared";

/// Samples of the metric with this name: labels, and values. There are none if the status has none.
pub fn samples(status: &Status, name: &str) -> Vec<(Labels, f64)> {
    let metric = METRICS.iter().find(|it| it.name == name);
    match metric.map(|it| (it.values)(status)) {
        Some(Values::Samples(samples)) => samples,
        Some(Values::Histogram(_)) | None => Vec::new(),
    }
}

/// Metrics of a status; without one, that the daemon does not answer: `spared_up 0`. `is_open`: OpenMetrics instead of
/// the text format of Prometheus.
pub fn encode(status: Option<Status>, is_open: bool) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Snapshot(status)));
    let mut text = String::new();
    let encoded = match is_open {
        true => text::encode(&mut text, &registry),
        false => prometheus_text::encode(&mut text, &registry),
    };
    // a String takes everything
    debug_assert!(encoded.is_ok());
    text
}

#[derive(Debug)]
struct Snapshot(Option<Status>);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let up = if self.0.is_some() { 1.0 } else { 0.0 };
        let help = "Whether the daemon answers.";
        let mut first = encoder.encode_descriptor("up", help, None, MetricType::Gauge)?;
        first.encode_gauge(&SampleValue(up))?;
        let Some(status) = &self.0 else { return Ok(()) };
        METRICS
            .iter()
            .try_for_each(|metric| metric.encode(&mut encoder, status))
    }
}

impl Metric {
    // A metric without a value has no lines at all.
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>, status: &Status) -> fmt::Result {
        let values = (self.values)(status);
        if matches!(&values, Values::Samples(samples) if samples.is_empty()) {
            return Ok(());
        }
        let unit = self.unit.as_ref();
        let mut encoder = encoder.encode_descriptor(self.name, self.help, unit, self.kind)?;
        let samples = match values {
            Values::Samples(samples) => samples,
            Values::Histogram(it) => {
                let exemplars = None;
                return encoder.encode_histogram::<NoLabelSet>(
                    it.sum,
                    it.count,
                    &it.buckets,
                    exemplars,
                );
            }
        };
        for (labels, value) in samples {
            match self.kind {
                MetricType::Info => encoder.encode_info(&labels)?,
                MetricType::Counter => encoder
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, _, f64>(&SampleValue(value), None)?,
                _ => encoder
                    .encode_family(&labels)?
                    .encode_gauge(&SampleValue(value))?,
            }
        }
        Ok(())
    }
}

/// Value of a sample, which is written without a fraction if it has none.
#[derive(Clone, Copy)]
struct SampleValue(f64);

impl SampleValue {
    /// Largest number up to which each whole number is exact.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

    fn whole(self) -> Option<i64> {
        let is_whole = self.0.fract() == 0.0 && self.0.abs() <= Self::WHOLE_MAX;
        is_whole.then_some(self.0 as i64)
    }
}

impl EncodeGaugeValue for SampleValue {
    fn encode(&self, encoder: &mut GaugeValueEncoder<'_>) -> fmt::Result {
        match self.whole() {
            Some(whole) => EncodeGaugeValue::encode(&whole, encoder),
            None => EncodeGaugeValue::encode(&self.0, encoder),
        }
    }
}

impl EncodeCounterValue for SampleValue {
    fn encode(&self, encoder: &mut CounterValueEncoder<'_>) -> fmt::Result {
        match self.whole().and_then(|it| u64::try_from(it).ok()) {
            Some(whole) => EncodeCounterValue::encode(&whole, encoder),
            None => EncodeCounterValue::encode(&self.0, encoder),
        }
    }
}

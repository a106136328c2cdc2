//! `resources.gpu` as an extended resource and node labels. Pure.

use serde_json::{Value as Json, json};
use tidegate_flow::job::ResourceRequest;

/// What a pod asks of the scheduler for its GPUs.
#[derive(Clone, Debug, PartialEq)]
pub struct Gpu {
    /// The extended resource.
    pub resource: String,
    /// How many.
    pub count: u32,
    /// Node labels, as `matchExpressions`.
    pub labels: Vec<Json>,
}

/// How NVIDIA's device plugin calls slices where a node has several kinds (its strategy `mixed`).
const SLICE: &str = "nvidia.com/mig-";

impl Gpu {
    /// Keys of the taints of nodes that have it: their owners name the resource; nodes with slices are
    /// tainted as those with whole GPUs.
    pub(super) fn taints(&self) -> impl Iterator<Item = &str> {
        let whole = self.resource.starts_with(SLICE).then_some("nvidia.com/gpu");
        std::iter::once(self.resource.as_str()).chain(whole)
    }
}

/// Why GPUs cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// A vendor without a known resource.
    #[error("resources.gpu.vendor: `{0}` is none of nvidia, amd, intel; `resource` names any other")]
    Vendor(String),
    /// Not an amount of memory.
    #[error("resources.gpu.memory: `{0}` is not an amount such as 40Gi")]
    Memory(String),
    /// Only one vendor's nodes say it.
    #[error("resources.gpu.{0}: only NVIDIA's node labels say it; use `pod-template` for others")]
    Label(&'static str),
}

/// Maps `resources.gpu` to a resource and node labels (NVIDIA, "GPU Feature Discovery"; AMD and Intel,
/// their device plugins' pages).
pub fn gpu(asked: &ResourceRequest) -> Result<Option<Gpu>, GpuError> {
    if asked.gpus == 0 {
        return Ok(None);
    }
    let text = |key: &str| asked.gpu.get(key).and_then(Json::as_str).filter(|t| !t.is_empty());
    let vendor = text("vendor").unwrap_or("nvidia").to_ascii_lowercase();
    let resource = match (text("resource"), text("mig"), vendor.as_str()) {
        (Some(resource), ..) => resource.to_owned(),
        (None, Some(mig), _) => format!("{SLICE}{mig}"),
        (None, None, "nvidia") => "nvidia.com/gpu".to_owned(),
        (None, None, "amd") => "amd.com/gpu".to_owned(),
        (None, None, "intel") => "gpu.intel.com/xe".to_owned(),
        _ => return Err(GpuError::Vendor(vendor)),
    };
    let mut labels = Vec::new();
    let products: Vec<&str> = match asked.gpu.get("product") {
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(list)) => list.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    if !products.is_empty() {
        if vendor != "nvidia" {
            return Err(GpuError::Label("product"));
        }
        labels.push(json!({ "key": "nvidia.com/gpu.product", "operator": "In", "values": products }));
    }
    if let Some(memory) = asked.gpu.get("memory").filter(|m| !m.is_null()) {
        if vendor != "nvidia" {
            return Err(GpuError::Label("memory"));
        }
        let mib = mebibytes(memory).ok_or_else(|| GpuError::Memory(memory.to_string()))?;
        // `Gt` is strict, and the label counts mebibytes; each kind of slice has its own.
        let above = mib.saturating_sub(1).to_string();
        let of = if resource.starts_with(SLICE) { resource.as_str() } else { "nvidia.com/gpu" };
        labels.push(json!({ "key": format!("{of}.memory"), "operator": "Gt", "values": [above] }));
    }
    Ok(Some(Gpu { resource, count: asked.gpus, labels }))
}

/// An amount such as `40Gi`, `80GB` or bytes, in mebibytes.
fn mebibytes(amount: &Json) -> Option<u64> {
    let text = amount.as_str().map_or_else(|| amount.to_string(), str::to_owned);
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let bytes: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "mi" | "mib" => 1024.0 * 1024.0,
        "gi" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        _ => return None,
    };
    let mib = number.parse::<f64>().ok()? * bytes / (1024.0 * 1024.0);
    // The range was looked at, so nothing is cut off.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^40, whole")]
    (0.0..1e12).contains(&mib).then_some(mib as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_of_every_kind() {
        let asked = |gpu: Json| gpu_of(gpu).unwrap().unwrap();
        let gpu_resource = |gpu: Json| asked(gpu).resource;
        assert_eq!(gpu_resource(json!(1)), "nvidia.com/gpu");
        assert_eq!(gpu_resource(json!({"vendor": "AMD"})), "amd.com/gpu");
        assert_eq!(gpu_resource(json!({"mig": "1g.10gb"})), "nvidia.com/mig-1g.10gb");
        assert_eq!(gpu_resource(json!({"resource": "habana.ai/gaudi"})), "habana.ai/gaudi");
        assert_eq!(asked(json!({"memory": "80GB"})).labels[0]["values"], json!(["76292"]));
        assert_eq!(asked(json!({"memory": "80GB"})).labels[0]["key"], "nvidia.com/gpu.memory");
        let slice = asked(json!({"mig": "1g.10gb", "memory": "9Gi", "product": "A100"}));
        let keys: Vec<&Json> = slice.labels.iter().map(|label| &label["key"]).collect();
        assert_eq!(keys, ["nvidia.com/gpu.product", "nvidia.com/mig-1g.10gb.memory"]);
        assert_eq!(slice.taints().collect::<Vec<_>>(), ["nvidia.com/mig-1g.10gb", "nvidia.com/gpu"]);
        assert_eq!(asked(json!(1)).taints().collect::<Vec<_>>(), ["nvidia.com/gpu"]);
        assert_eq!(gpu_of(json!({"vendor": "acme"})), Err(GpuError::Vendor("acme".into())));
        assert_eq!(gpu_of(json!({"vendor": "amd", "product": "MI300X"})), Err(GpuError::Label("product")));
        assert_eq!(gpu_of(json!({"memory": "lots"})), Err(GpuError::Memory("\"lots\"".into())));
    }

    fn gpu_of(asked: Json) -> Result<Option<Gpu>, GpuError> {
        gpu(&ResourceRequest { gpus: 1, gpu: asked, ..ResourceRequest::default() })
    }
}

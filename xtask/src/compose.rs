//! Two components as one.

use anyhow::Result;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, plug};

use crate::build::without_custom_sections;

/// `socket` with what `filling` exports where it imports that; it exports what `socket` does.
pub(crate) fn filled(socket: &[u8], filling: &[u8]) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let mut register = |name: &str, bytes: &[u8]| -> Result<_> {
        let package = Package::from_bytes(name, None, bytes, graph.types_mut())?;
        Ok(graph.register_package(package)?)
    };
    let (socket, filling) = (register("zoocache:socket", socket)?, register("zoocache:filling", filling)?);
    plug(&mut graph, vec![filling], socket)?;
    without_custom_sections(&graph.encode(EncodeOptions::default())?)
}

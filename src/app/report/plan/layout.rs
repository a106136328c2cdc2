//! Where the nodes of a graph go: layers by longest path, order within a layer by barycentre.

/// A node's size in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A place in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A finished layout.
pub(super) struct Layout {
    /// Top left corner of every node.
    pub(super) nodes: Vec<Point>,
    /// Points that every edge goes through, in the order of the edges.
    pub(super) edges: Vec<Vec<Point>>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Pixels between layers, where edges bend.
const BETWEEN: f64 = 64.0;
/// Pixels between nodes of a layer.
const APART: f64 = 26.0;
/// Height that an edge takes where it passes a layer.
const LANE: f64 = 14.0;
/// Passes over the layers; more change nothing one would see.
const PASSES: usize = 8;

/// A thing in a layer: a node, or a bend of a long edge.
struct Slot {
    layer: usize,
    size: Size,
    y: f64,
    left: Vec<usize>,
    right: Vec<usize>,
}

/// Lays a graph out from left to right. Edges must go to later nodes only (no cycles).
pub(super) fn layout(sizes: &[Size], edges: &[(usize, usize)]) -> Layout {
    let layers = longest_paths(sizes.len(), edges);
    let (mut slots, paths) = bends(sizes, edges, &layers);
    let depth = layers.iter().max().map_or(0, |deepest| deepest + 1);
    let mut order: Vec<Vec<usize>> = vec![Vec::new(); depth];
    for (at, slot) in slots.iter().enumerate() {
        if let Some(layer) = order.get_mut(slot.layer) {
            layer.push(at);
        }
    }
    for pass in 0..PASSES {
        arrange(&mut order, &slots, pass % 2 == 0);
    }
    place(&mut slots, &order);
    let widths: Vec<f64> = order
        .iter()
        .map(|layer| {
            layer.iter().filter_map(|at| slots.get(*at)).map(|slot| slot.size.width).fold(0.0, f64::max)
        })
        .collect();
    finish(sizes, &slots, &widths, &paths)
}

/// The layer of every node: one more than the deepest of what it needs.
fn longest_paths(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut layers = vec![0_usize; count];
    let mut incoming: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (from, to) in edges {
        if let Some(list) = incoming.get_mut(*to).filter(|_| from < to) {
            list.push(*from);
        }
    }
    for (at, needs) in incoming.iter().enumerate() {
        let deepest = needs.iter().filter_map(|need| layers.get(*need)).max().map_or(0, |layer| layer + 1);
        if let Some(layer) = layers.get_mut(at) {
            *layer = deepest;
        }
    }
    layers
}

/// Makes slots for nodes and for the bends of edges that pass over layers; returns each edge's way.
fn bends(sizes: &[Size], edges: &[(usize, usize)], layers: &[usize]) -> (Vec<Slot>, Vec<Vec<usize>>) {
    let mut slots: Vec<Slot> = sizes
        .iter()
        .zip(layers)
        .map(|(size, layer)| Slot { layer: *layer, size: *size, y: 0.0, left: Vec::new(), right: Vec::new() })
        .collect();
    let mut paths = Vec::with_capacity(edges.len());
    for (from, to) in edges {
        let (Some(start), Some(end)) = (layers.get(*from), layers.get(*to)) else {
            paths.push(Vec::new());
            continue;
        };
        let mut path = vec![*from];
        for layer in start + 1..*end {
            slots.push(Slot {
                layer,
                size: Size { width: 0.0, height: LANE },
                y: 0.0,
                left: Vec::new(),
                right: Vec::new(),
            });
            path.push(slots.len() - 1);
        }
        path.push(*to);
        for pair in path.windows(2) {
            let [a, b] = pair else { continue };
            if let Some(slot) = slots.get_mut(*a) {
                slot.right.push(*b);
            }
            if let Some(slot) = slots.get_mut(*b) {
                slot.left.push(*a);
            }
        }
        paths.push(path);
    }
    (slots, paths)
}

/// Sorts every layer by the mean place of its neighbours, going right or left.
fn arrange(order: &mut [Vec<usize>], slots: &[Slot], rightwards: bool) {
    let depth = order.len();
    let mut rank = vec![0.0_f64; slots.len()];
    let ranks = |rank: &mut Vec<f64>, layer: &[usize]| {
        for (place, at) in layer.iter().enumerate() {
            if let Some(own) = rank.get_mut(*at) {
                #[expect(clippy::cast_precision_loss, reason = "places in a layer are few")]
                {
                    *own = place as f64;
                }
            }
        }
    };
    order.iter().for_each(|layer| ranks(&mut rank, layer));
    let sequence: Vec<usize> =
        if rightwards { (1..depth).collect() } else { (0..depth.saturating_sub(1)).rev().collect() };
    for layer in sequence {
        let Some(members) = order.get_mut(layer) else { continue };
        let mean = |at: usize| -> f64 {
            let own = rank.get(at).copied().unwrap_or(0.0);
            let Some(slot) = slots.get(at) else { return own };
            let near = if rightwards { &slot.left } else { &slot.right };
            if near.is_empty() {
                return own;
            }
            #[expect(clippy::cast_precision_loss, reason = "neighbours are few")]
            let count = near.len() as f64;
            near.iter().filter_map(|other| rank.get(*other)).sum::<f64>() / count
        };
        let mut keyed: Vec<(f64, usize)> = members.iter().map(|at| (mean(*at), *at)).collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        *members = keyed.into_iter().map(|(_, at)| at).collect();
        ranks(&mut rank, members);
    }
}

/// Gives every slot its height: first stacked, then drawn to its neighbours without overlap.
fn place(slots: &mut [Slot], order: &[Vec<usize>]) {
    for layer in order {
        let mut y = 0.0;
        for at in layer {
            if let Some(slot) = slots.get_mut(*at) {
                slot.y = y;
                y += slot.size.height + APART;
            }
        }
    }
    for pass in 0..PASSES {
        let rightwards = pass % 2 == 0;
        let layers: Vec<&Vec<usize>> =
            if rightwards { order.iter().collect() } else { order.iter().rev().collect() };
        for layer in layers {
            let wanted: Vec<f64> = layer.iter().map(|at| wish(slots, *at)).collect();
            settle(slots, layer, &wanted);
        }
    }
}

/// Where a slot would like its top: in the middle of all its neighbours.
fn wish(slots: &[Slot], at: usize) -> f64 {
    let Some(slot) = slots.get(at) else { return 0.0 };
    let centres: Vec<f64> = slot
        .left
        .iter()
        .chain(&slot.right)
        .filter_map(|other| slots.get(*other))
        .map(|other| other.y + other.size.height / 2.0)
        .collect();
    if centres.is_empty() {
        return slot.y;
    }
    #[expect(clippy::cast_precision_loss, reason = "neighbours are few")]
    let mean = centres.iter().sum::<f64>() / centres.len() as f64;
    mean - slot.size.height / 2.0
}

/// Moves the slots of a layer towards their wishes, in order and apart: slots that would overlap
/// form a block that takes the mean of its wishes.
fn settle(slots: &mut [Slot], layer: &[usize], wanted: &[f64]) {
    struct Block {
        top: f64,
        weight: f64,
        height: f64,
        members: Vec<(usize, f64)>,
    }
    let mut blocks: Vec<Block> = Vec::new();
    for (at, wish) in layer.iter().zip(wanted) {
        let height = slots.get(*at).map_or(0.0, |slot| slot.size.height) + APART;
        let mut block = Block { top: *wish, weight: 1.0, height, members: vec![(*at, 0.0)] };
        while let Some(before) = blocks.pop() {
            if before.top + before.height <= block.top {
                blocks.push(before);
                break;
            }
            let weight = before.weight + block.weight;
            let top = (before.top * before.weight + (block.top - before.height) * block.weight) / weight;
            let mut members = before.members;
            members.extend(block.members.iter().map(|(at, offset)| (*at, offset + before.height)));
            block = Block { top, weight, height: before.height + block.height, members };
        }
        blocks.push(block);
    }
    for block in blocks {
        for (at, offset) in block.members {
            if let Some(slot) = slots.get_mut(at) {
                slot.y = block.top + offset;
            }
        }
    }
}

/// Turns slots into pixels from the upper left corner.
fn finish(sizes: &[Size], slots: &[Slot], widths: &[f64], paths: &[Vec<usize>]) -> Layout {
    let top = slots.iter().map(|slot| slot.y).fold(f64::INFINITY, f64::min);
    let top = if top.is_finite() { top } else { 0.0 };
    let mut lefts = Vec::with_capacity(widths.len());
    let mut x = 0.0;
    for width in widths {
        lefts.push(x);
        x += width + BETWEEN;
    }
    let corner = |at: usize| -> Point {
        slots.get(at).map_or_else(Point::default, |slot| Point {
            x: lefts.get(slot.layer).copied().unwrap_or(0.0),
            y: slot.y - top,
        })
    };
    let edges = paths.iter().map(|path| way(path, slots, widths, &corner)).collect();
    let bottom = slots.iter().map(|slot| slot.y - top + slot.size.height).fold(0.0, f64::max);
    Layout {
        nodes: (0..sizes.len()).map(corner).collect(),
        edges,
        width: (x - BETWEEN).max(0.0),
        height: bottom,
    }
}

/// The points of one edge: out at the right of its start, through its bends, in at the left of its end.
fn way(path: &[usize], slots: &[Slot], widths: &[f64], corner: &dyn Fn(usize) -> Point) -> Vec<Point> {
    let mut points = Vec::new();
    for (step, at) in path.iter().enumerate() {
        let Some(slot) = slots.get(*at) else { continue };
        let from = corner(*at);
        let y = from.y + slot.size.height / 2.0;
        let column = widths.get(slot.layer).copied().unwrap_or(0.0);
        if step == 0 {
            points.push(Point { x: from.x + slot.size.width, y });
            if column > slot.size.width {
                points.push(Point { x: from.x + column, y });
            }
        } else {
            points.push(Point { x: from.x, y });
            if step + 1 < path.len() {
                points.push(Point { x: from.x + column, y });
            }
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: Size = Size { width: 100.0, height: 40.0 };

    #[test]
    fn a_job_stands_right_of_all_it_needs() {
        let made = layout(&[BOX; 4], &[(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]);
        let x: Vec<f64> = made.nodes.iter().map(|p| p.x).collect();
        assert!(x[0] < x[1] && (x[1] - x[2]).abs() < 0.1 && x[2] < x[3]);
        assert_eq!(made.edges.len(), 5);
    }

    #[test]
    fn nodes_of_a_layer_never_overlap() {
        let edges: Vec<(usize, usize)> =
            (0..40).flat_map(|n| (n + 1..41).step_by(n % 7 + 1).map(move |m| (n, m))).collect();
        let made = layout(&[BOX; 41], &edges);
        for (n, a) in made.nodes.iter().enumerate() {
            for b in made.nodes.iter().skip(n + 1) {
                let apart = (a.x - b.x).abs() >= BOX.width || (a.y - b.y).abs() >= BOX.height;
                assert!(apart, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn nothing_is_a_layout_too() {
        let made = layout(&[], &[]);
        assert!(made.nodes.is_empty() && made.height == 0.0);
    }
}

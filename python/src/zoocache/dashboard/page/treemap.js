// Many blocks in one area, each about as broad as it is high (Bruls, Huizing, van Wijk: Squarified Treemaps).

/** The places of blocks of some weights, which come largest first. */
export function treemap(weights, left, top, width, height) {
  const places = [];
  const scale = (width * height) / weights.reduce((sum, weight) => sum + weight, 0);
  const areas = weights.map((weight) => weight * scale);
  let first = 0;
  while (first < areas.length) {
    const side = Math.min(width, height);
    let next = first + 1;
    let sum = areas[first];
    // One more, as long as that makes the thinnest block of the row less thin.
    while (next < areas.length && thinnest(areas, first, next + 1, sum + areas[next], side) <= thinnest(areas, first, next, sum, side)) {
      sum += areas[next];
      next += 1;
    }
    const depth = sum / side;
    let at = 0;
    for (let place = first; place < next; place += 1) {
      const length = areas[place] / depth;
      places.push(width <= height ? { left: left + at, top, width: length, height: depth } : { left, top: top + at, width: depth, height: length });
      at += length;
    }
    if (width <= height) [top, height] = [top + depth, height - depth];
    else [left, width] = [left + depth, width - depth];
    first = next;
  }
  return places;
}

/** How many times as long as broad the thinnest block of a row is. */
function thinnest(areas, first, end, sum, side) {
  const depth = sum / side;
  const ratios = [areas[first], areas[end - 1]].map((area) => area / depth / depth);
  return Math.max(...ratios.map((ratio) => Math.max(ratio, 1 / ratio)));
}

/* Runs inside the page: what a reader could not read. An expression, whose value is sent back. */
(() => {
  const { documentElement } = document;

  /** Red, green, blue and opacity of a computed colour. */
  const parse = (color) => {
    const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };
  const blend = (under, { rgb, a }, opacity = 1) => under.map((u, i) => u + (rgb[i] - u) * a * opacity);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };

  /** What is behind an element: backgrounds of its ancestors, and in a drawing the cell it is written on. */
  const behind = (element) => {
    const ancestors = [];
    for (let each = element; each !== null; each = each.parentElement) ancestors.unshift(each);
    let color = ancestors.reduce(
      (under, each) => blend(under, parse(getComputedStyle(each).backgroundColor)),
      [255, 255, 255],
    );
    const box = element.getBoundingClientRect();
    const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
    for (const cell of element.closest("svg")?.querySelectorAll("rect") ?? []) {
      const { left, right, top, bottom } = cell.getBoundingClientRect();
      const { fill, fillOpacity } = getComputedStyle(cell);
      if (left < x && x < right && top < y && y < bottom && fill !== "none")
        color = blend(color, parse(fill), fillOpacity);
    }
    return color;
  };

  const texts = [...document.body.querySelectorAll("*")].filter(
    (each) =>
      [...each.childNodes].some(({ nodeType, data }) => nodeType === Node.TEXT_NODE && data.trim() !== "") &&
      each.closest("style, title") === null &&
      each.getClientRects().length > 0,
  );
  const faint = texts.flatMap((each) => {
    const { color, fill } = getComputedStyle(each);
    const background = behind(each);
    const found = contrast(blend(background, parse(each.closest("svg") === null ? color : fill)), background);
    return found < 4.5 ? [`${found.toFixed(2)}: ${each.textContent.trim().slice(0, 60)}`] : [];
  });

  /** Two texts of a drawing that share more than a pixel and a half of height and width. */
  const overlaps = [...document.querySelectorAll("svg")].flatMap((drawing) => {
    const boxes = texts
      .filter((each) => drawing.contains(each))
      .map((each) => ({ text: each.textContent, box: each.getBoundingClientRect() }));
    return boxes.flatMap((a, i) =>
      boxes.slice(i + 1).flatMap((b) => {
        const width = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
        const height = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
        return width > 1.5 && height > 1.5
          ? [
              `${drawing.getAttribute("aria-label")}: "${a.text}" and "${b.text}" by ${width.toFixed(1)} × ${height.toFixed(1)}`,
            ]
          : [];
      }),
    );
  });

  /** Texts of a drawing that its own box cuts off, or that reach out of it. */
  const outside = [...document.querySelectorAll("svg")].flatMap((drawing) => {
    const frame = drawing.getBoundingClientRect();
    return texts
      .filter((each) => drawing.contains(each))
      .filter((each) => {
        const { left, right, top, bottom } = each.getBoundingClientRect();
        return (
          left < frame.left - 1.5 || right > frame.right + 1.5 || top < frame.top - 1.5 || bottom > frame.bottom + 1.5
        );
      })
      .map((each) => `${drawing.getAttribute("aria-label")}: "${each.textContent}"`);
  });

  return {
    texts: texts.length,
    overflow: documentElement.scrollWidth - documentElement.clientWidth,
    nameless: document.querySelectorAll("svg:not([role=img][aria-label]), img:not([alt])").length,
    faint,
    overlaps,
    outside,
  };
})();
